/**
 * The encrypted store: what a commit costs beside the same store without the page codec and beside native SQLite, and
 * what opening a large one and searching many notes cost; in Node, and in Chromium on OPFS. Some three minutes in all.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { DatabaseSync } from "@photostructure/sqlite";

import { closeFiles } from "#crdt-store/files/file.ts";
import { loadNodeEngine, openNodeFiles } from "#crdt-store/files/node.ts";
import { migrations } from "#crdt-store/schema.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import type { Measurement } from "./measurement.ts";
import { benchSearch } from "./search.ts";
import { startBrowserBench } from "./store-browser.ts";
import {
  benchSpace,
  commitLoads,
  rawContender,
  storeContender,
  timeCommits,
  type CommitLoad,
  type CommitTimes,
  type Contender,
} from "./store-load.ts";
import { fillStore, measureOpening, type Opening, type SizedStore } from "./store-opening.ts";

type Native = InstanceType<typeof DatabaseSync>;

const key = new Uint8Array(32).fill(4);
const budgetedMegabytes = 100;

export async function benchStore(): Promise<Measurement[]> {
  const directory = mkdtempSync(
    join(process.env["SEALEAF_BENCH_DIR"] ?? tmpdir(), "sealeaf-bench-"),
  );
  try {
    await using chromium = await startBrowserBench(directory);
    const rows: Measurement[] = [];
    for (const load of commitLoads) {
      rows.push(...commitRows(load, "Node", await timeInNode(join(directory, "commits"), load)));
      rows.push(...commitRows(load, "Chromium", await chromium.timeCommits(load, key)));
    }
    for (const store of await sizedStores(directory)) {
      rows.push(...openingRows(store, "Node", measureOpening(store)));
      if (store.key === null) continue;
      rows.push(...openingRows(store, "Chromium", await chromium.measureOpening(store)));
    }
    rows.push(...(await benchSearch(directory, chromium, key)));
    return rows;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function timeInNode(directory: string, load: CommitLoad): Promise<CommitTimes[]> {
  mkdirSync(directory);
  const sealed = await storeAt(join(directory, "sealed"), key);
  const clear = await storeAt(join(directory, "clear"), null);
  const raw = openNodeFiles(join(directory, "raw"));
  const native = new DatabaseSync(join(directory, "native.db"));
  try {
    const contenders = [
      storeContender("sealed", sealed),
      storeContender("clear", clear),
      rawContender("raw", raw.wal),
      nativeContender(native),
    ];
    return timeCommits(contenders, load, randomBytes);
  } finally {
    sealed.close();
    clear.close();
    closeFiles(raw);
    native.close();
    rmSync(directory, { recursive: true });
  }
}

const descriptions: Record<string, string> = {
  sealed: "encrypted store",
  clear: "the same store without the page codec",
  raw: "floor: one write of the same bytes, one flush",
  native: "native SQLite, WAL, FULL, same tables and rows",
};

/** Ratios are to the store without the page codec. */
function commitRows(
  load: CommitLoad,
  place: "Node" | "Chromium",
  times: readonly CommitTimes[],
): Measurement[] {
  const base = times.find(({ name }) => name === "clear");
  if (base === undefined) throw new Error("there is nothing to compare with");
  return times.map(({ name, medianMs, meanMs }) => {
    const ratio = medianMs / base.medianMs;
    return {
      name: `${load.name}, ${place}: ${descriptions[name]}`,
      ratio,
      ms: medianMs,
      note: `with checkpoints ${(meanMs / base.meanMs).toFixed(2)}× ${meanMs.toFixed(3)} ms`,
      ...(name === "sealed" && load.changes === 1
        ? { budget: { figure: ratio, must: 2, aim: 1.3, unit: "×" } as const }
        : {}),
    };
  });
}

async function sizedStores(directory: string): Promise<SizedStore[]> {
  return [
    await fillStore(join(directory, "sealed-10"), 10, key),
    await fillStore(join(directory, "clear-100"), budgetedMegabytes, null),
    await fillStore(join(directory, "sealed-100"), budgetedMegabytes, key),
  ];
}

function openingRows(
  { megabytes, key: storeKey }: SizedStore,
  place: "Node" | "Chromium",
  { engineMs, openMs, noteMs, grownMB }: Opening,
): Measurement[] {
  const kind = storeKey === null ? "a store in clear" : "an encrypted store";
  const name = `open ${kind} of ${megabytes} MB with a full log, ${place}`;
  const isBudgeted = megabytes === budgetedMegabytes && storeKey !== null;
  return [
    {
      name,
      ms: openMs,
      note: `first note ${noteMs.toFixed(1)} ms later; engine before it ${engineMs.toFixed(0)} ms`,
      ...(isBudgeted
        ? { budget: { figure: openMs, must: 300, aim: 100, unit: " ms" } as const }
        : {}),
    },
    {
      name: `memory for it, the engine included, ${place}`,
      note: `${grownMB.toFixed(1)} MB`,
      ...(isBudgeted
        ? { budget: { figure: grownMB, must: 40, aim: 40, unit: " MB" } as const }
        : {}),
    },
  ];
}

async function storeAt(directory: string, storeKey: Uint8Array | null): Promise<Store> {
  return openStore({
    engine: await loadNodeEngine(),
    files: openNodeFiles(directory),
    key: storeKey,
    clock: { now: () => 0 },
    random: (count) => randomBytes(count),
  });
}

function nativeContender(database: Native): Contender {
  database.exec(
    "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA secure_delete=ON",
  );
  createTables(database);
  const insertChange = database.prepare(
    `INSERT INTO change (doc, hash, hash_prefix, actor, seq, op_count, space, pos, signer, local, at, length, deps, bytes)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  );
  const findChange = database.prepare(
    "SELECT id FROM change WHERE hash_prefix = ? AND hash = ? AND doc = ?",
  );
  const insertPending = database.prepare(
    "INSERT INTO pending (change_id, space, doc, hash) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
  );
  return {
    name: "native",
    commit(changes) {
      database.exec("BEGIN IMMEDIATE");
      for (const change of changes) {
        const { doc, hash, actor, seq, opCount, bytes, deps } = change;
        const depsBytes = new Uint8Array(Buffer.concat([...deps]));
        const prefix = Buffer.from(hash).readUIntBE(0, 6);
        if (findChange.get(prefix, hash, doc) !== undefined) continue;
        const { lastInsertRowid: row } = insertChange.run(
          doc,
          hash,
          prefix,
          actor,
          seq,
          opCount,
          benchSpace,
          null,
          null,
          1,
          0,
          bytes.length,
          depsBytes,
          bytes,
        );
        insertPending.run(row, benchSpace, doc, hash);
      }
      database.exec("COMMIT");
    },
  };
}

// The migrations speak to the store's own class; of it they use `script` alone.
function createTables(database: Native): void {
  const scripts = { script: (sql: string) => database.exec(sql) };
  for (const migration of migrations)
    migration(scripts as unknown as Parameters<typeof migration>[0]);
}

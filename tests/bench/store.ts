import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { DatabaseSync } from "@photostructure/sqlite";

import type { NewChange } from "#crdt-store/changes.ts";
import { loadNodeEngine, openNodeFiles } from "#crdt-store/files/node.ts";
import { migrations } from "#crdt-store/schema.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import type { Measurement } from "./measurement.ts";

interface Contender {
  readonly name: string;
  /** One transaction: these changes and an outbox row for each. */
  commit(changes: readonly NewChange[]): void;
  close(): void;
}

const space = new Uint8Array(32).fill(1);
const doc = new Uint8Array(16).fill(2);
const actor = new Uint8Array(16).fill(3);
const changeBytes = 150;
const rounds = 5;

const loads = [
  { name: "commit of 1 change and its outbox row", commits: 150, size: 1 },
  { name: "commit of 100 changes and their outbox rows", commits: 12, size: 100 },
] as const;

/**
 * Times commits on the encrypted store, on the same store without the page codec, and on native SQLite with the same
 * tables (WAL, FULL), in one directory and one run. Milliseconds per commit, the best of five interleaved rounds.
 */
export async function benchStore(): Promise<Measurement[]> {
  const directory = mkdtempSync(
    join(process.env["SEALEAF_BENCH_DIR"] ?? tmpdir(), "sealeaf-bench-"),
  );
  const contenders = [
    await storeContender("encrypted store", join(directory, "sealed"), new Uint8Array(32).fill(4)),
    await storeContender("store without page codec", join(directory, "clear"), null),
    nativeContender("native SQLite", join(directory, "native.db")),
  ] as const;
  try {
    return loads.flatMap((load) => compare(load, contenders));
  } finally {
    for (const contender of contenders) contender.close();
    rmSync(directory, { recursive: true });
  }
}

function compare(
  load: (typeof loads)[number],
  contenders: readonly [Contender, Contender, Contender],
): Measurement[] {
  const best = contenders.map(() => Infinity);
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, contender] of contenders.entries()) {
      const batches = Array.from({ length: load.commits }, () => newChanges(load.size));
      const start = performance.now();
      for (const batch of batches) contender.commit(batch);
      best[index] = Math.min(best[index] ?? Infinity, (performance.now() - start) / load.commits);
    }
  }
  const [sealedMs = 0, clearMs = 0, nativeMs = 0] = best;
  return [
    row(load.name, contenders[0], sealedMs, clearMs, "ratio to the store without page codec"),
    row(load.name, contenders[1], clearMs, nativeMs, "ratio to native SQLite"),
    row(
      load.name,
      contenders[2],
      nativeMs,
      nativeMs,
      "@photostructure/sqlite, WAL, FULL, same tables",
    ),
  ];
}

function row(load: string, { name }: Contender, ms: number, base: number, note: string) {
  return { name: `${load}: ${name}`, ms, ratio: ms / base, note };
}

async function storeContender(
  name: string,
  directory: string,
  key: Uint8Array | null,
): Promise<Contender> {
  const store: Store = openStore({
    engine: await loadNodeEngine(),
    files: openNodeFiles(directory),
    key,
    clock: { now: () => 0 },
    random: (count) => randomBytes(count),
  });
  return {
    name,
    commit(changes) {
      store.transaction(() => {
        const added = store.changes.insert(changes);
        store.outbox.add(space, doc, added);
      });
    },
    close: () => store.close(),
  };
}

function nativeContender(name: string, path: string): Contender {
  const database = new DatabaseSync(path);
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
    name,
    commit(changes) {
      database.exec("BEGIN IMMEDIATE");
      for (const change of changes) {
        const { hash, seq, opCount, bytes, deps } = change;
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
          space,
          null,
          null,
          1,
          0,
          bytes.length,
          depsBytes,
          bytes,
        );
        insertPending.run(row, space, doc, hash);
      }
      database.exec("COMMIT");
    },
    close: () => database.close(),
  };
}

// The migrations speak to the store's own class; of it they use `script` alone.
function createTables(database: InstanceType<typeof DatabaseSync>): void {
  const scripts = { script: (sql: string) => database.exec(sql) };
  for (const migration of migrations)
    migration(scripts as unknown as Parameters<typeof migration>[0]);
}

let nextSeq = 1;

function newChanges(count: number): NewChange[] {
  return Array.from({ length: count }, () => ({
    doc,
    hash: randomBytes(32),
    actor,
    seq: nextSeq++,
    deps: [randomBytes(32)],
    bytes: randomBytes(changeBytes),
    opCount: 1,
    space,
    pos: null,
    signer: null,
    local: true,
    at: 0,
  }));
}

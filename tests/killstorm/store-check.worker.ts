/** Opens the store of this origin as the app would, while the app does not run, and looks for damage. */
import { pause } from "#client/worker/browser-timers.ts";
import { loadEngine } from "#crdt-store/files/engine.ts";
import { closeFiles } from "#crdt-store/files/file.ts";
import { openOpfsFiles } from "#crdt-store/files/opfs.ts";
import { notesCodec } from "#crdt-store/database-codec.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { DatabaseKey } from "#client/worker/database-key.ts";
import { indexedDbKeyEntry } from "#client/worker/key-entry.ts";

declare const self: DedicatedWorkerGlobalScope;

/** What every sound store answers with no row; each query names what it has found. */
const damage: Readonly<Record<string, string>> = {
  "a row refers to one that is not there": "SELECT * FROM pragma_foreign_key_check",
  // What was let go from the journal, its first changes, is still known by 32 bytes each.
  "an actor's changes have a gap": `
    SELECT hex(actor) AS actor, max(seq) AS last, count(*) AS kept, (
      SELECT coalesce(sum(length(hashes) / 32), 0) FROM packed
      WHERE packed.doc = change.doc AND packed.actor = change.actor) AS packed
    FROM change GROUP BY doc, actor HAVING kept + packed <> last`,
  "a change made here neither waits nor was acknowledged": `
    SELECT id FROM change WHERE local = 1 AND pos IS NULL AND signer IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM pending WHERE change_id = change.id)`,
  "a change waits in an entry that is not there": `
    SELECT change_id FROM pending WHERE entry_id IS NOT NULL AND NOT EXISTS (
      SELECT 1 FROM sealed WHERE sealed.space = pending.space AND sealed.entry_id = pending.entry_id)`,
  "a counter was given twice": `
    SELECT 1 FROM (SELECT space, ctr FROM sealed UNION ALL SELECT space, ctr FROM relayed)
    GROUP BY space, ctr HAVING count(*) > 1`,
  "a counter is higher than the last one given": `
    SELECT 1 FROM (SELECT space, ctr FROM sealed UNION ALL SELECT space, ctr FROM relayed) AS used
    WHERE ctr > (SELECT last FROM counter WHERE counter.space = used.space)`,
};

export interface StoreReport {
  /** In words; empty for a sound store. */
  readonly problems: readonly string[];
  readonly changes: number;
  /** Changes let go from the journal, which a snapshot holds. */
  readonly packed: number;
  readonly waiting: number;
}

self.addEventListener("message", ({ data }: MessageEvent<WebAssembly.Module>) => {
  check(data).then(
    (report) => self.postMessage(report),
    (error: unknown) =>
      self.postMessage({ problems: [String(error)], changes: 0, packed: 0, waiting: 0 }),
  );
});

async function check(wasm: WebAssembly.Module): Promise<StoreReport> {
  const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
  const engine = await loadEngine({ wasm, random });
  const kept = await new DatabaseKey(indexedDbKeyEntry, crypto).read();
  if (kept.type !== "browser") throw new Error(`the key is ${kept.type}`);
  const key = await kept.open();
  const files = await openOpfsFiles("sealeaf-notes", pause);
  try {
    const sqlite = Sqlite.open({ engine, files, codec: notesCodec(engine, key, random) });
    try {
      return reportOf(sqlite);
    } finally {
      sqlite.close();
    }
  } finally {
    closeFiles(files);
  }
}

function reportOf(sqlite: Sqlite): StoreReport {
  sqlite.checkIntegrity();
  const count = (table: string): number =>
    sqlite.get<{ rows: number }>(`SELECT count(*) AS rows FROM ${table}`)?.rows ?? 0;
  const problems = Object.entries(damage).flatMap(([words, query]) => {
    const rows = sqlite.all(query);
    return rows.length === 0 ? [] : [`${words}: ${JSON.stringify(rows.slice(0, 3))}`];
  });
  const packed = sqlite.get<{ changes: number }>(
    "SELECT coalesce(sum(changes), 0) AS changes FROM pack",
  );
  return {
    problems,
    changes: count("change"),
    packed: packed?.changes ?? 0,
    waiting: count("pending"),
  };
}

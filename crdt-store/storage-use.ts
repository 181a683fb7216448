import type { Sqlite } from "./sqlite.ts";

/** What takes the room of a store, in bytes of contents, without what SQLite keeps around them. */
export interface StorageUse {
  /** Texts with their history. */
  readonly notes: number;
  /** The rows of the lists, made from the notes. */
  readonly lists: number;
  /** Sealed for the relay and not taken by it yet. */
  readonly waiting: number;
  /** Inside the files and used again before they grow. */
  readonly unused: number;
}

const tablesOfNotes: ReadonlySet<string> = new Set(["change", "snapshot", "draft", "packed"]);
const tablesOfSending: ReadonlySet<string> = new Set(["pending", "sealed"]);

/** Reads every row's lengths, not its contents. */
export function measureUse(sqlite: Sqlite): StorageUse {
  const tables = sqlite.all<{ name: string }>(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage > 0 AND name NOT LIKE 'sqlite_%'",
  );
  let notes = 0;
  let lists = 0;
  let waiting = 0;
  for (const { name } of tables) {
    if (tablesOfNotes.has(name)) notes += bytesIn(sqlite, name);
    else if (tablesOfSending.has(name)) waiting += bytesIn(sqlite, name);
    else if (name === "note") lists += bytesIn(sqlite, name);
  }
  return { notes, lists, waiting, unused: unusedBytes(sqlite) };
}

function bytesIn(sqlite: Sqlite, table: string): number {
  const columns = sqlite.all<{ name: string }>(`SELECT name FROM pragma_table_info('${table}')`);
  // Such a length is read from a row's head: long contents stay where they are.
  const lengths = columns.map(({ name }) => `coalesce(octet_length("${name}"), 0)`);
  const sum = `SELECT coalesce(sum(${lengths.join(" + ")}), 0) AS bytes FROM "${table}"`;
  return sqlite.get<{ bytes: number }>(sum)?.bytes ?? 0;
}

/** Of {@link StorageUse}, what costs nothing to ask. */
export function unusedBytes(sqlite: Sqlite): number {
  const free = sqlite.get<{ freelist_count: number }>("PRAGMA freelist_count")?.freelist_count ?? 0;
  return free * (sqlite.get<{ page_size: number }>("PRAGMA page_size")?.page_size ?? 0);
}

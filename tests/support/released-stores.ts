/** The committed stores of released versions: `tests/vectors/stores/v<n>/plain.db`, `sealed.db`, and what they hold. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import type { Sqlite, SqlValue } from "#crdt-store/sqlite.ts";

/** The key of every `sealed.db`. */
export const storeKey = Uint8Array.from({ length: 32 }, (_, ix) => 0xa0 + ix);

/** What a table held: its rows in their order, hashed over these columns. */
export interface TableContents {
  readonly columns: readonly string[];
  readonly rows: number;
  readonly sha256: string;
}

export interface ReleasedStore {
  /** How many steps of crdt-store/schema.ts it has seen. */
  readonly version: number;
  /** Of the identity in it. */
  readonly words: readonly string[];
  /** By id, as a device shows them that has opened it. */
  readonly notes: Readonly<Record<string, { readonly title: string; readonly body: string }>>;
  readonly tables: Readonly<Record<string, TableContents>>;
}

export interface ReleasedStoreFiles extends ReleasedStore {
  /** Copies of the files, each time anew. */
  files(form: "plain" | "sealed"): MemoryFiles;
}

/** One per released version, the oldest first. */
export function releasedStores(): readonly ReleasedStoreFiles[] {
  const here = join(import.meta.dirname, "../vectors/stores");
  return readdirSync(here)
    .filter((name) => /^v\d+$/.test(name))
    .map((name) => {
      const dir = join(here, name);
      const described = JSON.parse(readFileSync(join(dir, "store.json"), "utf8")) as ReleasedStore; // written by generate-store.ts
      const files = (form: "plain" | "sealed"): MemoryFiles => {
        const nothing = new Uint8Array();
        const main = new Uint8Array(readFileSync(join(dir, `${form}.db`)));
        return new MemoryFiles({ main, wal: nothing, journal: nothing });
      };
      return { ...described, files };
    })
    .toSorted((a, b) => a.version - b.version);
}

/** Every table but the version's own, over its columns or those of an earlier version. */
export function contentsOf(
  sqlite: Sqlite,
  known?: ReleasedStore["tables"],
): Record<string, TableContents> {
  const names = sqlite.all<{ name: string }>(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'schema_version' AND name NOT LIKE 'sqlite_%' ORDER BY name",
  );
  return Object.fromEntries(
    names
      .filter(({ name }) => known === undefined || known[name] !== undefined)
      .map(({ name }) => [name, tableContents(sqlite, name, known?.[name]?.columns)]),
  );
}

function tableContents(
  sqlite: Sqlite,
  table: string,
  wanted: readonly string[] | undefined,
): TableContents {
  const columns =
    wanted ??
    sqlite
      .all<{ name: string }>(`SELECT name FROM pragma_table_info('${table}')`)
      .map((row) => row.name);
  const list = columns.join(", ");
  const rows = sqlite.all<Record<string, SqlValue>>(
    `SELECT ${list} FROM "${table}" ORDER BY ${list}`,
  );
  const hash = createHash("sha256");
  for (const row of rows) {
    const values = columns.map((column) => {
      const value = row[column] ?? null;
      return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
    });
    hash.update(`${JSON.stringify(values)}\n`);
  }
  return { columns, rows: rows.length, sha256: hash.digest("hex") };
}

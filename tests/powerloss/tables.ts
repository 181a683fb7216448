/** All rows of all tables, to compare one database with another. */
import type { Sqlite, SqlValue } from "#crdt-store/sqlite.ts";

export type Tables = ReadonlyMap<string, readonly Readonly<Record<string, SqlValue>>[]>;

export function readTables(sqlite: Sqlite): Tables {
  const names = sqlite.all<{ name: string }>(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
  );
  return new Map(
    names.map(({ name }) => {
      const columns = sqlite.all<{ name: string }>("SELECT name FROM pragma_table_info(?)", [name]);
      const order = columns.map((column) => `"${column.name}"`).join(", ");
      return [
        name,
        sqlite.all<Record<string, SqlValue>>(`SELECT * FROM "${name}" ORDER BY ${order}`),
      ];
    }),
  );
}

/** Where two databases differ, in words; null where they do not. */
export function difference(found: Tables, expected: Tables): string | null {
  for (const name of new Set([...found.keys(), ...expected.keys()])) {
    const rows = found.get(name);
    const wanted = expected.get(name);
    if (rows === undefined || wanted === undefined) return `the table ${name} is not in both`;
    if (rows.length !== wanted.length) {
      return `${name} has ${rows.length} rows instead of ${wanted.length}`;
    }
    const at = rows.findIndex((row, index) => !sameRow(row, wanted[index] ?? {}));
    if (at >= 0) return `row ${at} of ${name} is another`;
  }
  return null;
}

function sameRow(
  a: Readonly<Record<string, SqlValue>>,
  b: Readonly<Record<string, SqlValue>>,
): boolean {
  const columns = Object.keys(a);
  return (
    columns.length === Object.keys(b).length &&
    columns.every((column) => sameValue(a[column], b[column]))
  );
}

function sameValue(a: SqlValue | undefined, b: SqlValue | undefined): boolean {
  if (!(a instanceof Uint8Array) || !(b instanceof Uint8Array)) return a === b;
  return Buffer.compare(a, b) === 0;
}

import type { Sqlite } from "./sqlite.ts";

/** A path of names, as automerge-repo keys its values. */
export type Path = readonly string[];

/** Values under paths, kept verbatim, in the order in which their paths were first used. */
export class KeyValues {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  get(path: Path): Uint8Array | undefined {
    return this.#sqlite.get<{ value: Uint8Array }>("SELECT value FROM key_value WHERE key = ?", [
      JSON.stringify(path),
    ])?.value;
  }

  put(path: Path, value: Uint8Array): void {
    this.#sqlite.run(
      `INSERT INTO key_value (key, value) VALUES (?, ?)
       ON CONFLICT (key) DO UPDATE SET value = excluded.value`,
      [JSON.stringify(path), value],
    );
  }

  remove(path: Path): void {
    this.#sqlite.run("DELETE FROM key_value WHERE key = ?", [JSON.stringify(path)]);
  }

  /** Everything under `prefix`, itself included. */
  range(prefix: Path): { readonly path: string[]; readonly value: Uint8Array }[] {
    return this.#sqlite
      .all<{ key: string; value: Uint8Array }>(
        "SELECT key, value FROM key_value WHERE key = ? OR (key >= ? AND key < ?) ORDER BY id",
        rangeBounds(prefix),
      )
      .map((row) => ({ path: JSON.parse(row.key), value: row.value }));
  }

  removeRange(prefix: Path): void {
    this.#sqlite.run(
      "DELETE FROM key_value WHERE key = ? OR (key >= ? AND key < ?)",
      rangeBounds(prefix),
    );
  }
}

// A longer path goes on with a comma after the last name's closing quote; "-" is the character after the comma.
function rangeBounds(prefix: Path): [string, string, string] {
  const key = JSON.stringify(prefix);
  if (prefix.length === 0) return [key, "[", "\\"];
  const open = key.slice(0, -1);
  return [key, `${open},`, `${open}-`];
}

import type { Sqlite } from "./sqlite.ts";

/** Values of this device under a name; their form belongs to whoever keeps them. */
export class Settings {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  get(key: string): Uint8Array | null {
    return (
      this.#sqlite.get<{ value: Uint8Array }>("SELECT value FROM setting WHERE key = ?", [key])
        ?.value ?? null
    );
  }

  put(key: string, value: Uint8Array): void {
    this.#sqlite.run("INSERT OR REPLACE INTO setting (key, value) VALUES (?, ?)", [key, value]);
  }

  remove(key: string): void {
    this.#sqlite.run("DELETE FROM setting WHERE key = ?", [key]);
  }
}

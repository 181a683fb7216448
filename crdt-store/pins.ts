import { bytesToHex } from "@noble/hashes/utils.js";

import type { Sqlite } from "./sqlite.ts";

/** The documents the person wants in front, as their vault has them. Rebuildable. */
export class Pins {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  all(): Uint8Array[] {
    return this.#sqlite.all<{ doc: Uint8Array }>("SELECT doc FROM pin").map((row) => row.doc);
  }

  has(doc: Uint8Array): boolean {
    return this.#sqlite.get("SELECT 1 AS found FROM pin WHERE doc = ?", [doc]) !== undefined;
  }

  /** These and no others from now on; answers those that were added or removed. */
  replace(docs: readonly Uint8Array[]): Uint8Array[] {
    return this.#sqlite.transaction(() => {
      const before = new Map(this.all().map((doc) => [bytesToHex(doc), doc]));
      const after = new Map(docs.map((doc) => [bytesToHex(doc), doc]));
      const removed = [...before].filter(([key]) => !after.has(key)).map(([, doc]) => doc);
      const added = [...after].filter(([key]) => !before.has(key)).map(([, doc]) => doc);
      for (const doc of removed) this.#sqlite.run("DELETE FROM pin WHERE doc = ?", [doc]);
      for (const doc of added) this.#sqlite.run("INSERT INTO pin (doc) VALUES (?)", [doc]);
      return [...removed, ...added];
    });
  }
}

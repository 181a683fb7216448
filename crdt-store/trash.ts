import type { Sqlite } from "./sqlite.ts";

/** A note in the trash, and since when this device has seen it there under its present mark; ms since 1970. */
export interface Trashed {
  readonly doc: Uint8Array;
  readonly space: Uint8Array;
  readonly since: number;
}

/**
 * What is kept about the trash beside the rows of the notes: since when they lie there, and tombstones of those that
 * were deleted from this device for ever, so that catching up with the relay does not bring them back.
 */
export class Trash {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  /**
   * The notes in the trash. Their time runs on this device's clock, from the moment it first asks: another device's
   * clock, or somebody's wrong mark, must not cut it short.
   */
  notes(now: number): Trashed[] {
    return this.#sqlite.transaction(() => {
      this.#sqlite.run(
        `DELETE FROM trashed WHERE NOT EXISTS (
           SELECT 1 FROM note WHERE note.doc = trashed.doc AND note.trashed_at = trashed.mark)`,
      );
      this.#sqlite.run(
        `INSERT INTO trashed (doc, mark, since) SELECT doc, trashed_at, ? FROM note
         WHERE trashed_at IS NOT NULL AND moved_to IS NULL ON CONFLICT DO NOTHING`,
        [now],
      );
      return this.#sqlite.all<Trashed>(
        `SELECT trashed.doc AS doc, note.space AS space, since FROM trashed JOIN note ON note.doc = trashed.doc
         WHERE moved_to IS NULL ORDER BY since`,
      );
    });
  }

  /** From now on nothing of the document is taken in. */
  bury(doc: Uint8Array, space: Uint8Array, at: number): void {
    this.#sqlite.transaction(() => {
      this.#sqlite.run("DELETE FROM trashed WHERE doc = ?", [doc]);
      this.#sqlite.run("INSERT OR REPLACE INTO purged (doc, space, at) VALUES (?, ?, ?)", [
        doc,
        space,
        at,
      ]);
    });
  }

  /** The document may come back; what was sent of it meanwhile has to be read again. */
  unbury(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM purged WHERE doc = ?", [doc]);
  }

  isPurged(doc: Uint8Array): boolean {
    return this.#sqlite.get("SELECT 1 AS found FROM purged WHERE doc = ?", [doc]) !== undefined;
  }

  /** The documents of a space that were deleted from this device for ever. */
  purgedIn(space: Uint8Array): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>("SELECT doc FROM purged WHERE space = ?", [space])
      .map((row) => row.doc);
  }
}

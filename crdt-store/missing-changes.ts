import { bytesToHex } from "@noble/hashes/utils.js";

import type { Sqlite } from "./sqlite.ts";

/** A change that others depend on and that has not come. */
export interface MissingChange {
  readonly doc: Uint8Array;
  readonly hash: Uint8Array;
  /** Since when, ms since 1970. */
  readonly since: number;
}

/** The changes that are named by what has come and have not come themselves: what depends on them is not shown yet. */
export class MissingChanges {
  readonly #sqlite: Sqlite;
  readonly #now: () => number;
  /** How many of each document, by its hex; null while nobody has asked. */
  #counts: Map<string, number> | null = null;

  constructor(sqlite: Sqlite, now: () => number) {
    this.#sqlite = sqlite;
    this.#now = now;
    sqlite.onRollback(() => this.forget());
  }

  add(doc: Uint8Array, hashes: readonly Uint8Array[]): void {
    for (const hash of hashes) {
      this.#sqlite.run(
        "INSERT INTO missing_change (doc, hash, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [doc, hash, this.#now()],
      );
    }
    if (hashes.length > 0) this.forget();
  }

  /** They have come. Cheap where nothing of the document is awaited. */
  arrived(doc: Uint8Array, hashes: readonly Uint8Array[]): void {
    if (this.countOf(doc) === 0) return;
    for (const hash of hashes) {
      this.#sqlite.run("DELETE FROM missing_change WHERE doc = ? AND hash = ?", [doc, hash]);
    }
    this.forget();
  }

  purge(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM missing_change WHERE doc = ?", [doc]);
    this.forget();
  }

  countOf(doc: Uint8Array): number {
    return this.counts().get(bytesToHex(doc)) ?? 0;
  }

  /** By document in hex; documents that wait for nothing are left out. */
  counts(): ReadonlyMap<string, number> {
    this.#counts ??= new Map(
      this.#sqlite
        .all<{ doc: Uint8Array; changes: number }>(
          "SELECT doc, count(*) AS changes FROM missing_change GROUP BY doc",
        )
        .map(({ doc, changes }) => [bytesToHex(doc), changes]),
    );
    return this.#counts;
  }

  /** Of the documents of a space, what has been awaited longest first. */
  inSpace(space: Uint8Array): MissingChange[] {
    if (this.counts().size === 0) return [];
    return this.#sqlite.all<MissingChange>(
      `SELECT missing.doc AS doc, hash, since FROM missing_change AS missing JOIN document ON document.doc = missing.doc
       WHERE document.space = ? ORDER BY since, hash`,
      [space],
    );
  }

  /** Reads everything from the table again: it was changed from outside. */
  forget(): void {
    this.#counts = null;
  }
}

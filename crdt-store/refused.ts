import { bytesToHex } from "@noble/hashes/utils.js";

import type { Sqlite } from "./sqlite.ts";

/**
 * Changes that Automerge cannot take, or that make their document unfit to be kept, by their hashes: their bytes are in
 * quarantine, and they are not journalled again, whoever brings them. Also how far each document has been loaded here without
 * trouble, and what was being tried when a process ended in the middle of it.
 */
export class Refused {
  readonly #sqlite: Sqlite;
  /** Hashes in hex by document in hex; null while nobody has asked. */
  #known: Map<string, Set<string>> | null = null;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
    sqlite.onRollback(() => this.forget());
  }

  add(doc: Uint8Array, hash: Uint8Array): void {
    this.#sqlite.run("INSERT INTO refused (doc, hash) VALUES (?, ?) ON CONFLICT DO NOTHING", [
      doc,
      hash,
    ]);
    this.forget();
  }

  remove(doc: Uint8Array, hash: Uint8Array): void {
    this.#sqlite.run("DELETE FROM refused WHERE doc = ? AND hash = ?", [doc, hash]);
    this.forget();
  }

  has(doc: Uint8Array, hash: Uint8Array): boolean {
    return this.#loaded().get(bytesToHex(doc))?.has(bytesToHex(hash)) ?? false;
  }

  /** All of the document's rows in the journal up to number `row` were applied without trouble. */
  applied(doc: Uint8Array, row: number): void {
    this.#sqlite.run(
      `INSERT INTO trial (doc, row, trying) VALUES (?1, ?2, NULL)
       ON CONFLICT (doc) DO UPDATE SET row = ?2, trying = NULL`,
      [doc, row],
    );
  }

  appliedUpTo(doc: Uint8Array): number {
    const sql = "SELECT row FROM trial WHERE doc = ?";
    return this.#sqlite.get<{ row: number }>(sql, [doc])?.row ?? 0;
  }

  /**
   * These changes of a document are about to be applied; without any, all that it has. If the process ends before
   * {@link applied} or {@link nothingTried}, they are found by {@link interrupted}.
   */
  trying(doc: Uint8Array, hashes: Uint8Array): void {
    this.#sqlite.run(
      `INSERT INTO trial (doc, row, trying) VALUES (?1, 0, ?2)
       ON CONFLICT (doc) DO UPDATE SET trying = ?2`,
      [doc, hashes],
    );
  }

  /** Whether the next process would find that something of a document was being tried. */
  isTried(doc: Uint8Array): boolean {
    const sql = "SELECT 1 AS found FROM trial WHERE doc = ? AND trying IS NOT NULL";
    return this.#sqlite.get(sql, [doc]) !== undefined;
  }

  nothingTried(doc: Uint8Array): void {
    this.#sqlite.run("UPDATE trial SET trying = NULL WHERE doc = ?", [doc]);
  }

  /** What was being tried when a process ended; the hashes one after the other, none for all of the document. */
  interrupted(): { readonly doc: Uint8Array; readonly hashes: Uint8Array }[] {
    return this.#sqlite.all("SELECT doc, trying AS hashes FROM trial WHERE trying IS NOT NULL");
  }

  purge(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM refused WHERE doc = ?", [doc]);
    this.#sqlite.run("DELETE FROM trial WHERE doc = ?", [doc]);
    this.forget();
  }

  /** Reads everything from the tables again: they were changed from outside. */
  forget(): void {
    this.#known = null;
  }

  #loaded(): Map<string, Set<string>> {
    if (this.#known !== null) return this.#known;
    const known = new Map<string, Set<string>>();
    for (const { doc, hash } of this.#sqlite.all<{ doc: Uint8Array; hash: Uint8Array }>(
      "SELECT doc, hash FROM refused",
    )) {
      const key = bytesToHex(doc);
      known.set(key, (known.get(key) ?? new Set()).add(bytesToHex(hash)));
    }
    this.#known = known;
    return known;
  }
}

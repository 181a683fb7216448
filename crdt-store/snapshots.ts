import { equalBytes } from "@noble/ciphers/utils.js";
import { sha256 } from "@noble/hashes/sha2.js";

import { packHashes, unpackHashes } from "./hash-list.ts";
import type { Sqlite } from "./sqlite.ts";

/** How many removed snapshots of a document stay as a fallback until a later one is confirmed. */
const keptRemoved = 2;

/** Values of the column `removed`. A snapshot that is not proved yet is nobody's fallback. */
const inUse = 0;
const removed = 1;
const unproved = 2;

/** Nothing but a pack's snapshot holds the changes packed in it. */
const unpacked = "key NOT IN (SELECT snapshot FROM pack WHERE pack.doc = snapshot.doc)";

/** A whole document, compacted, as Automerge's `save` wrote it. */
export interface Snapshot {
  /** Names it within its document. */
  readonly key: string;
  readonly heads: readonly Uint8Array[];
  readonly bytes: Uint8Array;
}

interface SnapshotRow {
  key: string;
  heads: Uint8Array;
  bytes: Uint8Array;
  sha256: Uint8Array;
}

/** Whole documents, which open faster than their changes. One that a pack names stands for changes without rows. */
export class Snapshots {
  readonly #sqlite: Sqlite;
  readonly #now: () => number;

  constructor(sqlite: Sqlite, now: () => number) {
    this.#sqlite = sqlite;
    this.#now = now;
  }

  /** Keeps a snapshot, in place of one with the same key. */
  put(doc: Uint8Array, snapshot: Snapshot): void {
    this.#put(doc, snapshot, inUse);
  }

  /**
   * Keeps a snapshot that {@link latest} does not know before it is {@link adopt}ed, under a key of its own, in place of
   * one that never was.
   */
  putUnproved(doc: Uint8Array, heads: readonly Uint8Array[], bytes: Uint8Array): string {
    return this.#sqlite.transaction(() => {
      this.discardUnproved(doc);
      const last = this.#sqlite.get<{ id: number | null }>("SELECT max(id) AS id FROM snapshot");
      const key = `packed-${(last?.id ?? 0) + 1}`;
      this.#put(doc, { key, heads, bytes }, unproved);
      return key;
    });
  }

  discardUnproved(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM snapshot WHERE doc = ? AND removed = ?", [doc, unproved]);
  }

  /** The proved snapshot is the one to load from now on; the one before it stays as a fallback. */
  adopt(doc: Uint8Array, key: string): void {
    this.#sqlite.transaction(() => {
      this.#sqlite.run(
        "UPDATE snapshot SET removed = CASE WHEN key = ? THEN ? ELSE ? END WHERE doc = ?",
        [key, inUse, removed, doc],
      );
      this.#sqlite.run(
        `DELETE FROM snapshot WHERE doc = ? AND removed = ? AND id NOT IN (
           SELECT id FROM snapshot WHERE doc = ? AND removed = ? ORDER BY id DESC LIMIT 1)`,
        [doc, removed, doc, removed],
      );
    });
  }

  /** How many bytes the snapshot with this key has; 0 if there is none. */
  sizeOf(doc: Uint8Array, key: string): number {
    const sql = "SELECT length(bytes) AS size FROM snapshot WHERE doc = ? AND key = ?";
    return this.#sqlite.get<{ size: number }>(sql, [doc, key])?.size ?? 0;
  }

  /** The snapshot with this key as the files hold it, not as it is still in memory. */
  readBack(doc: Uint8Array, key: string): Snapshot | null {
    this.#sqlite.run("PRAGMA shrink_memory");
    return this.get(doc, key);
  }

  #put(doc: Uint8Array, { key, heads, bytes }: Snapshot, state: number): void {
    this.#sqlite.transaction(() => {
      this.#sqlite.run("DELETE FROM snapshot WHERE doc = ? AND key = ?", [doc, key]);
      this.#sqlite.run(
        "INSERT INTO snapshot (doc, key, removed, at, sha256, heads, bytes) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [doc, key, state, this.#now(), sha256(bytes), packHashes(heads), bytes],
      );
    });
  }

  /** The newest snapshot whose bytes are undamaged; a removed one only if no other is left. */
  latest(doc: Uint8Array): Snapshot | null {
    const newestFirst = this.#sqlite.all<{ key: string }>(
      "SELECT key FROM snapshot WHERE doc = ? AND removed < ? ORDER BY removed, id DESC",
      [doc, unproved],
    );
    for (const { key } of newestFirst) {
      const snapshot = this.get(doc, key);
      if (snapshot !== null) return snapshot;
    }
    return null;
  }

  /** The keys of all snapshots of a document, the newest first. */
  keys(doc: Uint8Array): string[] {
    return this.#sqlite
      .all<{ key: string }>("SELECT key FROM snapshot WHERE doc = ? ORDER BY id DESC", [doc])
      .map(({ key }) => key);
  }

  /** The snapshot with this key, if it is there and undamaged. */
  get(doc: Uint8Array, key: string): Snapshot | null {
    const row = this.#sqlite.get<SnapshotRow>(
      "SELECT key, heads, bytes, sha256 FROM snapshot WHERE doc = ? AND key = ?",
      [doc, key],
    );
    if (row === undefined || !equalBytes(sha256(row.bytes), row.sha256)) return null;
    return { key: row.key, heads: unpackHashes(row.heads), bytes: row.bytes };
  }

  /**
   * Marks a snapshot as superseded. It stays as a fallback, as the newest two do, until a later one is confirmed: the
   * one that superseded it has not proved yet that it can be loaded.
   */
  remove(doc: Uint8Array, key: string): void {
    this.#sqlite.transaction(() => {
      this.#sqlite.run("UPDATE snapshot SET removed = 1 WHERE doc = ? AND key = ?", [doc, key]);
      this.#sqlite.run(
        `DELETE FROM snapshot WHERE doc = ? AND removed = 1 AND ${unpacked} AND id NOT IN (
           SELECT id FROM snapshot WHERE doc = ? AND removed = 1 ORDER BY id DESC LIMIT ${keptRemoved})`,
        [doc, doc],
      );
    });
  }

  /** Deletes all of them, also those that stand for changes without rows. */
  purge(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM snapshot WHERE doc = ?", [doc]);
  }

  removeAll(doc: Uint8Array): void {
    this.#sqlite.run("UPDATE snapshot SET removed = 1 WHERE doc = ?", [doc]);
  }

  /** Deletes all older snapshots of the document: loading this one gave the heads it was saved with. */
  confirm(doc: Uint8Array, key: string): void {
    this.#sqlite.run(
      `DELETE FROM snapshot WHERE doc = ? AND ${unpacked} AND
         id < (SELECT id FROM snapshot WHERE doc = ? AND key = ?)`,
      [doc, doc, key],
    );
  }
}

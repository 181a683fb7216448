import type { Sqlite } from "./sqlite.ts";

/** What the relay holds of a document behind its newest snapshot, as far as this device has seen. */
export interface Tail {
  readonly doc: Uint8Array;
  readonly space: Uint8Array;
  readonly entries: number;
  readonly bytes: number;
  /** Bytes of that snapshot; 0 without one. */
  readonly snapshotBytes: number;
}

const columns = "doc, space, entries, bytes, snapshot_bytes AS snapshotBytes";

/** How much each document has grown at the relay since its newest snapshot: when another one is worth it. */
export class Tails {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  /** An entry of so many bytes stands in the log. */
  grew(doc: Uint8Array, space: Uint8Array, bytes: number): void {
    this.#sqlite.run(
      `INSERT INTO tail (doc, space, entries, bytes, snapshot_bytes) VALUES (?, ?, 1, ?, 0)
       ON CONFLICT (doc) DO UPDATE SET entries = entries + 1, bytes = bytes + excluded.bytes`,
      [doc, space, bytes],
    );
  }

  /** A snapshot of so many bytes, or of more in a blob, stands for what was there. */
  summedUp(doc: Uint8Array, space: Uint8Array, snapshotBytes: number): void {
    this.#sqlite.run(
      `INSERT INTO tail (doc, space, entries, bytes, snapshot_bytes) VALUES (?, ?, 0, 0, ?)
       ON CONFLICT (doc) DO UPDATE SET entries = 0, bytes = 0,
         snapshot_bytes = max(snapshot_bytes, excluded.snapshot_bytes)`,
      [doc, space, snapshotBytes],
    );
  }

  /** Its newest snapshot turned out to have so many bytes. */
  weighed(doc: Uint8Array, snapshotBytes: number): void {
    this.#sqlite.run("UPDATE tail SET snapshot_bytes = ? WHERE doc = ?", [snapshotBytes, doc]);
  }

  /** As the relay counts it. */
  set(tail: Tail): void {
    this.#sqlite.run(
      "INSERT OR REPLACE INTO tail (doc, space, entries, bytes, snapshot_bytes) VALUES (?, ?, ?, ?, ?)",
      [tail.doc, tail.space, tail.entries, tail.bytes, tail.snapshotBytes],
    );
  }

  of(doc: Uint8Array): Tail | null {
    const sql = `SELECT ${columns} FROM tail WHERE doc = ?`;
    return this.#sqlite.get<Tail>(sql, [doc]) ?? null;
  }

  /** Documents with more than so many entries or bytes, and more than their snapshot has. */
  long(entries: number, bytes: number): Tail[] {
    return this.#sqlite.all<Tail>(
      `SELECT ${columns} FROM tail
       WHERE (entries > ? OR bytes > ?) AND bytes >= snapshot_bytes`,
      [entries, bytes],
    );
  }

  purge(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM tail WHERE doc = ?", [doc]);
  }
}

import { packHashes, unpackHashes } from "./hash-list.ts";
import type { Sqlite } from "./sqlite.ts";

/** A snapshot on its way to the relay. */
export interface OutgoingSnapshot {
  readonly doc: Uint8Array;
  readonly space: Uint8Array;
  /** The position it covers, and the chain there; 0 for one that a document begins with. */
  readonly coversPos: number;
  readonly chain: Uint8Array;
  /** Ids of entries that it leaves out. */
  readonly omitted: readonly Uint8Array[];
  /** Of the document. */
  readonly heads: readonly Uint8Array[];
  /** The journal's changes that no other entry carries: all of them in a document that begins with it, else none. */
  readonly changes: readonly Uint8Array[];
  /** Signed heads and the document, before sealing. */
  readonly content: Uint8Array;
  /** Of the blob that holds the content; null while it is small enough for the entry. */
  readonly blob: { readonly id: Uint8Array; readonly key: Uint8Array } | null;
}

interface Row {
  doc: Uint8Array;
  space: Uint8Array;
  covers: number;
  chain: Uint8Array;
  omitted: Uint8Array;
  heads: Uint8Array;
  changes: Uint8Array;
  blob: Uint8Array | null;
  blob_key: Uint8Array | null;
  content: Uint8Array;
}

const columns = "doc, space, covers, chain, omitted, heads, changes, blob, blob_key, content";

/**
 * Snapshots between making and acknowledgement, one per document:
 *
 *   put ─▶ (blob uploaded) ─▶ sealed ─▶ acknowledged: gone      taken back: sealed again
 */
export class OutgoingSnapshots {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  put(snapshot: OutgoingSnapshot): void {
    this.#sqlite.run(
      `INSERT OR REPLACE INTO outgoing_snapshot (${columns}, uploaded, entry_id)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL)`,
      [
        snapshot.doc,
        snapshot.space,
        snapshot.coversPos,
        snapshot.chain,
        packHashes(snapshot.omitted),
        packHashes(snapshot.heads),
        packHashes(snapshot.changes),
        snapshot.blob?.id ?? null,
        snapshot.blob?.key ?? null,
        snapshot.content,
        snapshot.blob === null ? 1 : 0,
      ],
    );
  }

  has(doc: Uint8Array): boolean {
    return (
      this.#sqlite.get("SELECT 1 AS found FROM outgoing_snapshot WHERE doc = ?", [doc]) !==
      undefined
    );
  }

  /** Whether a document waits for its snapshot to be sealed before anything else of it can be. */
  blocks(doc: Uint8Array): boolean {
    const sql =
      "SELECT 1 AS found FROM outgoing_snapshot WHERE doc = ? AND covers = 0 AND entry_id IS NULL";
    return this.#sqlite.get(sql, [doc]) !== undefined;
  }

  /** Those of a space whose blob the relay has not got in full. */
  toUpload(space: Uint8Array): OutgoingSnapshot[] {
    return this.#some("space = ? AND uploaded = 0", space);
  }

  /** Those of a space that can be sealed. */
  toSeal(space: Uint8Array): OutgoingSnapshot[] {
    return this.#some("space = ? AND uploaded = 1 AND entry_id IS NULL", space);
  }

  uploaded(doc: Uint8Array): void {
    this.#sqlite.run("UPDATE outgoing_snapshot SET uploaded = 1 WHERE doc = ?", [doc]);
  }

  sealed(doc: Uint8Array, entryId: Uint8Array): void {
    this.#sqlite.run("UPDATE outgoing_snapshot SET entry_id = ? WHERE doc = ?", [entryId, doc]);
  }

  remove(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM outgoing_snapshot WHERE doc = ?", [doc]);
  }

  #some(where: string, space: Uint8Array): OutgoingSnapshot[] {
    return this.#sqlite
      .all<Row>(`SELECT ${columns} FROM outgoing_snapshot WHERE ${where}`, [space])
      .map((row) => ({
        doc: row.doc,
        space: row.space,
        coversPos: row.covers,
        chain: row.chain,
        omitted: unpackHashes(row.omitted),
        heads: unpackHashes(row.heads),
        changes: unpackHashes(row.changes),
        content: row.content,
        blob:
          row.blob === null || row.blob_key === null ? null : { id: row.blob, key: row.blob_key },
      }));
  }
}

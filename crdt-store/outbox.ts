import { bytesToHex } from "@noble/hashes/utils.js";

import type { ChangeJournal } from "./changes.ts";
import { packHashes, unpackHashes } from "./hash-list.ts";
import type { Sqlite } from "./sqlite.ts";

/** Changes of one document that wait to be sealed. */
export interface PendingDocument {
  readonly doc: Uint8Array;
  readonly hashes: readonly Uint8Array[];
}

/** A sealed entry that waits for its acknowledgement and is resent byte for byte until then. */
export interface SealedEntry {
  readonly space: Uint8Array;
  readonly ctr: number;
  readonly entryId: Uint8Array;
  readonly doc: Uint8Array;
  readonly bytes: Uint8Array;
  /** The changes in it; empty for other kinds of entries. */
  readonly hashes: readonly Uint8Array[];
}

interface SealedRow {
  space: Uint8Array;
  ctr: number;
  entry_id: Uint8Array;
  doc: Uint8Array;
  hashes: Uint8Array;
  bytes: Uint8Array;
}

interface CrookedRow {
  id: number;
  /** The document as the queue has it, and the journal; null if the journal has no such row. */
  queued: Uint8Array;
  journalled: Uint8Array | null;
  hash: Uint8Array;
  isKnown: number;
}

/**
 * What the relay has not acknowledged. A change belongs to one document, hence to one space.
 *
 *   add → pending → seal → sealed → acknowledge → relayed
 *            ↑______________|  unseal
 *
 * A change stays pending, hence counted, until an entry with it is acknowledged.
 */
export class Outbox {
  readonly #sqlite: Sqlite;
  readonly #changes: ChangeJournal;

  constructor(sqlite: Sqlite, changes: ChangeJournal) {
    this.#sqlite = sqlite;
    this.#changes = changes;
  }

  /** Queues changes of the journal (throws if one is not in it); those already queued stay where they are. */
  add(space: Uint8Array, doc: Uint8Array, hashes: readonly Uint8Array[]): void {
    this.#sqlite.transaction(() => {
      for (const hash of hashes) {
        const row = this.#changes.rowOf(doc, hash);
        if (row === undefined) throw new Error("only changes in the journal can be queued");
        this.#sqlite.run(
          "INSERT INTO pending (change_id, space, doc, hash) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
          [row, space, doc, hash],
        );
      }
    });
  }

  /**
   * Puts right what does not agree with the journal and with what is sealed: the queue is derived from both. For a
   * device that opens; answers how many rows it was.
   */
  mend(): number {
    return this.#sqlite.transaction(() => {
      const crooked = this.#crookedRows();
      for (const row of crooked) this.#straighten(row);
      const unsealed = this.#sqlite.run(
        `UPDATE pending SET entry_id = NULL WHERE entry_id IS NOT NULL AND NOT EXISTS (
           SELECT 1 FROM sealed WHERE sealed.space = pending.space AND sealed.entry_id = pending.entry_id)`,
      );
      return crooked.length + unsealed;
    });
  }

  /** What is queued and not sealed, by document, the document that waits longest first. */
  pending(space: Uint8Array): PendingDocument[] {
    const rows = this.#sqlite.all<{ doc: Uint8Array; hash: Uint8Array }>(
      "SELECT doc, hash FROM pending WHERE space = ? AND entry_id IS NULL ORDER BY change_id",
      [space],
    );
    const byDocument = new Map<string, { doc: Uint8Array; hashes: Uint8Array[] }>();
    for (const { doc, hash } of rows) {
      const key = bytesToHex(doc);
      const group = byDocument.get(key) ?? { doc, hashes: [] };
      group.hashes.push(hash);
      byDocument.set(key, group);
    }
    return [...byDocument.values()];
  }

  /** Keeps a sealed entry, before it is first sent. */
  seal(entry: SealedEntry): void {
    this.#sqlite.transaction(() => {
      this.#sqlite.run(
        "INSERT INTO sealed (space, ctr, entry_id, doc, hashes, bytes) VALUES (?, ?, ?, ?, ?, ?)",
        [entry.space, entry.ctr, entry.entryId, entry.doc, packHashes(entry.hashes), entry.bytes],
      );
      this.#markPending(entry, entry.entryId);
    });
  }

  /** The entries to be sent or resent, by counter. */
  sealed(space: Uint8Array): SealedEntry[] {
    return this.#sqlite
      .all<SealedRow>(
        "SELECT space, ctr, entry_id, doc, hashes, bytes FROM sealed WHERE space = ? ORDER BY ctr",
        [space],
      )
      .map(sealedEntry);
  }

  /** Up to `most` of {@link sealed}, those whose counters follow `after`: together they may be larger than memory. */
  sealedAfter(space: Uint8Array, after: number, most: number): SealedEntry[] {
    return this.#sqlite
      .all<SealedRow>(
        `SELECT space, ctr, entry_id, doc, hashes, bytes FROM sealed WHERE space = ? AND ctr > ? ORDER BY ctr LIMIT ?`,
        [space, after, most],
      )
      .map(sealedEntry);
  }

  /**
   * The relay keeps the entry at `pos`: its changes get that position and leave the queue. False if the entry is
   * unknown here; repeating is safe.
   */
  acknowledge(space: Uint8Array, entryId: Uint8Array, pos: number): boolean {
    return this.#sqlite.transaction(() => {
      const entry = this.#find(space, entryId);
      if (entry === undefined) return this.#isRelayed(space, entryId);
      this.#sqlite.run(
        "INSERT INTO relayed (space, pos, entry_id, doc, ctr) VALUES (?, ?, ?, ?, ?)",
        [space, pos, entryId, entry.doc, entry.ctr],
      );
      this.#changes.setPosition(entry.doc, entry.hashes, pos);
      for (const row of this.#rowsOf(entry)) {
        this.#sqlite.run("DELETE FROM pending WHERE change_id = ?", [row]);
      }
      this.#sqlite.run("DELETE FROM sealed WHERE space = ? AND ctr = ?", [space, entry.ctr]);
      this.#sqlite.run("DELETE FROM outgoing_snapshot WHERE entry_id = ?", [entryId]);
      return true;
    });
  }

  /** Takes an entry back, to be sealed anew with another counter. False if it is not waiting. */
  unseal(space: Uint8Array, entryId: Uint8Array): boolean {
    return this.#sqlite.transaction(() => {
      const entry = this.#find(space, entryId);
      if (entry === undefined) return false;
      this.#markPending(entry, null);
      this.#sqlite.run("DELETE FROM sealed WHERE space = ? AND ctr = ?", [space, entry.ctr]);
      this.#sqlite.run("UPDATE outgoing_snapshot SET entry_id = NULL WHERE entry_id = ?", [
        entryId,
      ]);
      return true;
    });
  }

  /** Takes back every entry of a space, and lets what waited in one wait again. */
  unsealAll(space: Uint8Array): void {
    this.#sqlite.transaction(() => {
      this.#sqlite.run("UPDATE pending SET entry_id = NULL WHERE space = ?", [space]);
      this.#sqlite.run("DELETE FROM sealed WHERE space = ?", [space]);
      this.#sqlite.run("UPDATE outgoing_snapshot SET entry_id = NULL WHERE space = ?", [space]);
    });
  }

  /** Takes a change that cannot be sent out of the queue; it stays in the journal. */
  drop(doc: Uint8Array, hash: Uint8Array): void {
    const row = this.#changes.rowOf(doc, hash);
    if (row !== undefined) this.#sqlite.run("DELETE FROM pending WHERE change_id = ?", [row]);
  }

  /** Whether anything of a space is to be sent: changes, or entries without any. */
  hasWork(space: Uint8Array): boolean {
    return (
      this.#sqlite.get(
        `SELECT 1 AS found FROM pending WHERE space = ?1 UNION ALL SELECT 1 FROM sealed WHERE space = ?1
         UNION ALL SELECT 1 FROM outgoing_snapshot WHERE space = ?1 AND uploaded = 1 LIMIT 1`,
        [space],
      ) !== undefined
    );
  }

  /** Whether anything of a space is on its way, or will be. */
  isBusy(space: Uint8Array): boolean {
    const sql = "SELECT 1 AS found FROM outgoing_snapshot WHERE space = ? LIMIT 1";
    return this.depth(space) > 0 || this.#sqlite.get(sql, [space]) !== undefined;
  }

  /** How many changes the relay has not acknowledged, in one space or in all. */
  depth(space?: Uint8Array): number {
    const row =
      space === undefined
        ? this.#sqlite.get<{ waiting: number }>("SELECT count(*) AS waiting FROM pending")
        : this.#sqlite.get<{ waiting: number }>(
            "SELECT count(*) AS waiting FROM pending WHERE space = ?",
            [space],
          );
    return row?.waiting ?? 0;
  }

  /** The same of every space in which something waits. */
  depths(): readonly { readonly space: Uint8Array; readonly waiting: number }[] {
    return this.#sqlite.all<{ space: Uint8Array; waiting: number }>(
      "SELECT space, count(*) AS waiting FROM pending GROUP BY space",
    );
  }

  /** Whether the relay has not acknowledged some change of the document. */
  isWaiting(doc: Uint8Array): boolean {
    const sql = "SELECT 1 AS found FROM pending WHERE doc = ? LIMIT 1";
    return this.#sqlite.get(sql, [doc]) !== undefined;
  }

  /** The documents with changes that the relay has not acknowledged. */
  waitingDocuments(): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>("SELECT doc FROM pending GROUP BY doc ORDER BY min(change_id)")
      .map((row) => row.doc);
  }

  /** The relay's own copy of what this device sent of a document is to be read like anybody's: ours is lost. */
  forgetRelayed(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM relayed WHERE doc = ?", [doc]);
  }

  /** The relay's log is another behind `after`: what it acknowledged there may not be in it. */
  forgetRelayedAfter(space: Uint8Array, after: number): void {
    this.#sqlite.run("DELETE FROM relayed WHERE space = ? AND pos > ?", [space, after]);
  }

  /** What the relay acknowledged in each space beyond this device's cursor there. Reads all acknowledgements. */
  relayedBeyondCursors(): {
    readonly space: Uint8Array;
    readonly pos: number;
    readonly entryId: Uint8Array;
  }[] {
    return this.#sqlite.all(
      `SELECT relayed.space AS space, relayed.pos AS pos, entry_id AS entryId FROM relayed
       LEFT JOIN cursor ON cursor.space = relayed.space WHERE relayed.pos > coalesce(cursor.pos, 0)`,
    );
  }

  /** Forgets all that waited of a document or was sent: what of it is still under way may arrive, and nobody minds. */
  purge(doc: Uint8Array): void {
    this.#sqlite.transaction(() => {
      this.#sqlite.run("DELETE FROM pending WHERE doc = ?", [doc]);
      this.#sqlite.run("DELETE FROM sealed WHERE doc = ?", [doc]);
      this.forgetRelayed(doc);
    });
  }

  /** The highest position at which the relay acknowledged an entry of this device for the document. */
  lastRelayed(doc: Uint8Array): number | null {
    return (
      this.#sqlite.get<{ pos: number | null }>(
        "SELECT max(pos) AS pos FROM relayed WHERE doc = ?",
        [doc],
      )?.pos ?? null
    );
  }

  /**
   * A counter higher than every one given before for this space, from 1. It is durable when the surrounding transaction
   * (or this call, without one) returns; numbers may be skipped, never repeated.
   */
  nextCounter(space: Uint8Array): number {
    return this.#sqlite.transaction(() => {
      const last = this.lastCounter(space);
      this.#sqlite.run("INSERT OR REPLACE INTO counter (space, last) VALUES (?, ?)", [
        space,
        last + 1,
      ]);
      return last + 1;
    });
  }

  /** The highest counter that was given here for a space; 0 if none was. */
  lastCounter(space: Uint8Array): number {
    const { last } = this.#sqlite.get<{ last: number }>(
      `SELECT max(coalesce((SELECT last FROM counter WHERE space = ?1), 0),
                  coalesce((SELECT max(ctr) FROM sealed WHERE space = ?1), 0)) AS last`,
      [space],
    ) ?? { last: 0 };
    return last;
  }

  /** Whether this device sealed another entry under this counter, as far as it remembers. */
  hasAnotherAt(space: Uint8Array, ctr: number, entryId: Uint8Array): boolean {
    const sql = `SELECT 1 AS found FROM relayed WHERE space = ?1 AND ctr = ?2 AND entry_id <> ?3
      UNION ALL SELECT 1 FROM sealed WHERE space = ?1 AND ctr = ?2 AND entry_id <> ?3 LIMIT 1`;
    return this.#sqlite.get(sql, [space, ctr, entryId]) !== undefined;
  }

  /** Makes the next counter higher than `last`: the relay knows one that this store does not. */
  raiseCounter(space: Uint8Array, last: number): void {
    this.#sqlite.run(
      `INSERT INTO counter (space, last) VALUES (?, ?)
       ON CONFLICT (space) DO UPDATE SET last = max(last, excluded.last)`,
      [space, last],
    );
  }

  #crookedRows(): CrookedRow[] {
    return this.#sqlite.all<CrookedRow>(
      `SELECT change_id AS id, pending.doc AS queued, pending.hash AS hash, change.doc AS journalled,
         EXISTS (SELECT 1 FROM document WHERE document.doc = change.doc) AS isKnown
       FROM pending LEFT JOIN change ON change.id = change_id
       WHERE change.id IS NULL OR change.doc <> pending.doc OR change.hash <> pending.hash
         OR pending.space <> ${spaceOfDocument("pending.doc")}`,
    );
  }

  /** A hash names its change, a known document is the right one, and a document names its space. */
  #straighten({ id, queued, hash, journalled, isKnown }: CrookedRow): void {
    const row = this.#changes.rowOf(queued, hash) ?? id;
    this.#sqlite.run("UPDATE OR REPLACE pending SET change_id = ? WHERE change_id = ?", [row, id]);
    if (journalled === null && row === id) {
      this.#sqlite.run("DELETE FROM pending WHERE change_id = ?", [id]);
      return;
    }
    const doc = row === id && journalled !== null && isKnown === 1 ? journalled : queued;
    this.#sqlite.run("UPDATE change SET doc = ? WHERE id = ?", [doc, row]);
    this.#changes.forget();
    // Reading a document puts right what stands beside its changes' bytes.
    this.#changes.ofDocument(doc);
    this.#sqlite.run(
      `UPDATE pending SET doc = ?1, hash = coalesce((SELECT hash FROM change WHERE id = ?2), hash),
         space = coalesce(${spaceOfDocument("?1")}, space) WHERE change_id = ?2`,
      [doc, row],
    );
  }

  #find(space: Uint8Array, entryId: Uint8Array): SealedEntry | undefined {
    const row = this.#sqlite.get<SealedRow>(
      "SELECT space, ctr, entry_id, doc, hashes, bytes FROM sealed WHERE space = ? AND entry_id = ?",
      [space, entryId],
    );
    return row === undefined ? undefined : sealedEntry(row);
  }

  #isRelayed(space: Uint8Array, entryId: Uint8Array): boolean {
    const sql = "SELECT 1 AS found FROM relayed WHERE space = ? AND entry_id = ?";
    return this.#sqlite.get(sql, [space, entryId]) !== undefined;
  }

  #markPending(entry: SealedEntry, entryId: Uint8Array | null): void {
    for (const row of this.#rowsOf(entry)) {
      this.#sqlite.run("UPDATE pending SET entry_id = ? WHERE change_id = ?", [entryId, row]);
    }
  }

  /** The journal's rows of the changes in an entry. */
  #rowsOf(entry: SealedEntry): number[] {
    return entry.hashes
      .map((hash) => this.#changes.rowOf(entry.doc, hash))
      .filter((row) => row !== undefined);
  }
}

/** The space of a document, if it is one that the device holds; else null. */
function spaceOfDocument(doc: string): string {
  return `(SELECT space.id FROM document JOIN space ON space.id = document.space WHERE document.doc = ${doc})`;
}

function sealedEntry(row: SealedRow): SealedEntry {
  return {
    space: row.space,
    ctr: row.ctr,
    entryId: row.entry_id,
    doc: row.doc,
    bytes: row.bytes,
    hashes: unpackHashes(row.hashes),
  };
}

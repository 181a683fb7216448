import { equalBytes } from "@noble/ciphers/utils.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";

import { parseChange } from "./chunks.ts";
import { packHashes, unpackHashes } from "./hash-list.ts";
import type { Inbox } from "./inbox.ts";
import type { Sqlite } from "./sqlite.ts";

/** A change to be journalled: a parsed chunk and where it comes from. */
export interface NewChange {
  readonly doc: Uint8Array;
  readonly hash: Uint8Array;
  readonly actor: Uint8Array;
  readonly seq: number;
  readonly deps: readonly Uint8Array[];
  /** The whole chunk, whose recomputed hash is `hash`. */
  readonly bytes: Uint8Array;
  readonly opCount: number;
  readonly space: Uint8Array | null;
  /** Position of the entry that carried it; null while the relay has not got it. */
  readonly pos: number | null;
  /** Device key (32 bytes) that signed the head above it, where known. */
  readonly signer: Uint8Array | null;
  /** Made on this device. */
  readonly local: boolean;
  /** When it was journalled, in ms since 1970. */
  readonly at: number;
}

export interface JournalledChange {
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
  readonly pos: number | null;
  readonly local: boolean;
  readonly signer: Uint8Array | null;
}

export interface DocumentPosition {
  /** The highest relay position among its changes; null while none has one. */
  readonly pos: number | null;
  /** How many of its changes have none yet. */
  readonly unplaced: number;
}

interface PositionRow {
  doc: Uint8Array;
  pos: number | null;
  unplaced: number;
}

const position = "max(pos) AS pos, count(*) - count(pos) AS unplaced";

interface ChangeRow {
  id: number;
  hash: Uint8Array;
  pos: number | null;
  local: number;
  signer: Uint8Array | null;
  space: Uint8Array | null;
  length: number;
  bytes: Uint8Array;
}

/** What nothing in the journal depends on, and what it depends on but has not got; hashes in hex. */
interface Edges {
  readonly heads: Set<string>;
  readonly awaited: Set<string>;
}

/** Every Automerge change this device knows, once each: the source of truth of all documents. Nothing is deleted. */
export class ChangeJournal {
  readonly #sqlite: Sqlite;
  readonly #inbox: Inbox;
  readonly #edgesByDocument = new Map<string, Edges>();
  /** By document in hex, as it was before the documents in `#moved` changed; null while nobody has asked. */
  #positions: Map<string, DocumentPosition> | null = null;
  readonly #moved = new Map<string, Uint8Array>();

  constructor(sqlite: Sqlite, inbox: Inbox) {
    this.#sqlite = sqlite;
    this.#inbox = inbox;
    sqlite.onRollback(() => this.forget());
  }

  /**
   * Adds what is not there yet, in one transaction; answers the hashes that were new, in the given order. A known change
   * keeps its row: only a missing position or signer is filled in.
   */
  insert(changes: readonly NewChange[]): Uint8Array[] {
    return this.#sqlite.transaction(() => {
      const added = changes.filter((change) => this.#insertOne(change));
      return added.map((change) => change.hash);
    });
  }

  /** All changes of a document in the order they were journalled. Rows whose bytes are damaged go to quarantine. */
  ofDocument(doc: Uint8Array): JournalledChange[] {
    const rows = this.#sqlite.all<ChangeRow>(
      "SELECT id, hash, pos, local, signer, space, length, bytes FROM change WHERE doc = ? ORDER BY id",
      [doc],
    );
    return this.#soundOnes(doc, rows);
  }

  /** Some changes of a document, in the order of journalling; unknown ones are left out. Else as {@link ofDocument}. */
  some(doc: Uint8Array, hashes: readonly Uint8Array[]): JournalledChange[] {
    const rows = hashes
      .flatMap((hash) => this.rowOf(doc, hash) ?? [])
      .sort((a, b) => a - b)
      .flatMap((id) =>
        this.#sqlite.all<ChangeRow>(
          "SELECT id, hash, pos, local, signer, space, length, bytes FROM change WHERE id = ?",
          [id],
        ),
      );
    return this.#soundOnes(doc, rows);
  }

  bytesOfDocument(doc: Uint8Array): Uint8Array[] {
    return this.ofDocument(doc).map((change) => change.bytes);
  }

  has(doc: Uint8Array, hash: Uint8Array): boolean {
    return this.rowOf(doc, hash) !== undefined;
  }

  /** The number of a change's row, which grows in the order of journalling. */
  rowOf(doc: Uint8Array, hash: Uint8Array): number | undefined {
    return this.#sqlite.get<{ id: number }>(
      "SELECT id FROM change WHERE hash_prefix = ? AND hash = ? AND doc = ?",
      [prefixOf(hash), hash, doc],
    )?.id;
  }

  /** Those of `hashes` that the journal has not got. */
  missing(doc: Uint8Array, hashes: readonly Uint8Array[]): Uint8Array[] {
    return hashes.filter((hash) => !this.has(doc, hash));
  }

  /** The hashes that nothing in the journal depends on. A change still waiting for its dependencies counts as one. */
  heads(doc: Uint8Array): Uint8Array[] {
    return [...this.#edges(doc).heads].sort().map((hash) => hexToBytes(hash));
  }

  /** The dependencies that changes in the journal name and that are not in it. */
  awaited(doc: Uint8Array): Uint8Array[] {
    return [...this.#edges(doc).awaited].sort().map((hash) => hexToBytes(hash));
  }

  /** `heads` and everything below them, as far as the journal knows; hashes in hex. */
  ancestors(doc: Uint8Array, heads: readonly Uint8Array[]): Set<string> {
    const rows = this.#sqlite.all<{ hash: Uint8Array; deps: Uint8Array }>(
      "SELECT hash, deps FROM change WHERE doc = ?",
      [doc],
    );
    const depsByHash = new Map(rows.map((row) => [bytesToHex(row.hash), row.deps]));
    const found = new Set<string>();
    const open = heads.map((head) => bytesToHex(head));
    for (let hash = open.pop(); hash !== undefined; hash = open.pop()) {
      if (found.has(hash)) continue;
      found.add(hash);
      const deps = depsByHash.get(hash);
      if (deps !== undefined) open.push(...unpackHashes(deps).map((dep) => bytesToHex(dep)));
    }
    return found;
  }

  /** The highest seq of an actor; 0 if it has no change here. */
  lastSeq(doc: Uint8Array, actor: Uint8Array): number {
    const sql = "SELECT max(seq) AS seq FROM change WHERE doc = ? AND actor = ?";
    return this.#sqlite.get<{ seq: number | null }>(sql, [doc, actor])?.seq ?? 0;
  }

  /** The changes of an actor with this seq, first come first: more than one means that two devices used one actor. */
  byActorSeq(doc: Uint8Array, actor: Uint8Array, seq: number): JournalledChange[] {
    const rows = this.#sqlite.all<ChangeRow>(
      `SELECT id, hash, pos, local, signer, space, length, bytes FROM change
       WHERE doc = ? AND actor = ? AND seq = ? ORDER BY id`,
      [doc, actor, seq],
    );
    return rows.filter(isSound).map((row) => ({
      hash: row.hash,
      bytes: row.bytes,
      pos: row.pos,
      local: row.local === 1,
      signer: row.signer,
    }));
  }

  /** Notes where the relay keeps these changes; replaces an earlier position. */
  setPosition(doc: Uint8Array, hashes: readonly Uint8Array[], pos: number): void {
    this.#noteMoved(doc);
    this.#sqlite.transaction(() => {
      for (const hash of hashes) {
        const row = this.rowOf(doc, hash);
        if (row !== undefined)
          this.#sqlite.run("UPDATE change SET pos = ? WHERE id = ?", [pos, row]);
      }
    });
  }

  /** The documents that have changes. */
  documents(): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>("SELECT DISTINCT doc FROM change")
      .map((row) => row.doc);
  }

  /** How far the relay has each document that has changes, by document in hex. Cheap to repeat. */
  lastPositions(): ReadonlyMap<string, DocumentPosition> {
    this.#positions ??= new Map(
      this.#sqlite
        .all<PositionRow>(`SELECT doc, ${position} FROM change GROUP BY doc`)
        .map(({ doc, pos, unplaced }) => [bytesToHex(doc), { pos, unplaced }]),
    );
    for (const [key, doc] of this.#moved) {
      const now = this.#sqlite.get<PositionRow>(
        `SELECT doc, ${position} FROM change WHERE doc = ? GROUP BY doc`,
        [doc],
      );
      if (now === undefined) this.#positions.delete(key);
      else this.#positions.set(key, { pos: now.pos, unplaced: now.unplaced });
    }
    this.#moved.clear();
    return this.#positions;
  }

  /** Reads everything from the tables again: they were changed from outside. */
  forget(): void {
    this.#edgesByDocument.clear();
    this.#positions = null;
    this.#moved.clear();
  }

  #soundOnes(doc: Uint8Array, rows: readonly ChangeRow[]): JournalledChange[] {
    const sound = rows.filter(isSound);
    if (sound.length < rows.length) {
      this.#quarantine(
        doc,
        rows.filter((row) => !sound.includes(row)),
      );
    }
    return sound.map(({ hash, bytes, pos, local, signer }) => ({
      hash,
      bytes,
      pos,
      local: local === 1,
      signer,
    }));
  }

  #noteMoved(doc: Uint8Array): void {
    if (this.#positions !== null) this.#moved.set(bytesToHex(doc), doc);
  }

  #insertOne(change: NewChange): boolean {
    this.#noteMoved(change.doc);
    const known = this.rowOf(change.doc, change.hash);
    if (known !== undefined) {
      this.#fillIn(known, change);
      return false;
    }
    this.#sqlite.run(
      `INSERT INTO change (doc, hash, hash_prefix, actor, seq, op_count, space, pos, signer, local, at, length, deps,
         bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        change.doc,
        change.hash,
        prefixOf(change.hash),
        change.actor,
        change.seq,
        change.opCount,
        change.space,
        change.pos,
        change.signer,
        change.local ? 1 : 0,
        change.at,
        change.bytes.length,
        packHashes(change.deps),
        change.bytes,
      ],
    );
    this.#addEdges(change);
    return true;
  }

  #fillIn(row: number, { pos, signer }: NewChange): void {
    if (pos === null && signer === null) return;
    this.#sqlite.run(
      "UPDATE change SET pos = coalesce(pos, ?), signer = coalesce(signer, ?) WHERE id = ?",
      [pos, signer, row],
    );
  }

  #edges(doc: Uint8Array): Edges {
    const key = bytesToHex(doc);
    const known = this.#edgesByDocument.get(key);
    if (known !== undefined) return known;
    const rows = this.#sqlite.all<{ hash: Uint8Array; deps: Uint8Array }>(
      "SELECT hash, deps FROM change WHERE doc = ?",
      [doc],
    );
    const hashes = new Set(rows.map((row) => bytesToHex(row.hash)));
    const deps = new Set(
      rows.flatMap((row) => unpackHashes(row.deps).map((dep) => bytesToHex(dep))),
    );
    const edges = {
      heads: new Set([...hashes].filter((hash) => !deps.has(hash))),
      awaited: new Set([...deps].filter((dep) => !hashes.has(dep))),
    };
    this.#edgesByDocument.set(key, edges);
    return edges;
  }

  // Only for documents whose edges were asked for before: a bulk insert keeps nothing.
  #addEdges(change: NewChange): void {
    const edges = this.#edgesByDocument.get(bytesToHex(change.doc));
    if (edges === undefined) return;
    const hash = bytesToHex(change.hash);
    for (const dep of change.deps.map((bytes) => bytesToHex(bytes))) {
      if (!edges.heads.delete(dep) && !this.has(change.doc, hexToBytes(dep))) {
        edges.awaited.add(dep);
      }
    }
    if (!edges.awaited.delete(hash)) edges.heads.add(hash);
  }

  #quarantine(doc: Uint8Array, rows: readonly ChangeRow[]): void {
    this.#sqlite.transaction(() => {
      for (const row of rows) {
        this.#inbox.quarantine({
          space: row.space,
          pos: row.pos,
          doc,
          entryId: null,
          reason: "damaged-row",
          bytes: row.bytes,
          signer: row.signer,
        });
        this.#sqlite.run("DELETE FROM change WHERE id = ?", [row.id]);
      }
    });
    this.#edgesByDocument.delete(bytesToHex(doc));
    this.#noteMoved(doc);
  }
}

/** The first 6 bytes of a hash as a number, exact in 53 bits. */
function prefixOf(hash: Uint8Array): number {
  let prefix = 0;
  for (const byte of hash.subarray(0, 6)) prefix = prefix * 256 + byte;
  return prefix;
}

function isSound(row: ChangeRow): boolean {
  if (row.bytes.length !== row.length) return false;
  const parsed = parseChange(row.bytes);
  return parsed.type === "ok" && equalBytes(parsed.change.hash, row.hash);
}

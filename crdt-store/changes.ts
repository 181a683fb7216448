import { equalBytes } from "@noble/ciphers/utils.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";

import { parseChange, topologicalOrder, type Change } from "./chunks.ts";
import { mapKey, packHashes, unpackHashes } from "./hash-list.ts";
import type { Inbox } from "./inbox.ts";
import type { Merges } from "./merges.ts";
import { Packs, type Pack } from "./packs.ts";
import type { Sqlite } from "./sqlite.ts";
import { StoreError } from "./store-error.ts";

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

export interface JournalledChange extends Change {
  /** The number of its row, which grows in the order of journalling. */
  readonly row: number;
  readonly pos: number | null;
  readonly space: Uint8Array | null;
  readonly local: boolean;
  readonly signer: Uint8Array | null;
}

/** What the journal does when a snapshot was proved to hold changes. */
export interface Packing {
  /** Key of that snapshot. */
  readonly snapshot: string;
  /** All rows up to this number are in it. */
  readonly through: number;
  /** Hashes in hex of what may be let go: proved to be in it, with everything that it depends on. */
  readonly proved: ReadonlySet<string>;
  /** Hashes in hex that need no row though changes depend on them: an index's first change. */
  readonly given: ReadonlySet<string>;
}

/** A change that has no known place at the relay. */
export interface UnplacedChange {
  readonly hash: Uint8Array;
  readonly actor: Uint8Array;
  readonly seq: number;
  /** The device whose signed head vouches for it; null where only its document's origin does. */
  readonly signer: Uint8Array | null;
  readonly local: boolean;
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

const positionSql = (where: string): string => `
  SELECT doc, max(pos) AS pos, sum(unplaced) AS unplaced FROM (
    SELECT doc, max(pos) AS pos, count(*) - count(pos) AS unplaced FROM change ${where} GROUP BY doc
    UNION ALL SELECT doc, pos, 0 FROM pack ${where === "" ? "WHERE" : `${where} AND`} changes > 0
  ) GROUP BY doc`;
const everyPosition = positionSql("");
const onePosition = positionSql("WHERE doc = ?1");

interface ChangeRow {
  id: number;
  hash: Uint8Array;
  prefix: number;
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

const changeColumns = "id, hash, hash_prefix AS prefix, pos, local, signer, space, length, bytes";

/**
 * Every Automerge change this device knows, once each: the source of truth of all documents. Nothing is deleted but by
 * {@link purge}, and the bytes of changes that a proved snapshot holds and the relay has are let go ({@link pack}). Questions about hashes
 * are answered as if they were still here; what returns bytes returns those of rows, and {@link unpack} makes rows again.
 */
export class ChangeJournal {
  readonly #sqlite: Sqlite;
  readonly #inbox: Inbox;
  readonly #merges: Merges;
  readonly #packs: Packs;
  readonly #edgesByDocument = new Map<string, Edges>();
  /** By document in hex, as it was before the documents in `#moved` changed; null while nobody has asked. */
  #positions: Map<string, DocumentPosition> | null = null;
  readonly #moved = new Map<string, Uint8Array>();
  /** The highest number a row ever had, as far as a pack remembers it; null while nobody has asked. */
  #lastRow: number | null = null;
  /** Documents, in hex, some of whose rows cannot be read; each told of once. */
  readonly #unreadable = new Set<string>();
  /** Documents that changes were added to since somebody asked. */
  readonly #grown = new Map<string, Uint8Array>();

  constructor(sqlite: Sqlite, inbox: Inbox, merges: Merges) {
    this.#sqlite = sqlite;
    this.#inbox = inbox;
    this.#merges = merges;
    this.#packs = new Packs(sqlite);
    sqlite.onRollback(() => this.forget());
  }

  /**
   * Adds what is not there yet, in one transaction; answers the hashes that were new, in the given order. A known change
   * keeps its row: only a missing position or signer is filled in. What meets without knowing each other is noted.
   */
  insert(changes: readonly NewChange[]): Uint8Array[] {
    return this.#sqlite.transaction(() => {
      const docs = new Map(changes.map(({ doc }) => [bytesToHex(doc), doc]));
      const watched = [...docs.values()].filter((doc) => this.#merges.isWatched(doc));
      const before = watched.map((doc) => ({ doc, heads: this.heads(doc) }));
      const added = this.#insertAll(changes);
      for (const { doc, heads } of before) {
        this.#merges.note(
          doc,
          heads,
          added.filter((change) => equalBytes(change.doc, doc)),
        );
      }
      return added.map((change) => change.hash);
    });
  }

  #insertAll(changes: readonly NewChange[]): NewChange[] {
    return changes.filter((change) => this.#insertOne(change));
  }

  /** Who signed a change, where that is known and its row is here. */
  signerOf(doc: Uint8Array, hash: Uint8Array): Uint8Array | null {
    const row = this.rowOf(doc, hash);
    if (row === undefined) return null;
    const sql = "SELECT signer FROM change WHERE id = ?";
    return this.#sqlite.get<{ signer: Uint8Array | null }>(sql, [row])?.signer ?? null;
  }

  /**
   * The changes of a document that stand in rows after number `after`, in the order they were journalled. A row whose
   * bytes are damaged goes to quarantine; one whose bytes are whole but not what stands beside them is mended from them.
   * Rows on a page that cannot be read are left out and told of in quarantine; inside a transaction they throw
   * {@link StoreError} `corrupt`, since SQLite may have undone it.
   */
  ofDocument(doc: Uint8Array, after = 0): JournalledChange[] {
    return this.#soundOnes(doc, this.#rowsOf(doc, after));
  }

  /** Of {@link ofDocument}, what is neither among `heads` nor below them. */
  beyond(doc: Uint8Array, heads: readonly Uint8Array[]): JournalledChange[] {
    const changes = this.ofDocument(doc);
    // Whatever lies below a change without a row has none either, so the rows tell all.
    const byHash = new Map(changes.map((change) => [bytesToHex(change.hash), change]));
    const open = heads.map((head) => bytesToHex(head));
    for (let hash = open.pop(); hash !== undefined; hash = open.pop()) {
      const change = byHash.get(hash);
      if (change === undefined) continue;
      byHash.delete(hash);
      open.push(...change.deps.map((dep) => bytesToHex(dep)));
    }
    return [...byHash.values()];
  }

  /** Some changes of a document, in the order of journalling; those without a row are left out. Else as {@link ofDocument}. */
  some(doc: Uint8Array, hashes: readonly Uint8Array[]): JournalledChange[] {
    // A row that is not found where its hash would put it may have a damaged index: reading all of them mends that.
    if (this.missing(doc, hashes).length > 0) this.ofDocument(doc);
    const rows = hashes
      .flatMap((hash) => this.rowOf(doc, hash) ?? [])
      .sort((a, b) => a - b)
      .flatMap((id) =>
        this.#sqlite.all<ChangeRow>(`SELECT ${changeColumns} FROM change WHERE id = ?`, [id]),
      );
    return this.#soundOnes(doc, rows);
  }

  /** Just the bytes of {@link ofDocument}. */
  bytesOfDocument(doc: Uint8Array, after = 0): Uint8Array[] {
    return this.ofDocument(doc, after).map((change) => change.bytes);
  }

  has(doc: Uint8Array, hash: Uint8Array): boolean {
    return this.rowOf(doc, hash) !== undefined || this.#packs.among(doc, [hash]).length > 0;
  }

  /** Whether anything of a document has arrived. */
  knows(doc: Uint8Array): boolean {
    const sql = `SELECT 1 AS found FROM change WHERE doc = ?
      UNION ALL SELECT 1 FROM pack WHERE doc = ? AND changes > 0 LIMIT 1`;
    return this.#sqlite.get(sql, [doc, doc]) !== undefined;
  }

  /** The number of a change's row, which grows in the order of journalling; undefined also if its bytes were let go. */
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

  /** The highest seq of an actor; 0 if it has no change here. */
  lastSeq(doc: Uint8Array, actor: Uint8Array): number {
    const sql = "SELECT max(seq) AS seq FROM change WHERE doc = ? AND actor = ?";
    const inRows = this.#sqlite.get<{ seq: number | null }>(sql, [doc, actor])?.seq ?? 0;
    return Math.max(inRows, this.#packs.lastSeq(doc, actor));
  }

  /** The changes of an actor with this seq, first come first: more than one means that two devices used one actor. */
  byActorSeq(doc: Uint8Array, actor: Uint8Array, seq: number): Uint8Array[] {
    const packed = this.#packs.hashAt(doc, actor, seq);
    const rows = this.#sqlite.all<{ hash: Uint8Array }>(
      "SELECT hash FROM change WHERE doc = ? AND actor = ? AND seq = ? ORDER BY id",
      [doc, actor, seq],
    );
    return [...(packed === null ? [] : [packed]), ...rows.map((row) => row.hash)];
  }

  /** Notes where the relay keeps these changes of the journal; replaces an earlier position. */
  setPosition(doc: Uint8Array, hashes: readonly Uint8Array[], pos: number): void {
    this.#noteMoved(doc);
    this.#sqlite.transaction(() => {
      for (const hash of hashes) {
        const row = this.rowOf(doc, hash);
        if (row === undefined) this.#movePack(doc, pos);
        else this.#sqlite.run("UPDATE change SET pos = ? WHERE id = ?", [pos, row]);
      }
    });
  }

  /** A log is read from its beginning to its end, so the last position told of any packed change is their highest. */
  #movePack(doc: Uint8Array, pos: number): void {
    const pack = this.#packs.of(doc);
    if (pack !== null && pack.pos !== pos) this.#packs.put(doc, { ...pack, pos });
  }

  /** The documents that have changes. */
  documents(): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>(
        "SELECT doc FROM change UNION SELECT doc FROM pack WHERE changes > 0",
      )
      .map((row) => row.doc);
  }

  /** How far the relay has each document that has changes, by document in hex. Cheap to repeat. */
  lastPositions(): ReadonlyMap<string, DocumentPosition> {
    this.#positions ??= new Map(
      this.#sqlite
        .all<PositionRow>(everyPosition)
        .map(({ doc, pos, unplaced }) => [bytesToHex(doc), { pos, unplaced }]),
    );
    for (const [key, doc] of this.#moved) {
      const now = this.#sqlite.get<PositionRow>(onePosition, [doc]);
      if (now === undefined) this.#positions.delete(key);
      else this.#positions.set(key, { pos: now.pos, unplaced: now.unplaced });
    }
    this.#moved.clear();
    return this.#positions;
  }

  /** What stands for changes whose bytes were let go, and where it ends; null if nothing does. */
  packOf(doc: Uint8Array): Pack | null {
    return this.#packs.of(doc);
  }

  /**
   * Lets go the bytes of what a proved snapshot holds, except of what the relay has not got or has not acknowledged and
   * of what depends on that; remembers in any case how far the snapshot reaches. One transaction.
   */
  pack(doc: Uint8Array, packing: Packing): void {
    this.#sqlite.transaction(() => {
      const before = this.#packs.of(doc);
      const rows = this.ofDocument(doc);
      const pending = this.#pendingRows(doc);
      const gone = closedPart(
        rows.filter(
          ({ hash, row, pos }) =>
            pos !== null && !pending.has(row) && packing.proved.has(bytesToHex(hash)),
        ),
        (deps) => this.#packedOrGiven(doc, deps, packing.given),
      );
      const heads = headsOf(gone, before?.heads ?? []);
      const positions = gone.flatMap(({ pos }) => pos ?? []);
      this.#packs.add(doc, gone);
      for (const { row } of gone) this.#sqlite.run("DELETE FROM change WHERE id = ?", [row]);
      this.#packs.put(doc, {
        snapshot: packing.snapshot,
        through: packing.through,
        kept: rows.length - gone.length,
        waiting: rows.filter(({ row }) => pending.has(row)).length,
        changes: (before?.changes ?? 0) + gone.length,
        pos: positions.reduce<number | null>(
          (highest, pos) => Math.max(highest ?? pos, pos),
          before?.pos ?? null,
        ),
        resend: before?.resend ?? false,
        heads,
      });
    });
  }

  /**
   * The changes of a document of which nothing is here, none of which gets a row: a snapshot holds them. In the transaction
   * in which that is put into use.
   *
   * @param snapshot its key
   * @param changes all that are in it, but for those that every document of the kind begins with
   * @param pos where the relay has it
   */
  takeInPacked(
    doc: Uint8Array,
    snapshot: string,
    changes: readonly NewChange[],
    pos: number,
  ): void {
    this.#noteMoved(doc);
    this.#edgesByDocument.delete(bytesToHex(doc));
    this.#packs.add(doc, changes);
    this.#packs.put(doc, {
      snapshot,
      through: this.#lastRowNumber(),
      kept: 0,
      waiting: 0,
      changes: changes.length,
      pos,
      resend: false,
      heads: headsOf(changes, []),
    });
  }

  /** The hashes of the changes whose bytes were let go. */
  packedHashes(doc: Uint8Array): Uint8Array[] {
    return this.#packs.changes(doc).map((change) => change.hash);
  }

  /**
   * The rows of a document, dependencies first: those that can be applied on top of what was let go and of `given`
   * (hashes in hex), and those that wait for changes the journal has not got.
   */
  applicable(
    doc: Uint8Array,
    given: ReadonlySet<string>,
  ): { readonly applied: JournalledChange[]; readonly left: JournalledChange[] } {
    const rows = this.ofDocument(doc);
    const applied = closedPart(rows, (deps) => this.#packedOrGiven(doc, deps, given));
    const isApplied = new Set(applied.map(({ row }) => row));
    return { applied, left: rows.filter(({ row }) => !isApplied.has(row)) };
  }

  /**
   * Makes rows again of all packed changes of a document, in one transaction. Throws if `changes`, read from the
   * snapshot, are not all of them; others among them are left alone.
   */
  unpack(doc: Uint8Array, changes: readonly Change[], at: number): void {
    const pack = this.#packs.of(doc);
    if (pack === null) return;
    this.#sqlite.transaction(() => {
      const remembered = new Map(
        this.#packs.changes(doc).map((change) => [bytesToHex(change.hash), change]),
      );
      const restored = topologicalOrder(changes).flatMap((change) => {
        const known = remembered.get(bytesToHex(change.hash));
        return known === undefined ? [] : [{ ...change, ...known }];
      });
      if (restored.length !== pack.changes) throw new Error("a snapshot lacks packed changes");
      this.#packs.remove(doc);
      this.#edgesByDocument.delete(bytesToHex(doc));
      this.#insertAll(
        restored.map((change) => ({ ...change, doc, opCount: 0, pos: pack.pos, at })),
      );
    });
  }

  /** Forgets what only a snapshot held: it cannot be read any more, and the relay has to send it again. */
  forgetPack(doc: Uint8Array): void {
    this.#packs.remove(doc);
    this.#edgesByDocument.delete(bytesToHex(doc));
    this.#noteMoved(doc);
  }

  /** Deletes every change of a document, also what was let go; the outbox loses what waits of it. */
  purge(doc: Uint8Array): void {
    this.#sqlite.transaction(() => {
      // Read before the highest may go, so that this process does not give its number again.
      this.#lastRow = this.#lastRowNumber();
      this.#sqlite.run("DELETE FROM change WHERE doc = ?", [doc]);
      this.forgetPack(doc);
    });
    this.#grown.delete(bytesToHex(doc));
  }

  /** When the first of these changes was journalled, in ms since 1970; null if none of them has a row. */
  journalledAt(doc: Uint8Array, hashes: readonly Uint8Array[]): number | null {
    const times = hashes
      .flatMap((hash) => this.rowOf(doc, hash) ?? [])
      .flatMap(
        (row) =>
          this.#sqlite.get<{ at: number }>("SELECT at FROM change WHERE id = ?", [row])?.at ?? [],
      );
    return times.length === 0 ? null : Math.min(...times);
  }

  /**
   * How many changes of a document each device's key stands for, those that were let go included; when the newest was
   * journalled, null if no row remembers it.
   */
  signers(doc: Uint8Array): {
    readonly signer: Uint8Array | null;
    readonly changes: number;
    readonly lastAt: number | null;
  }[] {
    return this.#sqlite.all(
      `SELECT signer, sum(n) AS changes, max(at) AS lastAt FROM (
         SELECT signer, count(*) AS n, max(at) AS at FROM change WHERE doc = ?1 GROUP BY signer
         UNION ALL SELECT signer, sum(length(hashes) / 32), NULL FROM packed WHERE doc = ?1 GROUP BY signer)
       GROUP BY signer`,
      [doc],
    );
  }

  /** Whether a change of this document was signed as one, and did not only come along when it was copied. */
  isSigned(doc: Uint8Array): boolean {
    const sql = `SELECT 1 AS found FROM change WHERE doc = ?1 AND signer IS NOT NULL
      UNION ALL SELECT 1 FROM packed WHERE doc = ?1 AND signer IS NOT NULL LIMIT 1`;
    return this.#sqlite.get(sql, [doc]) !== undefined;
  }

  /** Whether some change of a document has no place in the relay's log that is known here. */
  hasUnplaced(doc: Uint8Array): boolean {
    const sql = "SELECT 1 AS found FROM change WHERE doc = ? AND pos IS NULL LIMIT 1";
    return this.#sqlite.get(sql, [doc]) !== undefined;
  }

  /**
   * The relay's log of a space is another than it was from `after` on: what stood behind that has no place in it that is
   * known. Packs that reach beyond are marked: only when they are rows again can it be told what of them is missing.
   */
  unplaceAfter(space: Uint8Array, after: number): void {
    this.#sqlite.transaction(() => {
      const moved = this.#sqlite.all<{ doc: Uint8Array }>(
        "SELECT DISTINCT doc FROM change WHERE space = ? AND pos > ?",
        [space, after],
      );
      for (const { doc } of moved) this.#noteMoved(doc);
      this.#sqlite.run("UPDATE change SET pos = NULL WHERE space = ? AND pos > ?", [space, after]);
      for (const doc of this.#packs.beyond(space, after)) {
        const pack = this.#packs.of(doc);
        if (pack !== null) this.#packs.put(doc, { ...pack, resend: true });
      }
    });
  }

  /** The same for all rows of one document. */
  unplace(doc: Uint8Array): void {
    this.#noteMoved(doc);
    this.#sqlite.run("UPDATE change SET pos = NULL WHERE doc = ?", [doc]);
  }

  /** What no relay is known to have of a document and does not wait to be sent, in the order of journalling. */
  unplaced(doc: Uint8Array): UnplacedChange[] {
    return this.#sqlite
      .all<Omit<UnplacedChange, "local"> & { local: number }>(
        `SELECT hash, actor, seq, signer, local FROM change WHERE doc = ? AND pos IS NULL
           AND NOT EXISTS (SELECT 1 FROM pending WHERE change_id = change.id) ORDER BY id`,
        [doc],
      )
      .map((row) => ({ ...row, local: row.local === 1 }));
  }

  /** Whether this device made this change and no relay is known to have it. */
  isUnseen(doc: Uint8Array, hash: Uint8Array): boolean {
    const row = this.rowOf(doc, hash);
    const sql = "SELECT 1 AS found FROM change WHERE id = ? AND local = 1 AND pos IS NULL";
    return row !== undefined && this.#sqlite.get(sql, [row]) !== undefined;
  }

  /** Takes a change's row out of the journal, and out of what waits to be sent; null if it has none. */
  take(
    doc: Uint8Array,
    hash: Uint8Array,
  ): Pick<JournalledChange, "space" | "pos" | "signer" | "bytes"> | null {
    return this.#sqlite.transaction(() => {
      const id = this.rowOf(doc, hash);
      if (id === undefined) return null;
      const row = this.#sqlite.get<Pick<JournalledChange, "space" | "pos" | "signer" | "bytes">>(
        "SELECT space, pos, signer, bytes FROM change WHERE id = ?",
        [id],
      );
      // Read before the highest may go: a pack that is being made may end at its number.
      this.#lastRow = this.#lastRowNumber();
      this.#sqlite.run("DELETE FROM change WHERE id = ?", [id]);
      this.#edgesByDocument.delete(bytesToHex(doc));
      this.#noteMoved(doc);
      return row ?? null;
    });
  }

  /** The number of a document's newest row; 0 if it has none. */
  lastRowOf(doc: Uint8Array): number {
    const sql = "SELECT max(id) AS id FROM change WHERE doc = ?";
    return this.#sqlite.get<{ id: number | null }>(sql, [doc])?.id ?? 0;
  }

  /** Where a change stands that has a row, of whatever document; null if none has that hash. */
  whereIs(hash: Uint8Array): {
    readonly doc: Uint8Array;
    readonly actor: Uint8Array;
    readonly seq: number;
    readonly local: boolean;
    readonly pos: number | null;
  } | null {
    const row = this.#sqlite.get<{
      doc: Uint8Array;
      actor: Uint8Array;
      seq: number;
      local: number;
      pos: number | null;
    }>("SELECT doc, actor, seq, local, pos FROM change WHERE hash_prefix = ? AND hash = ?", [
      prefixOf(hash),
      hash,
    ]);
    return row === undefined ? null : { ...row, local: row.local === 1 };
  }

  /** The hashes of an actor's changes from `first` to `last`, those that have rows. */
  ofActor(doc: Uint8Array, actor: Uint8Array, first: number, last: number): Uint8Array[] {
    return this.#sqlite
      .all<{ hash: Uint8Array }>(
        "SELECT hash FROM change WHERE doc = ? AND actor = ? AND seq BETWEEN ? AND ? ORDER BY seq",
        [doc, actor, first, last],
      )
      .map(({ hash }) => hash);
  }

  /** The documents with packs so marked. */
  toResend(): Uint8Array[] {
    return this.#packs.toResend();
  }

  /** The documents that changes were added to since this was last asked. */
  takeGrown(): Uint8Array[] {
    const grown = [...this.#grown.values()];
    this.#grown.clear();
    return grown;
  }

  /** Documents with at least so many changes, or so many bytes of them, in rows. Reads all rows. */
  bulkiest(changes: number, bytes: number): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>(
        "SELECT doc FROM change GROUP BY doc HAVING count(*) >= ? OR sum(length) >= ?",
        [changes, bytes],
      )
      .map((row) => row.doc);
  }

  /** Documents of which at least so many changes could not be let go because the relay had not got them. */
  waitingPacks(changes: number): Uint8Array[] {
    return this.#packs.waiting(changes);
  }

  /** How many changes of a document stand in rows. */
  countOf(doc: Uint8Array): number {
    const sql = "SELECT count(*) AS changes FROM change WHERE doc = ?";
    return this.#sqlite.get<{ changes: number }>(sql, [doc])?.changes ?? 0;
  }

  /** How many bytes of changes of a document stand in rows after number `after`. */
  bytesOf(doc: Uint8Array, after: number): number {
    const sql = "SELECT sum(length) AS bytes FROM change WHERE doc = ? AND +id > ?";
    return this.#sqlite.get<{ bytes: number | null }>(sql, [doc, after])?.bytes ?? 0;
  }

  /** Reads everything from the tables again: they were changed from outside. */
  forget(): void {
    this.#packs.forget();
    this.#lastRow = null;
    this.#edgesByDocument.clear();
    this.#positions = null;
    this.#moved.clear();
  }

  #rowsOf(doc: Uint8Array, after: number): ChangeRow[] {
    try {
      // The plus keeps SQLite from walking through all rows after that number.
      return this.#sqlite.all<ChangeRow>(
        `SELECT ${changeColumns} FROM change WHERE doc = ? AND +id > ? ORDER BY id`,
        [doc, after],
      );
    } catch (error) {
      if (!isDamage(error) || this.#sqlite.isInTransaction) throw error;
      const rows = this.#readableRows(doc, after);
      // Nothing at all is not a note with a gap: what everything hangs on is damaged.
      if (rows.length === 0) throw error;
      return rows;
    }
  }

  /** One by one, the numbers from the index: a page holds the rows of some changes, not of all. */
  #readableRows(doc: Uint8Array, after: number): ChangeRow[] {
    const ids = this.#sqlite
      .all<{ id: number }>(
        "SELECT id FROM change INDEXED BY change_by_actor WHERE doc = ? AND +id > ?",
        [doc, after],
      )
      .map(({ id }) => id)
      .sort((a, b) => a - b);
    const rows = ids.flatMap((id) => this.#readableRow(id));
    const unreadable = ids.length - rows.length;
    const key = bytesToHex(doc);
    if (rows.length > 0 && !this.#unreadable.has(key)) {
      this.#unreadable.add(key);
      for (let left = unreadable; left > 0; left -= 1) this.#tellOfUnreadable(doc);
    }
    return rows;
  }

  #readableRow(id: number): ChangeRow[] {
    try {
      return this.#sqlite.all<ChangeRow>(`SELECT ${changeColumns} FROM change WHERE id = ?`, [id]);
    } catch (error) {
      if (isDamage(error)) return [];
      throw error;
    }
  }

  #tellOfUnreadable(doc: Uint8Array): void {
    this.#inbox.quarantine({
      space: null,
      pos: null,
      doc,
      entryId: null,
      reason: "damaged-page",
      bytes: new Uint8Array(0),
      signer: null,
    });
  }

  #soundOnes(doc: Uint8Array, rows: readonly ChangeRow[]): JournalledChange[] {
    const damaged: ChangeRow[] = [];
    const crooked: JournalledChange[] = [];
    const sound = rows.flatMap((row) => {
      const change = changeIn(row);
      if (change === null) damaged.push(row);
      else if (!describes(row, change)) crooked.push(change);
      return change ?? [];
    });
    if (damaged.length > 0) this.#quarantine(doc, damaged);
    if (crooked.length > 0) this.#mend(doc, crooked);
    return sound;
  }

  /** The bytes prove themselves; the columns beside them do not. */
  #mend(doc: Uint8Array, changes: readonly JournalledChange[]): void {
    this.#sqlite.transaction(() => {
      for (const { row, hash, actor, seq, deps, bytes } of changes) {
        this.#sqlite.run(
          "UPDATE change SET hash = ?, hash_prefix = ?, actor = ?, seq = ?, deps = ?, length = ? WHERE id = ?",
          [hash, prefixOf(hash), actor, seq, packHashes(deps), bytes.length, row],
        );
      }
    });
    this.#edgesByDocument.delete(bytesToHex(doc));
  }

  #pendingRows(doc: Uint8Array): Set<number> {
    const sql = "SELECT change_id AS id FROM pending WHERE doc = ?";
    return new Set(this.#sqlite.all<{ id: number }>(sql, [doc]).map((row) => row.id));
  }

  #packedOrGiven(
    doc: Uint8Array,
    hashes: readonly Uint8Array[],
    given: ReadonlySet<string>,
  ): Set<string> {
    const packed = this.#packs.among(
      doc,
      hashes.filter((hash) => !given.has(bytesToHex(hash))),
    );
    return new Set([...given, ...packed.map((hash) => bytesToHex(hash))]);
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
    const packed = this.#packs.hashAt(change.doc, change.actor, change.seq);
    if (packed !== null && equalBytes(packed, change.hash)) return false;
    this.#grown.set(bytesToHex(change.doc), change.doc);
    this.#lastRow = this.#lastRowNumber() + 1;
    this.#sqlite.run(
      `INSERT INTO change (id, doc, hash, hash_prefix, actor, seq, op_count, space, pos, signer, local, at, length, deps,
         bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        this.#lastRow,
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

  /** SQLite would give the numbers of deleted rows again, and a pack would take the new rows for its own. */
  #lastRowNumber(): number {
    this.#lastRow ??=
      this.#sqlite.get<{ row: number }>(
        `SELECT max(coalesce((SELECT max(id) FROM change), 0),
           coalesce((SELECT max(through) FROM pack), 0)) AS row`,
      )?.row ?? 0;
    return this.#lastRow;
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
    const deps = new Set<string>();
    for (const row of rows) {
      for (const dep of unpackHashes(row.deps)) deps.add(bytesToHex(dep));
    }
    for (const head of this.#packs.of(doc)?.heads ?? []) hashes.add(bytesToHex(head));
    const outside = [...deps].filter((dep) => !hashes.has(dep)).map((dep) => hexToBytes(dep));
    const packed = new Set(this.#packs.among(doc, outside).map((hash) => bytesToHex(hash)));
    const edges = {
      heads: new Set([...hashes].filter((hash) => !deps.has(hash))),
      awaited: new Set(outside.map((dep) => bytesToHex(dep)).filter((dep) => !packed.has(dep))),
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
      // Read before the highest may go: a pack that is being made may end at its number.
      this.#lastRow = this.#lastRowNumber();
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

function isDamage(error: unknown): boolean {
  return error instanceof StoreError && error.type === "corrupt";
}

/** Whether what stands beside a row's bytes is what they say. */
function describes({ hash, prefix, length }: ChangeRow, change: Change): boolean {
  return (
    equalBytes(change.hash, hash) &&
    prefix === prefixOf(change.hash) &&
    length === change.bytes.length
  );
}

/** The change in a row's bytes; null if they are damaged. */
function changeIn(row: ChangeRow): JournalledChange | null {
  const parsed = parseChange(row.bytes);
  if (parsed.type === "failed") return null;
  const { id, pos, space, signer } = row;
  return { ...parsed.change, row: id, pos, space, signer, local: row.local === 1 };
}

/** The changes whose dependencies are all among them or known to `known`, and so on down, dependencies first. */
function closedPart(
  changes: readonly JournalledChange[],
  known: (deps: readonly Uint8Array[]) => ReadonlySet<string>,
): JournalledChange[] {
  const hashes = new Set(changes.map((change) => bytesToHex(change.hash)));
  const outside = new Map(
    changes
      .flatMap((change) => change.deps)
      .map((dep) => [bytesToHex(dep), dep] as const)
      .filter(([hash]) => !hashes.has(hash)),
  );
  const closed = new Set(known([...outside.values()]));
  return topologicalOrder(changes).filter((change) => {
    const isClosed = change.deps.every((dep) => closed.has(bytesToHex(dep)));
    if (isClosed) closed.add(bytesToHex(change.hash));
    return isClosed;
  });
}

/** Of `changes` and the heads before them, those that none of `changes` depends on. */
function headsOf(
  changes: readonly Pick<Change, "hash" | "deps">[],
  before: readonly Uint8Array[],
): Uint8Array[] {
  const deps = new Set(changes.flatMap((change) => change.deps.map(mapKey)));
  return [...before, ...changes.map((change) => change.hash)].filter(
    (hash) => !deps.has(mapKey(hash)),
  );
}

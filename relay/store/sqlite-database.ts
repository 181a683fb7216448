/**
 * The default store's tables and statements, synchronous: the worker (sqlite-worker.ts) runs them off
 * the event loop. One transaction holds every write that arrived together, and one fsync makes
 * them durable (WAL, synchronous=FULL).
 */
import type { DatabaseSyncInstance, StatementSyncInstance } from "@photostructure/sqlite";
import { concat, toHex } from "#relay/protocol/bytes.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import { SqliteAccess } from "#relay/store/sqlite-access.ts";
import { sqliteCodeOf, type OpenedStore } from "#relay/store/sqlite-opening.ts";
import {
  stubItemBytes,
  type BlobRow,
  type Deadlines,
  type DocumentRow,
  type DueInSpace,
  type Forgotten,
  type KeptBody,
  type ListedDocument,
  type LogItem,
  type Place,
  type SnapshotRow,
  type SpaceWrite,
  type StoredBlob,
  type StoredDocument,
  type StoredSpace,
  type StoreFailure,
  type StoreIdentity,
} from "#relay/store/store.ts";

/** Pages given back to the disk in one go: 8 MiB, so that appends need not wait long. */
const pagesPerReclaim = 1024;
/** A chunk of a blob on its way in. */
export interface ChunkWrite {
  readonly spaceId: Uint8Array;
  readonly blobId: Uint8Array;
  readonly index: number;
  readonly bytes: Uint8Array;
}

/** What one transaction keeps, each of them whole or not at all. */
export type Keepable = readonly SpaceWrite[] | ChunkWrite;

/** What became of each: `unknown` is a chunk of a blob nobody announced. */
export type Outcome = "kept" | "unknown" | StoreFailure;

type Row = Record<string, unknown>;

export class SqliteDatabase {
  readonly #lock: DatabaseSyncInstance | null;
  readonly #db: DatabaseSyncInstance;
  #access: SqliteAccess | null = null;
  readonly #statements = new Map<string, StatementSyncInstance>();
  readonly #spaceIds = new Map<string, number>();

  /** Owns what was opened, and closes it. */
  constructor({ db, lock }: OpenedStore) {
    this.#db = db;
    this.#lock = lock;
  }

  /** A method of {@link SqliteAccess}. */
  access(method: keyof SqliteAccess, values: readonly unknown[]): unknown {
    this.#access ??= new SqliteAccess(this.#db);
    // The typed side is SqliteAccessCalls, the only caller.
    const call = this.#access[method] as (...values: readonly unknown[]) => unknown;
    return call.apply(this.#access, [...values]);
  }

  identity(fresh: StoreIdentity): StoreIdentity {
    this.#run(
      "INSERT INTO identity (only, relay_secret, store_id) VALUES (1, ?, ?) ON CONFLICT DO NOTHING",
      fresh.relaySecret,
      fresh.storeId,
    );
    const row = this.#get("SELECT relay_secret, store_id FROM identity");
    if (row === undefined) throw new Error("an identity was just stored");
    return { relaySecret: blob(row, "relay_secret"), storeId: blob(row, "store_id") };
  }

  loadSpace(spaceId: Uint8Array): StoredSpace | null {
    const row = this.#get("SELECT * FROM space WHERE space_id = ?", spaceId);
    if (row === undefined) return null;
    const id = number(row, "id");
    return {
      genesis: blob(row, "genesis"),
      revision: number(row, "revision"),
      head: number(row, "head"),
      chain: blob(row, "chain"),
      base: number(row, "base"),
      countedBytes: number(row, "counted_bytes"),
      deletedAt: optionalNumber(row, "deleted_at"),
      controls: this.#all(
        "SELECT pos, body FROM log WHERE space = ? AND is_control = 1 ORDER BY pos",
        id,
      ).map(readControl),
      certificates: this.#all("SELECT * FROM certificate WHERE space = ?", id).map((found) => ({
        devPub: blob(found, "dev_pub"),
        capPub: blob(found, "cap_pub"),
        bytes: blob(found, "bytes"),
        at: number(found, "at"),
      })),
      counters: this.#all("SELECT * FROM counter WHERE space = ?", id).map((found) => ({
        devPub: blob(found, "dev_pub"),
        ctr: number(found, "ctr"),
        countedBytes: number(found, "counted_bytes"),
        at: number(found, "at"),
      })),
    };
  }

  /**
   * One transaction for all. An append that was decided on another revision is left out and named
   * `moved`; anything else that goes wrong undoes and fails all of them.
   */
  keepAll(waiting: readonly Keepable[]): Outcome[] {
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      const outcomes = waiting.map((item) =>
        "index" in item ? this.#keepChunk(item) : this.#append(item),
      );
      this.#db.exec("COMMIT");
      return outcomes;
    } catch (error) {
      this.#rollBack();
      const failure = failureOf(error);
      return waiting.map(() => failure);
    }
  }

  positionOf(spaceId: Uint8Array, itemId: Uint8Array): Place | null {
    const id = this.#idOf(spaceId);
    if (id === null) return null;
    const row = this.#get("SELECT pos, chain FROM log WHERE space = ? AND item_id = ?", id, itemId);
    return row === undefined ? null : { pos: number(row, "pos"), chain: blob(row, "chain") };
  }

  chainAt(spaceId: Uint8Array, pos: number): Uint8Array | null {
    const id = this.#idOf(spaceId);
    if (id === null) return null;
    const row = this.#get("SELECT chain FROM log WHERE space = ? AND pos = ?", id, pos);
    return row === undefined ? null : blob(row, "chain");
  }

  readLog(
    spaceId: Uint8Array,
    after: number,
    upTo: number,
    byteBudget: number,
    what: "bodies" | "stubs",
  ): LogItem[] {
    const id = this.#idOf(spaceId);
    if (id === null) return [];
    const body = what === "bodies" ? "body" : "CASE is_control WHEN 1 THEN body END AS body";
    const rows = this.#iterate(
      `SELECT ${itemColumns}, ${body} FROM log
       WHERE space = ? AND pos > ? AND pos <= ? ORDER BY pos`,
      id,
      after,
      upTo,
    );
    return withinBudget(rows, byteBudget, readItem, sizeInBudget);
  }

  readControls(
    spaceId: Uint8Array,
    fromSeq: number,
    byteBudget: number,
  ): { pos: number; bytes: Uint8Array }[] {
    const id = this.#idOf(spaceId);
    if (id === null) return [];
    const rows = this.#iterate(
      "SELECT pos, body FROM log WHERE space = ? AND is_control = 1 ORDER BY pos LIMIT -1 OFFSET ?",
      id,
      Math.max(0, fromSeq - 1),
    );
    return withinBudget(rows, byteBudget, readControl, ({ bytes }) => bytes.length);
  }

  readCertificates(spaceId: Uint8Array): Uint8Array[] {
    const id = this.#idOf(spaceId);
    if (id === null) return [];
    const rows = this.#all(
      "SELECT bytes FROM certificate WHERE space = ? ORDER BY dev_pub, cap_pub",
      id,
    );
    return rows.map((row) => blob(row, "bytes"));
  }

  readDocuments(spaceId: Uint8Array, docIds: readonly Uint8Array[]): StoredDocument[] {
    const id = this.#idOf(spaceId);
    if (id === null) return [];
    return docIds.flatMap((docId) => {
      const row = this.#get(
        `SELECT d.*, c.derived_pos, length(c.body) AS card_size
         FROM document d LEFT JOIN card c USING (space, doc_id) WHERE space = ? AND doc_id = ?`,
        id,
        docId,
      );
      return row === undefined ? [] : [readStoredDocument(row)];
    });
  }

  listDocuments(spaceId: Uint8Array, afterDocId: Uint8Array, limit: number): ListedDocument[] {
    const id = this.#idOf(spaceId);
    if (id === null) return [];
    const rows = this.#all(
      `SELECT d.*, c.body AS card FROM document d LEFT JOIN card c USING (space, doc_id)
       WHERE space = ? AND doc_id > ? ORDER BY doc_id LIMIT ?`,
      id,
      afterDocId,
      limit,
    );
    return rows.map((row) => {
      const document = readDocument(row);
      const card = row["card"];
      return {
        docId: document.docId,
        lastPos: document.lastPos,
        dropPos: document.dropPos,
        snapshotPos: document.snapshotPos,
        ...this.#extentOf(id, document),
        card: card instanceof Uint8Array ? card : null,
      };
    });
  }

  readDocument(
    spaceId: Uint8Array,
    docId: Uint8Array,
    after: number,
    byteBudget: number,
  ): LogItem[] {
    const id = this.#idOf(spaceId);
    if (id === null) return [];
    const newest = this.#newestSnapshot(id, docId);
    // Positions of omitted entries are below those of all that the snapshot cannot cover.
    const omitted = this.#omittedBy(id, newest).filter(({ pos }) => pos > after);
    const later = this.#iterate(
      `SELECT ${itemColumns}, body FROM log
       WHERE space = ? AND doc_id = ? AND is_control = 0 AND pos > ? ORDER BY pos`,
      id,
      docId,
      Math.max(after, newest?.coversPos ?? 0),
    );
    return withinBudget(inTurn(omitted, later, readItem), byteBudget, (item) => item, sizeInBudget);
  }

  readBlob(spaceId: Uint8Array, blobId: Uint8Array): StoredBlob | null {
    const id = this.#idOf(spaceId);
    if (id === null) return null;
    const row = this.#get("SELECT * FROM blob WHERE space = ? AND blob_id = ?", id, blobId);
    if (row === undefined) return null;
    const kept = this.#all("SELECT ix FROM chunk WHERE blob = ? ORDER BY ix", number(row, "id"));
    return { ...readBlobRow(row), kept: kept.map((chunk) => number(chunk, "ix")) };
  }

  readBlobsOf(spaceId: Uint8Array, docId: Uint8Array | null): BlobRow[] {
    const id = this.#idOf(spaceId);
    if (id === null) return [];
    const rows =
      docId === null
        ? this.#all("SELECT * FROM blob WHERE space = ?", id)
        : this.#all("SELECT * FROM blob WHERE space = ? AND doc_id = ?", id, docId);
    return rows.map(readBlobRow);
  }

  readSnapshots(spaceId: Uint8Array, docId: Uint8Array): SnapshotRow[] {
    const id = this.#idOf(spaceId);
    if (id === null) return [];
    return this.#all(
      "SELECT * FROM snapshot WHERE space = ? AND doc_id = ? ORDER BY pos",
      id,
      docId,
    ).map(readSnapshot);
  }

  readChunk(spaceId: Uint8Array, blobId: Uint8Array, index: number): Uint8Array | null {
    const id = this.#idOf(spaceId);
    if (id === null) return null;
    const row = this.#get(
      `SELECT body FROM chunk JOIN blob ON blob.id = chunk.blob
       WHERE space = ? AND blob_id = ? AND ix = ?`,
      id,
      blobId,
      index,
    );
    return row === undefined ? null : blob(row, "body");
  }

  listSpaces(
    afterSpaceId: Uint8Array,
    limit: number,
  ): { spaceId: Uint8Array; deletedAt: number | null }[] {
    return this.#all(
      "SELECT space_id, deleted_at FROM space WHERE space_id > ? ORDER BY space_id LIMIT ?",
      afterSpaceId,
      limit,
    ).map((row) => ({
      spaceId: blob(row, "space_id"),
      deletedAt: optionalNumber(row, "deleted_at"),
    }));
  }

  readDue(spaceId: Uint8Array, deadlines: Deadlines, limit: number): DueInSpace {
    const id = this.#idOf(spaceId);
    if (id === null) return { snapshots: [], drops: [], stubs: [], blobs: [] };
    return {
      snapshots: this.#all(
        `SELECT snapshot.* FROM snapshot JOIN (
           SELECT s.doc_id FROM snapshot s JOIN document d USING (space, doc_id)
           WHERE s.space = ?1 AND s.at <= ?2 AND s.pos > d.swept_pos
           GROUP BY s.doc_id HAVING count(*) > 1 LIMIT ?3
         ) USING (doc_id) WHERE space = ?1 AND at <= ?2 ORDER BY pos`,
        id,
        deadlines.snapshots,
        limit,
      ).map(readSnapshot),
      drops: this.#all(
        `SELECT * FROM document
         WHERE space = ? AND drop_pos > swept_pos AND last_at <= ? ORDER BY last_at LIMIT ?`,
        id,
        deadlines.drops,
        limit,
      ).map(readDocument),
      stubs: this.#all(
        `SELECT pos FROM log WHERE space = ? AND is_control = 0 AND length(body) = 0 AND at <= ?
         ORDER BY pos LIMIT ?`,
        id,
        deadlines.stubs,
        limit,
      ).map((row) => number(row, "pos")),
      blobs: this.#all(
        `SELECT * FROM blob WHERE space = ?1 AND (dropped_at <= ?2 OR (dropped_at IS NULL
           AND at <= ?3 AND (SELECT count(*) FROM chunk WHERE blob = blob.id) * 32 < length(chunks)))
         LIMIT ?4`,
        id,
        deadlines.droppedBlobs,
        deadlines.unfinishedBlobs,
        limit,
      ).map(readBlobRow),
    };
  }

  readBodies(
    spaceId: Uint8Array,
    docId: Uint8Array | null,
    after: number,
    upTo: number,
    limit: number,
  ): KeptBody[] {
    const id = this.#idOf(spaceId);
    if (id === null) return [];
    // The writing device's key stands in the entry itself (docs/protocol.md, ENT-1).
    const columns = `${itemColumns}, substr(body, 57, 32) AS dev_pub`;
    const where = "is_control = 0 AND length(body) > 0 AND pos > ? AND pos <= ?";
    const rows =
      docId === null
        ? this.#all(
            `SELECT ${columns} FROM log WHERE space = ? AND ${where} ORDER BY pos LIMIT ?`,
            id,
            after,
            upTo,
            limit,
          )
        : this.#all(
            `SELECT ${columns} FROM log WHERE space = ? AND doc_id = ? AND ${where}
             ORDER BY pos LIMIT ?`,
            id,
            docId,
            after,
            upTo,
            limit,
          );
    return rows.map((row) => {
      const { pos, docId: of, entryKind, itemId, size } = readItem(row);
      return { pos, docId: of, entryKind, itemId, size, devPub: blob(row, "dev_pub") };
    });
  }

  reclaim(): boolean {
    this.#db.exec(`PRAGMA incremental_vacuum(${pagesPerReclaim})`);
    const isMore = number(this.#get("PRAGMA freelist_count") ?? {}, "freelist_count") > 0;
    // Only then do the files become smaller, and what was forgotten leaves the log too.
    if (!isMore) this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    return isMore;
  }

  totalBytes(): number {
    const row = this.#get("SELECT coalesce(sum(counted_bytes), 0) AS total FROM space");
    return row === undefined ? 0 : number(row, "total");
  }

  close(): void {
    try {
      // Prepared statements keep the connection from doing it as it closes.
      this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    } catch {
      // What the log holds is as durable there: the next opening reads it.
    }
    this.#db.close();
    this.#lock?.close();
  }

  #append(writes: readonly SpaceWrite[]): Outcome {
    const isCurrent = writes.every(
      ({ spaceId, revision }) => this.#revisionOf(spaceId) === revision,
    );
    if (!isCurrent) return "moved";
    for (const write of writes) this.#write(write);
    return "kept";
  }

  #keepChunk({ spaceId, blobId, index, bytes }: ChunkWrite): Outcome {
    const id = this.#idOf(spaceId);
    const row =
      id === null
        ? undefined
        : this.#get("SELECT id FROM blob WHERE space = ? AND blob_id = ?", id, blobId);
    if (row === undefined) return "unknown";
    this.#run(
      "INSERT INTO chunk (blob, ix, body) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
      number(row, "id"),
      index,
      bytes,
    );
    return "kept";
  }

  #revisionOf(spaceId: Uint8Array): number {
    const row = this.#get("SELECT revision FROM space WHERE space_id = ?", spaceId);
    return row === undefined ? 0 : number(row, "revision");
  }

  #write(write: SpaceWrite): void {
    this.#run(
      `INSERT INTO space
         (space_id, genesis, revision, head, chain, base, counted_bytes, deleted_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (space_id) DO UPDATE SET revision = excluded.revision, head = excluded.head,
         chain = excluded.chain, base = excluded.base, counted_bytes = excluded.counted_bytes,
         deleted_at = excluded.deleted_at`,
      write.spaceId,
      write.genesis,
      write.revision + 1,
      write.head,
      write.chain,
      write.base,
      write.countedBytes,
      write.deletedAt,
    );
    const id = this.#idOf(write.spaceId);
    if (id === null) throw new Error("a space was just stored");
    for (const row of write.rows) {
      this.#run(
        `INSERT INTO log
           (space, pos, is_control, doc_id, entry_kind, size, item_id, chain, body, at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        id,
        row.pos,
        row.kind === "control" ? 1 : 0,
        row.kind === "control" ? noDocument : row.docId,
        row.entryKind,
        row.bytes.length,
        row.itemId,
        row.chain,
        row.bytes,
        write.at,
      );
    }
    for (const { devPub, capPub, bytes, at } of write.certificates) {
      this.#run(
        "INSERT INTO certificate (space, dev_pub, cap_pub, bytes, at) VALUES (?, ?, ?, ?, ?)",
        id,
        devPub,
        capPub,
        bytes,
        at,
      );
    }
    for (const { devPub, ctr, countedBytes, at } of lastByKey(write.counters, "devPub")) {
      this.#run(
        `INSERT INTO counter (space, dev_pub, ctr, counted_bytes, at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (space, dev_pub) DO UPDATE SET ctr = excluded.ctr,
           counted_bytes = excluded.counted_bytes, at = excluded.at`,
        id,
        devPub,
        ctr,
        countedBytes,
        at,
      );
    }
    for (const document of lastByKey(write.documents, "docId")) this.#writeDocument(id, document);
    for (const snapshot of write.snapshots) {
      this.#run(
        `INSERT INTO snapshot (space, pos, doc_id, covers_pos, omitted, chunks, at)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
        id,
        snapshot.pos,
        snapshot.docId,
        snapshot.coversPos,
        concat(...snapshot.omitted),
        concat(...snapshot.chunks),
        snapshot.at,
      );
    }
    for (const { docId, derivedPos, bytes } of lastByKey(write.cards, "docId")) {
      this.#run(
        `INSERT INTO card (space, doc_id, derived_pos, body) VALUES (?, ?, ?, ?)
         ON CONFLICT (space, doc_id) DO UPDATE SET derived_pos = excluded.derived_pos,
           body = excluded.body`,
        id,
        docId,
        derivedPos,
        bytes,
      );
    }
    for (const announced of lastByKey(write.blobs, "blobId")) this.#writeBlob(id, announced);
    this.#forget(id, write.forgotten);
  }

  #writeDocument(id: number, document: DocumentRow): void {
    this.#run(
      `INSERT INTO document (space, doc_id, last_pos, last_at, drop_pos, snapshot_pos, swept_pos,
         counted_bytes)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (space, doc_id) DO UPDATE SET last_pos = excluded.last_pos,
         last_at = excluded.last_at, drop_pos = excluded.drop_pos,
         snapshot_pos = excluded.snapshot_pos, swept_pos = excluded.swept_pos,
         counted_bytes = excluded.counted_bytes`,
      id,
      document.docId,
      document.lastPos,
      document.lastAt,
      document.dropPos,
      document.snapshotPos,
      document.sweptPos,
      document.countedBytes,
    );
  }

  #writeBlob(id: number, announced: BlobRow): void {
    this.#run(
      `INSERT INTO blob (space, blob_id, doc_id, dev_pub, size, chunks, pos, at, dropped_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (space, blob_id) DO UPDATE SET dropped_at = excluded.dropped_at`,
      id,
      announced.blobId,
      announced.docId,
      announced.devPub,
      announced.size,
      concat(...announced.chunks),
      announced.pos,
      announced.at,
      announced.droppedAt,
    );
  }

  #forget(id: number, { bodies, stubs, cards, documents, blobs }: Forgotten): void {
    for (const pos of bodies) {
      this.#run(
        "UPDATE log SET body = x'' WHERE space = ? AND pos = ? AND is_control = 0",
        id,
        pos,
      );
      this.#run("DELETE FROM snapshot WHERE space = ? AND pos = ?", id, pos);
    }
    for (const pos of stubs) {
      this.#run(
        "DELETE FROM log WHERE space = ? AND pos = ? AND is_control = 0 AND length(body) = 0",
        id,
        pos,
      );
    }
    for (const docId of cards) {
      this.#run("DELETE FROM card WHERE space = ? AND doc_id = ?", id, docId);
    }
    for (const docId of documents) {
      for (const table of ["document", "snapshot", "card"]) {
        this.#run(`DELETE FROM ${table} WHERE space = ? AND doc_id = ?`, id, docId);
      }
    }
    for (const blobId of blobs) {
      this.#run(
        "DELETE FROM chunk WHERE blob = (SELECT id FROM blob WHERE space = ? AND blob_id = ?)",
        id,
        blobId,
      );
      this.#run("DELETE FROM blob WHERE space = ? AND blob_id = ?", id, blobId);
    }
  }

  #newestSnapshot(id: number, docId: Uint8Array): SnapshotRow | null {
    const row = this.#get(
      "SELECT * FROM snapshot WHERE space = ? AND doc_id = ? ORDER BY pos DESC LIMIT 1",
      id,
      docId,
    );
    return row === undefined ? null : readSnapshot(row);
  }

  /** Entries a snapshot leaves out although it covers their positions, in order. */
  #omittedBy(id: number, snapshot: SnapshotRow | null): LogItem[] {
    if (snapshot === null) return [];
    return snapshot.omitted
      .flatMap((itemId) =>
        this.#all(
          `SELECT ${itemColumns}, body FROM log
           WHERE space = ? AND item_id = ? AND doc_id = ? AND pos <= ?`,
          id,
          itemId,
          snapshot.docId,
          snapshot.coversPos,
        ),
      )
      .map(readItem)
      .toSorted((a, b) => a.pos - b.pos);
  }

  #extentOf(
    id: number,
    { docId, snapshotPos }: DocumentRow,
  ): Pick<ListedDocument, "snapshotSize" | "tailEntries" | "tailBytes"> {
    const newest = snapshotPos === 0 ? null : this.#newestSnapshot(id, docId);
    const row = this.#get(
      `SELECT count(*) AS entries, coalesce(sum(size), 0) AS bytes,
         coalesce(sum(size) FILTER (WHERE pos = ?), 0) AS snapshot
       FROM log WHERE space = ? AND doc_id = ? AND is_control = 0 AND pos > ?`,
      snapshotPos,
      id,
      docId,
      newest?.coversPos ?? 0,
    );
    if (row === undefined) throw new Error("a sum is one row");
    const omitted = this.#omittedBy(id, newest);
    const snapshotSize = number(row, "snapshot");
    return {
      snapshotSize,
      tailEntries: number(row, "entries") + omitted.length - (newest === null ? 0 : 1),
      tailBytes: number(row, "bytes") + sum(omitted.map(({ size }) => size)) - snapshotSize,
    };
  }

  #rollBack(): void {
    this.#spaceIds.clear();
    try {
      this.#db.exec("ROLLBACK");
    } catch {
      // SQLite rolls back by itself when the disk is full: there is nothing left to undo then.
    }
  }

  #idOf(spaceId: Uint8Array): number | null {
    const key = toHex(spaceId);
    const known = this.#spaceIds.get(key);
    if (known !== undefined) return known;
    const row = this.#get("SELECT id FROM space WHERE space_id = ?", spaceId);
    if (row === undefined) return null;
    const id = number(row, "id");
    this.#spaceIds.set(key, id);
    return id;
  }

  #statement(sql: string): StatementSyncInstance {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const made = this.#db.prepare(sql);
    this.#statements.set(sql, made);
    return made;
  }

  #run(sql: string, ...values: readonly (Uint8Array | number | null)[]): void {
    this.#statement(sql).run(...values);
  }

  #get(sql: string, ...values: readonly (Uint8Array | number)[]): Row | undefined {
    return this.#statement(sql).get(...values) as Row | undefined; // a row by column name
  }

  #all(sql: string, ...values: readonly (Uint8Array | number)[]): Row[] {
    return this.#statement(sql).all(...values) as Row[]; // rows by column name
  }

  #iterate(sql: string, ...values: readonly (Uint8Array | number)[]): Iterable<Row> {
    return this.#statement(sql).iterate(...values) as Iterable<Row>; // rows by column name
  }
}

const sqliteFull = 13;

function failureOf(error: unknown): StoreFailure {
  return sqliteCodeOf(error) === sqliteFull ? "full" : "failed";
}

const itemColumns = "pos, is_control, doc_id, entry_kind, size, item_id";

function readItem(row: Row): LogItem {
  const body = row["body"];
  return {
    pos: number(row, "pos"),
    kind: number(row, "is_control") === 1 ? "control" : "entry",
    docId: blob(row, "doc_id"),
    entryKind: number(row, "entry_kind"),
    size: number(row, "size"),
    itemId: blob(row, "item_id"),
    // An empty one was forgotten.
    body: body instanceof Uint8Array && body.length > 0 ? body : null,
  };
}

function sizeInBudget({ body }: LogItem): number {
  return body?.length ?? stubItemBytes;
}

function readDocument(row: Row): DocumentRow {
  return {
    docId: blob(row, "doc_id"),
    lastPos: number(row, "last_pos"),
    lastAt: number(row, "last_at"),
    dropPos: number(row, "drop_pos"),
    snapshotPos: number(row, "snapshot_pos"),
    sweptPos: number(row, "swept_pos"),
    countedBytes: number(row, "counted_bytes"),
  };
}

function readStoredDocument(row: Row): StoredDocument {
  const derivedPos = optionalNumber(row, "derived_pos");
  const card = derivedPos === null ? null : { derivedPos, size: number(row, "card_size") };
  return { ...readDocument(row), card };
}

function readSnapshot(row: Row): SnapshotRow {
  return {
    docId: blob(row, "doc_id"),
    pos: number(row, "pos"),
    coversPos: number(row, "covers_pos"),
    omitted: splitHashes(blob(row, "omitted")),
    chunks: splitHashes(blob(row, "chunks")),
    at: number(row, "at"),
  };
}

function readBlobRow(row: Row): BlobRow {
  return {
    blobId: blob(row, "blob_id"),
    docId: blob(row, "doc_id"),
    devPub: blob(row, "dev_pub"),
    size: number(row, "size"),
    chunks: splitHashes(blob(row, "chunks")),
    pos: number(row, "pos"),
    at: number(row, "at"),
    droppedAt: optionalNumber(row, "dropped_at"),
  };
}

function splitHashes(joined: Uint8Array): Uint8Array[] {
  return Array.from({ length: joined.length / 32 }, (_, ix) => joined.slice(ix * 32, ix * 32 + 32));
}

/** Of several rows with one key the last, in order of first appearance. */
function lastByKey<Key extends string, R extends Readonly<Record<Key, Uint8Array>>>(
  rows: readonly R[],
  key: Key,
): Iterable<R> {
  return new Map(rows.map((row) => [toHex(row[key]), row])).values();
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, value) => total + value, 0);
}

function* inTurn<T>(first: readonly T[], rows: Iterable<Row>, read: (row: Row) => T): Iterable<T> {
  yield* first;
  for (const row of rows) yield read(row);
}

function readControl(row: Row): { pos: number; bytes: Uint8Array } {
  return { pos: number(row, "pos"), bytes: blob(row, "body") };
}

function blob(row: Row, column: string): Uint8Array {
  const value = row[column];
  if (!(value instanceof Uint8Array)) throw new Error(`column ${column} holds no bytes`);
  return value;
}

function number(row: Row, column: string): number {
  const value = row[column];
  if (typeof value !== "number") throw new Error(`column ${column} holds no number`);
  return value;
}

function optionalNumber(row: Row, column: string): number | null {
  return row[column] === null ? null : number(row, column);
}

/** Items until the budget is spent; the first one always. */
function withinBudget<From, T>(
  rows: Iterable<From>,
  byteBudget: number,
  read: (row: From) => T,
  sizeOf: (item: T) => number,
): T[] {
  const items: T[] = [];
  let bytes = 0;
  for (const row of rows) {
    const item = read(row);
    bytes += sizeOf(item);
    if (items.length > 0 && bytes > byteBudget) break;
    items.push(item);
  }
  return items;
}

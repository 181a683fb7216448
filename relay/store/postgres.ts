/**
 * The store on PostgreSQL, for several nodes: nothing of it is kept in a node's memory, so that any
 * node serves any space. Appends that arrive together, and those that arrive while a batch is
 * underway, are one call (postgres-append.ts); the row locks of its spaces make one order of what all
 * nodes write.
 */
import type { ClientConfig } from "pg";
import { toHex } from "#relay/protocol/bytes.ts";
import {
  appendBytes,
  appendCall,
  appendParameters,
  forgets,
} from "#relay/store/postgres-append.ts";
import { connectReady } from "#relay/store/postgres-opening.ts";
import {
  blobFrom,
  bodyFrom,
  bytes,
  documentFrom,
  itemColumns,
  itemFrom,
  listedFrom,
  snapshotFrom,
  spaceFrom,
  spaceParts,
  storedBlobFrom,
  storedDocumentFrom,
  type BlobColumns,
  type BodyColumns,
  type DocumentColumns,
  type ItemColumns,
  type ListedColumns,
  type SnapshotColumns,
  type SpacePart,
  type StoredBlobColumns,
  type StoredDocumentColumns,
} from "#relay/store/postgres-rows.ts";
import { PostgresAccess } from "#relay/store/postgres-access.ts";
import { PostgresNeighbours } from "#relay/store/postgres-neighbours.ts";
import { closedError, connectionTo, PostgresSession } from "#relay/store/postgres-session.ts";
import {
  StoreError,
  stubItemBytes,
  type BlobRow,
  type Deadlines,
  type DueInSpace,
  type KeptBody,
  type ListedDocument,
  type LogItem,
  type Place,
  type SnapshotRow,
  type SpaceWrite,
  type Store,
  type StoredBlob,
  type StoredDocument,
  type StoredSpace,
  type StoreIdentity,
} from "#relay/store/store.ts";

export interface PostgresStoreOptions {
  /** `postgres://user:password@host:port/database`, PostgreSQL 15 or later. */
  readonly address: string;
  /** Tells this process from all others on the database; without spaces. */
  readonly node: string;
  readonly after: (ms: number, run: () => void) => () => void;
}

const maxBatchAppends = 500;
const maxBatchBytes = 4 << 20;

/** Opens or makes the store. Rejects with a {@link StoreError} a person understands. */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<PostgresStore> {
  const { client, isLax } = await connectReady(options.address);
  await client.end();
  // What is said to be stored is durable, even where the server's default is to be quick.
  const more = isLax ? { synchronous_commit: "on" } : {};
  return new PostgresStore(connectionTo(options.address, more), options);
}

interface WaitingAppend {
  readonly writes: readonly SpaceWrite[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

class PostgresStore implements Store {
  readonly neighbours: PostgresNeighbours;
  readonly access: PostgresAccess;
  readonly #node: string;
  readonly #session: PostgresSession;
  #waiting: WaitingAppend[] = [];
  #flushing: Promise<void> | null = null;

  constructor(connection: ClientConfig, { node, after }: PostgresStoreOptions) {
    this.#node = node;
    this.#session = new PostgresSession(connection);
    this.access = new PostgresAccess(this.#session);
    this.neighbours = new PostgresNeighbours({ session: this.#session, connection, node, after });
  }

  async identity(fresh: StoreIdentity): Promise<StoreIdentity> {
    await this.#session.rows(
      "INSERT INTO sealeaf.identity (is_only, relay_secret, store_id) VALUES (true, $1, $2) ON CONFLICT DO NOTHING",
      fresh.relaySecret,
      fresh.storeId,
    );
    const [row] = await this.#session.rows<{ relay_secret: Buffer; store_id: Buffer }>(
      "SELECT relay_secret, store_id FROM sealeaf.identity",
    );
    if (row === undefined) throw new Error("an identity was just stored");
    return { relaySecret: bytes(row.relay_secret), storeId: bytes(row.store_id) };
  }

  async loadSpace(spaceId: Uint8Array): Promise<StoredSpace | null> {
    return spaceFrom(await this.#session.rows<SpacePart>(spaceParts, spaceId));
  }

  append(writes: readonly SpaceWrite[]): Promise<void> {
    if (this.#session.isClosed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ writes, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  async positionOf(spaceId: Uint8Array, itemId: Uint8Array): Promise<Place | null> {
    const [row] = await this.#session.rows<{ pos: string; chain: Buffer }>(
      `SELECT pos, chain FROM sealeaf.log WHERE space = ${theSpace} AND item_id = $2`,
      spaceId,
      itemId,
    );
    return row === undefined ? null : { pos: Number(row.pos), chain: bytes(row.chain) };
  }

  async chainAt(spaceId: Uint8Array, pos: number): Promise<Uint8Array | null> {
    const [row] = await this.#session.rows<{ chain: Buffer }>(
      `SELECT chain FROM sealeaf.log WHERE space = ${theSpace} AND pos = $2`,
      spaceId,
      pos,
    );
    return row === undefined ? null : bytes(row.chain);
  }

  async readLog(
    spaceId: Uint8Array,
    after: number,
    upTo: number,
    byteBudget: number,
    what: "bodies" | "stubs",
  ): Promise<readonly LogItem[]> {
    const text = what === "bodies" ? logBodies : logStubs;
    const rows = await this.#session.rows<ItemColumns>(text, spaceId, byteBudget, after, upTo);
    return rows.map(itemFrom);
  }

  async readControls(
    spaceId: Uint8Array,
    fromSeq: number,
    byteBudget: number,
  ): Promise<readonly { pos: number; bytes: Uint8Array }[]> {
    const rows = await this.#session.rows<{ pos: string; body: Buffer }>(
      controlPage,
      spaceId,
      byteBudget,
      Math.max(0, fromSeq - 1),
    );
    return rows.map(({ pos, body }) => ({ pos: Number(pos), bytes: bytes(body) }));
  }

  async readCertificates(spaceId: Uint8Array): Promise<readonly Uint8Array[]> {
    const rows = await this.#session.rows<{ bytes: Buffer }>(
      `SELECT bytes FROM sealeaf.certificate WHERE space = ${theSpace} ORDER BY dev_pub, cap_pub`,
      spaceId,
    );
    return rows.map((row) => bytes(row.bytes));
  }

  async readDocuments(
    spaceId: Uint8Array,
    docIds: readonly Uint8Array[],
  ): Promise<readonly StoredDocument[]> {
    const rows = await this.#session.rows<StoredDocumentColumns>(
      `SELECT document.*, derived_pos, length(body) AS card_size
       FROM sealeaf.document LEFT JOIN sealeaf.card USING (space, doc_id)
       WHERE document.space = ${theSpace} AND document.doc_id = ANY ($2::bytea[])
       ORDER BY array_position($2::bytea[], document.doc_id)`,
      spaceId,
      docIds,
    );
    return rows.map(storedDocumentFrom);
  }

  async listDocuments(
    spaceId: Uint8Array,
    afterDocId: Uint8Array,
    limit: number,
  ): Promise<readonly ListedDocument[]> {
    const rows = await this.#session.rows<ListedColumns>(listPage, spaceId, afterDocId, limit);
    return rows.map(listedFrom);
  }

  async readDocument(
    spaceId: Uint8Array,
    docId: Uint8Array,
    after: number,
    byteBudget: number,
  ): Promise<readonly LogItem[]> {
    const rows = await this.#session.rows<ItemColumns>(
      documentPage,
      spaceId,
      byteBudget,
      after,
      docId,
    );
    return rows.map(itemFrom);
  }

  async readBlob(spaceId: Uint8Array, blobId: Uint8Array): Promise<StoredBlob | null> {
    const [row] = await this.#session.rows<StoredBlobColumns>(
      `SELECT *, ARRAY(SELECT ix FROM sealeaf.chunk WHERE blob = blob.id ORDER BY ix) AS kept
       FROM sealeaf.blob WHERE space = ${theSpace} AND blob_id = $2`,
      spaceId,
      blobId,
    );
    return row === undefined ? null : storedBlobFrom(row);
  }

  async readBlobsOf(spaceId: Uint8Array, docId: Uint8Array | null): Promise<readonly BlobRow[]> {
    const rows = await this.#session.rows<BlobColumns>(
      `SELECT * FROM sealeaf.blob
       WHERE space = ${theSpace} AND ($2::bytea IS NULL OR doc_id = $2)`,
      spaceId,
      docId,
    );
    return rows.map(blobFrom);
  }

  async readSnapshots(spaceId: Uint8Array, docId: Uint8Array): Promise<readonly SnapshotRow[]> {
    const rows = await this.#session.rows<SnapshotColumns>(
      `SELECT * FROM sealeaf.snapshot WHERE space = ${theSpace} AND doc_id = $2 ORDER BY pos`,
      spaceId,
      docId,
    );
    return rows.map(snapshotFrom);
  }

  async putChunk(
    spaceId: Uint8Array,
    blobId: Uint8Array,
    index: number,
    chunk: Uint8Array,
  ): Promise<boolean> {
    const [row] = await this.#session.rows<{ found: boolean }>(
      `WITH found AS (
         SELECT id FROM sealeaf.blob WHERE space = ${theSpace} AND blob_id = $2
         FOR KEY SHARE
       ), kept AS (
         INSERT INTO sealeaf.chunk (blob, ix, body) SELECT id, $3::int4, $4::bytea FROM found
         ON CONFLICT DO NOTHING
       )
       SELECT EXISTS (SELECT FROM found) AS found`,
      spaceId,
      blobId,
      index,
      chunk,
    );
    return row?.found === true;
  }

  async readChunk(
    spaceId: Uint8Array,
    blobId: Uint8Array,
    index: number,
  ): Promise<Uint8Array | null> {
    const [row] = await this.#session.rows<{ body: Buffer }>(
      `SELECT body FROM sealeaf.chunk JOIN sealeaf.blob ON blob.id = chunk.blob
       WHERE space = ${theSpace} AND blob_id = $2 AND ix = $3`,
      spaceId,
      blobId,
      index,
    );
    return row === undefined ? null : bytes(row.body);
  }

  async listSpaces(
    afterSpaceId: Uint8Array,
    limit: number,
  ): Promise<readonly { spaceId: Uint8Array; deletedAt: number | null }[]> {
    const rows = await this.#session.rows<{ space_id: Buffer; deleted_at: string | null }>(
      `SELECT space_id, deleted_at FROM sealeaf.space
       WHERE space_id > $1 AND revision > 0 ORDER BY space_id LIMIT $2`,
      afterSpaceId,
      limit,
    );
    return rows.map((row) => ({
      spaceId: bytes(row.space_id),
      deletedAt: row.deleted_at === null ? null : Number(row.deleted_at),
    }));
  }

  async readDue(spaceId: Uint8Array, deadlines: Deadlines, limit: number): Promise<DueInSpace> {
    const [snapshots, drops, stubs, blobs] = await Promise.all([
      this.#session.rows<SnapshotColumns>(dueSnapshots, spaceId, deadlines.snapshots, limit),
      this.#session.rows<DocumentColumns>(
        `SELECT * FROM sealeaf.document WHERE space = ${theSpace}
           AND drop_pos > swept_pos AND last_at <= $2 ORDER BY last_at LIMIT $3`,
        spaceId,
        deadlines.drops,
        limit,
      ),
      this.#session.rows<{ pos: string }>(
        `SELECT pos FROM sealeaf.log WHERE space = ${theSpace}
           AND NOT is_control AND length(body) = 0 AND at <= $2 ORDER BY pos LIMIT $3`,
        spaceId,
        deadlines.stubs,
        limit,
      ),
      this.#session.rows<BlobColumns>(
        dueBlobs,
        spaceId,
        deadlines.droppedBlobs,
        deadlines.unfinishedBlobs,
        limit,
      ),
    ]);
    return {
      snapshots: snapshots.map(snapshotFrom),
      drops: drops.map(documentFrom),
      stubs: stubs.map(({ pos }) => Number(pos)),
      blobs: blobs.map(blobFrom),
    };
  }

  async readBodies(
    spaceId: Uint8Array,
    docId: Uint8Array | null,
    after: number,
    upTo: number,
    limit: number,
  ): Promise<readonly KeptBody[]> {
    const range = [spaceId, after, upTo, limit] as const;
    const rows =
      docId === null
        ? await this.#session.rows<BodyColumns>(bodies(""), ...range)
        : await this.#session.rows<BodyColumns>(bodies("AND doc_id = $5"), ...range, docId);
    return rows.map(bodyFrom);
  }

  /** The server gives room back by itself: autovacuum. */
  reclaim(): Promise<boolean> {
    return Promise.resolve(false);
  }

  async totalBytes(): Promise<number> {
    const [row] = await this.#session.rows<{ total: string }>(
      "SELECT coalesce(sum(counted_bytes), 0)::int8 AS total FROM sealeaf.space",
    );
    return Number(row?.total ?? 0);
  }

  async close(): Promise<void> {
    this.#session.shut();
    await this.neighbours.close();
    while (this.#flushing !== null) await this.#flushing;
    await this.#session.end();
  }

  async #flush(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) await this.#appendBatch(this.#nextBatch());
    this.#flushing = null;
  }

  #nextBatch(): readonly WaitingAppend[] {
    let size = 0;
    const end = this.#waiting.findIndex(({ writes }, ix) => {
      size += appendBytes(writes);
      const before = this.#waiting[ix - 1];
      if (before === undefined) return false;
      return ix >= maxBatchAppends || size > maxBatchBytes || forgets(before.writes);
    });
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : end);
  }

  async #appendBatch(batch: readonly WaitingAppend[]): Promise<void> {
    try {
      const parameters = appendParameters(
        this.#node,
        batch.map(({ writes }) => writes),
      );
      const [row] = await this.#session.write<{ refused: number[] }>(appendCall, parameters);
      const refused = new Set(row?.refused);
      for (const [ix, { resolve, reject }] of batch.entries()) {
        if (refused.has(ix)) reject(movedError());
        else resolve();
      }
      this.#refuseWhatWasBuiltOn(batch.filter((_, ix) => refused.has(ix)));
    } catch (error) {
      for (const { reject } of batch) reject(error);
      this.#refuseWhatWasBuiltOn(batch);
    }
  }

  /**
   * Nobody could know yet that these were not stored: what waits was decided on them. Its revision may
   * be the present one by chance, when another node has written as often.
   */
  #refuseWhatWasBuiltOn(failed: readonly WaitingAppend[]): void {
    const spoilt = new Set(failed.flatMap(({ writes }) => writes.map(spaceKeyOf)));
    const stands: WaitingAppend[] = [];
    for (const waiting of this.#waiting) {
      const keys = waiting.writes.map(spaceKeyOf);
      if (keys.some((key) => spoilt.has(key))) {
        for (const key of keys) spoilt.add(key);
        waiting.reject(movedError());
      } else {
        stands.push(waiting);
      }
    }
    this.#waiting = stands;
  }
}

function spaceKeyOf({ spaceId }: SpaceWrite): string {
  return toHex(spaceId);
}

function movedError(): StoreError {
  return new StoreError("moved", "the append failed: moved");
}

const theSpace = "(SELECT id FROM sealeaf.space WHERE space_id = $1)";

const isForgotten = "NOT is_control AND length(body) = 0";
const costOfBody = `CASE WHEN ${isForgotten} THEN ${stubItemBytes} ELSE size END`;
const costOfStub = `CASE WHEN is_control THEN size ELSE ${stubItemBytes} END`;

/**
 * The items of a query within the budget `$2`, in order, the first always. Sizes are summed before any
 * body is fetched; no item takes less than a stub.
 */
function pageOf(items: string, body: string, cost: string): string {
  return `
    SELECT ${itemColumns}, ${body} AS body
    FROM (
      SELECT *, ${cost} AS cost, sum(${cost}) OVER (ORDER BY pos) AS so_far
      FROM (${items}) AS item
      ORDER BY pos LIMIT $2::int8 / ${stubItemBytes} + 1
    ) AS page
    WHERE so_far = cost OR so_far <= $2::int8
    ORDER BY pos`;
}

const stretch = `
  SELECT * FROM sealeaf.log WHERE space = ${theSpace} AND pos > $3::int8 AND pos <= $4::int8`;
const logBodies = pageOf(stretch, "body", costOfBody);
const logStubs = pageOf(stretch, "CASE WHEN is_control THEN body END", costOfStub);

/** Positions of entries that the newest snapshot omits are at most the one it covers. */
const documentPage = pageOf(
  `WITH newest AS (
     SELECT covers_pos, omitted FROM sealeaf.snapshot
     WHERE space = ${theSpace} AND doc_id = $4 ORDER BY pos DESC LIMIT 1
   )
   SELECT * FROM sealeaf.log
   WHERE space = ${theSpace} AND doc_id = $4 AND NOT is_control
     AND pos > greatest($3::int8, coalesce((SELECT covers_pos FROM newest), 0))
   UNION ALL
   SELECT * FROM sealeaf.log
   WHERE space = ${theSpace} AND doc_id = $4 AND NOT is_control AND pos > $3::int8
     AND pos <= (SELECT covers_pos FROM newest)
     AND item_id = ANY ((SELECT omitted FROM newest)::bytea[])`,
  "body",
  costOfBody,
);

const controlPage = `
  SELECT pos, body
  FROM (
    SELECT pos, body, size, sum(size) OVER (ORDER BY pos) AS so_far
    FROM (
      SELECT pos, body, size FROM sealeaf.log
      WHERE space = ${theSpace} AND is_control ORDER BY pos OFFSET $3
    ) AS later
  ) AS page
  WHERE so_far = size OR so_far <= $2::int8
  ORDER BY pos`;

const listPage = `
  SELECT document.doc_id, last_pos, drop_pos, snapshot_pos, card.body AS card,
    tail.snapshot_size,
    tail.entries + omitted.entries - (newest.pos IS NOT NULL)::int AS tail_entries,
    tail.bytes + omitted.bytes - tail.snapshot_size AS tail_bytes
  FROM sealeaf.document
  LEFT JOIN sealeaf.card USING (space, doc_id)
  LEFT JOIN LATERAL (
    SELECT pos, covers_pos, omitted FROM sealeaf.snapshot
    WHERE space = document.space AND doc_id = document.doc_id AND document.snapshot_pos > 0
    ORDER BY pos DESC LIMIT 1
  ) AS newest ON true
  CROSS JOIN LATERAL (
    SELECT count(*) AS entries, coalesce(sum(size), 0) AS bytes,
      coalesce(sum(size) FILTER (WHERE pos = document.snapshot_pos), 0) AS snapshot_size
    FROM sealeaf.log
    WHERE space = document.space AND doc_id = document.doc_id AND NOT is_control
      AND pos > coalesce(newest.covers_pos, 0)
  ) AS tail
  CROSS JOIN LATERAL (
    SELECT count(*) AS entries, coalesce(sum(size), 0) AS bytes
    FROM sealeaf.log
    WHERE space = document.space AND doc_id = document.doc_id
      AND item_id = ANY (newest.omitted) AND pos <= newest.covers_pos
  ) AS omitted
  WHERE document.space = ${theSpace} AND document.doc_id > $2
  ORDER BY document.doc_id LIMIT $3`;

const dueSnapshots = `
  SELECT * FROM sealeaf.snapshot
  WHERE space = ${theSpace} AND at <= $2 AND doc_id IN (
    SELECT doc_id FROM sealeaf.snapshot JOIN sealeaf.document USING (space, doc_id)
    WHERE space = ${theSpace} AND at <= $2 AND pos > swept_pos
    GROUP BY doc_id HAVING count(*) > 1 LIMIT $3
  )
  ORDER BY pos`;

const dueBlobs = `
  SELECT * FROM sealeaf.blob
  WHERE space = ${theSpace} AND (
    dropped_at <= $2 OR (
      dropped_at IS NULL AND at <= $3
      AND (SELECT count(*) FROM sealeaf.chunk WHERE blob = blob.id) < cardinality(chunks)
    )
  )
  LIMIT $4`;

/** The writing device's key stands in the entry itself (docs/protocol.md, ENT-1). */
function bodies(which: string): string {
  return `
    SELECT ${itemColumns}, substr(body, 57, 32) AS dev_pub FROM sealeaf.log
    WHERE space = ${theSpace} AND NOT is_control AND length(body) > 0
      AND pos > $2 AND pos <= $3 ${which}
    ORDER BY pos LIMIT $4`;
}

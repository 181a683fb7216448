/**
 * The store on PostgreSQL, for several nodes: nothing of it is kept in a node's memory, so that any
 * node serves any space. Appends that arrive together, and those that arrive while a batch is
 * underway, are one call and one transaction; the row locks of its spaces make one order of what
 * all nodes write.
 */
import { Client, Pool, type PoolConfig } from "pg";
import { appendBytes, batchParameters } from "#relay/store/postgres-batch.ts";
import { isConnectionLoss, openingError, storeErrorOf } from "#relay/store/postgres-failure.ts";
import { prepareSchema } from "#relay/store/postgres-schema.ts";
import {
  StoreError,
  stubItemBytes,
  type LogItem,
  type Place,
  type SpaceWrite,
  type Store,
  type StoredSpace,
  type StoreIdentity,
} from "#relay/store/store.ts";

export interface PostgresStoreOptions {
  /** `postgres://user:password@host:port/database`, PostgreSQL 15 or later. */
  readonly address: string;
  /** Tells this process from all others on the database; without spaces. */
  readonly node: string;
}

const oldestVersion = 15;
const connectTimeoutMs = 5_000;
/** A statement of ours takes milliseconds: what takes longer waits for a lock or a lost network. */
const statementTimeoutMs = 15_000;
const readers = 8;
const maxBatchAppends = 500;
const maxBatchBytes = 4 << 20;

/** Opens or makes the store. Rejects with a {@link StoreError} a person understands. */
export async function openPostgresStore(options: PostgresStoreOptions): Promise<Store> {
  if (!URL.canParse(options.address)) {
    throw new StoreError(
      "unusable",
      "SEALEAF_STORE is an address like postgres://user:password@host:5432/database.",
    );
  }
  const place = placeIn(options.address);
  const connection = connectionTo(options.address);
  const client = new Client(connection);
  // A connection that breaks fails the call that uses it, which is where we look.
  client.on("error", () => undefined);
  try {
    await client.connect();
    await refuseUnfit(client, place);
    await prepareSchema(client);
  } catch (error) {
    throw openingError(error, place);
  } finally {
    await client.end().catch(() => undefined);
  }
  return new PostgresStore(connection, options.node);
}

interface WaitingAppend {
  readonly writes: readonly SpaceWrite[];
  readonly resolve: () => void;
  readonly reject: (error: StoreError) => void;
}

type Value = string | number | Uint8Array | Buffer;

class PostgresStore implements Store {
  readonly neighbours = null;
  readonly #node: string;
  readonly #readers: Pool;
  /** One connection: one batch at a time, and never behind a queue of reads. */
  readonly #writer: Pool;
  readonly #names = new Map<string, string>();
  #waiting: WaitingAppend[] = [];
  #flushing: Promise<void> | null = null;
  #isClosed = false;

  constructor(connection: PoolConfig, node: string) {
    this.#node = node;
    this.#readers = poolOf(connection, readers);
    this.#writer = poolOf(connection, 1);
  }

  async identity(fresh: StoreIdentity): Promise<StoreIdentity> {
    await this.#rows(
      "INSERT INTO sealeaf.identity (is_only, relay_secret, store_id) VALUES (true, $1, $2) ON CONFLICT DO NOTHING",
      fresh.relaySecret,
      fresh.storeId,
    );
    const [row] = await this.#rows<{ relay_secret: Buffer; store_id: Buffer }>(
      "SELECT relay_secret, store_id FROM sealeaf.identity",
    );
    if (row === undefined) throw new Error("an identity was just stored");
    return { relaySecret: bytes(row.relay_secret), storeId: bytes(row.store_id) };
  }

  async loadSpace(spaceId: Uint8Array): Promise<StoredSpace | null> {
    // One statement sees one moment.
    const rows = await this.#rows<SpacePart>(spaceParts, spaceId);
    return spaceFrom(rows);
  }

  append(writes: readonly SpaceWrite[]): Promise<void> {
    if (this.#isClosed) return Promise.reject(closedError());
    return new Promise((resolve, reject) => {
      this.#waiting.push({ writes, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  async positionOf(spaceId: Uint8Array, itemId: Uint8Array): Promise<Place | null> {
    const [row] = await this.#rows<{ pos: string; chain: Buffer }>(
      `SELECT pos, chain FROM sealeaf.log WHERE space = ${theSpace} AND item_id = $2`,
      spaceId,
      itemId,
    );
    return row === undefined ? null : { pos: Number(row.pos), chain: bytes(row.chain) };
  }

  async chainAt(spaceId: Uint8Array, pos: number): Promise<Uint8Array | null> {
    const [row] = await this.#rows<{ chain: Buffer }>(
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
    const rows = await this.#rows<ItemRow>(
      what === "bodies" ? logBodies : logStubs,
      spaceId,
      after,
      upTo,
      byteBudget,
    );
    return rows.map(readItem);
  }

  async readControls(
    spaceId: Uint8Array,
    fromSeq: number,
    byteBudget: number,
  ): Promise<readonly { pos: number; bytes: Uint8Array }[]> {
    const rows = await this.#rows<{ pos: string; body: Buffer }>(
      controls,
      spaceId,
      Math.max(0, fromSeq - 1),
      byteBudget,
    );
    return rows.map(({ pos, body }) => ({ pos: Number(pos), bytes: bytes(body) }));
  }

  async readCertificates(spaceId: Uint8Array): Promise<readonly Uint8Array[]> {
    const rows = await this.#rows<{ bytes: Buffer }>(
      `SELECT bytes FROM sealeaf.certificate WHERE space = ${theSpace} ORDER BY dev_pub, cap_pub`,
      spaceId,
    );
    return rows.map((row) => bytes(row.bytes));
  }

  readonly readDocuments = notKeptHere;
  readonly listDocuments = notKeptHere;
  readonly readDocument = notKeptHere;
  readonly readBlob = notKeptHere;
  readonly readBlobsOf = notKeptHere;
  readonly putChunk = notKeptHere;
  readonly readChunk = notKeptHere;
  readonly listSpaces = notKeptHere;
  readonly readDue = notKeptHere;
  readonly readBodies = notKeptHere;
  readonly reclaim = notKeptHere;

  async totalBytes(): Promise<number> {
    const [row] = await this.#rows<{ total: string }>(
      "SELECT coalesce(sum(counted_bytes), 0)::int8 AS total FROM sealeaf.space",
    );
    return Number(row?.total ?? 0);
  }

  async close(): Promise<void> {
    if (this.#isClosed) throw closedError();
    this.#isClosed = true;
    while (this.#flushing !== null) await this.#flushing;
    await Promise.all([this.#readers.end(), this.#writer.end()]);
  }

  /** Rows of a statement that may be repeated: once more, if the connection was lost meanwhile. */
  async #rows<Row extends object = object>(
    text: string,
    ...values: readonly Value[]
  ): Promise<Row[]> {
    if (this.#isClosed) throw closedError();
    const query = { name: this.#nameOf(text), text, values: values.map(parameter) };
    try {
      return (await this.#readers.query<Row>(query)).rows;
    } catch (error) {
      if (!isConnectionLoss(error)) throw storeErrorOf(error);
    }
    try {
      return (await this.#readers.query<Row>(query)).rows;
    } catch (error) {
      throw storeErrorOf(error);
    }
  }

  /** Named, a statement is parsed once per connection. */
  #nameOf(text: string): string {
    const known = this.#names.get(text) ?? `sealeaf_${this.#names.size}`;
    this.#names.set(text, known);
    return known;
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
      return ix > 0 && (ix >= maxBatchAppends || size > maxBatchBytes);
    });
    return this.#waiting.splice(0, end < 0 ? this.#waiting.length : end);
  }

  async #appendBatch(batch: readonly WaitingAppend[]): Promise<void> {
    try {
      const { rows } = await this.#writer.query<{ refused: number[] }>({
        name: "append",
        text: appendCall,
        values: [this.#node, ...batchParameters(batch.map(({ writes }) => writes))],
      });
      const refused = new Set(rows[0]?.refused);
      for (const [ix, { resolve, reject }] of batch.entries()) {
        if (refused.has(ix)) reject(new StoreError("moved", "the append failed: moved"));
        else resolve();
      }
    } catch (error) {
      const failure = storeErrorOf(error);
      for (const { reject } of batch) reject(failure);
    }
  }
}

const appendCall = `SELECT sealeaf.append_1(${Array.from({ length: 24 }, (_, ix) => `$${ix + 1}`).join(", ")}) AS refused`;

const theSpace = "(SELECT id FROM sealeaf.space WHERE space_id = $1)";

interface SpacePart {
  readonly part: "space" | "control" | "certificate" | "counter";
  readonly a: string;
  readonly b: string;
  readonly c: string;
  readonly x: Buffer;
  readonly y: Buffer | null;
  readonly z: Buffer | null;
}

// Revision 0 is a space another node is about to write for the first time.
const spaceParts = `
  WITH found AS (SELECT * FROM sealeaf.space WHERE space_id = $1 AND revision > 0)
  SELECT 'space' AS part, revision AS a, head AS b, counted_bytes AS c, genesis AS x, chain AS y,
    NULL::bytea AS z
  FROM found
  UNION ALL (
    SELECT 'control', pos, 0, 0, body, NULL, NULL FROM sealeaf.log
    WHERE space = (SELECT id FROM found) AND is_control ORDER BY pos
  )
  UNION ALL
  SELECT 'certificate', 0, 0, 0, dev_pub, cap_pub, bytes FROM sealeaf.certificate
  WHERE space = (SELECT id FROM found)
  UNION ALL
  SELECT 'counter', ctr, 0, 0, dev_pub, NULL, NULL FROM sealeaf.counter
  WHERE space = (SELECT id FROM found)`;

interface ItemRow {
  readonly pos: string;
  readonly is_control: boolean;
  readonly doc_id: Buffer;
  readonly entry_kind: number;
  readonly size: number;
  readonly item_id: Buffer;
  readonly body: Buffer | null;
}

const logBodies = logPage("body", "size");
const logStubs = logPage(
  "CASE WHEN is_control THEN body END",
  `CASE WHEN is_control THEN size ELSE ${stubItemBytes} END`,
);

/** Sizes are summed before any body is fetched; no item takes less than a stub. */
function logPage(body: string, cost: string): string {
  return `
    SELECT pos, is_control, doc_id, entry_kind, size, item_id, ${body} AS body
    FROM (
      SELECT *, ${cost} AS cost, sum(${cost}) OVER (ORDER BY pos) AS so_far
      FROM sealeaf.log
      WHERE space = ${theSpace} AND pos > $2 AND pos <= $3
      ORDER BY pos LIMIT $4::int8 / ${stubItemBytes} + 1
    ) AS page
    WHERE so_far = cost OR so_far <= $4::int8
    ORDER BY pos`;
}

const controls = `
  SELECT pos, body
  FROM (
    SELECT pos, body, size, sum(size) OVER (ORDER BY pos) AS so_far
    FROM (
      SELECT pos, body, size FROM sealeaf.log
      WHERE space = ${theSpace} AND is_control ORDER BY pos OFFSET $2
    ) AS later
  ) AS page
  WHERE so_far = size OR so_far <= $3::int8
  ORDER BY pos`;

function spaceFrom(rows: readonly SpacePart[]): StoredSpace | null {
  const space = rows.find(({ part }) => part === "space");
  if (space?.y === null || space === undefined) return null;
  return {
    genesis: bytes(space.x),
    revision: Number(space.a),
    head: Number(space.b),
    chain: bytes(space.y),
    base: 1,
    countedBytes: Number(space.c),
    deletedAt: null,
    controls: rows.flatMap(({ part, a, x }) =>
      part === "control" ? [{ pos: Number(a), bytes: bytes(x) }] : [],
    ),
    certificates: rows.flatMap(({ part, x, y, z }) =>
      part === "certificate" && y !== null && z !== null
        ? [{ devPub: bytes(x), capPub: bytes(y), bytes: bytes(z), at: 0 }]
        : [],
    ),
    counters: rows.flatMap(({ part, a, x }) =>
      part === "counter" ? [{ devPub: bytes(x), ctr: Number(a), countedBytes: 0, at: 0 }] : [],
    ),
  };
}

/** Documents, cards and blobs are kept by SQLite alone so far. */
function notKeptHere(): Promise<never> {
  return Promise.reject(new StoreError("failed", "PostgreSQL keeps no documents yet"));
}

function readItem(row: ItemRow): LogItem {
  return {
    pos: Number(row.pos),
    kind: row.is_control ? "control" : "entry",
    docId: bytes(row.doc_id),
    entryKind: row.entry_kind,
    size: row.size,
    itemId: bytes(row.item_id),
    body: row.body === null ? null : bytes(row.body),
  };
}

/** The same memory without the driver's class. */
function bytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

function parameter(value: Value): string | number | Buffer {
  if (typeof value === "string" || typeof value === "number") return value;
  return Buffer.from(value.buffer, value.byteOffset, value.length);
}

/** What every node needs of a session, whatever the server's or the database's defaults are. */
const sessionOptions = "-c default_transaction_isolation=read\\ committed -c jit=off";

function connectionTo(address: string): PoolConfig {
  return {
    connectionString: address,
    application_name: "sealeaf-relay",
    options: sessionOptions,
    connectionTimeoutMillis: connectTimeoutMs,
    statement_timeout: statementTimeoutMs,
    // On this side's clock: a server that has gone without a word times nothing out.
    query_timeout: statementTimeoutMs + connectTimeoutMs,
    keepAlive: true,
  };
}

function poolOf(connection: PoolConfig, max: number): Pool {
  const pool = new Pool({ ...connection, max });
  // An idle connection that breaks is replaced by the next call.
  pool.on("error", () => undefined);
  return pool;
}

async function refuseUnfit(client: Client, place: string): Promise<void> {
  const { rows } = await client.query<{ version: number; standby: boolean }>(
    "SELECT current_setting('server_version_num')::int4 / 10000 AS version, pg_is_in_recovery() AS standby",
  );
  const [found] = rows;
  if (found === undefined) throw new Error("a statement that always has a row");
  if (found.version < oldestVersion) {
    throw new StoreError(
      "unusable",
      `The database ${place} is PostgreSQL ${found.version}: the relay needs ${oldestVersion} or later.`,
    );
  }
  if (found.standby) {
    throw new StoreError(
      "unusable",
      `The database ${place} is a standby, which takes no writes: name the primary in SEALEAF_STORE.`,
    );
  }
}

/** Where an address leads, without user and password. */
function placeIn(address: string): string {
  const { hostname, port, pathname } = new URL(address);
  return `${hostname}:${port === "" ? "5432" : port}${pathname}`;
}

function closedError(): StoreError {
  return new StoreError("closed", "the store is closed");
}

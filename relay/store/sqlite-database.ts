/**
 * The default store's tables and statements, synchronous: the worker (sqlite-worker.ts) runs them off
 * the event loop. One transaction holds every write that arrived together, and one fsync makes
 * them durable (WAL, synchronous=FULL).
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  DatabaseSync,
  type DatabaseSyncInstance,
  type StatementSyncInstance,
} from "@photostructure/sqlite";
import { toHex } from "#relay/protocol/bytes.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import {
  StoreError,
  stubItemBytes,
  type LogItem,
  type Place,
  type SpaceWrite,
  type StoredSpace,
  type StoreFailure,
  type StoreIdentity,
} from "#relay/store/store.ts";

const databaseFile = "relay.db";
const lockFile = "relay.lock";
const schemaVersion = 1;

const schema = `
  CREATE TABLE identity (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    relay_secret BLOB NOT NULL,
    store_id BLOB NOT NULL
  ) STRICT;
  CREATE TABLE space (
    id INTEGER PRIMARY KEY,
    space_id BLOB NOT NULL UNIQUE,
    genesis BLOB NOT NULL,
    revision INTEGER NOT NULL,
    head INTEGER NOT NULL,
    chain BLOB NOT NULL,
    counted_bytes INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE log (
    space INTEGER NOT NULL REFERENCES space (id),
    pos INTEGER NOT NULL,
    is_control INTEGER NOT NULL,
    doc_id BLOB NOT NULL,
    entry_kind INTEGER NOT NULL,
    size INTEGER NOT NULL,
    item_id BLOB NOT NULL,
    chain BLOB NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (space, pos)
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX log_item ON log (space, item_id);
  CREATE INDEX log_control ON log (space, pos) WHERE is_control = 1;
  CREATE TABLE certificate (
    space INTEGER NOT NULL REFERENCES space (id),
    dev_pub BLOB NOT NULL,
    cap_pub BLOB NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (space, dev_pub, cap_pub)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE counter (
    space INTEGER NOT NULL REFERENCES space (id),
    dev_pub BLOB NOT NULL,
    ctr INTEGER NOT NULL,
    PRIMARY KEY (space, dev_pub)
  ) STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${schemaVersion};
`;

/** Outcome of one append of a batch: null when stored. */
export type AppendOutcome = StoreFailure | null;

type Row = Record<string, unknown>;

export class SqliteDatabase {
  readonly #lock: DatabaseSyncInstance;
  readonly #db: DatabaseSyncInstance;
  readonly #statements = new Map<string, StatementSyncInstance>();
  readonly #spaceIds = new Map<string, number>();

  /** Opens or makes the store in a directory. Throws a {@link StoreError} that a person understands. */
  constructor(dir: string) {
    try {
      mkdirSync(dir, { recursive: true, mode: 0o700 });
      this.#lock = new DatabaseSync(join(dir, lockFile));
    } catch {
      throw new StoreError("unusable", `The data directory ${dir} cannot be written.`);
    }
    try {
      // A lock of the operating system: it ends with the process, however that ends.
      this.#lock.exec("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE");
    } catch (error) {
      this.#lock.close();
      const why =
        sqliteCodeOf(error) === sqliteBusy ? "is in use by another relay" : "cannot be written";
      throw new StoreError("unusable", `The data directory ${dir} ${why}.`);
    }
    try {
      this.#db = new DatabaseSync(join(dir, databaseFile));
      this.#prepare();
    } catch (error) {
      this.#lock.close();
      if (error instanceof StoreError) throw error;
      throw new StoreError(
        "unusable",
        `The store in ${dir} cannot be opened (${failureOf(error)}).`,
      );
    }
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
      countedBytes: number(row, "counted_bytes"),
      controls: this.#all(
        "SELECT pos, body FROM log WHERE space = ? AND is_control = 1 ORDER BY pos",
        id,
      ).map(readControl),
      certificates: this.#all("SELECT * FROM certificate WHERE space = ?", id).map((found) => ({
        devPub: blob(found, "dev_pub"),
        capPub: blob(found, "cap_pub"),
        bytes: blob(found, "bytes"),
      })),
      counters: this.#all("SELECT * FROM counter WHERE space = ?", id).map((found) => ({
        devPub: blob(found, "dev_pub"),
        ctr: number(found, "ctr"),
      })),
    };
  }

  /**
   * One transaction for all appends. One that was decided on another revision is left out and named
   * `moved`; anything else that goes wrong undoes and fails all of them.
   */
  appendAll(appends: readonly (readonly SpaceWrite[])[]): AppendOutcome[] {
    try {
      this.#db.exec("BEGIN IMMEDIATE");
      const outcomes = appends.map((writes) => this.#append(writes));
      this.#db.exec("COMMIT");
      return outcomes;
    } catch (error) {
      this.#rollBack();
      const failure = failureOf(error);
      return appends.map(() => failure);
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
      `SELECT pos, is_control, doc_id, entry_kind, size, item_id, ${body}
       FROM log WHERE space = ? AND pos > ? AND pos <= ? ORDER BY pos`,
      id,
      after,
      upTo,
    );
    return withinBudget(rows, byteBudget, readItem, (item) =>
      item.body === null ? stubItemBytes : item.body.length,
    );
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

  totalBytes(): number {
    const row = this.#get("SELECT coalesce(sum(counted_bytes), 0) AS total FROM space");
    return row === undefined ? 0 : number(row, "total");
  }

  close(): void {
    this.#db.close();
    this.#lock.close();
  }

  #prepare(): void {
    this.#db.exec(`
      PRAGMA busy_timeout = 5000;
      PRAGMA page_size = 8192;
      PRAGMA auto_vacuum = INCREMENTAL;
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      PRAGMA foreign_keys = ON;
      PRAGMA cache_size = -65536;
      PRAGMA wal_autocheckpoint = 4000;
    `);
    const version = number(this.#get("PRAGMA user_version") ?? {}, "user_version");
    if (version > schemaVersion) {
      throw new StoreError(
        "unusable",
        "The store was written by a newer relay: start that one, or restore a backup of this one.",
      );
    }
    if (version === 0) this.#db.exec(`BEGIN IMMEDIATE; ${schema} COMMIT;`);
  }

  #append(writes: readonly SpaceWrite[]): AppendOutcome {
    const isCurrent = writes.every(
      ({ spaceId, revision }) => this.#revisionOf(spaceId) === revision,
    );
    if (!isCurrent) return "moved";
    for (const write of writes) this.#write(write);
    return null;
  }

  #revisionOf(spaceId: Uint8Array): number {
    const row = this.#get("SELECT revision FROM space WHERE space_id = ?", spaceId);
    return row === undefined ? 0 : number(row, "revision");
  }

  #write(write: SpaceWrite): void {
    this.#run(
      `INSERT INTO space (space_id, genesis, revision, head, chain, counted_bytes)
       VALUES (?, ?, ?, ?, ?, ?)
       ON CONFLICT (space_id) DO UPDATE SET revision = excluded.revision, head = excluded.head,
         chain = excluded.chain, counted_bytes = excluded.counted_bytes`,
      write.spaceId,
      write.genesis,
      write.revision + 1,
      write.head,
      write.chain,
      write.countedBytes,
    );
    const id = this.#idOf(write.spaceId);
    for (const row of write.rows) {
      this.#run(
        `INSERT INTO log (space, pos, is_control, doc_id, entry_kind, size, item_id, chain, body)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        id,
        row.pos,
        row.kind === "control" ? 1 : 0,
        row.kind === "control" ? noDocument : row.docId,
        row.entryKind,
        row.bytes.length,
        row.itemId,
        row.chain,
        row.bytes,
      );
    }
    for (const { devPub, capPub, bytes } of write.certificates) {
      this.#run(
        "INSERT INTO certificate (space, dev_pub, cap_pub, bytes) VALUES (?, ?, ?, ?)",
        id,
        devPub,
        capPub,
        bytes,
      );
    }
    const lastCounters = new Map(write.counters.map((counter) => [toHex(counter.devPub), counter]));
    for (const { devPub, ctr } of lastCounters.values()) {
      this.#run(
        `INSERT INTO counter (space, dev_pub, ctr) VALUES (?, ?, ?)
         ON CONFLICT (space, dev_pub) DO UPDATE SET ctr = excluded.ctr`,
        id,
        devPub,
        ctr,
      );
    }
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
const sqliteBusy = 5;

function sqliteCodeOf(error: unknown): number | null {
  if (!(error instanceof Error) || !("errcode" in error)) return null;
  // The low byte of an extended code is the code.
  return typeof error.errcode === "number" ? error.errcode & 0xff : null;
}

function failureOf(error: unknown): StoreFailure {
  return sqliteCodeOf(error) === sqliteFull ? "full" : "failed";
}

function readItem(row: Row): LogItem {
  const body = row["body"];
  return {
    pos: number(row, "pos"),
    kind: number(row, "is_control") === 1 ? "control" : "entry",
    docId: blob(row, "doc_id"),
    entryKind: number(row, "entry_kind"),
    size: number(row, "size"),
    itemId: blob(row, "item_id"),
    body: body instanceof Uint8Array ? body : null,
  };
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

/** Items until the budget is spent; the first one always. */
function withinBudget<T>(
  rows: Iterable<Row>,
  byteBudget: number,
  read: (row: Row) => T,
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

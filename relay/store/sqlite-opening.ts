/** Opening the default store's files: as the one relay that serves them, or beside it. */
import { closeSync, existsSync, mkdirSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync, type DatabaseSyncInstance } from "@photostructure/sqlite";
import { migrate, schemaVersion } from "#relay/store/sqlite-schema.ts";
import { StoreError } from "#relay/store/store.ts";

export interface OpenedStore {
  readonly db: DatabaseSyncInstance;
  /** What keeps other relays out; null beside the one that serves. */
  readonly lock: DatabaseSyncInstance | null;
}

const databaseFile = "relay.db";
const lockFile = "relay.lock";

export function databasePathIn(dir: string): string {
  return join(dir, databaseFile);
}

/** Opens or makes the store in a directory. Throws a {@link StoreError} that a person understands. */
export function openToServe(dir: string): OpenedStore {
  let lock: DatabaseSyncInstance;
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    lock = new DatabaseSync(join(dir, lockFile));
  } catch {
    throw new StoreError("unusable", `The data directory ${dir} cannot be written.`);
  }
  try {
    // A lock of the operating system: it ends with the process, however that ends.
    lock.exec("PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE");
  } catch (error) {
    lock.close();
    const why =
      sqliteCodeOf(error) === sqliteBusy ? "is in use by another relay" : "cannot be written";
    throw new StoreError("unusable", `The data directory ${dir} ${why}.`);
  }
  let db: DatabaseSyncInstance | null = null;
  try {
    db = new DatabaseSync(databasePathIn(dir));
    prepare(db);
    return { db, lock };
  } catch (error) {
    db?.close();
    lock.close();
    if (error instanceof StoreError) throw error;
    throw new StoreError("unusable", `The store in ${dir} cannot be opened: ${whyOf(error)}.`);
  }
}

/**
 * Opens a store's file, or a backup, also while a relay serves it. It is never made and its tables are
 * never changed. Throws a {@link StoreError} that a person understands.
 */
export function openBeside(path: string, purpose: "read" | "write"): OpenedStore {
  if (!existsSync(path)) throw new StoreError("unusable", `There is no store at ${path}.`);
  if (!isSqliteFile(path)) throw new StoreError("unusable", `${path} is not a relay's store.`);
  let db: DatabaseSyncInstance | null = null;
  try {
    db = new DatabaseSync(path);
    db.exec("PRAGMA busy_timeout = 10000; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
    // Not opened read-only: who reads beside a writer takes part in its shared memory.
    if (purpose === "read") db.exec("PRAGMA query_only = ON");
    refuseOtherVersions(db, path);
    return { db, lock: null };
  } catch (error) {
    db?.close();
    if (error instanceof StoreError) throw error;
    throw new StoreError("unusable", `${path} cannot be opened: ${whyOf(error)}.`);
  }
}

function prepare(db: DatabaseSyncInstance): void {
  db.exec(`
    PRAGMA busy_timeout = 5000;
    PRAGMA page_size = 8192;
    PRAGMA auto_vacuum = INCREMENTAL;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA cache_size = -65536;
    PRAGMA wal_autocheckpoint = 4000;
      PRAGMA secure_delete = FAST;
  `);
  migrate(db);
}

function refuseOtherVersions(db: DatabaseSyncInstance, path: string): void {
  const version = schemaVersion.of(db);
  if (version === 0) throw new StoreError("unusable", `${path} is not a relay's store.`);
  if (version === schemaVersion.here) return;
  const advice =
    version > schemaVersion.here
      ? "a newer relay: use that one's command"
      : "an older relay: start this one on it once, which brings it up to date";
  throw new StoreError("unusable", `The store at ${path} was written by ${advice}.`);
}

const magic = "SQLite format 3\0";

function isSqliteFile(path: string): boolean {
  try {
    const file = openSync(path, "r");
    const head = Buffer.alloc(magic.length);
    readSync(file, head, 0, head.length, 0);
    closeSync(file);
    return head.toString("latin1") === magic;
  } catch {
    return false;
  }
}

const sqliteBusy = 5;

export function sqliteCodeOf(error: unknown): number | null {
  if (!(error instanceof Error) || !("errcode" in error)) return null;
  // The low byte of an extended code is the code.
  return typeof error.errcode === "number" ? error.errcode & 0xff : null;
}

function whyOf(error: unknown): string {
  return error instanceof Error ? error.message : "it is damaged";
}

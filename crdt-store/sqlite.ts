import type { SqlJsStatement } from "sql.js";

import type { EngineDatabase, SqliteEngine } from "./files/engine.ts";
import type { DatabaseFile } from "./files/database-file.ts";
import type { FileSet } from "./files/file.ts";
import type { PageCodec } from "./files/page-codec.ts";
import { StoreError } from "./store-error.ts";

/** What a column holds. Numbers are integers of at most 53 bits, or times in ms since 1970. */
export type SqlValue = string | number | Uint8Array | null;

/** The main file while it stands still: a whole database. */
export interface HeldMainFile {
  /** In clear, in whole pages. A page that is not authentic is a {@link import("./files/database-file.ts").FileFault}. */
  readonly file: Pick<DatabaseFile, "read" | "size">;
  release(): void;
}

const cacheKiB = 8 * 1024;
// A tab that closes leaves its log, and the next opening authenticates all of it: half of SQLite's 1,000 pages and less.
const loggedPages = 400;

/**
 * One open database: the only connection to its files. Everything is synchronous and every failure of SQLite or of the
 * files is a {@link StoreError}.
 */
export class Sqlite {
  readonly #database: EngineDatabase;
  readonly #isEncrypted: boolean;
  readonly #statements = new Map<string, CachedStatement>();
  readonly #rollbackListeners: (() => void)[] = [];
  readonly #fullListeners: (() => void)[] = [];
  #depth = 0;
  #hasFailedInside = false;
  #isFull = false;
  #flushesWhenFull = 0;
  /** What made SQLite end the transaction under way: the statements that follow would be outside of it. */
  #ended: StoreError | null = null;
  #isMainFileHeld = false;

  private constructor(database: EngineDatabase, isEncrypted: boolean) {
    this.#database = database;
    this.#isEncrypted = isEncrypted;
  }

  /**
   * Opens the database in `files`, or creates it in empty ones. If opening fails the files keep every byte; they stay
   * open in any case and belong to the caller.
   */
  static open(options: {
    readonly engine: SqliteEngine;
    readonly files: FileSet;
    readonly codec: PageCodec | null;
  }): Sqlite {
    const database = openFiles(options.engine, options.files, options.codec);
    const sqlite = new Sqlite(database, options.codec !== null);
    try {
      // First, or SQLite would want shared memory for the index of its log.
      sqlite.run("PRAGMA locking_mode=EXCLUSIVE");
      // Reads page 1 whole, which also proves the key, and replays the log into the index.
      sqlite.get("SELECT count(*) AS entries FROM sqlite_schema");
      sqlite.#requireLogMode();
      sqlite.#requireWholeLog();
      database.allowWrites();
      sqlite.run("PRAGMA synchronous=FULL");
      sqlite.run("PRAGMA foreign_keys=ON");
      sqlite.run("PRAGMA secure_delete=ON");
      sqlite.run("PRAGMA temp_store=MEMORY");
      sqlite.run(`PRAGMA cache_size=-${cacheKiB}`);
      sqlite.run(`PRAGMA wal_autocheckpoint=${loggedPages}`);
      return sqlite;
    } catch (error) {
      sqlite.abandon();
      throw error;
    }
  }

  /** All rows, one property per column. `Row` is what the SQL selects; blobs are copies. */
  all<Row extends Record<keyof Row, SqlValue>>(
    sql: string,
    params: readonly SqlValue[] = [],
  ): Row[] {
    return this.#with(sql, params, (cached) => {
      const rows: Row[] = [];
      while (cached.statement.step()) rows.push(cached.row());
      return rows;
    });
  }

  /** The first row, if any. */
  get<Row extends Record<keyof Row, SqlValue>>(
    sql: string,
    params: readonly SqlValue[] = [],
  ): Row | undefined {
    return this.#with(sql, params, (cached) =>
      cached.statement.step() ? cached.row<Row>() : undefined,
    );
  }

  /** Runs one statement; returns how many rows the latest INSERT, UPDATE or DELETE changed. */
  run(sql: string, params: readonly SqlValue[] = []): number {
    return this.#with(sql, params, (cached) => {
      while (cached.statement.step());
      return this.#database.rowsModified();
    });
  }

  /** Runs several statements without parameters. */
  script(sql: string): void {
    try {
      this.#database.exec(sql);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /**
   * Runs `act` in one transaction: all of it is durable when this returns, or none if it throws. Inside another
   * transaction it joins that one, which can then no longer commit once `act` has thrown.
   */
  transaction<Result>(act: () => Result): Result {
    if (this.#depth > 0) return this.#join(act);
    this.run("BEGIN IMMEDIATE");
    this.#depth = 1;
    this.#hasFailedInside = false;
    try {
      const result = act();
      if (this.#ended !== null) throw this.#ended;
      if (this.#hasFailedInside)
        throw new Error("a part of the transaction failed; it cannot commit");
      this.run("COMMIT");
      return result;
    } catch (error) {
      this.#rollBack();
      throw error;
    } finally {
      this.#depth = 0;
    }
  }

  get isInTransaction(): boolean {
    return this.#depth > 0;
  }

  /** Reads every page; throws {@link StoreError} `corrupt` unless all of it is sound. */
  checkIntegrity(): void {
    const found = this.all<{ integrity_check: string }>("PRAGMA integrity_check");
    const [first] = found.map((row) => row.integrity_check);
    if (first !== "ok") throw corrupt(new Error(first));
  }

  /**
   * Puts the log into the main file, which from then on is whole by itself and stays as it is, whatever is written,
   * until it is released. Throws inside a transaction, and while it is held already.
   */
  holdMainFile(): HeldMainFile {
    if (this.#depth > 0 || this.#isMainFileHeld)
      throw new Error("the main file cannot be held now");
    const done = this.get<{ busy: number }>("PRAGMA wal_checkpoint(TRUNCATE)");
    if (done?.busy !== 0) throw new Error("the log could not be emptied");
    this.run("PRAGMA wal_autocheckpoint=0");
    this.#isMainFileHeld = true;
    return {
      file: this.#database.mainFile,
      release: () => {
        this.run(`PRAGMA wal_autocheckpoint=${loggedPages}`);
        this.#isMainFileHeld = false;
      },
    };
  }

  /** Puts the log into the main file and cuts it to nothing; false while the main file is held. Throws in a transaction. */
  emptyLog(): boolean {
    if (this.#depth > 0) throw new Error("the log cannot be emptied inside a transaction");
    if (this.#isMainFileHeld) return false;
    return this.get<{ busy: number }>("PRAGMA wal_checkpoint(TRUNCATE)")?.busy === 0;
  }

  /** Writes the database anew without its unused pages, in one commit; false while the main file is held. */
  shrink(): boolean {
    if (this.#depth > 0) throw new Error("files cannot be shortened inside a transaction");
    if (this.#isMainFileHeld) return false;
    this.run("VACUUM");
    return this.emptyLog();
  }

  /** Calls `listener` after every transaction that did not commit: what was read in it is void. */
  onRollback(listener: () => void): void {
    this.#rollbackListeners.push(listener);
  }

  /** Whether the last write failed for want of room; the next commit that reaches the disk clears it. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Calls `listener` whenever {@link isFull} has changed, in the middle of a statement: it must not use the database. */
  onFullChange(listener: () => void): void {
    this.#fullListeners.push(listener);
  }

  /** Pages whose authentication failed since opening. */
  tagFailures(): number {
    return this.#database.health.tagFailures;
  }

  /** Closes SQLite; the files stay open and belong to the caller. */
  close(): void {
    this.#freeStatements();
    this.#database.close();
  }

  /** Closes SQLite without writing anything: the log stays as it is, for whoever opens these files next. */
  abandon(): void {
    this.#database.forbidWrites();
    try {
      this.close();
    } catch {
      // SQLite could not empty its log, as it was meant not to.
    }
  }

  #join<Result>(act: () => Result): Result {
    this.#depth += 1;
    try {
      return act();
    } catch (error) {
      this.#hasFailedInside = true;
      throw error;
    } finally {
      this.#depth -= 1;
    }
  }

  #rollBack(): void {
    try {
      this.#database.exec("ROLLBACK");
    } catch (error) {
      // A full disk or an I/O error has already made SQLite roll back by itself.
      if (!textOf(error).includes("no transaction is active")) throw this.#failure(error);
    } finally {
      this.#ended = null;
      for (const listener of this.#rollbackListeners) listener();
    }
  }

  #requireLogMode(): void {
    const mode = this.get<{ journal_mode: string }>("PRAGMA journal_mode")?.journal_mode;
    if (mode !== "wal") throw new Error(`the database is in ${mode} mode instead of WAL`);
  }

  #requireWholeLog(): void {
    const { log = 0 } = this.get<{ log: number }>("PRAGMA wal_checkpoint(NOOP)") ?? {};
    if (this.#database.isLogDamaged(log)) {
      throw corrupt(new Error("frames of the log are damaged that had been flushed"));
    }
  }

  #with<Result>(
    sql: string,
    params: readonly SqlValue[],
    use: (cached: CachedStatement) => Result,
  ): Result {
    if (this.#ended !== null) throw this.#ended;
    try {
      const cached = this.#statement(sql);
      try {
        cached.statement.bind(params);
        return use(cached);
      } finally {
        cached.statement.reset();
        if (this.#isFull) this.#noticeRoom();
      }
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #noticeRoom(): void {
    if (this.#database.health.logFlushes > this.#flushesWhenFull) this.#setFull(false);
  }

  #setFull(isFull: boolean): void {
    this.#flushesWhenFull = this.#database.health.logFlushes;
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    for (const listener of this.#fullListeners) listener();
  }

  // The texts are constants of the classes above, so the cache has as many entries as the code has statements.
  #statement(sql: string): CachedStatement {
    let cached = this.#statements.get(sql);
    if (cached === undefined) {
      cached = new CachedStatement(this.#database.prepare(sql));
      this.#statements.set(sql, cached);
    }
    return cached;
  }

  #freeStatements(): void {
    for (const { statement } of this.#statements.values()) statement.free();
    this.#statements.clear();
  }

  #failure(error: unknown): unknown {
    const text = textOf(error);
    const { health } = this.#database;
    const cause = health.lastError ?? error;
    if (error instanceof StoreError) return error;
    // Where a full disk is met in a read or a flush, SQLite has no words for it.
    const isFull = text.includes("disk I/O error") && health.diskFull;
    health.diskFull = false;
    if (isFull || text.includes("database or disk is full")) {
      const full = new StoreError(
        "disk-full",
        "This device is out of space, so this was not saved. What was saved before is safe, and reading and copying go on: free some space and try again.",
        error,
      );
      if (this.#depth > 0) this.#ended = full;
      this.#setFull(true);
      return full;
    }
    const isDamage = ["not a database", "disk I/O error", "malformed"].some((part) =>
      text.includes(part),
    );
    if (!isDamage) return error;
    if (health.tagFailures > 0) return health.pagesOpened === 0 ? wrongKey(cause) : corrupt(cause);
    if (text.includes("not a database") && !this.#isEncrypted) return wrongKey(error);
    if (!text.includes("disk I/O error")) return corrupt(error);
    return new StoreError(
      "io",
      "This device could not read or write its notes. What was saved before is untouched: reload, and check the disk if it happens again.",
      cause,
    );
  }
}

class CachedStatement {
  readonly statement: SqlJsStatement;
  #columns: string[] | undefined;

  constructor(statement: SqlJsStatement) {
    this.statement = statement;
  }

  row<Row>(): Row {
    this.#columns ??= this.statement.getColumnNames();
    const values = this.statement.get();
    const row: Record<string, SqlValue> = {};
    for (let index = 0; index < this.#columns.length; index += 1) {
      row[this.#columns[index] ?? ""] = values[index] ?? null;
    }
    // Rows have the columns that the SQL names; the caller declares their types.
    return row as Row;
  }
}

function openFiles(engine: SqliteEngine, files: FileSet, codec: PageCodec | null): EngineDatabase {
  try {
    return engine.open(files, codec);
  } catch (error) {
    if (error instanceof StoreError) throw error;
    throw new StoreError(
      "io",
      "The files of your notes could not be read or written. Nothing was deleted: reload, and check the disk if it happens again.",
      error,
    );
  }
}

function wrongKey(cause: unknown): StoreError {
  return new StoreError(
    "wrong-key",
    "The notes on this device do not open with this key. Nothing was changed: unlock with the right passphrase, or use the browser profile they were written in.",
    cause,
  );
}

function corrupt(cause: unknown): StoreError {
  return new StoreError(
    "corrupt",
    "The notes on this device are damaged. Nothing was deleted: copy the files, then restore a backup or join again from another device.",
    cause,
  );
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

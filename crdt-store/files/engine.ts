// Whoever imports this file needs the declarations too, whatever its own tsconfig includes.
// oxlint-disable-next-line typescript/triple-slash-reference
/// <reference path="./sql-js.d.ts" />
import initSqlJs, { type SqlJs, type SqlJsDatabase, type SqlJsStatement } from "sql.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";

import { StoreError } from "../store-error.ts";
import { createDatabase } from "./creation.ts";
import type { DatabaseFile, FileHealth } from "./database-file.ts";
import type { FileSet } from "./file.ts";
import { importModule, importNames, memoryExport, wasmSha256 } from "./import-map.ts";
import { isLogDamaged } from "./log-damage.ts";
import { MemoryFiles } from "./memory.ts";
import { nobleCipher, type PageCipherOf } from "./page-cipher.ts";
import { createPageCodec, type PageCodec } from "./page-codec.ts";
import { Syscalls, type Attachment } from "./syscalls.ts";

/** A database open on real files. Its errors are SQLite's texts; `health` says what stood behind them. */
export class EngineDatabase {
  readonly health: FileHealth;
  readonly #database: SqlJsDatabase;
  readonly #attachment: Attachment;

  constructor(database: SqlJsDatabase, attachment: Attachment) {
    this.#database = database;
    this.#attachment = attachment;
    this.health = attachment.files.health;
  }

  /** Until this is called nothing reaches the files, not even when the database is closed. */
  allowWrites(): void {
    this.#attachment.files.writable = true;
  }

  /** From here on nothing reaches the files any more. */
  forbidWrites(): void {
    this.#attachment.files.writable = false;
  }

  /** The main file as SQLite sees it: pages in clear. */
  get mainFile(): DatabaseFile {
    return this.#attachment.files.main;
  }

  /** Whether the log, of which SQLite has recovered so many frames, has lost more than a power cut takes. */
  isLogDamaged(recoveredFrames: number): boolean {
    return isLogDamaged(this.#attachment.files.wal, this.#attachment.files.main, recoveredFrames);
  }

  exec(sql: string): void {
    this.#database.exec(sql);
  }

  prepare(sql: string): SqlJsStatement {
    return this.#database.prepare(sql);
  }

  rowsModified(): number {
    return this.#database.getRowsModified();
  }

  /** Closes SQLite, which empties the log into the main file; the file handles stay open. */
  close(): void {
    try {
      this.#database.close();
    } finally {
      this.#attachment.detach();
    }
  }
}

/** SQLite itself: one wasm instance, any number of databases. */
export class SqliteEngine {
  /** What seals pages fastest here; the self-test has compared it with the portable one. */
  readonly cipher: PageCipherOf;
  readonly #sqlJs: SqlJs;
  readonly #syscalls: Syscalls;

  constructor(sqlJs: SqlJs, syscalls: Syscalls, cipher: PageCipherOf) {
    this.cipher = cipher;
    this.#sqlJs = sqlJs;
    this.#syscalls = syscalls;
  }

  /** Opens the database in `files`, creating an empty one in empty files. It is read-only until `allowWrites`. */
  open(files: FileSet, codec: PageCodec | null): EngineDatabase {
    createDatabase(files, codec);
    const attachment = this.#syscalls.attach(files, codec);
    try {
      // The empty array makes sql.js put a placeholder into its own files, which `close` then finds to delete.
      const database = new this.#sqlJs.Database(new Uint8Array(0));
      if (!attachment.isClaimed()) throw new Error("SQLite opened no database on the given files");
      return new EngineDatabase(database, attachment);
    } catch (error) {
      attachment.detach();
      throw error;
    }
  }
}

export interface EngineOptions {
  /** sql.js's `sql-wasm.wasm` (or `sql-wasm-browser.wasm`, the same file), as bytes or compiled. */
  readonly wasm: Uint8Array | WebAssembly.Module;
  readonly random: (count: number) => Uint8Array;
  /** By default the portable one. */
  readonly cipher?: PageCipherOf;
}

// The one exception to "module scope holds constants only": sql.js's glue is itself a singleton of the realm, and its
// promise never settles after a failed instantiation.
let engineOfRealm: Promise<SqliteEngine> | undefined;

/**
 * Loads SQLite and tries it on files in memory. Once loaded, later calls answer the same engine.
 * Throws {@link StoreError} `self-test-failed` if the wasm is not the expected one or does not work: no user data may be
 * opened then.
 */
export function loadEngine(options: EngineOptions): Promise<SqliteEngine> {
  engineOfRealm ??= startEngine(options);
  return engineOfRealm;
}

async function startEngine({
  wasm,
  random,
  cipher = nobleCipher,
}: EngineOptions): Promise<SqliteEngine> {
  try {
    const module = await compile(wasm);
    checkModule(module);
    const engine = await instantiate(module, cipher);
    runSelfTest(engine, random);
    return engine;
  } catch (error) {
    throw new StoreError(
      "self-test-failed",
      "The database engine did not pass its check, so your notes were not opened and not changed. Reload, or update your browser; if it happens again, please report it.",
      error,
    );
  }
}

async function compile(wasm: Uint8Array | WebAssembly.Module): Promise<WebAssembly.Module> {
  if (wasm instanceof WebAssembly.Module) return wasm;
  const found = bytesToHex(sha256(wasm));
  if (found !== wasmSha256) throw new Error(`unknown sql.js wasm ${found}`);
  // Bytes of a file or a response are never shared memory.
  return WebAssembly.compile(wasm as Uint8Array<ArrayBuffer>);
}

// A module compiled while streaming has no bytes to hash; its names and kinds must do, and the self-test after them.
function checkModule(module: WebAssembly.Module): void {
  const imports = new Set(
    WebAssembly.Module.imports(module)
      .filter((entry) => entry.module === importModule && entry.kind === "function")
      .map((entry) => entry.name),
  );
  for (const [name, letter] of Object.entries(importNames)) {
    if (!imports.has(letter)) throw new Error(`the wasm does not import ${letter} (${name})`);
  }
  const hasMemory = WebAssembly.Module.exports(module).some(
    (entry) => entry.name === memoryExport && entry.kind === "memory",
  );
  if (!hasMemory) throw new Error(`the wasm does not export its memory as ${memoryExport}`);
}

async function instantiate(
  module: WebAssembly.Module,
  cipher: PageCipherOf,
): Promise<SqliteEngine> {
  const syscalls = new Syscalls();
  const sqlJs = await new Promise<SqlJs>((resolve, reject) => {
    // After a failure the glue would wait for ever, hence the rejections of our own.
    initSqlJs({
      instantiateWasm(imports, onInstance) {
        start(module, syscalls, imports).then(onInstance).catch(reject);
        return {};
      },
    }).then(resolve, reject);
  });
  return new SqliteEngine(sqlJs, syscalls, cipher);
}

async function start(
  module: WebAssembly.Module,
  syscalls: Syscalls,
  imports: WebAssembly.Imports,
): Promise<WebAssembly.Instance> {
  const instance = await WebAssembly.instantiate(module, syscalls.wrap(imports));
  const memory = instance.exports[memoryExport];
  if (!(memory instanceof WebAssembly.Memory)) throw new Error("the wasm has no memory");
  syscalls.use(memory);
  return instance;
}

const selfTestRow = "written before, read after";

/**
 * Creates, commits, closes, reopens and reads, in clear and encrypted, and looks at the bytes that SQLite left. What the
 * engine's cipher sealed is opened by the portable one.
 */
function runSelfTest(engine: SqliteEngine, random: (count: number) => Uint8Array): void {
  const options = { key: random(32), databaseId: random(16), random };
  const ours = createPageCodec({ ...options, cipher: engine.cipher });
  for (const [codec, portable] of [
    [null, null],
    [ours, createPageCodec(options)],
  ] as const) {
    const files = new MemoryFiles();
    const database = openForTest(engine, files, codec);
    database.exec(
      `CREATE TABLE check_row (text TEXT); INSERT INTO check_row VALUES ('${selfTestRow}')`,
    );
    if (files.wal.size() === 0) throw new Error("a commit did not reach the log");
    const reopened = openForTest(engine, new MemoryFiles(files.snapshot()), portable);
    const statement = reopened.prepare("SELECT text FROM check_row");
    const found = statement.step() ? statement.get()[0] : undefined;
    statement.free();
    reopened.close();
    database.close();
    if (found !== selfTestRow) throw new Error("a committed row was not found again");
    if (files.main.size() <= 4096) throw new Error("closing did not write the main file");
  }
}

function openForTest(
  engine: SqliteEngine,
  files: FileSet,
  codec: PageCodec | null,
): EngineDatabase {
  const database = engine.open(files, codec);
  database.exec("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL");
  database.allowWrites();
  return database;
}

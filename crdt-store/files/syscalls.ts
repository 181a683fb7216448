import {
  DatabaseFiles,
  errno,
  FileFault,
  type DatabaseFile,
  type FileHealth,
} from "./database-file.ts";
import type { FileSet } from "./file.ts";
import { importModule, importNames, type SyscallName } from "./import-map.ts";
import type { PageCodec } from "./page-codec.ts";

/*
 * Stands between SQLite's wasm and its POSIX imports. Files named dbfile_<n>[-wal|-journal|-shm] (sql.js gives each
 * database such a name) are ours; everything else goes on to Emscripten's files in memory.
 *
 * - Nothing is created or deleted: a -wal or -journal of size 0 is reported as missing, "unlink" empties and flushes.
 *   Without that flush a stale journal could come back after a power cut and undo the database.
 * - The sixteen calls are replaced together: SQLite mixes paths and descriptors of one file and compares the answers.
 * - No exception may cross the wasm frame, or SQLite would be left in the middle of a step.
 *
 * Two conventions: fd_* answer 0 or a positive errno and store results through a pointer; the others answer a result or
 * a negative errno. Integers in memory are little-endian, 64-bit arguments arrive as BigInt.
 */

/** A replaced import: the original with SQLite's own arguments, to be called when the file is not ours. */
type Syscall = (...args: never[]) => number;
type Original = (...args: unknown[]) => unknown;
type WasmImports = Record<string, WebAssembly.ModuleImports>;

const createFlag = 0o100;
const lockQueries: ReadonlySet<number> = new Set([5, 12]); // F_GETLK, F_GETLK64
const unlocked = 2; // F_UNLCK
const firstDescriptor = 100_000; // far above those of the files in memory
const filesPerDatabase = 3;

interface OpenFile {
  readonly file: DatabaseFile;
  readonly health: FileHealth;
  position: number;
}

interface Located {
  /** Null for the shared-memory file, which must never be used. */
  readonly file: DatabaseFile | null;
  readonly health: FileHealth;
}

/** Three files handed to the wasm. */
export interface Attachment {
  readonly files: DatabaseFiles;
  /** True once SQLite has opened a database on these files. */
  isClaimed(): boolean;
  /** Forgets the files; they stay open. */
  detach(): void;
}

export class Syscalls {
  #memory: WebAssembly.Memory | undefined;
  #pending: DatabaseFiles | undefined;
  readonly #filesByNumber = new Map<string, DatabaseFiles>();
  readonly #openByDescriptor = new Map<number, OpenFile>();
  #nextDescriptor = firstDescriptor;
  #nextInode = 1_000;

  /** The imports with the file calls replaced; give the instance's memory to {@link use} before running anything. */
  wrap(imports: WebAssembly.Imports): WebAssembly.Imports {
    const wrapped: WasmImports = {};
    for (const [module, functions] of Object.entries(imports)) wrapped[module] = { ...functions };
    const target = wrapped[importModule];
    if (target === undefined) throw new Error("the wasm glue has no imports under the known name");
    for (const [name, letter] of Object.entries(importNames)) {
      const original = target[letter];
      if (typeof original !== "function") throw new Error(`the wasm glue has no import ${letter}`);
      // The keys of `importNames` are the syscall names; the glue's functions take numbers and BigInts.
      target[letter] = this.#replacement(name as SyscallName, original as Original);
    }
    return wrapped;
  }

  use(memory: WebAssembly.Memory): void {
    this.#memory = memory;
  }

  /** The next database that SQLite opens gets these files. Nothing may be written until `files.writable` is set. */
  attach(files: FileSet, codec: PageCodec | null): Attachment {
    if (this.#pending !== undefined) throw new Error("files are already waiting for a database");
    const attached = new DatabaseFiles(files, codec, this.#nextInode);
    this.#nextInode += filesPerDatabase;
    this.#pending = attached;
    return {
      files: attached,
      isClaimed: () => this.#pending !== attached,
      detach: () => this.#detach(attached),
    };
  }

  #detach(files: DatabaseFiles): void {
    if (this.#pending === files) this.#pending = undefined;
    for (const [number, other] of this.#filesByNumber) {
      if (other === files) this.#filesByNumber.delete(number);
    }
    for (const [descriptor, open] of this.#openByDescriptor) {
      if (open.health === files.health) this.#openByDescriptor.delete(descriptor);
    }
  }

  #replacement(name: SyscallName, original: Original): Syscall {
    // The originals answer numbers, as the wasm signatures say.
    const pass = (...args: unknown[]) => original(...args) as number;
    switch (name) {
      case "openat":
        return (at: number, path: number, flags: number, rest: number) => {
          const found = this.#locate(path);
          if (found === undefined) return pass(at, path, flags, rest);
          return this.#attempt(found.health, () => {
            if (found.file === null) throw new FileFault(errno.EIO, "shared memory is not used");
            if ((flags & createFlag) === 0) requirePresent(found.file);
            return this.#open(found.file, found.health);
          });
        };
      case "fd_close":
        return (descriptor: number) =>
          this.#openByDescriptor.delete(descriptor) ? 0 : pass(descriptor);
      case "fd_read":
        return (descriptor: number, vectors: number, count: number, result: number) =>
          this.#onOpen(
            descriptor,
            () => pass(descriptor, vectors, count, result),
            (open) => this.#read(open, vectors, count, result),
          );
      case "fd_write":
        return (descriptor: number, vectors: number, count: number, result: number) =>
          this.#onOpen(
            descriptor,
            () => pass(descriptor, vectors, count, result),
            (open) => this.#write(open, vectors, count, result),
          );
      case "fd_seek":
        return (descriptor: number, offset: bigint, whence: number, result: number) =>
          this.#onOpen(
            descriptor,
            () => pass(descriptor, offset, whence, result),
            (open) => this.#seek(open, Number(offset), whence, result),
          );
      case "fd_sync":
        return (descriptor: number) =>
          this.#onOpen(
            descriptor,
            () => pass(descriptor),
            (open) => open.file.flush(),
          );
      case "ftruncate64":
        return (descriptor: number, length: bigint) =>
          this.#onOpen(
            descriptor,
            () => pass(descriptor, length),
            (open) => open.file.truncate(Number(length)),
            "negative",
          );
      case "fstat64":
        return (descriptor: number, buffer: number) =>
          this.#onOpen(
            descriptor,
            () => pass(descriptor, buffer),
            (open) => this.#describe(open.file, buffer),
            "negative",
          );
      case "stat64":
      case "lstat64":
        return (path: number, buffer: number) =>
          this.#onPath(
            path,
            () => pass(path, buffer),
            (file) => this.#describe(file, buffer),
          );
      case "newfstatat":
        return (at: number, path: number, buffer: number, flags: number) =>
          this.#onPath(
            path,
            () => pass(at, path, buffer, flags),
            (file) => this.#describe(file, buffer),
          );
      case "faccessat":
        return (at: number, path: number, mode: number, flags: number) =>
          this.#onPath(
            path,
            () => pass(at, path, mode, flags),
            () => undefined,
          );
      case "unlinkat":
        return (at: number, path: number, flags: number) =>
          this.#onPath(
            path,
            () => pass(at, path, flags),
            (file) => {
              file.truncate(0);
              file.flush();
            },
          );
      case "fcntl64":
        return (descriptor: number, command: number, rest: number) =>
          this.#onOpen(
            descriptor,
            () => pass(descriptor, command, rest),
            // One connection per database, held by whoever opened the files: every lock is free and is always got.
            () => {
              if (!lockQueries.has(command)) return;
              const view = this.#view();
              view.setInt16(view.getUint32(rest, true), unlocked, true);
            },
            "negative",
          );
      case "fchmod":
      case "fchown32":
        return (descriptor: number, ...rest: number[]) =>
          this.#openByDescriptor.has(descriptor) ? 0 : pass(descriptor, ...rest);
    }
  }

  /** Runs `act` on one of our descriptors, answering 0 or its errno; `otherwise` on any other descriptor. */
  #onOpen(
    descriptor: number,
    otherwise: () => number,
    act: (open: OpenFile) => void,
    errnoSign: "positive" | "negative" = "positive",
  ): number {
    const open = this.#openByDescriptor.get(descriptor);
    if (open === undefined) return otherwise();
    const answer = this.#attempt(open.health, () => act(open));
    return errnoSign === "positive" ? -answer : answer;
  }

  #onPath(path: number, otherwise: () => number, act: (file: DatabaseFile) => void): number {
    const found = this.#locate(path);
    if (found === undefined) return otherwise();
    return this.#attempt(found.health, () => {
      requirePresent(found.file);
      act(found.file);
    });
  }

  /** What `act` answers (nothing is 0), or the negative errno of what it throws. */
  #attempt(health: FileHealth, act: () => number | void): number {
    try {
      return act() ?? 0;
    } catch (error) {
      const code = errnoOf(error);
      if (code !== errno.ENOENT) health.lastError = error;
      if (code === errno.ENOSPC) health.diskFull = true;
      return -code;
    }
  }

  #locate(path: number): Located | undefined {
    const match = /dbfile_(\d+)(-journal|-wal|-shm)?$/.exec(this.#text(path));
    if (match === null) return undefined;
    const [, number = "", suffix] = match;
    if (suffix === undefined && this.#pending !== undefined && !this.#filesByNumber.has(number)) {
      this.#filesByNumber.set(number, this.#pending);
      this.#pending = undefined;
    }
    const files = this.#filesByNumber.get(number);
    if (files === undefined) return undefined;
    return { file: fileFor(files, suffix), health: files.health };
  }

  #open(file: DatabaseFile, health: FileHealth): number {
    const descriptor = this.#nextDescriptor;
    this.#nextDescriptor += 1;
    this.#openByDescriptor.set(descriptor, { file, health, position: 0 });
    return descriptor;
  }

  #read(open: OpenFile, vectors: number, count: number, result: number): void {
    let total = 0;
    for (const bytes of this.#vectors(vectors, count)) {
      const got = open.file.read(bytes, open.position);
      open.position += got;
      total += got;
      if (got < bytes.length) break;
    }
    this.#view().setUint32(result, total, true);
  }

  #write(open: OpenFile, vectors: number, count: number, result: number): void {
    let total = 0;
    for (const bytes of this.#vectors(vectors, count)) {
      open.file.write(bytes, open.position);
      open.position += bytes.length;
      total += bytes.length;
    }
    this.#view().setUint32(result, total, true);
  }

  #seek(open: OpenFile, offset: number, whence: number, result: number): void {
    const base = whence === 0 ? 0 : whence === 1 ? open.position : open.file.size();
    open.position = base + offset;
    this.#view().setBigInt64(result, BigInt(open.position), true);
  }

  /** Fills a `struct stat` of 96 bytes: a regular file of one link, readable and writable by its owner. */
  #describe(file: DatabaseFile, buffer: number): void {
    const size = file.size();
    const memory = this.#heap();
    new Uint8Array(memory.buffer, buffer, 96).fill(0);
    const view = this.#view();
    view.setUint32(buffer, 1, true); // device
    view.setUint32(buffer + 4, 0o100644, true); // mode
    view.setUint32(buffer + 8, 1, true); // links
    view.setBigInt64(buffer + 24, BigInt(size), true);
    view.setInt32(buffer + 32, 4096, true); // block size
    view.setInt32(buffer + 36, Math.ceil(size / 4096), true);
    view.setBigInt64(buffer + 88, BigInt(file.inode), true);
  }

  *#vectors(pointer: number, count: number): Generator<Uint8Array> {
    for (let index = 0; index < count; index += 1) {
      const view = this.#view();
      const start = view.getUint32(pointer + index * 8, true);
      const length = view.getUint32(pointer + index * 8 + 4, true);
      yield new Uint8Array(this.#heap().buffer, start, length);
    }
  }

  #text(pointer: number): string {
    const heap = new Uint8Array(this.#heap().buffer);
    return new TextDecoder().decode(heap.slice(pointer, heap.indexOf(0, pointer)));
  }

  // Views are made anew each time: they are detached when the heap grows.
  #view(): DataView {
    return new DataView(this.#heap().buffer);
  }

  #heap(): WebAssembly.Memory {
    if (this.#memory === undefined) throw new Error("the wasm instance has no memory yet");
    return this.#memory;
  }
}

function fileFor(files: DatabaseFiles, suffix: string | undefined): DatabaseFile | null {
  if (suffix === undefined) return files.main;
  if (suffix === "-wal") return files.wal;
  return suffix === "-journal" ? files.journal : null;
}

function requirePresent(file: DatabaseFile | null): asserts file is DatabaseFile {
  if (file === null || (file.role !== "main" && file.size() === 0)) {
    throw new FileFault(errno.ENOENT, "no such file");
  }
}

function errnoOf(error: unknown): number {
  if (error instanceof FileFault) return error.code;
  if (!(error instanceof Error) && !isNamed(error)) return errno.EIO;
  const isFull =
    error.name === "QuotaExceededError" ||
    ("code" in error && (error.code === "ENOSPC" || error.code === "EDQUOT"));
  return isFull ? errno.ENOSPC : errno.EIO;
}

// A DOMException is not an Error in every browser.
function isNamed(error: unknown): error is { readonly name: unknown } {
  return typeof error === "object" && error !== null && "name" in error;
}

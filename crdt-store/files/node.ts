import { createRequire } from "node:module";
import {
  closeSync,
  constants,
  fdatasyncSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readlinkSync,
  symlinkSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { randomBytes } from "node:crypto";
import { join } from "node:path";

import { StoreError } from "../store-error.ts";
import { loadEngine, type SqliteEngine } from "./engine.ts";
import { fastestCipher } from "./node-cipher.ts";
import { MemoryFile } from "./memory.ts";
import { fileRoles, type FileHandle, type FileRole, type FileSet } from "./file.ts";

/** Opens (and creates, readable by the owner only) `main`, `wal` and `journal` in `dir`. Take {@link lockDirectory} first. */
export function openNodeFiles(dir: string): FileSet {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const opened: Partial<Record<FileRole, FileHandle>> = {};
  try {
    for (const role of fileRoles)
      opened[role] = nodeFile(join(dir, role), constants.O_RDWR | constants.O_CREAT);
  } catch (error) {
    for (const handle of Object.values(opened)) handle.close();
    throw error;
  }
  flushDirectory(dir);
  // The loop above has filled every role.
  return opened as FileSet;
}

/** Opens the files in `dir` for reading: writing to them fails. One that is not there is empty. */
export function readNodeFiles(dir: string): FileSet {
  const opened: Partial<Record<FileRole, FileHandle>> = {};
  try {
    for (const role of fileRoles) opened[role] = fileToRead(join(dir, role));
  } catch (error) {
    for (const handle of Object.values(opened)) handle.close();
    throw error;
  }
  // The loop above has filled every role.
  return opened as FileSet;
}

function fileToRead(path: string): FileHandle {
  try {
    return nodeFile(path, constants.O_RDONLY);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return new MemoryFile();
    throw error;
  }
}

function nodeFile(path: string, mode: number): FileHandle {
  const fd = openSync(path, mode, 0o600);
  return {
    read(into, at) {
      let done = 0;
      while (done < into.length) {
        const count = readSync(fd, into, done, into.length - done, at + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    },
    write(from, at) {
      let done = 0;
      while (done < from.length) {
        const count = writeSync(fd, from, done, from.length - done, at + done);
        if (count === 0) break;
        done += count;
      }
      return done;
    },
    size: () => fstatSync(fd).size,
    truncate: (length) => ftruncateSync(fd, length),
    flush: () => fdatasyncSync(fd),
    close: () => closeSync(fd),
  };
}

/** A file just created or renamed is found again after a power cut only once its directory is flushed. */
export function flushDirectory(dir: string): void {
  if (process.platform === "win32") return;
  const fd = openSync(dir, constants.O_RDONLY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

export interface DirectoryLock {
  release(): void;
}

/**
 * Makes this process the only one that uses the store in `dir` until `release`: the wasm's file locks reach nobody.
 * A lock left by a process that no longer runs is taken over. Throws {@link StoreError} `locked`, naming the holder.
 * Processes in different containers do not see each other's ids: do not share a directory between them.
 */
export function lockDirectory(dir: string): DirectoryLock {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const path = join(dir, "lock");
  const own = ownerText(process.pid);
  if (!createLock(path, own)) {
    removeStaleLock(path);
    if (!createLock(path, own)) throw lockedBy(readOwner(path)?.pid, path);
  }
  return {
    release() {
      if (readLock(path) === own) unlinkSync(path);
    },
  };
}

// A link appears with its contents or not at all; a file created first and filled afterwards would look stale meanwhile.
function createLock(path: string, owner: string): boolean {
  try {
    return createLockFile(path, owner);
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    if (!["ENOSPC", "EDQUOT"].includes(String(codeOf(error)))) throw error;
    return createLockLink(path, owner);
  }
}

function createLockFile(path: string, owner: string): true {
  const draft = `${path}.${process.pid}`;
  const fd = openSync(draft, "w", 0o600);
  try {
    writeSync(fd, owner);
    fdatasyncSync(fd);
    linkSync(draft, path);
    return true;
  } finally {
    closeSync(fd);
    unlinkSync(draft);
  }
}

// On a full disk notes can still be read: a short symbolic link needs no block of its own, and leads nowhere.
function createLockLink(path: string, owner: string): boolean {
  try {
    symlinkSync(owner, path);
    return true;
  } catch (error) {
    if (codeOf(error) === "EEXIST") return false;
    throw error;
  }
}

// Two starters may both find the same stale lock; without a guard the slower one would remove the faster one's new lock.
function removeStaleLock(path: string): void {
  const guard = `${path}.takeover`;
  const holder = readOwner(path);
  if (holder !== undefined && isRunning(holder)) throw lockedBy(holder.pid, path);
  if (!createLock(guard, ownerText(process.pid))) throw lockedBy(readOwner(guard)?.pid, guard);
  try {
    const seenAgain = readOwner(path);
    if (seenAgain !== undefined && isRunning(seenAgain)) throw lockedBy(seenAgain.pid, path);
    try {
      unlinkSync(path);
    } catch (error) {
      if (codeOf(error) !== "ENOENT") throw error;
    }
  } finally {
    unlinkSync(guard);
  }
}

function lockedBy(pid: number | undefined, path: string): StoreError {
  const holder = pid === undefined ? "another process" : `process ${pid}`;
  return new StoreError(
    "locked",
    `These notes are in use by ${holder}. Stop it and try again. If it does not run any more, delete the file ${path}.`,
  );
}

interface Owner {
  readonly pid: number;
  readonly started: string;
}

function readOwner(path: string): Owner | undefined {
  const [pid = "", started = ""] = (readLock(path) ?? "").split("\n");
  return /^\d+$/.test(pid) ? { pid: Number(pid), started } : undefined;
}

function ownerText(pid: number): string {
  return `${pid}\n${startOf(pid)}\n`;
}

function isRunning(owner: Owner): boolean {
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
  const started = startOf(owner.pid);
  return started === "" || owner.started === "" || started === owner.started;
}

// A process id alone comes back: a container's first process always has the same one. Field 22 of Linux's
// /proc/<pid>/stat is when the process started; the name in field 2 may contain spaces and brackets.
function startOf(pid: number): string {
  const boot = readText("/proc/sys/kernel/random/boot_id")?.trim();
  const stat = readText(`/proc/${pid}/stat`);
  if (boot === undefined || stat === undefined) return "";
  return `${boot} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? ""}`;
}

function readLock(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return readText(path);
  }
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

/** Loads the engine from the sql.js package installed beside this code; repeated calls give the same engine. */
export function loadNodeEngine(): Promise<SqliteEngine> {
  const path = createRequire(import.meta.url).resolve("sql.js/dist/sql-wasm.wasm");
  return loadEngine({
    wasm: readFileSync(path),
    random: (count) => randomBytes(count),
    cipher: fastestCipher(),
  });
}

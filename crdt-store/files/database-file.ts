import type { FileHandle, FileRole, FileSet } from "./file.ts";
import { GatheredWrites } from "./gathered-writes.ts";
import { pageSize, type PageCodec } from "./page-codec.ts";

/** Errno values of the wasm build (WASI numbering). */
export const errno = { EIO: 29, ENOENT: 44, ENOSPC: 51 } as const;

/** A failure that SQLite is told as `code`. */
export class FileFault extends Error {
  override readonly name = "FileFault";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** What has been seen of a database's files; it tells a wrong key from damage where SQLite's message does not. */
export class FileHealth {
  pagesOpened = 0;
  tagFailures = 0;
  diskFull = false;
  /** So many times the log has reached the disk, once with each commit. */
  logFlushes = 0;
  lastError: unknown = undefined;
}

/** A file as SQLite sees it: pages in clear, complete writes. Every method may throw. */
export interface DatabaseFile {
  readonly role: FileRole;
  /** Distinct for every file, as SQLite expects of an inode number. */
  readonly inode: number;
  size(): number;
  read(into: Uint8Array, at: number): number;
  write(from: Uint8Array, at: number): void;
  truncate(length: number): void;
  flush(): void;
}

/** The three files of an open database with what they share. */
export class DatabaseFiles {
  readonly main: DatabaseFile;
  readonly wal: DatabaseFile;
  readonly journal: DatabaseFile;
  readonly health = new FileHealth();
  /** While false, everything that would change a file fails: closing SQLite after a failed opening must not drop the log. */
  writable = false;

  constructor(files: FileSet, codec: PageCodec | null, firstInode: number) {
    if (codec === null) {
      this.main = new GatheringFile("main", files.main, firstInode, this);
      this.wal = new LogFile("wal", files.wal, firstInode + 1, this);
      this.journal = new PlainFile("journal", files.journal, firstInode + 2, this);
    } else {
      this.main = new SealedMainFile("main", files.main, firstInode, this, codec);
      this.wal = new SealedLogFile("wal", files.wal, firstInode + 1, this, codec);
      this.journal = new ForbiddenFile("journal", files.journal, firstInode + 2, this);
    }
  }
}

class PlainFile implements DatabaseFile {
  readonly role: FileRole;
  readonly inode: number;
  protected readonly handle: FileHandle;
  readonly #files: DatabaseFiles;
  // Nobody else changes the file; asking for its size costs a change of threads in Firefox.
  #size: number | undefined;

  constructor(role: FileRole, handle: FileHandle, inode: number, files: DatabaseFiles) {
    this.role = role;
    this.handle = handle;
    this.inode = inode;
    this.#files = files;
  }

  size(): number {
    this.#size ??= this.handle.size();
    return this.#size;
  }

  read(into: Uint8Array, at: number): number {
    return this.handle.read(into, at);
  }

  write(from: Uint8Array, at: number): void {
    this.writeAll(from, at);
  }

  truncate(length: number): void {
    this.requireWritable();
    this.#size = undefined;
    this.handle.truncate(length);
    this.#size = length;
  }

  flush(): void {
    this.requireWritable();
    this.handle.flush();
  }

  protected get health(): FileHealth {
    return this.#files.health;
  }

  protected writeAll(from: Uint8Array, at: number): void {
    this.requireWritable();
    const size = this.#size ?? this.handle.size();
    this.#size = undefined;
    const count = this.handle.write(from, at);
    if (count < from.length) {
      throw new FileFault(errno.ENOSPC, `only ${count} of ${from.length} bytes were written`);
    }
    this.#size = Math.max(size, at + count);
    this.health.diskFull = false;
  }

  /** Opens `stored` into `page`, counting what was seen. */
  protected unseal(codec: PageCodec, stored: Uint8Array, pageNumber: number, page: Uint8Array) {
    const authentic = codec.open(stored, pageNumber, page);
    if (authentic) this.health.pagesOpened += 1;
    else this.health.tagFailures += 1;
    return authentic;
  }

  protected requireWritable(): void {
    if (!this.#files.writable) throw new FileFault(errno.EIO, "the database is not open yet");
  }
}

/*
 * Puts writes that follow one another together: a commit appends its frames to the log, a checkpoint writes the pages of
 * the main file in their order. A read, a flush or anything else writes out first, so what is durable when, and what a
 * later read sees, is as without gathering. A full disk may be met later than SQLite wrote: before the flush that a
 * checkpoint waits for, and before the commit is over (see LogFile).
 */
class GatheringFile extends PlainFile {
  protected readonly gathered = new GatheredWrites((from, at) => this.writeAll(from, at));

  override size(): number {
    this.gathered.writeOut();
    return super.size();
  }

  override read(into: Uint8Array, at: number): number {
    this.gathered.writeOut();
    return super.read(into, at);
  }

  override write(from: Uint8Array, at: number): void {
    this.requireWritable();
    this.gathered.add(from, at);
  }

  override truncate(length: number): void {
    this.gathered.writeOut();
    super.truncate(length);
    this.gathered.cut(length);
  }

  override flush(): void {
    this.gathered.writeOut();
    super.flush();
  }
}

class SealedMainFile extends GatheringFile {
  readonly #codec: PageCodec;
  readonly #stored = new Uint8Array(pageSize);
  readonly #page = new Uint8Array(pageSize);

  constructor(
    role: FileRole,
    handle: FileHandle,
    inode: number,
    files: DatabaseFiles,
    codec: PageCodec,
  ) {
    super(role, handle, inode, files);
    this.#codec = codec;
  }

  override read(into: Uint8Array, at: number): number {
    let done = 0;
    while (done < into.length) {
      const index = Math.floor((at + done) / pageSize);
      if (super.read(this.#stored, index * pageSize) < pageSize) break;
      if (!this.unseal(this.#codec, this.#stored, index + 1, this.#page)) {
        this.#requireHeaderProbe(into, at);
        this.#page.fill(0);
      }
      const start = (at + done) % pageSize;
      const count = Math.min(pageSize - start, into.length - done);
      into.set(this.#page.subarray(start, start + count), done);
      done += count;
    }
    return done;
  }

  override write(from: Uint8Array, at: number): void {
    if (at % pageSize !== 0 || from.length % pageSize !== 0) {
      throw new FileFault(errno.EIO, `write of ${from.length} bytes at ${at} is not a page`);
    }
    for (let offset = 0; offset < from.length; offset += pageSize) {
      const page = from.subarray(offset, offset + pageSize);
      super.write(this.#codec.seal(page, (at + offset) / pageSize + 1), at + offset);
    }
  }

  // SQLite reads the 100-byte header before it looks at the log. A power cut in a checkpoint may have torn page 1 of
  // this file while the log still holds it whole: zeros (a default header) let SQLite go on to the log. If the log does
  // not hold it either, the next read of page 1 asks for the whole page and fails here.
  #requireHeaderProbe(into: Uint8Array, at: number): void {
    if (at === 0 && into.length <= 100) return;
    throw new FileFault(errno.EIO, "a page of the main file is not authentic");
  }
}

export const logHeaderBytes = 32;
export const frameHeaderBytes = 24;
export const frameBytes = frameHeaderBytes + pageSize;

/*
 * SQLite's write-ahead log (https://sqlite.org/fileformat2.html#walformat): a 32-byte header, then frames of a 24-byte
 * header and one page. A frame header starts with the page number and, in the last frame of a commit, the size of the
 * database in pages (else 0), both u32 big-endian.
 *
 * A commit's last frame writes all of them out, so that a full disk is told to the write that commits; what waits in
 * between is of a transaction under way.
 */
class LogFile extends GatheringFile {
  // The frame header written last: its body follows at once.
  #headerAt = -1;
  #headerPage = 0;
  #endsCommit = false;

  override read(into: Uint8Array, at: number): number {
    return this.#readBack(into, at);
  }

  override flush(): void {
    super.flush();
    this.health.logFlushes += 1;
  }

  override write(from: Uint8Array, at: number): void {
    let done = 0;
    while (done < from.length) {
      const part = logPart(at + done, from.length - done);
      const piece = from.subarray(done, done + part.length);
      if (part.type === "clear") {
        super.write(piece, at + done);
        this.#rememberHeader(piece, at + done, part.endsHeader);
      } else {
        this.#writeBody(piece, at + done);
      }
      done += part.length;
    }
  }

  /** What the file holds for the page `body`; it is copied before the next call. */
  protected stored(body: Uint8Array, _pageNumber: number): Uint8Array {
    return body;
  }

  #readBack(into: Uint8Array, at: number): number {
    const count = super.read(into, at);
    if (this.gathered.isLost(at, into.length)) {
      throw new FileFault(errno.EIO, "a page of the log could not be written");
    }
    return count;
  }

  #writeBody(body: Uint8Array, at: number): void {
    if (at - frameHeaderBytes !== this.#headerAt) this.#readHeader(at - frameHeaderBytes);
    super.write(this.stored(body, this.#headerPage), at);
    if (this.#endsCommit) this.gathered.writeOut();
  }

  #rememberHeader(piece: Uint8Array, at: number, isWhole: boolean): void {
    this.#headerAt = isWhole ? at : -1;
    if (!isWhole) return;
    const view = new DataView(piece.buffer, piece.byteOffset);
    this.#headerPage = view.getUint32(0);
    this.#endsCommit = view.getUint32(4) !== 0;
  }

  // SQLite writes a page again where it stands if the cache spilled it earlier in the same transaction.
  #readHeader(at: number): void {
    const header = new Uint8Array(frameHeaderBytes);
    const count = this.#readBack(header, at);
    if (count < header.length) {
      throw new FileFault(errno.EIO, "a page of the log has no frame header");
    }
    this.#rememberHeader(header, at, true);
  }
}

/* Headers are stored as SQLite writes them, bodies are sealed. The checksum in a frame header covers the page in clear,
 * with zeros in its reserved bytes. */
class SealedLogFile extends LogFile {
  readonly #codec: PageCodec;
  readonly #frame = new Uint8Array(frameBytes);
  readonly #frameView = new DataView(this.#frame.buffer);
  readonly #storedBody = this.#frame.subarray(frameHeaderBytes);

  constructor(
    role: FileRole,
    handle: FileHandle,
    inode: number,
    files: DatabaseFiles,
    codec: PageCodec,
  ) {
    super(role, handle, inode, files);
    this.#codec = codec;
  }

  override read(into: Uint8Array, at: number): number {
    let done = 0;
    while (done < into.length) {
      const target = into.subarray(done);
      const part = logPart(at + done, target.length);
      const count =
        part.type === "body"
          ? this.#readBody(target, at + done)
          : part.endsHeader && target.length >= frameBytes
            ? this.#readFrame(target, at + done)
            : super.read(target.subarray(0, part.length), at + done);
      done += count;
      if (count < part.length) break;
    }
    return done;
  }

  protected override stored(body: Uint8Array, pageNumber: number): Uint8Array {
    return this.#codec.seal(body, pageNumber);
  }

  // Recovery reads whole frames and compares their checksum: a torn frame must look torn, not fail, and the log ends
  // there.
  #readFrame(into: Uint8Array, at: number): number {
    const count = super.read(this.#frame, at);
    into.set(this.#frame.subarray(0, Math.min(count, frameHeaderBytes)));
    if (count < frameBytes) return Math.min(count, frameHeaderBytes);
    const body = into.subarray(frameHeaderBytes, frameBytes);
    if (!this.#openBody(body)) body.fill(0);
    return frameBytes;
  }

  // A read of the body alone is compared with nothing, so there zeros would become silently wrong rows.
  #readBody(into: Uint8Array, at: number): number {
    const count = super.read(this.#frame, at - frameHeaderBytes);
    if (count < frameBytes || !this.#openBody(into.subarray(0, pageSize))) {
      throw new FileFault(errno.EIO, "a page of the log is not authentic");
    }
    return pageSize;
  }

  #openBody(body: Uint8Array): boolean {
    return this.unseal(this.#codec, this.#storedBody, this.#frameView.getUint32(0), body);
  }
}

type LogPart =
  | { readonly type: "clear"; readonly length: number; readonly endsHeader: boolean }
  | { readonly type: "body"; readonly length: number };

/** What the bytes from `at` on are, up to `left` of them. */
function logPart(at: number, left: number): LogPart {
  if (at < logHeaderBytes) {
    return { type: "clear", length: Math.min(logHeaderBytes - at, left), endsHeader: false };
  }
  const inFrame = (at - logHeaderBytes) % frameBytes;
  if (inFrame < frameHeaderBytes) {
    const length = Math.min(frameHeaderBytes - inFrame, left);
    return { type: "clear", length, endsHeader: inFrame === 0 && length === frameHeaderBytes };
  }
  if (inFrame !== frameHeaderBytes || left < pageSize) {
    throw new FileFault(errno.EIO, `${left} bytes at ${at} of the log cut a page`);
  }
  return { type: "body", length: pageSize };
}

// An encrypted database is born in WAL mode and never leaves it; a rollback journal would hold pages in clear.
class ForbiddenFile extends PlainFile {
  override write(): void {
    throw new FileFault(errno.EIO, "an encrypted database must not write a rollback journal");
  }
}

import type { FileHandle, FileRole, FileSet } from "./file.ts";

/** The bytes of the three files at one moment. */
export type FileContents = { readonly [role in FileRole]: Uint8Array };

/** A file that is a growing array of bytes. Closing it keeps the bytes, so it can be used again. */
export class MemoryFile implements FileHandle {
  #bytes: Uint8Array;
  #length: number;

  constructor(contents: Uint8Array = new Uint8Array(0)) {
    this.#bytes = contents.slice();
    this.#length = contents.length;
  }

  read(into: Uint8Array, at: number): number {
    const count = Math.max(0, Math.min(into.length, this.#length - at));
    into.set(this.#bytes.subarray(at, at + count));
    return count;
  }

  write(from: Uint8Array, at: number): number {
    this.#reserve(at + from.length);
    this.#bytes.set(from, at);
    this.#length = Math.max(this.#length, at + from.length);
    return from.length;
  }

  size(): number {
    return this.#length;
  }

  truncate(length: number): void {
    this.#reserve(length);
    if (length < this.#length) this.#bytes.fill(0, length, this.#length);
    this.#length = length;
  }

  flush(): void {}

  close(): void {}

  /** A copy of what the file holds now. */
  contents(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(length: number): void {
    if (length <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(length, this.#bytes.length * 2, 16_384));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** Files for tests, private windows and the start-up self-test: nothing outlives the process. */
export class MemoryFiles implements FileSet {
  readonly main: MemoryFile;
  readonly wal: MemoryFile;
  readonly journal: MemoryFile;

  constructor(contents?: FileContents) {
    this.main = new MemoryFile(contents?.main);
    this.wal = new MemoryFile(contents?.wal);
    this.journal = new MemoryFile(contents?.journal);
  }

  /** A copy of all bytes: what a process killed at this moment would leave behind. */
  snapshot(): FileContents {
    return {
      main: this.main.contents(),
      wal: this.wal.contents(),
      journal: this.journal.contents(),
    };
  }
}

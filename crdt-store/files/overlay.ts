import { fileRoles, type FileHandle, type FileRole, type FileSet } from "./file.ts";

const blockBytes = 4096;

/**
 * Shows files and keeps what is written to them in memory: whoever opens a database on these changes nothing. The files
 * beneath stay the caller's, and must not change meanwhile.
 */
export function overlayFiles(beneath: FileSet): FileSet {
  const files: Partial<Record<FileRole, FileHandle>> = {};
  for (const role of fileRoles) files[role] = new OverlayFile(beneath[role]);
  // The loop above has filled every role.
  return files as FileSet;
}

class OverlayFile implements FileHandle {
  readonly #beneath: FileHandle;
  readonly #written = new Map<number, Uint8Array>();
  #length: number;
  /** Where the file beneath still counts: less after a truncation. */
  #beneathEnds: number;

  constructor(beneath: FileHandle) {
    this.#beneath = beneath;
    this.#length = beneath.size();
    this.#beneathEnds = this.#length;
  }

  read(into: Uint8Array, at: number): number {
    const count = Math.max(0, Math.min(into.length, this.#length - at));
    for (let done = 0; done < count;) {
      const start = (at + done) % blockBytes;
      const piece = this.#block(at + done).subarray(start, start + count - done);
      into.set(piece, done);
      done += piece.length;
    }
    return count;
  }

  write(from: Uint8Array, at: number): number {
    for (let done = 0; done < from.length;) {
      const start = (at + done) % blockBytes;
      const block = this.#block(at + done);
      const piece = from.subarray(done, done + blockBytes - start);
      block.set(piece, start);
      this.#written.set(Math.floor((at + done) / blockBytes), block);
      done += piece.length;
    }
    this.#length = Math.max(this.#length, at + from.length);
    return from.length;
  }

  size(): number {
    return this.#length;
  }

  truncate(length: number): void {
    if (length < this.#length) {
      const last = Math.floor(length / blockBytes);
      for (const index of this.#written.keys()) if (index > last) this.#written.delete(index);
      this.#written.get(last)?.fill(0, length % blockBytes);
      this.#beneathEnds = Math.min(this.#beneathEnds, length);
    }
    this.#length = length;
  }

  flush(): void {}

  close(): void {}

  /** The block that holds byte `at`: the one written, or a copy of what lies beneath. */
  #block(at: number): Uint8Array {
    const index = Math.floor(at / blockBytes);
    const written = this.#written.get(index);
    if (written !== undefined) return written;
    const block = new Uint8Array(blockBytes);
    const left = Math.max(0, Math.min(blockBytes, this.#beneathEnds - index * blockBytes));
    this.#beneath.read(block.subarray(0, left), index * blockBytes);
    return block;
  }
}

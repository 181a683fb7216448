import { fileRoles, type FileHandle, type FileRole, type FileSet } from "./file.ts";

export interface FileOperation {
  readonly role: FileRole;
  readonly type: "read" | "write" | "truncate" | "flush";
}

type Unflushed =
  | { readonly type: "write"; readonly at: number; readonly bytes: Uint8Array }
  | { readonly type: "truncate"; readonly length: number };

const sectorBytes = 512;

/**
 * Three files on a disk that loses power: what was not flushed may be gone, torn at 512 bytes, or kept although
 * something written earlier is gone. A flush is all or nothing and covers its own file only.
 * Not modelled: a disk that lies about flushing, pieces smaller than a sector, bits that rot.
 */
export class FaultyFiles implements FileSet {
  readonly main: FaultyFile;
  readonly wal: FaultyFile;
  readonly journal: FaultyFile;
  /** Runs before every operation; what it throws is what the operation throws, without any effect. */
  before: (operation: FileOperation) => void = () => undefined;
  /** How many of so many bytes a write takes. */
  taken: (count: number) => number = (count) => count;
  readonly #random: () => number;
  #changesLeft = Infinity;

  /** `random` gives numbers from 0 to below 1. */
  constructor(random: () => number) {
    this.#random = random;
    this.main = this.#file("main");
    this.wal = this.#file("wal");
    this.journal = this.#file("journal");
  }

  /** After so many more writes, truncations and flushes every further one fails, until {@link losePower}. */
  failAfter(changes: number): void {
    this.#changesLeft = changes;
  }

  /** Puts the files into a state that a power cut may leave behind; they work again then. */
  losePower(): void {
    for (const role of fileRoles) this[role].losePower(this.#random);
    this.#changesLeft = Infinity;
  }

  #file(role: FileRole): FaultyFile {
    return new FaultyFile(
      (type) => {
        this.before({ role, type });
        if (type === "read") return;
        this.#changesLeft -= 1;
        if (this.#changesLeft < 0) throw new Error("the power is off");
      },
      (count) => this.taken(count),
    );
  }
}

export class FaultyFile implements FileHandle {
  #durable = new Uint8Array(0);
  #current = new Uint8Array(0);
  #unflushed: Unflushed[] = [];
  readonly #before: (type: FileOperation["type"]) => void;
  readonly #taken: (count: number) => number;

  constructor(before: (type: FileOperation["type"]) => void, taken: (count: number) => number) {
    this.#before = before;
    this.#taken = taken;
  }

  read(into: Uint8Array, at: number): number {
    this.#before("read");
    const count = Math.max(0, Math.min(into.length, this.#current.length - at));
    into.set(this.#current.subarray(at, at + count));
    return count;
  }

  write(from: Uint8Array, at: number): number {
    this.#before("write");
    const bytes = from.slice(0, this.#taken(from.length));
    this.#current = written(this.#current, bytes, at);
    this.#unflushed.push({ type: "write", at, bytes });
    return bytes.length;
  }

  size(): number {
    return this.#current.length;
  }

  truncate(length: number): void {
    this.#before("truncate");
    this.#current = resized(this.#current, length);
    this.#unflushed.push({ type: "truncate", length });
  }

  flush(): void {
    this.#before("flush");
    this.#durable = this.#current.slice();
    this.#unflushed = [];
  }

  close(): void {}

  contents(): Uint8Array {
    return this.#current.slice();
  }

  losePower(random: () => number): void {
    let left = this.#durable;
    for (const operation of this.#unflushed) {
      if (operation.type === "truncate") {
        if (random() < 0.5) left = resized(left, operation.length);
        continue;
      }
      for (let offset = 0; offset < operation.bytes.length; offset += sectorBytes) {
        if (random() < 0.5) continue;
        const piece = operation.bytes.subarray(offset, offset + sectorBytes);
        left = written(left, piece, operation.at + offset);
      }
    }
    this.#durable = left;
    this.#current = left.slice();
    this.#unflushed = [];
  }
}

function written(image: Uint8Array, bytes: Uint8Array, at: number): Uint8Array<ArrayBuffer> {
  const result = resized(image, Math.max(image.length, at + bytes.length));
  result.set(bytes, at);
  return result;
}

function resized(image: Uint8Array, length: number): Uint8Array<ArrayBuffer> {
  const result = new Uint8Array(length);
  result.set(image.subarray(0, length));
  return result;
}

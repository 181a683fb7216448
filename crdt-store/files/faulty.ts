import { fileRoles, type FileHandle, type FileRole, type FileSet } from "./file.ts";
import { MemoryFile } from "./memory.ts";

export interface FileOperation {
  readonly role: FileRole;
  readonly type: "read" | "write" | "truncate" | "flush";
}

/** A part of what was not flushed that reaches the disk as a whole or not at all. */
type Piece = (image: MemoryFile) => void;

const sectorBytes = 512;
/** Which share of the pieces a power cut lets through. */
const keptShares = [0.5, 0.5, 0.1, 0.9] as const;

/**
 * Three files on a disk that loses power: what was not flushed may be gone, torn at 512 bytes, or kept although
 * something written earlier is gone, and an older write may land on a newer one. A flush covers its own file only. After a
 * failed flush the system takes the pages for clean, as Linux does (https://wiki.postgresql.org/wiki/Fsync_Errors): what
 * was not flushed is flushed by no later call.
 * Not modelled: a disk that lies about flushing, pieces smaller than a sector, bits that rot.
 */
export class FaultyFiles implements FileSet {
  readonly main: FaultyFile;
  readonly wal: FaultyFile;
  readonly journal: FaultyFile;
  /** Runs before every operation; what it throws is what the operation throws, without any other effect. */
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

  /** Whether an operation has failed for want of power. */
  get powerIsOff(): boolean {
    return this.#changesLeft < 0;
  }

  /** Puts the files into a state that a power cut may leave behind; they work again then. */
  losePower(): void {
    for (const role of fileRoles) this[role].losePower();
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
      this.#random,
    );
  }
}

export class FaultyFile implements FileHandle {
  /** What has reached the disk, and what the running system sees. */
  readonly #durable = new MemoryFile();
  readonly #current = new MemoryFile();
  #unflushed: Piece[] = [];
  readonly #before: (type: FileOperation["type"]) => void;
  readonly #taken: (count: number) => number;
  readonly #random: () => number;

  constructor(
    before: (type: FileOperation["type"]) => void,
    taken: (count: number) => number,
    random: () => number,
  ) {
    this.#before = before;
    this.#taken = taken;
    this.#random = random;
  }

  read(into: Uint8Array, at: number): number {
    this.#before("read");
    return this.#current.read(into, at);
  }

  write(from: Uint8Array, at: number): number {
    this.#before("write");
    const bytes = from.slice(0, this.#taken(from.length));
    this.#current.write(bytes, at);
    for (let offset = 0; offset < bytes.length; offset += sectorBytes) {
      const sector = bytes.subarray(offset, offset + sectorBytes);
      this.#unflushed.push((image) => image.write(sector, at + offset));
    }
    return bytes.length;
  }

  size(): number {
    return this.#current.size();
  }

  truncate(length: number): void {
    this.#before("truncate");
    this.#current.truncate(length);
    this.#unflushed.push((image) => image.truncate(length));
  }

  flush(): void {
    try {
      this.#before("flush");
    } catch (error) {
      this.#settle(this.#survivors());
      throw error;
    }
    this.#settle(this.#unflushed);
  }

  close(): void {}

  contents(): Uint8Array {
    return this.#current.contents();
  }

  losePower(): void {
    this.#settle(this.#survivors());
    this.#current.truncate(0);
    this.#current.write(this.#durable.contents(), 0);
  }

  #settle(pieces: readonly Piece[]): void {
    for (const piece of pieces) piece(this.#durable);
    this.#unflushed = [];
  }

  #survivors(): Piece[] {
    if (this.#unflushed.length === 0) return [];
    const share = keptShares[Math.floor(this.#random() * keptShares.length)] ?? 0.5;
    const kept = this.#unflushed.filter(() => this.#random() >= 1 - share);
    return this.#random() < 0.5 ? shuffled(kept, this.#random) : kept;
  }
}

function shuffled(pieces: readonly Piece[], random: () => number): Piece[] {
  return pieces
    .map((piece) => ({ piece, rank: random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ piece }) => piece);
}

const capacity = 32 * 4_120;

/**
 * Writes to one file that follow one another, put together so that they reach it in one call. Each call costs a system
 * call or, in some browsers, a change of threads.
 *
 * Whoever was told that a write succeeded may never read what stood there before it. So if writing out fails, the bytes
 * that were promised count as lost until they are written again: {@link GatheredWrites.isLost}.
 */
export class GatheredWrites {
  readonly #write: (from: Uint8Array, at: number) => void;
  readonly #bytes = new Uint8Array(capacity);
  #at = 0;
  #length = 0;
  #lostFrom = 0;
  #lostTo = 0;

  /** `write` writes all of its bytes or throws. */
  constructor(write: (from: Uint8Array, at: number) => void) {
    this.#write = write;
  }

  /** Copies `from`, which has at most 4,120 bytes. Throws what writing out earlier bytes throws; then it took nothing. */
  add(from: Uint8Array, at: number): void {
    const follows = at === this.#at + this.#length;
    if (!follows || this.#length + from.length > capacity) this.writeOut();
    if (this.#length === 0) this.#at = at;
    this.#bytes.set(from, this.#length);
    this.#length += from.length;
  }

  /** Afterwards the file holds everything that was added. */
  writeOut(): void {
    if (this.#length === 0) return;
    const end = this.#at + this.#length;
    const bytes = this.#bytes.subarray(0, this.#length);
    this.#length = 0;
    try {
      this.#write(bytes, this.#at);
    } catch (error) {
      this.#lose(this.#at, end);
      throw error;
    }
    if (this.#at <= this.#lostFrom) this.#lostFrom = Math.max(this.#lostFrom, end);
  }

  /** True if some of these bytes were added and then could not be written. */
  isLost(at: number, length: number): boolean {
    const from = Math.max(at, this.#lostFrom);
    return from < Math.min(at + length, this.#lostTo);
  }

  /** The file ends at `length` now. */
  cut(length: number): void {
    this.#lostTo = Math.min(this.#lostTo, length);
  }

  #lose(from: number, to: number): void {
    const hasLost = this.#lostFrom < this.#lostTo;
    this.#lostFrom = hasLost ? Math.min(this.#lostFrom, from) : from;
    this.#lostTo = hasLost ? Math.max(this.#lostTo, to) : to;
  }
}

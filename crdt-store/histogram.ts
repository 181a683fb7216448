/** How long something takes, as counts in buckets: bounded memory, percentiles within a twelfth, old times fade. */

/** Four buckets to a doubling. */
const perDoubling = 4;
/** The last one begins above an hour. */
const lastBucket = 88;
/** Once there are so many, every bucket is halved: what was long ago weighs less and less. */
const mostCounted = 2_000;

export interface Percentiles {
  /** How many times it was measured, as far as they still count. */
  readonly count: number;
  /** Milliseconds, as the others. */
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export class Histogram {
  readonly #buckets: number[];
  #count: number;

  /** @param buckets as {@link buckets} gave them; what is no count is taken for none */
  constructor(buckets: readonly number[] = []) {
    this.#buckets = Array.from({ length: lastBucket + 1 }, (_, ix) => countAt(buckets, ix));
    this.#count = sum(this.#buckets);
  }

  /** @param ms what is below 0, as after a clock was put back, counts as 0 */
  add(ms: number): void {
    const ix = bucketOf(ms);
    this.#buckets[ix] = (this.#buckets[ix] ?? 0) + 1;
    this.#count += 1;
    if (this.#count <= mostCounted) return;
    for (const [at, counted] of this.#buckets.entries()) this.#buckets[at] = counted >> 1;
    this.#count = sum(this.#buckets);
  }

  /** Null before the first time. */
  percentiles(): Percentiles | null {
    if (this.#count === 0) return null;
    const [p50, p95, p99] = [this.#percentile(0.5), this.#percentile(0.95), this.#percentile(0.99)];
    return { count: this.#count, p50, p95, p99 };
  }

  /** To be kept: without the empty ones at the end. */
  buckets(): readonly number[] {
    return this.#buckets.slice(0, this.#buckets.findLastIndex((counted) => counted > 0) + 1);
  }

  #percentile(share: number): number {
    const wanted = Math.ceil(share * this.#count);
    let passed = 0;
    const ix = this.#buckets.findIndex((counted) => (passed += counted) >= wanted);
    return middleOf(ix);
  }
}

function bucketOf(ms: number): number {
  if (!(ms >= 1)) return 0;
  return Math.min(lastBucket, 1 + Math.floor(Math.log2(ms) * perDoubling));
}

function middleOf(ix: number): number {
  if (ix <= 0) return 0;
  return Math.round(2 ** ((ix - 0.5) / perDoubling));
}

function countAt(buckets: readonly number[], ix: number): number {
  const counted: unknown = buckets[ix];
  return typeof counted === "number" && Number.isSafeInteger(counted) && counted > 0 ? counted : 0;
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, counted) => total + counted, 0);
}

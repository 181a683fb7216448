/** A token bucket on a clock that is passed in. */
export class RateBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #filledAt: number | null = null;

  constructor(perSecond: number, burst: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /**
   * Takes `cost` tokens and answers 0; or takes none and answers how many milliseconds to wait.
   * A cost above the burst passes on a full bucket, or it could never pass.
   */
  take(cost: number, now: number): number {
    this.#fill(now);
    const needed = Math.min(cost, this.#burst);
    if (this.#tokens >= needed) {
      this.#tokens -= cost;
      return 0;
    }
    return Math.ceil(((needed - this.#tokens) / this.#perSecond) * 1000);
  }

  /** Takes tokens whether or not they are there: the price of work that turned out to be wasted. */
  charge(cost: number): void {
    this.#tokens -= cost;
  }

  #fill(now: number): void {
    const elapsed = this.#filledAt === null ? 0 : Math.max(0, now - this.#filledAt);
    this.#filledAt = now;
    this.#tokens = Math.min(this.#burst, this.#tokens + (elapsed * this.#perSecond) / 1000);
  }
}

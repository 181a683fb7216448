/** The exclusive Web Locks of one browser: first come, first served. */
interface Waiting {
  readonly name: string;
  readonly grant: () => void;
}

/** Only what the product uses; `hold` lets a test be another tab. */
export class FakeLocks {
  readonly #held = new Set<string>();
  readonly #waiting: Waiting[] = [];

  /** Several workers share one: hand this to code that wants the browser's. */
  asLockManager(): LockManager {
    // The overloads of the platform's type cannot be met by one method.
    return this as unknown as LockManager;
  }

  async request(
    name: string,
    optionsOrRun: LockOptions | ((lock: unknown) => unknown),
    maybeRun?: (lock: unknown) => unknown,
  ): Promise<unknown> {
    const run = typeof optionsOrRun === "function" ? optionsOrRun : maybeRun;
    const options = typeof optionsOrRun === "function" ? {} : optionsOrRun;
    if (run === undefined) throw new TypeError("a lock request needs a callback");
    if (options.ifAvailable === true && this.#held.has(name)) return run(null);
    await this.#granted(name, options.signal);
    try {
      return await run({ name });
    } finally {
      this.#held.delete(name);
      this.#grantNext(name);
    }
  }

  query(): Promise<LockManagerSnapshot> {
    return Promise.resolve({
      held: [...this.#held].map((name) => ({ name })),
      pending: this.#waiting.map(({ name }) => ({ name })),
    });
  }

  /** Resolves, with the function that lets go, once the lock is held. */
  hold(name: string): Promise<() => void> {
    return new Promise((resolve) => {
      void this.request(name, () => new Promise<void>((release) => resolve(release)));
    });
  }

  #granted(name: string, signal: AbortSignal | undefined): Promise<void> {
    if (!this.#held.has(name)) {
      this.#held.add(name);
      return Promise.resolve();
    }
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { name, grant: resolve };
      this.#waiting.push(waiting);
      signal?.addEventListener("abort", () => {
        const index = this.#waiting.indexOf(waiting);
        if (index === -1) return;
        this.#waiting.splice(index, 1);
        reject(new DOMException("the request was aborted", "AbortError"));
      });
    });
  }

  #grantNext(name: string): void {
    const index = this.#waiting.findIndex((waiting) => waiting.name === name);
    const [next] = index === -1 ? [] : this.#waiting.splice(index, 1);
    if (next === undefined) return;
    this.#held.add(name);
    next.grant();
  }
}

/** The exclusive Web Locks of one browser: first come, first served. */
interface Waiting {
  readonly name: string;
  readonly grant: () => void;
}

interface Holding {
  /** Rejects the holder's request. */
  rob(): void;
}

/** Held, and its holder is about to run. */
const granting: Holding = { rob: () => {} };

/** Only what the product uses; `hold` lets a test be another tab, `steal` a program that breaks in. */
export class FakeLocks {
  readonly #held = new Map<string, Holding>();
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
    await this.#granted(name, options.signal);
    const robbed = new Promise<never>((_, reject) => {
      const rob = (): void => reject(new DOMException("the lock was stolen", "AbortError"));
      this.#held.set(name, { rob });
    });
    const holding = this.#held.get(name);
    try {
      return await Promise.race([robbed, Promise.resolve(run({ name }))]);
    } finally {
      if (this.#held.get(name) === holding) {
        this.#held.delete(name);
        this.#grantNext(name);
      }
    }
  }

  query(): Promise<LockManagerSnapshot> {
    return Promise.resolve({
      held: [...this.#held.keys()].map((name) => ({ name })),
      pending: this.#waiting.map(({ name }) => ({ name })),
    });
  }

  /** Takes the lock from whoever holds it, and keeps it. */
  steal(name: string): void {
    this.#held.get(name)?.rob();
    this.#held.set(name, granting);
  }

  /** Resolves, with the function that lets go, once the lock is held. */
  hold(name: string): Promise<() => void> {
    return new Promise((resolve) => {
      void this.request(name, () => new Promise<void>((release) => resolve(release)));
    });
  }

  #granted(name: string, signal: AbortSignal | undefined): Promise<void> {
    if (!this.#held.has(name)) {
      this.#held.set(name, granting);
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
    this.#held.set(name, granting);
    next.grant();
  }
}

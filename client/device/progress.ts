/** Waiting for something to come about: looked at again whenever anything has moved. */
import type { Timers } from "#client/sync/ports.ts";

export class Progress {
  readonly #timers: Timers;
  readonly #waiters = new Set<() => void>();

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  moved(): void {
    for (const look of this.#waiters) look();
  }

  /** Resolves to what `look` finds as soon as that is not null, or to null after `withinMs`. */
  until<T>(look: () => T | null, withinMs: number): Promise<T | null> {
    return new Promise((resolve) => {
      const finish = (found: T | null): void => {
        cancel();
        this.#waiters.delete(lookAgain);
        resolve(found);
      };
      const lookAgain = (): void => {
        const found = look();
        if (found !== null) finish(found);
      };
      const cancel = this.#timers.after(withinMs, () => finish(null));
      this.#waiters.add(lookAgain);
      lookAgain();
    });
  }
}

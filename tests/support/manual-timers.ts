import type { Timers } from "#client/worker/rpc.ts";

/** Time stands still until a test moves it. */
export class ManualTimers implements Timers {
  #now = 0;
  readonly #due = new Map<number, Set<() => void>>();

  after(ms: number, run: () => void): () => void {
    const at = this.#now + ms;
    const runs = this.#due.get(at) ?? new Set();
    this.#due.set(at, runs.add(run));
    return () => runs.delete(run);
  }

  advance(ms: number): void {
    this.#now += ms;
    for (const [at, runs] of this.#due) {
      if (at > this.#now) continue;
      this.#due.delete(at);
      for (const run of runs) run();
    }
  }

  /** Timers that have neither run nor been cancelled. */
  get waiting(): number {
    return [...this.#due.values()].reduce((count, runs) => count + runs.size, 0);
  }
}

/** Long work in pieces, so that somebody who writes meanwhile is not kept waiting. */
import type { Clock, Timers } from "#client/sync/ports.ts";

const sliceMs = 30;

export class Slices {
  readonly #clock: Clock;
  readonly #timers: Timers;
  #since: number;

  constructor({ clock, timers }: { readonly clock: Clock; readonly timers: Timers }) {
    this.#clock = clock;
    this.#timers = timers;
    this.#since = clock.now();
  }

  /** After every step: goes on at once, or, when the slice is over, after whatever waits. */
  async next(): Promise<void> {
    if (this.#clock.now() - this.#since < sliceMs) return;
    await new Promise<void>((resolve) => this.#timers.after(0, resolve));
    this.#since = this.#clock.now();
  }
}

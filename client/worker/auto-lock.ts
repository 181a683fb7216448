/** Notices that nobody has typed, clicked or scrolled for so long that the notes are to be locked. */
import type { Timers } from "./rpc.ts";

interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
}

const tickMs = 10_000;

export class AutoLockWatch {
  readonly #timers: Timers;
  readonly #clock: Clock;
  readonly #onDue: () => void;
  #limitMs: number | null = null;
  #quietMs = 0;
  #lookedAt = 0;
  #cancel: () => void = () => {};

  /** @param onDue called once; then {@link start} again */
  constructor(timers: Timers, clock: Clock, onDue: () => void) {
    this.#timers = timers;
    this.#clock = clock;
    this.#onDue = onDue;
  }

  /** Begins to count, anew if it did already; null: not at all. */
  start(minutes: number | null): void {
    this.stop();
    this.#limitMs = minutes === null ? null : minutes * 60_000;
    if (this.#limitMs === null) return;
    this.#quietMs = 0;
    this.#lookedAt = this.#clock.now();
    this.#tick();
  }

  stop(): void {
    this.#limitMs = null;
    this.#cancel();
  }

  input(): void {
    // The first movement after a night with the lid closed comes before any timer.
    this.#look(0);
    this.#quietMs = 0;
  }

  #tick(): void {
    this.#cancel = this.#timers.after(tickMs, () => {
      this.#look(tickMs);
      if (this.#limitMs !== null) this.#tick();
    });
  }

  // Timers stand still while a computer sleeps, and its clock may be set back: the longer of the two counts.
  #look(leastMs: number): void {
    if (this.#limitMs === null) return;
    const now = this.#clock.now();
    this.#quietMs += Math.max(leastMs, now - this.#lookedAt, 0);
    this.#lookedAt = now;
    if (this.#quietMs < this.#limitMs) return;
    this.stop();
    this.#onDue();
  }
}

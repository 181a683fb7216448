/** A tab's search for a leader that answers: asks, waits, asks again. */
import type { Timers } from "#client/worker/rpc.ts";

/** A leader answers within milliseconds; one that opens the store, too. */
export const ASK_EVERY_MS = 2_000;

export interface LeaderSearchPorts {
  readonly timers: Timers;
  ask(): void;
  /** Called after every question that has not led to an answering leader; from 1. */
  onMissed(times: number): void;
}

export class LeaderSearch {
  readonly #ports: LeaderSearchPorts;
  #cancel: (() => void) | null = null;

  constructor(ports: LeaderSearchPorts) {
    this.#ports = ports;
  }

  get isOn(): boolean {
    return this.#cancel !== null;
  }

  begin(): void {
    if (!this.isOn) this.#askAndWait(1);
  }

  /** A leader answers. */
  end(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #askAndWait(times: number): void {
    this.#ports.ask();
    this.#cancel = this.#ports.timers.after(ASK_EVERY_MS, () => {
      this.#ports.onMissed(times);
      if (this.isOn) this.#askAndWait(times + 1);
    });
  }
}

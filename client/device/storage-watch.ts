/**
 * Where there is no room left, writing stops, and this looks for room: after growing pauses, and at
 * once when somebody asks. The store alone knows whether the disk is full.
 */
import type { Store } from "#crdt-store/store.ts";
import type { Timers } from "#client/sync/ports.ts";

export interface StorageWatchPorts {
  readonly store: Store;
  readonly timers: Timers;
  /** The store has become full, or is so no longer. */
  readonly changed: (isFull: boolean) => void;
}

const firstPauseMs = 2_000;
const longestPauseMs = 60_000;

export class StorageWatch {
  readonly #ports: StorageWatchPorts;
  #pauseMs = firstPauseMs;
  #wasFull = false;
  #cancelTold: (() => void) | null = null;
  #cancelLook: (() => void) | null = null;
  #closed = false;

  constructor(ports: StorageWatchPorts) {
    this.#ports = ports;
    // Told in the middle of a step: what follows uses the store.
    ports.store.onFullChange(() => {
      if (this.#closed) return;
      this.#cancelTold ??= ports.timers.after(0, () => this.#told());
    });
  }

  close(): void {
    this.#closed = true;
    this.#cancelTold?.();
    this.#cancelLook?.();
  }

  /** Looks for room now, if there was none. Whether there is some. */
  look(): boolean {
    const { store } = this.#ports;
    if (!store.isFull) return true;
    const hasRoom = store.hasRoom();
    if (!hasRoom) this.#lookLater();
    return hasRoom;
  }

  #told(): void {
    this.#cancelTold = null;
    const { isFull } = this.#ports.store;
    if (isFull === this.#wasFull) return;
    this.#wasFull = isFull;
    this.#cancelLook?.();
    if (isFull) this.#lookLater();
    else this.#pauseMs = firstPauseMs;
    this.#ports.changed(isFull);
  }

  #lookLater(): void {
    this.#cancelLook?.();
    this.#cancelLook = this.#ports.timers.after(this.#pauseMs, () => this.look());
    this.#pauseMs = Math.min(longestPauseMs, 2 * this.#pauseMs);
  }
}

import type { DeviceApi } from "#client/device/api.ts";
import type { NoteTimers } from "#client/notes/open-note.ts";

/** Few calls: what came together in this time is told at once. */
const tellEveryMs = 10_000;
const mostAtOnce = 50;
/** Longer ones tell of a window that was asleep. */
const longestMs = 60_000;

/** Tells the device how long edits of others took from their arrival to the screen, as far as it wants to know. */
export class ShownTimes {
  readonly #device: Pick<DeviceApi, "shown">;
  readonly #timers: NoteTimers;
  readonly #onFault: (error: unknown) => void;
  /** When the first arrived of what is not on the screen yet. */
  #arrivedAt: number | null = null;
  #delays: number[] = [];
  #isDue = false;

  constructor(
    device: Pick<DeviceApi, "shown">,
    timers: NoteTimers,
    onFault: (error: unknown) => void,
  ) {
    this.#device = device;
    this.#timers = timers;
    this.#onFault = onFault;
  }

  arrived(at: number): void {
    this.#arrivedAt ??= at;
  }

  /** Everything that arrived is on the screen now. */
  shown(): void {
    const since = this.#arrivedAt;
    this.#arrivedAt = null;
    if (since === null) return;
    const delay = Math.round(this.#timers.now() - since);
    if (delay > longestMs || this.#delays.length >= mostAtOnce) return;
    this.#delays.push(Math.max(0, delay));
    if (this.#isDue) return;
    this.#isDue = true;
    this.#timers.after(tellEveryMs, () => this.#tell());
  }

  /** Another note is in front: what has not been shown of this one will not be. */
  left(): void {
    this.#arrivedAt = null;
  }

  #tell(): void {
    this.#isDue = false;
    const delays = this.#delays;
    this.#delays = [];
    this.#device.shown(delays).catch((error: unknown) => this.#onFault(error));
  }
}

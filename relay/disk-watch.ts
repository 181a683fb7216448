/** Watches the room on the disk: below the operator's mark the relay stops taking, above it it goes on. */
import type { Log } from "#relay/relay.ts";

export interface DiskWatchPorts {
  /** Bytes that may still be written; null where nobody can say. */
  readonly freeBytes: () => Promise<number | null>;
  readonly keepFreeBytes: number;
  readonly timers: { after(ms: number, run: () => void): () => void };
  readonly log: Log;
}

/** Often: what many clients send at once must not pass the mark by much. */
const lookEveryMs = 1000;
/** Taking begins again a little above the mark, or it would flutter about it. */
const recovery = 1.05;

export class DiskWatch {
  readonly #ports: DiskWatchPorts;
  #cancel: () => void = () => undefined;
  #isFull = false;
  #freeBytes: number | null = null;

  constructor(ports: DiskWatchPorts) {
    this.#ports = ports;
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  /** As last seen; null before the first look and where nobody can say. */
  get freeBytes(): number | null {
    return this.#freeBytes;
  }

  /** Looks now and then again and again, until `stop`. Settles after the first look. */
  async start(): Promise<void> {
    await this.#look();
    this.#cancel = this.#ports.timers.after(lookEveryMs, () => void this.start());
  }

  stop(): void {
    this.#cancel();
  }

  async #look(): Promise<void> {
    const { keepFreeBytes, log } = this.#ports;
    this.#freeBytes = await this.#ports.freeBytes();
    if (this.#freeBytes === null || keepFreeBytes === 0) return;
    const mark = this.#isFull ? keepFreeBytes * recovery : keepFreeBytes;
    const isFull = this.#freeBytes < mark;
    if (isFull === this.#isFull) return;
    this.#isFull = isFull;
    const numbers = { freeBytes: this.#freeBytes, keepFreeBytes };
    if (isFull) log("warn", "the disk is nearly full: only reading goes on", numbers);
    else log("info", "there is room on the disk again", numbers);
  }
}

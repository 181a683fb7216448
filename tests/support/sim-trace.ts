import { createHash } from "node:crypto";

/** What happened in a run: lines to read, a digest of everything to compare runs by. */
export class Trace {
  readonly #hash = createHash("sha256");
  readonly #elapsed: () => number;
  readonly lines: string[] = [];

  constructor(elapsed: () => number) {
    this.#elapsed = elapsed;
  }

  add(line: string, bytes?: Uint8Array): void {
    const stamped = `${(this.#elapsed() / 1000).toFixed(3)} ${line}`;
    this.#hash.update(stamped);
    if (bytes !== undefined) this.#hash.update(bytes);
    this.lines.push(stamped);
  }

  /** So far; more may follow. */
  get digest(): string {
    return this.#hash.copy().digest("hex");
  }
}

/** Work nobody waits for, one piece after another. */

export class Background {
  readonly #failed: (error: unknown) => void;
  readonly #done: () => void;
  #last: Promise<void> = Promise.resolve();
  #pieces = 0;
  #closed = false;

  /**
   * @param failed told of a piece that threw; the rest goes on
   * @param done called after each piece
   */
  constructor(failed: (error: unknown) => void, done: () => void) {
    this.#failed = failed;
    this.#done = done;
  }

  get idle(): boolean {
    return this.#pieces === 0;
  }

  /** After closing nothing is begun any more. */
  add(piece: () => Promise<void>): void {
    this.#pieces += 1;
    this.#last = this.#last
      .then(() => (this.#closed ? undefined : piece()))
      .catch((error: unknown) => {
        if (!this.#closed) this.#failed(error);
      })
      .then(() => {
        this.#pieces -= 1;
        this.#done();
      });
  }

  /** Resolves when everything added up to now is done. */
  settled(): Promise<void> {
    return this.#last;
  }

  /** Resolves when the piece under way is done. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#last;
  }
}

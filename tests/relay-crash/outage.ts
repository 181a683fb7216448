/** The times in which something of what is stormed is dead, for those who lost it and mean to come back. */
import { deferred } from "#tests/support/deferred.ts";

export class Outage {
  #current: ReturnType<typeof deferred<void>> | null = null;

  /** Before it is killed. */
  begin(): void {
    this.#current = deferred();
  }

  /** It has started again. */
  end(): void {
    this.#current?.resolve();
    this.#current = null;
  }

  /** At once where nothing is dead. */
  async over(): Promise<void> {
    await this.#current?.promise;
  }
}

/** The addresses of a relay, one of which may be dead. */
export class Addresses {
  readonly #urls: readonly string[];
  readonly #outage: Outage;
  #at: number;
  #failures = 0;

  /** @param at which of them comes first */
  constructor(urls: readonly string[], at: number, outage: Outage) {
    this.#urls = urls;
    this.#at = at;
    this.#outage = outage;
  }

  /** The one in use, or tried next. */
  get url(): string {
    return this.#urls[this.#at % this.#urls.length] ?? "";
  }

  /** It does what it should. */
  worked(): void {
    this.#failures = 0;
  }

  /** It cannot be reached, or broke off: the next one's turn. Where none is left, what is dead is waited for. */
  async failed(): Promise<void> {
    this.#at += 1;
    await this.#waitForTheLast();
  }

  /** It is there, and takes nothing for the moment. */
  async refused(): Promise<void> {
    await this.#waitForTheLast();
  }

  async #waitForTheLast(): Promise<void> {
    this.#failures += 1;
    if (this.#failures >= this.#urls.length) await this.#outage.over();
  }
}

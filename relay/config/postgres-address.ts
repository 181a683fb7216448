import { inspect } from "node:util";

/** Where a PostgreSQL is. It holds a password, so that however it is printed, that is left out. */
export class PostgresAddress {
  readonly #url: URL;

  private constructor(url: URL) {
    this.#url = url;
  }

  /** `postgres://user:password@host:port/database?sslmode=…`; null for anything else. */
  static parse(text: string): PostgresAddress | null {
    if (!URL.canParse(text)) return null;
    const url = new URL(text);
    return ["postgres:", "postgresql:"].includes(url.protocol) ? new PostgresAddress(url) : null;
  }

  /** With the password: for the driver alone. */
  reveal(): string {
    return this.#url.href;
  }

  toString(): string {
    const shown = new URL(this.#url.href);
    if (shown.password !== "") shown.password = "***";
    if (shown.searchParams.has("password")) shown.searchParams.set("password", "***");
    return shown.href;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

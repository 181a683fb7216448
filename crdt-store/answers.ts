import type { Sqlite } from "./sqlite.ts";

/** A caller that lives without an answer for longer has been told that nobody answers. */
const keptMs = 7 * 24 * 60 * 60 * 1_000;

/** What calls that make something new were answered: one that comes again is answered from here. */
export class Answers {
  readonly #sqlite: Sqlite;
  readonly #now: () => number;

  constructor(sqlite: Sqlite, now: () => number) {
    this.#sqlite = sqlite;
    this.#now = now;
  }

  /**
   * The answer that the call of this name was given, or that of `make`, which is remembered. To be called in the
   * transaction in which `make` writes. A call without a name is always new.
   */
  once(call: string | undefined, make: () => string): string {
    if (call === undefined) return make();
    const given = this.#sqlite.get<{ text: string }>("SELECT text FROM answer WHERE call = ?", [
      call,
    ]);
    if (given !== undefined) return given.text;
    const text = make();
    const at = this.#now();
    this.#sqlite.run("DELETE FROM answer WHERE at < ?", [at - keptMs]);
    this.#sqlite.run("INSERT INTO answer (call, at, text) VALUES (?, ?, ?)", [call, at, text]);
    return text;
  }
}

import type { Sqlite } from "./sqlite.ts";
import { isDiskFull } from "./store-error.ts";

const keptRows = 500;

export interface SyncLogRow {
  readonly at: number;
  readonly level: "info" | "warning" | "error";
  /** Plain words for a person: no keys, no contents. */
  readonly text: string;
}

/** What happened lately, in words; the last 500 rows. */
export class SyncLog {
  readonly #sqlite: Sqlite;
  readonly #now: () => number;

  constructor(sqlite: Sqlite, now: () => number) {
    this.#sqlite = sqlite;
    this.#now = now;
  }

  /** Where there is no room the line is left out: what it tells of is not to fail for it. */
  add(level: SyncLogRow["level"], text: string): void {
    try {
      this.#sqlite.transaction(() => this.#add(level, text));
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
  }

  #add(level: SyncLogRow["level"], text: string): void {
    this.#sqlite.run("INSERT INTO sync_log (at, level, text) VALUES (?, ?, ?)", [
      this.#now(),
      level,
      text,
    ]);
    this.#sqlite.run(
      `DELETE FROM sync_log WHERE id <= (SELECT max(id) FROM sync_log) - ${keptRows}`,
    );
  }

  /** Deletes the rows written before `at`, in ms since 1970. */
  forgetBefore(at: number): void {
    this.#sqlite.run("DELETE FROM sync_log WHERE at < ?", [at]);
  }

  /** Oldest first. */
  all(): SyncLogRow[] {
    return this.#sqlite.all<SyncLogRow>("SELECT at, level, text FROM sync_log ORDER BY id");
  }
}

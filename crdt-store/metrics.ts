import { Histogram, type Percentiles } from "./histogram.ts";
import type { Sqlite } from "./sqlite.ts";
import { StoreError } from "./store-error.ts";

/** What is counted. */
export type Counter =
  /** Entries that the relay acknowledged. */
  | "pushed"
  /** Answers of the relay that an entry is not taken, each time it is said. */
  | "push-refused"
  /** What had to be tried again, by what was in the way. */
  | `retry/${string}`
  /** Comparisons of this device's log, or of a document, with what another device or the relay says of it. */
  | "divergence-checks"
  /** Those that found a difference. */
  | "divergences"
  /** Passages that two devices changed without knowing of each other. */
  | "conflicts";

/** What is measured, in ms. */
export type Duration =
  /** A push, from sending it to its answer. */
  | "push"
  /** From asking for a space's log to having taken in all of it. */
  | "pull"
  /** From a connection to everything being exchanged. */
  | "up-to-date"
  /** From the journal to the relay's acknowledgement, of what was written while connected. */
  | "acknowledged"
  /** From the arrival of another device's edit to its being on the screen. */
  | "shown";

/** Nothing is written for what is counted sooner than this after the last time. */
const saveEveryMs = 60_000;
const retryPrefix = "retry/";

interface MetricRow {
  name: string;
  count: number;
  buckets: string;
}

interface Loaded {
  readonly counts: Map<string, number>;
  readonly times: Map<string, Histogram>;
}

/**
 * Counts and times of this device, over all its processes. They are kept in memory and written now and then, on the
 * way of something else or by {@link save}: what a crash takes of them is no loss.
 */
export class Metrics {
  readonly #sqlite: Sqlite;
  readonly #now: () => number;
  #kept: Loaded | null = null;
  readonly #unsaved = new Set<string>();
  #savedAt: number;

  constructor(sqlite: Sqlite, now: () => number) {
    this.#sqlite = sqlite;
    this.#now = now;
    this.#savedAt = now();
  }

  count(counter: Counter, by = 1): void {
    const { counts } = this.#loaded();
    counts.set(counter, (counts.get(counter) ?? 0) + by);
    this.#unsaved.add(counter);
  }

  measure(duration: Duration, ms: number): void {
    const { times } = this.#loaded();
    const histogram = times.get(duration) ?? new Histogram();
    histogram.add(ms);
    times.set(duration, histogram);
    this.#unsaved.add(duration);
  }

  counted(counter: Counter): number {
    return this.#loaded().counts.get(counter) ?? 0;
  }

  /** How often what was in the way, the most frequent first. */
  retries(): readonly { readonly reason: string; readonly times: number }[] {
    return [...this.#loaded().counts]
      .filter(([name]) => name.startsWith(retryPrefix))
      .map(([name, times]) => ({ reason: name.slice(retryPrefix.length), times }))
      .sort((a, b) => b.times - a.times || (a.reason < b.reason ? -1 : 1));
  }

  measured(duration: Duration): Percentiles | null {
    return this.#loaded().times.get(duration)?.percentiles() ?? null;
  }

  /** In a transaction that writes anyway: writes what has come together, if that is long ago. */
  saveAlong(): void {
    if (this.#now() - this.#savedAt >= saveEveryMs) this.#save();
  }

  /** Writes what has come together, unless it cannot be written: nothing is to fail for it. */
  save(): void {
    try {
      this.#save();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    }
  }

  /** Reads everything from the table again: it was changed from outside. */
  forget(): void {
    this.#kept = null;
    this.#unsaved.clear();
  }

  #save(): void {
    this.#savedAt = this.#now();
    if (this.#unsaved.size === 0) return;
    const { counts, times } = this.#loaded();
    this.#sqlite.transaction(() => {
      for (const name of this.#unsaved) {
        const buckets = times.get(name)?.buckets() ?? [];
        this.#sqlite.run("INSERT OR REPLACE INTO metric (name, count, buckets) VALUES (?, ?, ?)", [
          name,
          counts.get(name) ?? 0,
          buckets.join(" "),
        ]);
      }
    });
    this.#unsaved.clear();
  }

  #loaded(): Loaded {
    this.#kept ??= this.#read();
    // Where the table cannot be read for the moment, what is counted meanwhile is forgotten.
    return this.#kept ?? { counts: new Map(), times: new Map() };
  }

  #read(): Loaded | null {
    try {
      const rows = this.#sqlite.all<MetricRow>("SELECT name, count, buckets FROM metric");
      const timed = rows.filter(({ buckets }) => buckets !== "");
      return {
        counts: new Map(rows.map(({ name, count }) => [name, count])),
        times: new Map(
          timed.map(({ name, buckets }) => [name, new Histogram(buckets.split(" ").map(Number))]),
        ),
      };
    } catch (error) {
      if (error instanceof StoreError) return null;
      throw error;
    }
  }
}

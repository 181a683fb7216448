/**
 * What of a session's work is counted and timed for the sync panel. Nothing waits for it, and it is written along with
 * what a session writes anyway.
 */
import type { SealedEntry } from "#crdt-store/outbox.ts";
import type { Store } from "#crdt-store/store.ts";
import { refusalName } from "#relay/protocol/errors.ts";
import type { ConnectionEvent, ConnectionState } from "./connection.ts";
import type { Clock } from "./ports.ts";

export interface MeasuresPorts {
  readonly store: Store;
  readonly clock: Clock;
}

export class SessionMeasures {
  readonly #store: Store;
  readonly #clock: Clock;
  #connectedAt: number | null = null;
  #isUpToDate = false;
  /** When the log of a space was asked for, by its id in hex. */
  readonly #pulls = new Map<string, number>();

  constructor({ store, clock }: MeasuresPorts) {
    this.#store = store;
    this.#clock = clock;
  }

  connected(): void {
    this.#connectedAt = this.#clock.now();
    this.#isUpToDate = false;
  }

  disconnected(): void {
    this.#connectedAt = null;
    this.#pulls.clear();
  }

  /** @param upToDate asked only while it matters */
  progressed(upToDate: () => boolean): void {
    if (this.#connectedAt === null || this.#isUpToDate || !upToDate()) return;
    this.#isUpToDate = true;
    this.#measureSince("up-to-date", this.#connectedAt);
  }

  pullBegan(space: string): void {
    this.#pulls.set(space, this.#clock.now());
  }

  pullEnded(space: string): void {
    const since = this.#pulls.get(space);
    this.#pulls.delete(space);
    if (since !== undefined) this.#measureSince("pull", since);
  }

  /** To be called when a push goes out; the result when its answer has come. */
  pushBegan(): () => void {
    const since = this.#clock.now();
    return () => this.#measureSince("push", since);
  }

  /** In the transaction that takes the acknowledgement in, before it is. */
  acknowledged(entry: Pick<SealedEntry, "doc" | "hashes">): void {
    const { changes, metrics } = this.#store;
    metrics.count("pushed");
    const since = changes.journalledAt(entry.doc, entry.hashes);
    // What was written before waited for the connection, and says nothing of how quick it is.
    if (since === null || this.#connectedAt === null || since < this.#connectedAt) return;
    this.#measureSince("acknowledged", since);
  }

  /** The relay did not take an entry, or a whole push. */
  refused(code: number): void {
    this.#store.metrics.count("push-refused");
    this.#store.metrics.count(`retry/${refusalName(code) ?? "OTHER"}`);
  }

  #measureSince(duration: Parameters<Store["metrics"]["measure"]>[0], since: number): void {
    this.#store.metrics.measure(duration, this.#clock.now() - since);
  }
}

/** What was in the way of a connection that has to be tried again; null if none has. */
export function failureOf(
  before: ConnectionState["phase"],
  after: ConnectionState["phase"],
  event: ConnectionEvent["type"],
): "no-answer" | "broken" | "unreachable" | null {
  if (after !== "waiting" || before === "waiting") return null;
  if (event === "tick") return "no-answer";
  return before === "open" ? "broken" : "unreachable";
}

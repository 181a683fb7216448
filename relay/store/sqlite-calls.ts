/** Calls of the SQLite store as values, so that they can cross to a worker and back. */
import type { SqliteDatabase } from "#relay/store/sqlite-database.ts";
import { StoreError, type StoreFailure } from "#relay/store/store.ts";

export type Operation = Exclude<keyof SqliteDatabase, symbol>;

export interface Call {
  readonly id: number;
  readonly operation: Operation | "open";
  readonly values: readonly unknown[];
}

export type Answer =
  | { readonly id: number; readonly ok: true; readonly value: unknown }
  | {
      readonly id: number;
      readonly ok: false;
      readonly failure: StoreFailure;
      readonly message: string;
    };

/** Performs a call. What goes wrong becomes an answer: a worker must outlive it. */
export function answerCall(call: Call, open: () => SqliteDatabase): Answer {
  const { id, operation, values } = call;
  try {
    const database = open();
    if (operation === "open") return { id, ok: true, value: null };
    // The typed side is SqliteStore, the only maker of calls.
    const method = database[operation] as (...values: readonly unknown[]) => unknown;
    return { id, ok: true, value: method.apply(database, [...values]) };
  } catch (error) {
    const failure = error instanceof StoreError ? error.failure : "failed";
    return { id, ok: false, failure, message: error instanceof Error ? error.message : "failed" };
  }
}

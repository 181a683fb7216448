/** The store as an operator's command sees it: beside the relay that serves it, never made anew. */
import type { Config } from "#relay/config/config.ts";
import { openStore, type RelayStore } from "#relay/open-store.ts";
import { databasePathIn, openBeside } from "#relay/store/sqlite-opening.ts";
import { sqliteStoreOf } from "#relay/store/sqlite.ts";
import { OperatorError } from "./program.ts";

/** Opens the configured store, runs the work on it, and closes it. */
export async function withStore<T>(
  { store: choice, dataDir }: Config,
  purpose: "read" | "write",
  work: (store: RelayStore) => Promise<T>,
): Promise<T> {
  const store =
    choice.type === "sqlite"
      ? sqliteStoreOf(openBeside(databasePathIn(dataDir), purpose))
      : await openStore(choice, { dir: dataDir, workerUrl: null });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** The path of the SQLite file, for commands that are about files. */
export function sqlitePathOf({ store, dataDir }: Config, instead: string): string {
  if (store.type === "sqlite") return databasePathIn(dataDir);
  throw new OperatorError(`The store is in PostgreSQL: ${instead}.`);
}

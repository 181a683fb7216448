/** `verify [FILE]`: the configured store, or a backup. */
import type { Config } from "#relay/config/config.ts";
import { openStore } from "#relay/open-store.ts";
import { checkStore, type StoreReport } from "#relay/store-check.ts";
import { databasePathIn, openBeside } from "#relay/store/sqlite-opening.ts";
import { sqliteStoreOf } from "#relay/store/sqlite.ts";

/** @param file null for the configured store */
export async function verify(config: Config, file: string | null): Promise<StoreReport> {
  if (file === null && config.store.type === "postgres") {
    const store = await openStore(config.store, { dir: config.dataDir, workerUrl: null });
    try {
      return await checkStore(store);
    } finally {
      await store.close();
    }
  }
  return verifyFile(file ?? databasePathIn(config.dataDir));
}

export async function verifyFile(path: string): Promise<StoreReport> {
  const opened = openBeside(path, "read");
  // One moment of a store that may be written to meanwhile.
  opened.db.exec("BEGIN");
  const damage = opened.db
    .prepare("PRAGMA integrity_check(20)")
    .all()
    .flatMap((row) => Object.values(row as object).map(String)) // rows by column name
    .filter((line) => line !== "ok");
  const hasIdentity = opened.db
    .prepare("SELECT 1 FROM identity WHERE length(relay_secret) = 32 AND length(store_id) = 16")
    .get();
  const store = sqliteStoreOf(opened);
  try {
    const report = await checkStore(store);
    const troubles = damage.map((line) => `The file is damaged: ${line}.`);
    if (hasIdentity === undefined) troubles.push("The relay's own key is missing.");
    return { ...plain(report), troubles: [...troubles, ...report.troubles] };
  } finally {
    opened.db.exec("ROLLBACK");
    await store.close();
  }
}

function plain({ spaces, positions, chunks, troubles }: StoreReport): StoreReport {
  return { spaces, positions, chunks, troubles };
}

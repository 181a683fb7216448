import type { Config } from "#relay/config/config.ts";
import { databasePathIn, openBeside } from "#relay/store/sqlite-opening.ts";
import { sqliteStoreOf } from "#relay/store/sqlite.ts";
import { statSync } from "node:fs";

/**
 * Gives the disk back what the store has forgotten, a slice at a time, so that a relay that serves
 * meanwhile waits for none of it long. Answers how many bytes.
 */
export async function compact({ dataDir }: Config): Promise<number> {
  const path = databasePathIn(dataDir);
  const opened = openBeside(path, "write");
  const store = sqliteStoreOf(opened);
  try {
    const before = statSync(path).size;
    while (await store.reclaim());
    opened.db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
    return Math.max(0, before - statSync(path).size);
  } finally {
    await store.close();
  }
}

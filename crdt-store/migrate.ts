import type { Sqlite } from "./sqlite.ts";
import { StoreError } from "./store-error.ts";

/** One step from a version of the tables to the next. */
export type Migration = (sqlite: Sqlite) => void;

/**
 * Brings the tables from the stored version to `migrations.length`, each step and its version number in one
 * transaction. Steps are never changed or reordered once published. Throws {@link StoreError} `newer-version`, changing
 * nothing, if a newer program has already been here.
 */
export function migrate(sqlite: Sqlite, migrations: readonly Migration[]): void {
  const stored = storedVersion(sqlite);
  if (stored > migrations.length) {
    throw new StoreError(
      "newer-version",
      "These notes were last opened by a newer version of Sealeaf. Update this one: reload the page, or install the new release.",
    );
  }
  for (const [index, step] of migrations.entries()) {
    if (index < stored) continue;
    sqlite.transaction(() => {
      step(sqlite);
      sqlite.run("CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)");
      sqlite.run("DELETE FROM schema_version");
      sqlite.run("INSERT INTO schema_version (version) VALUES (?)", [index + 1]);
    });
  }
}

function storedVersion(sqlite: Sqlite): number {
  const table = sqlite.get("SELECT 1 AS found FROM sqlite_schema WHERE name = 'schema_version'");
  if (table === undefined) return 0;
  return sqlite.get<{ version: number }>("SELECT version FROM schema_version")?.version ?? 0;
}

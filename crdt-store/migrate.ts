import type { Sqlite, SqlValue } from "./sqlite.ts";
import { StoreError } from "./store-error.ts";

/** One step from a version of the tables to the next. */
export type Migration = (sqlite: Sqlite) => void;

/**
 * Brings the tables from the stored version to `migrations.length`, each step and its version number in one
 * transaction. Steps are never changed or reordered once published. Throws {@link StoreError}, changing nothing:
 * `newer-version` if a newer program has already been here, `corrupt` if there are tables without a version.
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

// Nothing else tells an empty database from one whose version is damaged: the first step would run on its tables.
/** How many steps the tables have seen; 0 for none. */
export function storedVersion(sqlite: Sqlite): number {
  const tables = sqlite.all<{ name: string }>("SELECT name FROM sqlite_schema");
  if (tables.length === 0) return 0;
  const rows = tables.some(({ name }) => name === "schema_version")
    ? sqlite.all<{ version: SqlValue }>("SELECT version FROM schema_version")
    : [];
  const version = rows.length === 1 ? rows[0]?.version : undefined;
  if (typeof version === "number" && Number.isInteger(version) && version > 0) return version;
  throw new StoreError(
    "corrupt",
    "The notes on this device do not say which version wrote them, so they are damaged. Nothing was changed: copy the files, then restore a backup or join again from another device.",
  );
}

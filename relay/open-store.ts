import type { StoreChoice } from "#relay/config/config.ts";
import type { AccessStore } from "#relay/store/access-store.ts";
import { openSqliteStore } from "#relay/store/sqlite.ts";
import { StoreError, type Store } from "#relay/store/store.ts";

/** What a relay remembers: its spaces, and whom it admits. */
export type RelayStore = Store & { readonly access: AccessStore };

/** Opens or makes the store an operator chose. Rejects with a StoreError that a person understands. */
export async function openStore(
  choice: StoreChoice,
  sqlite: { readonly dir: string; readonly workerUrl: URL | null },
): Promise<RelayStore> {
  switch (choice.type) {
    case "sqlite":
      return openSqliteStore(sqlite);
    case "postgres":
      throw new StoreError("unusable", "This relay keeps its store in SQLite only.");
  }
}

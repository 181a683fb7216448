import { randomBytes } from "node:crypto";
import type { StoreChoice } from "#relay/config/config.ts";
import type { AccessStore } from "#relay/store/access-store.ts";
import { openSqliteStore } from "#relay/store/sqlite.ts";
import type { Store } from "#relay/store/store.ts";
import { systemTimers } from "#relay/system-timers.ts";

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
    case "postgres": {
      // The driver is loaded where it is used: most relays run without.
      const { openPostgresStore } = await import("#relay/store/postgres.ts");
      return openPostgresStore({
        address: choice.address.reveal(),
        node: randomBytes(9).toString("base64url"),
        after: systemTimers.after,
      });
    }
  }
}

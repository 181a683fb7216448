/** The first connection to a database: is it fit, and are its tables what this relay needs? */
import type { Client } from "pg";
import { openingError } from "#relay/store/postgres-failure.ts";
import { migrate } from "#relay/store/postgres-schema.ts";
import { connect, connectionTo } from "#relay/store/postgres-session.ts";
import { StoreError } from "#relay/store/store.ts";

const oldestVersion = 15;

export interface ReadyConnection {
  /** Its caller's to end. */
  readonly client: Client;
  /** Whether the server answers by default before what it answers is durable. */
  readonly isLax: boolean;
}

/**
 * Rejects with a {@link StoreError} a person understands; nothing is left open then.
 * @param patience whether its statements may take as long as they take
 */
export async function connectReady(
  address: string,
  patience: "usual" | "endless" = "usual",
): Promise<ReadyConnection> {
  const place = placeIn(address);
  let client: Client | null = null;
  try {
    const { statement_timeout, query_timeout, ...endless } = connectionTo(address);
    client = await connect(
      patience === "endless" ? endless : { ...endless, statement_timeout, query_timeout },
    );
    const isLax = await examine(client, place);
    await migrate(client);
    return { client, isLax };
  } catch (error) {
    await client?.end().catch(() => undefined);
    throw openingError(error, place);
  }
}

/** Where an address leads, without user and password. */
export function placeIn(address: string): string {
  const { hostname, port, pathname } = new URL(address);
  return `${hostname}:${port === "" ? "5432" : port}${pathname}`;
}

async function examine(client: Client, place: string): Promise<boolean> {
  const { rows } = await client.query<{ version: number; standby: boolean; lax: boolean }>(
    `SELECT current_setting('server_version_num')::int4 / 10000 AS version,
       pg_is_in_recovery() AS standby, current_setting('synchronous_commit') = 'off' AS lax`,
  );
  const [found] = rows;
  if (found === undefined) throw new Error("a statement that always has a row");
  if (found.version < oldestVersion) {
    throw new StoreError(
      "unusable",
      `The database ${place} is PostgreSQL ${found.version}: the relay needs ${oldestVersion} or later.`,
    );
  }
  if (found.standby) {
    throw new StoreError(
      "unusable",
      `The database ${place} is a standby, which takes no writes: name the primary in SEALEAF_STORE.`,
    );
  }
  return found.lax;
}

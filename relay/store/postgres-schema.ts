/**
 * The tables of the store on PostgreSQL, in steps that only go forward: a released step is never
 * altered, a store with more steps than this relay knows is left alone. Nodes of two versions may
 * run side by side: a step adds, and leaves what an older node calls as it was.
 */
import type { ClientBase } from "pg";
import { appendFunction } from "#relay/store/postgres-append.ts";
import { StoreError } from "#relay/store/store.ts";

const logPartitions = 16;
/** Held in a database while its tables are made. Any number that nothing else in it locks: "sealeaf" in ASCII. */
export const migrationLock = 0x7365616c656166n;

/** A body that was forgotten is an empty one: no entry is. Sealed bytes do not compress. */
const firstTables = `
  CREATE TABLE sealeaf.identity (
    is_only boolean PRIMARY KEY CHECK (is_only),
    relay_secret bytea NOT NULL,
    store_id bytea NOT NULL
  );
  -- Room on each page, and no index on what changes: an update stays on its page.
  CREATE TABLE sealeaf.space (
    id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    space_id bytea NOT NULL UNIQUE,
    genesis bytea NOT NULL,
    revision int8 NOT NULL,
    head int8 NOT NULL,
    chain bytea NOT NULL,
    base int8 NOT NULL,
    counted_bytes int8 NOT NULL,
    deleted_at int8,
    turn_node text,
    turn_until timestamptz
  ) WITH (fillfactor = 70);
  -- In partitions, so that vacuum works in slices.
  CREATE TABLE sealeaf.log (
    space int8 NOT NULL,
    pos int8 NOT NULL,
    is_control boolean NOT NULL,
    doc_id bytea NOT NULL,
    entry_kind int4 NOT NULL,
    size int4 NOT NULL,
    item_id bytea NOT NULL,
    chain bytea NOT NULL,
    body bytea NOT NULL,
    at int8 NOT NULL,
    PRIMARY KEY (space, pos)
  ) PARTITION BY HASH (space);
  ALTER TABLE sealeaf.log ALTER COLUMN body SET STORAGE EXTERNAL;
  CREATE UNIQUE INDEX log_item ON sealeaf.log (space, item_id);
  CREATE INDEX log_control ON sealeaf.log (space, pos) WHERE is_control;
  CREATE INDEX log_document ON sealeaf.log (space, doc_id, pos) WHERE NOT is_control;
  CREATE INDEX log_stub ON sealeaf.log (space, pos) WHERE NOT is_control AND length(body) = 0;
  ${Array.from(
    { length: logPartitions },
    (_, ix) => `
  CREATE TABLE sealeaf.log_${ix} PARTITION OF sealeaf.log
    FOR VALUES WITH (MODULUS ${logPartitions}, REMAINDER ${ix})
    WITH (autovacuum_vacuum_scale_factor = 0.02);`,
  ).join("")}
  CREATE TABLE sealeaf.certificate (
    space int8 NOT NULL,
    dev_pub bytea NOT NULL,
    cap_pub bytea NOT NULL,
    bytes bytea NOT NULL,
    at int8 NOT NULL,
    PRIMARY KEY (space, dev_pub, cap_pub)
  );
  CREATE TABLE sealeaf.counter (
    space int8 NOT NULL,
    dev_pub bytea NOT NULL,
    ctr int8 NOT NULL,
    counted_bytes int8 NOT NULL,
    at int8 NOT NULL,
    PRIMARY KEY (space, dev_pub)
  ) WITH (fillfactor = 70);
  CREATE TABLE sealeaf.document (
    space int8 NOT NULL,
    doc_id bytea NOT NULL,
    last_pos int8 NOT NULL,
    last_at int8 NOT NULL,
    drop_pos int8 NOT NULL,
    snapshot_pos int8 NOT NULL,
    swept_pos int8 NOT NULL,
    counted_bytes int8 NOT NULL,
    PRIMARY KEY (space, doc_id)
  ) WITH (fillfactor = 70);
  CREATE INDEX document_drop ON sealeaf.document (space, last_at) WHERE drop_pos > swept_pos;
  CREATE TABLE sealeaf.snapshot (
    space int8 NOT NULL,
    pos int8 NOT NULL,
    doc_id bytea NOT NULL,
    covers_pos int8 NOT NULL,
    omitted bytea[] NOT NULL,
    chunks bytea[] NOT NULL,
    at int8 NOT NULL,
    PRIMARY KEY (space, pos)
  );
  CREATE INDEX snapshot_document ON sealeaf.snapshot (space, doc_id, pos, at);
  CREATE TABLE sealeaf.card (
    space int8 NOT NULL,
    doc_id bytea NOT NULL,
    derived_pos int8 NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (space, doc_id)
  );
  ALTER TABLE sealeaf.card ALTER COLUMN body SET STORAGE EXTERNAL;
  CREATE TABLE sealeaf.blob (
    id int8 GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    space int8 NOT NULL,
    blob_id bytea NOT NULL,
    doc_id bytea NOT NULL,
    dev_pub bytea NOT NULL,
    size int8 NOT NULL,
    chunks bytea[] NOT NULL,
    pos int8 NOT NULL,
    at int8 NOT NULL,
    dropped_at int8,
    UNIQUE (space, blob_id)
  );
  CREATE INDEX blob_document ON sealeaf.blob (space, doc_id);
  CREATE TABLE sealeaf.chunk (
    blob int8 NOT NULL REFERENCES sealeaf.blob (id) ON DELETE CASCADE,
    ix int4 NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (blob, ix)
  );
  ALTER TABLE sealeaf.chunk ALTER COLUMN body SET STORAGE EXTERNAL;
  CREATE TABLE sealeaf.invite (
    token_hash bytea PRIMARY KEY,
    label text NOT NULL,
    made_at int8 NOT NULL,
    expires_at int8,
    redeemed_by bytea
  );
  CREATE TABLE sealeaf.access_key (
    access_pub bytea PRIMARY KEY,
    label text NOT NULL,
    admitted_at int8 NOT NULL
  );
  CREATE TABLE sealeaf.space_owner (
    space_id bytea PRIMARY KEY,
    access_pub bytea NOT NULL
  );
  CREATE INDEX space_owner_key ON sealeaf.space_owner (access_pub);
  ${appendFunction}
`;

const steps: readonly string[] = [firstTables];

/**
 * Brings the tables up to this relay's; several nodes may try at once. Rejects with a
 * {@link StoreError} when a newer relay made them.
 */
export async function migrate(client: ClientBase): Promise<void> {
  if ((await versionOf(client)) === steps.length) return;
  await client.query("BEGIN");
  try {
    await client.query(`SELECT pg_advisory_xact_lock(${migrationLock})`);
    // Another node may have been faster.
    const version = await versionOf(client);
    if (version === 0) {
      await client.query(`
        CREATE SCHEMA IF NOT EXISTS sealeaf;
        CREATE TABLE IF NOT EXISTS sealeaf.schema_version (
          version int4 PRIMARY KEY,
          at timestamptz NOT NULL DEFAULT now()
        );
      `);
    }
    for (const [ix, step] of steps.entries()) {
      if (ix < version) continue;
      await client.query(step);
      await client.query("INSERT INTO sealeaf.schema_version (version) VALUES ($1)", [ix + 1]);
    }
    await client.query("COMMIT");
  } catch (error) {
    await client.query("ROLLBACK");
    throw error;
  }
}

/** 0 where there are no tables yet. */
async function versionOf(client: ClientBase): Promise<number> {
  // Asked of the tables' table: what `to_regclass` remembers of a schema that was not there yet it keeps for the whole
  // transaction, and does not see what another node has made meanwhile.
  const table = await client.query<{ found: boolean }>(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = 'sealeaf' AND tablename = 'schema_version') AS found",
  );
  if (table.rows[0]?.found !== true) return 0;
  const { rows } = await client.query<{ version: number }>(
    "SELECT coalesce(max(version), 0) AS version FROM sealeaf.schema_version",
  );
  const version = rows[0]?.version ?? 0;
  if (version > steps.length) {
    throw new StoreError(
      "unusable",
      "The store was written by a newer relay: start that one, or restore a backup of this one.",
    );
  }
  return version;
}

/**
 * The tables of the store on PostgreSQL, in steps that only go forward. Nodes of two versions may
 * run side by side: a step adds, and leaves what an older node calls as it was.
 *
 * `append` is the writer of every node: it locks the spaces of a batch in one order, so that
 * batches of several nodes never wait for each other in a circle, and stores each append that was
 * decided on the present revision. A node that is told `moved` gets the space's next turn: it has
 * to read before it can write again, and one that writes without pause would always be there first.
 */
import type { ClientBase } from "pg";
import { StoreError } from "#relay/store/store.ts";

export const hintChannel = "sealeaf_hint";

/** Less than PostgreSQL's 8,000 bytes a notification: a hint takes up to 62. */
const hintsPerNotification = 100;
const turnMs = 100;
const logPartitions = 16;
/** Any number, as long as nothing else in the database locks it: "sealeaf" in hexadecimal. */
const migrationLock = "x'7365616c656166'::int8";

const firstStep = `
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
    counted_bytes int8 NOT NULL,
    turn_node text,
    turn_until timestamptz
  ) WITH (fillfactor = 70);
  -- Partitions: vacuum works in slices.
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
    PRIMARY KEY (space, pos)
  ) PARTITION BY HASH (space);
  -- Sealed bytes do not compress.
  ALTER TABLE sealeaf.log ALTER COLUMN body SET STORAGE EXTERNAL;
  CREATE UNIQUE INDEX log_item ON sealeaf.log (space, item_id);
  CREATE INDEX log_control ON sealeaf.log (space, pos) WHERE is_control;
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
    PRIMARY KEY (space, dev_pub, cap_pub)
  );
  CREATE TABLE sealeaf.counter (
    space int8 NOT NULL,
    dev_pub bytea NOT NULL,
    ctr int8 NOT NULL,
    PRIMARY KEY (space, dev_pub)
  ) WITH (fillfactor = 70);

  CREATE FUNCTION sealeaf.append_1(
    node text,
    space_ids bytea[], -- each once, ascending
    geneses bytea[],
    write_appends int4[],
    write_slots int4[], -- from 1, in space_ids
    write_revisions int8[],
    write_heads int8[],
    write_chains bytea[],
    write_bytes int8[],
    row_writes int4[], -- from 1, in write_…
    row_positions int8[],
    row_are_controls boolean[],
    row_docs bytea[],
    row_kinds int4[],
    row_items bytea[],
    row_chains bytea[],
    row_bodies bytea[],
    certificate_writes int4[],
    certificate_devices bytea[],
    certificate_capabilities bytea[],
    certificate_bytes bytea[],
    counter_writes int4[],
    counter_devices bytea[],
    counter_values int8[]
  ) RETURNS int4[] -- the appends that were refused: their spaces have moved
  LANGUAGE plpgsql AS $$
  DECLARE
    write_count CONSTANT int4 := coalesce(array_length(write_slots, 1), 0);
    ids int8[];
    revisions int8[];
    may_write boolean[];
    last_writes int4[] := array_fill(0, ARRAY[array_length(space_ids, 1)]);
    is_stored boolean[] := array_fill(false, ARRAY[write_count]);
    refused int4[] := '{}';
    next_write int4 := 1;
    first_write int4;
    slot int4;
    is_current boolean;
  BEGIN
    -- Stored means durable, whatever the server's default is.
    IF current_setting('synchronous_commit') = 'off' THEN
      PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    INSERT INTO sealeaf.space (space_id, genesis, revision, head, chain, counted_bytes)
      SELECT fresh.space_id, fresh.genesis, 0, 0, '', 0
      FROM unnest(space_ids, geneses) AS fresh (space_id, genesis)
      WHERE NOT EXISTS (SELECT FROM sealeaf.space AS kept WHERE kept.space_id = fresh.space_id)
      ORDER BY fresh.space_id
      ON CONFLICT DO NOTHING;
    PERFORM FROM sealeaf.space AS kept
      WHERE kept.space_id = ANY (space_ids) ORDER BY kept.space_id FOR NO KEY UPDATE;
    SELECT
      array_agg(kept.id ORDER BY kept.space_id),
      array_agg(kept.revision ORDER BY kept.space_id),
      array_agg(
        kept.turn_node IS NULL OR kept.turn_node = node OR kept.turn_until < clock_timestamp()
        ORDER BY kept.space_id
      )
      INTO ids, revisions, may_write
      FROM sealeaf.space AS kept WHERE kept.space_id = ANY (space_ids);

    WHILE next_write <= write_count LOOP
      first_write := next_write;
      is_current := true;
      WHILE next_write <= write_count AND write_appends[next_write] = write_appends[first_write] LOOP
        slot := write_slots[next_write];
        is_current := is_current AND may_write[slot]
          AND revisions[slot] = write_revisions[next_write];
        next_write := next_write + 1;
      END LOOP;
      IF is_current THEN
        FOR stored_write IN first_write .. next_write - 1 LOOP
          slot := write_slots[stored_write];
          revisions[slot] := revisions[slot] + 1;
          last_writes[slot] := stored_write;
          is_stored[stored_write] := true;
        END LOOP;
      ELSE
        refused := refused || write_appends[first_write];
      END IF;
    END LOOP;

    UPDATE sealeaf.space AS kept
      SET revision = revisions[write_slots[written.ix]], head = written.head,
        chain = written.chain, counted_bytes = written.bytes, turn_node = NULL
      FROM unnest(write_heads, write_chains, write_bytes)
        WITH ORDINALITY AS written (head, chain, bytes, ix)
      WHERE last_writes[write_slots[written.ix]] = written.ix
        AND kept.id = ids[write_slots[written.ix]];
    INSERT INTO sealeaf.log
        (space, pos, is_control, doc_id, entry_kind, size, item_id, chain, body)
      SELECT ids[write_slots[added.write]], added.pos, added.is_control, added.doc_id,
        added.entry_kind, length(added.body), added.item_id, added.chain, added.body
      FROM unnest(row_writes, row_positions, row_are_controls, row_docs, row_kinds, row_items,
          row_chains, row_bodies)
        AS added (write, pos, is_control, doc_id, entry_kind, item_id, chain, body)
      WHERE is_stored[added.write];
    INSERT INTO sealeaf.certificate (space, dev_pub, cap_pub, bytes)
      SELECT ids[write_slots[added.write]], added.dev_pub, added.cap_pub, added.bytes
      FROM unnest(certificate_writes, certificate_devices, certificate_capabilities,
          certificate_bytes)
        AS added (write, dev_pub, cap_pub, bytes)
      WHERE is_stored[added.write];
    INSERT INTO sealeaf.counter AS kept (space, dev_pub, ctr)
      SELECT DISTINCT ON (1, 2) ids[write_slots[added.write]], added.dev_pub, added.ctr
      FROM unnest(counter_writes, counter_devices, counter_values)
        WITH ORDINALITY AS added (write, dev_pub, ctr, ix)
      WHERE is_stored[added.write]
      ORDER BY 1, 2, added.ix DESC
      ON CONFLICT (space, dev_pub) DO UPDATE SET ctr = excluded.ctr;

    IF array_length(refused, 1) > 0 THEN
      DELETE FROM sealeaf.space AS kept WHERE kept.id = ANY (ids) AND kept.revision = 0;
      UPDATE sealeaf.space AS kept
        SET turn_node = node, turn_until = clock_timestamp() + interval '${turnMs} ms'
        WHERE kept.id IN (
          SELECT ids[write_slots[ix]] FROM generate_series(1, write_count) AS ix
          WHERE write_appends[ix] = ANY (refused) AND may_write[write_slots[ix]]
            AND last_writes[write_slots[ix]] = 0
        );
    END IF;

    PERFORM pg_notify('${hintChannel}', node || string_agg(
        ' ' || encode(space_ids[hinted.slot], 'base64') || ':' || revisions[hinted.slot], ''
      ))
      FROM (
        SELECT ix::int4 AS slot, (row_number() OVER () - 1) / ${hintsPerNotification} AS part
        FROM unnest(last_writes) WITH ORDINALITY AS l (write, ix) WHERE write > 0
      ) AS hinted
      GROUP BY hinted.part;
    RETURN refused;
  END
  $$;
`;

const steps: readonly string[] = [firstStep];

/**
 * Brings the tables up to date; several nodes may try at once. Rejects with a {@link StoreError}
 * when a newer relay made them.
 */
export async function prepareSchema(client: ClientBase): Promise<void> {
  const found = await versionOf(client);
  refuseNewer(found);
  if (found === steps.length) return;
  await client.query("BEGIN");
  try {
    await client.query(`SELECT pg_advisory_xact_lock(${migrationLock})`);
    const version = await versionOf(client);
    refuseNewer(version);
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
  const table = await client.query<{ found: boolean }>(
    "SELECT to_regclass('sealeaf.schema_version') IS NOT NULL AS found",
  );
  if (table.rows[0]?.found !== true) return 0;
  const { rows } = await client.query<{ version: number }>(
    "SELECT coalesce(max(version), 0) AS version FROM sealeaf.schema_version",
  );
  return rows[0]?.version ?? 0;
}

function refuseNewer(version: number): void {
  if (version <= steps.length) return;
  throw new StoreError(
    "unusable",
    "The store was written by a newer relay: start that one, or restore a backup of this one.",
  );
}

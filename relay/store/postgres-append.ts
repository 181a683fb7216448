/**
 * The writer of every node on a shared store: one call, one transaction for appends that arrived
 * together. It locks the spaces of the batch in one order, so that batches of several nodes never
 * wait for each other in a circle, and keeps each append that was decided on the present revision.
 * A node whose append has moved gets the space's next turn: it has to read before it can write again,
 * and one that writes without pause would always be there first.
 */
import { toHex } from "#relay/protocol/bytes.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import { boolArray, bytesArray, int4Array, int8Array } from "#relay/store/postgres-arrays.ts";
import type { SpaceWrite } from "#relay/store/store.ts";

/** Where nodes are told what a batch has written: `node( spaceId in base64:revision)+`. */
export const hintChannel = "sealeaf_hint";

/** A hint takes up to 62 of the 8,000 bytes of a notification. */
const hintsPerNotification = 100;
const turnMs = 100;

/** Later versions get other names: nodes of the version before go on calling this one. */
export const appendFunction = `
  CREATE FUNCTION sealeaf.append_1(
    node text,
    space_ids bytea[], -- each once, ascending
    geneses bytea[],
    write_appends int4[], -- ascending
    write_slots int4[], -- from 1, in space_ids
    write_revisions int8[],
    write_heads int8[],
    write_chains bytea[],
    write_bases int8[],
    write_bytes int8[],
    write_deletions int8[], -- 0 for a space that is not deleted
    row_writes int4[], -- from 1, in write_appends
    row_positions int8[],
    row_are_controls boolean[],
    row_docs bytea[],
    row_kinds int4[],
    row_items bytea[],
    row_chains bytea[],
    row_bodies bytea[],
    row_times int8[],
    others jsonb -- rows of the other tables, each with its write; what is forgotten goes last
  ) RETURNS int4[] -- the appends that were refused: their spaces have moved
  LANGUAGE plpgsql AS $$
  DECLARE
    write_count CONSTANT int4 := array_length(write_slots, 1);
    ids int8[];
    revisions int8[];
    may_write boolean[];
    -- What was built on a refused append falls with it, even if by chance the revision fits.
    is_spoilt boolean[] := array_fill(false, ARRAY[array_length(space_ids, 1)]);
    last_writes int4[] := array_fill(0, ARRAY[array_length(space_ids, 1)]);
    space_of int8[] := array_fill(NULL::int8, ARRAY[write_count]); -- NULL: not stored
    refused int4[] := '{}';
    next_write int4 := 1;
    first_write int4;
    slot int4;
    is_current boolean;
  BEGIN
    INSERT INTO sealeaf.space (space_id, genesis, revision, head, chain, base, counted_bytes)
      SELECT fresh.space_id, fresh.genesis, 0, 0, '', 1, 0
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
        is_current := is_current AND may_write[slot] AND NOT is_spoilt[slot]
          AND revisions[slot] = write_revisions[next_write];
        next_write := next_write + 1;
      END LOOP;
      IF is_current THEN
        FOR stored_write IN first_write .. next_write - 1 LOOP
          slot := write_slots[stored_write];
          revisions[slot] := revisions[slot] + 1;
          last_writes[slot] := stored_write;
          space_of[stored_write] := ids[slot];
        END LOOP;
      ELSE
        refused := refused || write_appends[first_write];
        FOR refused_write IN first_write .. next_write - 1 LOOP
          is_spoilt[write_slots[refused_write]] := true;
        END LOOP;
      END IF;
    END LOOP;

    UPDATE sealeaf.space AS kept
      SET revision = revisions[write_slots[written.ix]], head = written.head,
        chain = written.chain, base = written.base, counted_bytes = written.bytes,
        deleted_at = nullif(written.deletion, 0), turn_node = NULL
      FROM unnest(write_heads, write_chains, write_bases, write_bytes, write_deletions)
        WITH ORDINALITY AS written (head, chain, base, bytes, deletion, ix)
      WHERE last_writes[write_slots[written.ix]] = written.ix
        AND kept.id = ids[write_slots[written.ix]];
    INSERT INTO sealeaf.log
        (space, pos, is_control, doc_id, entry_kind, size, item_id, chain, body, at)
      SELECT space_of[added.write], added.pos, added.is_control, added.doc_id, added.entry_kind,
        length(added.body), added.item_id, added.chain, added.body, added.at
      FROM unnest(row_writes, row_positions, row_are_controls, row_docs, row_kinds, row_items,
          row_chains, row_bodies, row_times)
        AS added (write, pos, is_control, doc_id, entry_kind, item_id, chain, body, at)
      WHERE space_of[added.write] IS NOT NULL;
    PERFORM sealeaf.keep_others_1(space_of, others);

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
        FROM unnest(last_writes) WITH ORDINALITY AS last (write, ix) WHERE write > 0
      ) AS hinted
      GROUP BY hinted.part;
    RETURN refused;
  END
  $$;

  -- Of several rows with one key the last counts.
  CREATE FUNCTION sealeaf.keep_others_1(space_of int8[], others jsonb) RETURNS void
  LANGUAGE plpgsql AS $$
  BEGIN
    INSERT INTO sealeaf.certificate (space, dev_pub, cap_pub, bytes, at)
      SELECT space_of[added.write], added.dev_pub, added.cap_pub, added.bytes, added.at
      FROM jsonb_to_recordset(others -> 'certificates')
        AS added (write int4, dev_pub bytea, cap_pub bytea, bytes bytea, at int8)
      WHERE space_of[added.write] IS NOT NULL;
    INSERT INTO sealeaf.counter (space, dev_pub, ctr, counted_bytes, at)
      SELECT DISTINCT ON (1, 2) space_of[added.write], added.dev_pub, added.ctr,
        added.counted_bytes, added.at
      FROM jsonb_to_recordset(others -> 'counters')
        AS added (write int4, ix int4, dev_pub bytea, ctr int8, counted_bytes int8, at int8)
      WHERE space_of[added.write] IS NOT NULL
      ORDER BY 1, 2, added.ix DESC
      ON CONFLICT (space, dev_pub) DO UPDATE SET ctr = excluded.ctr,
        counted_bytes = excluded.counted_bytes, at = excluded.at;
    INSERT INTO sealeaf.document (space, doc_id, last_pos, last_at, drop_pos, snapshot_pos,
        swept_pos, counted_bytes)
      SELECT DISTINCT ON (1, 2) space_of[added.write], added.doc_id, added.last_pos,
        added.last_at, added.drop_pos, added.snapshot_pos, added.swept_pos, added.counted_bytes
      FROM jsonb_to_recordset(others -> 'documents')
        AS added (write int4, ix int4, doc_id bytea, last_pos int8, last_at int8, drop_pos int8,
          snapshot_pos int8, swept_pos int8, counted_bytes int8)
      WHERE space_of[added.write] IS NOT NULL
      ORDER BY 1, 2, added.ix DESC
      ON CONFLICT (space, doc_id) DO UPDATE SET last_pos = excluded.last_pos,
        last_at = excluded.last_at, drop_pos = excluded.drop_pos,
        snapshot_pos = excluded.snapshot_pos, swept_pos = excluded.swept_pos,
        counted_bytes = excluded.counted_bytes;
    INSERT INTO sealeaf.snapshot (space, pos, doc_id, covers_pos, omitted, chunks, at)
      SELECT space_of[added.write], added.pos, added.doc_id, added.covers_pos, added.omitted,
        added.chunks, added.at
      FROM jsonb_to_recordset(others -> 'snapshots')
        AS added (write int4, pos int8, doc_id bytea, covers_pos int8, omitted bytea[],
          chunks bytea[], at int8)
      WHERE space_of[added.write] IS NOT NULL;
    INSERT INTO sealeaf.card (space, doc_id, derived_pos, body)
      SELECT DISTINCT ON (1, 2) space_of[added.write], added.doc_id, added.derived_pos,
        added.body
      FROM jsonb_to_recordset(others -> 'cards')
        AS added (write int4, ix int4, doc_id bytea, derived_pos int8, body bytea)
      WHERE space_of[added.write] IS NOT NULL
      ORDER BY 1, 2, added.ix DESC
      ON CONFLICT (space, doc_id) DO UPDATE SET derived_pos = excluded.derived_pos,
        body = excluded.body;
    INSERT INTO sealeaf.blob (space, blob_id, doc_id, dev_pub, size, chunks, pos, at, dropped_at)
      SELECT DISTINCT ON (1, 2) space_of[added.write], added.blob_id, added.doc_id,
        added.dev_pub, added.size, added.chunks, added.pos, added.at, added.dropped_at
      FROM jsonb_to_recordset(others -> 'blobs')
        AS added (write int4, ix int4, blob_id bytea, doc_id bytea, dev_pub bytea, size int8,
          chunks bytea[], pos int8, at int8, dropped_at int8)
      WHERE space_of[added.write] IS NOT NULL
      ORDER BY 1, 2, added.ix DESC
      ON CONFLICT (space, blob_id) DO UPDATE SET dropped_at = excluded.dropped_at;

    IF jsonb_array_length(others -> 'forgotten') = 0 THEN
      RETURN;
    END IF;
    UPDATE sealeaf.log AS kept SET body = ''
      FROM jsonb_to_recordset(others -> 'forgotten') AS gone (write int4, bodies int8[])
      WHERE kept.space = space_of[gone.write] AND kept.pos = ANY (gone.bodies)
        AND NOT kept.is_control;
    DELETE FROM sealeaf.snapshot AS kept
      USING jsonb_to_recordset(others -> 'forgotten')
        AS gone (write int4, bodies int8[], documents bytea[])
      WHERE kept.space = space_of[gone.write]
        AND (kept.pos = ANY (gone.bodies) OR kept.doc_id = ANY (gone.documents));
    DELETE FROM sealeaf.log AS kept
      USING jsonb_to_recordset(others -> 'forgotten') AS gone (write int4, stubs int8[])
      WHERE kept.space = space_of[gone.write] AND kept.pos = ANY (gone.stubs)
        AND NOT kept.is_control AND length(kept.body) = 0;
    DELETE FROM sealeaf.document AS kept
      USING jsonb_to_recordset(others -> 'forgotten') AS gone (write int4, documents bytea[])
      WHERE kept.space = space_of[gone.write] AND kept.doc_id = ANY (gone.documents);
    DELETE FROM sealeaf.card AS kept
      USING jsonb_to_recordset(others -> 'forgotten')
        AS gone (write int4, documents bytea[], cards bytea[])
      WHERE kept.space = space_of[gone.write]
        AND kept.doc_id = ANY (gone.documents || gone.cards);
    DELETE FROM sealeaf.blob AS kept
      USING jsonb_to_recordset(others -> 'forgotten') AS gone (write int4, blobs bytea[])
      WHERE kept.space = space_of[gone.write] AND kept.blob_id = ANY (gone.blobs);
  END
  $$;
`;

const parameterCount = 21;

/** Its only row has `refused`: the numbers, from 0, of the appends whose spaces have moved. */
export const appendCall = `SELECT sealeaf.append_1(${Array.from(
  { length: parameterCount },
  (_, ix) => `$${ix + 1}`,
).join(", ")}) AS refused`;

/**
 * Parameters of a batch.
 * @param appends only the last may forget anything
 */
export function appendParameters(
  node: string,
  appends: readonly (readonly SpaceWrite[])[],
): (string | Buffer)[] {
  const writes = appends.flatMap((append, appendIx) =>
    append.map((write) => ({ ...write, appendIx })),
  );
  const spaces = [...new Map(writes.map((write) => [toHex(write.spaceId), write])).entries()]
    // Hexadecimal digits sort as the bytes do: the order in which every node locks.
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  const slots = new Map(spaces.map(([key], ix) => [key, ix + 1]));
  const rows = writes.flatMap(({ rows: added, at }, ix) =>
    added.map((row) => ({ ...row, at, write: ix + 1 })),
  );
  return [
    node,
    bytesArray(spaces.map(([, { spaceId }]) => spaceId)),
    bytesArray(spaces.map(([, { genesis }]) => genesis)),
    int4Array(writes.map(({ appendIx }) => appendIx)),
    int4Array(writes.map(({ spaceId }) => slots.get(toHex(spaceId)) ?? 0)),
    int8Array(writes.map(({ revision }) => revision)),
    int8Array(writes.map(({ head }) => head)),
    bytesArray(writes.map(({ chain }) => chain)),
    int8Array(writes.map(({ base }) => base)),
    int8Array(writes.map(({ countedBytes }) => countedBytes)),
    int8Array(writes.map(({ deletedAt }) => deletedAt ?? 0)),
    int4Array(rows.map(({ write }) => write)),
    int8Array(rows.map(({ pos }) => pos)),
    boolArray(rows.map(({ kind }) => kind === "control")),
    bytesArray(rows.map(({ kind, docId }) => (kind === "control" ? noDocument : docId))),
    int4Array(rows.map(({ entryKind }) => entryKind)),
    bytesArray(rows.map(({ itemId }) => itemId)),
    bytesArray(rows.map(({ chain }) => chain)),
    bytesArray(rows.map(({ bytes }) => bytes)),
    int8Array(rows.map(({ at }) => at)),
    othersOf(writes),
  ];
}

/** Bytes that an append adds to a batch, roughly. */
export function appendBytes(append: readonly SpaceWrite[]): number {
  const bodies = append.flatMap(({ rows, cards }) => [...rows, ...cards]);
  return bodies.reduce((sum, { bytes }) => sum + bytes.length, 0);
}

/** Whether an append lets go of anything. */
export function forgets(append: readonly SpaceWrite[]): boolean {
  return append.some(({ forgotten }) => Object.values(forgotten).some(({ length }) => length > 0));
}

function othersOf(writes: readonly SpaceWrite[]): string {
  let ix = 0;
  const tagged = <Row, Tagged>(
    rowsOf: (write: SpaceWrite) => readonly Row[],
    columnsOf: (row: Row) => Tagged,
  ) =>
    writes.flatMap((write, writeIx) =>
      rowsOf(write).map((row) => ({ write: writeIx + 1, ix: (ix += 1), ...columnsOf(row) })),
    );
  return JSON.stringify({
    certificates: tagged(
      ({ certificates }) => certificates,
      ({ devPub, capPub, bytes, at }) => ({
        dev_pub: hex(devPub),
        cap_pub: hex(capPub),
        bytes: hex(bytes),
        at,
      }),
    ),
    counters: tagged(
      ({ counters }) => counters,
      ({ devPub, ctr, countedBytes, at }) => ({
        dev_pub: hex(devPub),
        ctr,
        counted_bytes: countedBytes,
        at,
      }),
    ),
    documents: tagged(
      ({ documents }) => documents,
      (document) => ({
        doc_id: hex(document.docId),
        last_pos: document.lastPos,
        last_at: document.lastAt,
        drop_pos: document.dropPos,
        snapshot_pos: document.snapshotPos,
        swept_pos: document.sweptPos,
        counted_bytes: document.countedBytes,
      }),
    ),
    snapshots: tagged(
      ({ snapshots }) => snapshots,
      ({ docId, pos, coversPos, omitted, chunks, at }) => ({
        doc_id: hex(docId),
        pos,
        covers_pos: coversPos,
        omitted: omitted.map(hex),
        chunks: chunks.map(hex),
        at,
      }),
    ),
    cards: tagged(
      ({ cards }) => cards,
      ({ docId, derivedPos, bytes }) => ({
        doc_id: hex(docId),
        derived_pos: derivedPos,
        body: hex(bytes),
      }),
    ),
    blobs: tagged(
      ({ blobs }) => blobs,
      (blob) => ({
        blob_id: hex(blob.blobId),
        doc_id: hex(blob.docId),
        dev_pub: hex(blob.devPub),
        size: blob.size,
        chunks: blob.chunks.map(hex),
        pos: blob.pos,
        at: blob.at,
        dropped_at: blob.droppedAt,
      }),
    ),
    forgotten: tagged(
      (write) => (forgets([write]) ? [write.forgotten] : []),
      ({ bodies, stubs, documents, cards, blobs }) => ({
        bodies,
        stubs,
        documents: documents.map(hex),
        cards: cards.map(hex),
        blobs: blobs.map(hex),
      }),
    ),
  });
}

/** Bytes as PostgreSQL reads them from text. */
function hex(bytes: Uint8Array): string {
  return `\\x${toHex(bytes)}`;
}

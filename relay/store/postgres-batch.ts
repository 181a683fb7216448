/** Appends that arrived together as the parameters of one call (postgres-schema.ts, `append_1`). */
import { toHex } from "#relay/protocol/bytes.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import { boolArray, bytesArray, int4Array, int8Array } from "#relay/store/postgres-arrays.ts";
import type { SpaceWrite } from "#relay/store/store.ts";

/**
 * Parameters after the node's name: `$2` to `$24`. Appends are numbered from 0, as the function's
 * answer names them; spaces and writes from 1, as PostgreSQL counts.
 */
export function batchParameters(appends: readonly (readonly SpaceWrite[])[]): Buffer[] {
  const writes = appends.flatMap((append, appendIx) =>
    append.map((write) => ({ ...write, appendIx })),
  );
  const spaces = [...new Map(writes.map((write) => [toHex(write.spaceId), write])).entries()]
    // Hexadecimal digits sort as the bytes do: the order in which every node locks.
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  const slots = new Map(spaces.map(([key], ix) => [key, ix + 1]));
  const rows = writes.flatMap((write, ix) => write.rows.map((row) => ({ ...row, write: ix + 1 })));
  const certificates = writes.flatMap((write, ix) =>
    write.certificates.map((certificate) => ({ ...certificate, write: ix + 1 })),
  );
  const counters = writes.flatMap((write, ix) =>
    write.counters.map((counter) => ({ ...counter, write: ix + 1 })),
  );
  return [
    bytesArray(spaces.map(([, { spaceId }]) => spaceId)),
    bytesArray(spaces.map(([, { genesis }]) => genesis)),
    int4Array(writes.map(({ appendIx }) => appendIx)),
    int4Array(writes.map(({ spaceId }) => slots.get(toHex(spaceId)) ?? 0)),
    int8Array(writes.map(({ revision }) => revision)),
    int8Array(writes.map(({ head }) => head)),
    bytesArray(writes.map(({ chain }) => chain)),
    int8Array(writes.map(({ countedBytes }) => countedBytes)),
    int4Array(rows.map(({ write }) => write)),
    int8Array(rows.map(({ pos }) => pos)),
    boolArray(rows.map(({ kind }) => kind === "control")),
    bytesArray(rows.map(({ kind, docId }) => (kind === "control" ? noDocument : docId))),
    int4Array(rows.map(({ entryKind }) => entryKind)),
    bytesArray(rows.map(({ itemId }) => itemId)),
    bytesArray(rows.map(({ chain }) => chain)),
    bytesArray(rows.map(({ bytes }) => bytes)),
    int4Array(certificates.map(({ write }) => write)),
    bytesArray(certificates.map(({ devPub }) => devPub)),
    bytesArray(certificates.map(({ capPub }) => capPub)),
    bytesArray(certificates.map(({ bytes }) => bytes)),
    int4Array(counters.map(({ write }) => write)),
    bytesArray(counters.map(({ devPub }) => devPub)),
    int8Array(counters.map(({ ctr }) => ctr)),
  ];
}

/** What an append adds to the size of a batch. */
export function appendBytes(append: readonly SpaceWrite[]): number {
  return append.flatMap(({ rows }) => rows).reduce((sum, { bytes }) => sum + bytes.length, 0);
}

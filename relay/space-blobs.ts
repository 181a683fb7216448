/**
 * Blobs of a space as the pure state machine sees them (docs/protocol.md, BLOB): who may have one
 * kept, and what it counts. Chunks are no decision: they are named by hash in what was signed.
 */
import { equal, toHex } from "#relay/protocol/bytes.ts";
import type { BlobContent, SignedBlobStatement } from "#relay/protocol/blob.ts";
import type { RefusalName } from "#relay/protocol/errors.ts";
import type { Limits } from "#relay/protocol/limits.ts";
import { judgeSpace, writersOf, type Decision, type SpaceState } from "#relay/space.ts";
import type { BlobRow, CounterRow } from "#relay/store/store.ts";

/**
 * Everything about a statement but its signature; null if nothing speaks against it.
 * @param kept what is known of a blob of this id
 */
export function judgeBlob(
  state: SpaceState,
  statement: SignedBlobStatement,
  kept: BlobRow | null,
  limits: Limits,
): RefusalName | null {
  const { authority } = state;
  const { content } = statement;
  if (authority.deleted) return "SPACE_DELETED";
  if (content !== null && content.size > limits.blobBytes) return "ENTRY_TOO_BIG";
  if (content === null && kept === null) return "NO_BLOB";
  if (kept !== null && !isOf(kept, statement)) return "BAD_BLOB";
  if (authority.epoch === 0 || statement.epoch !== authority.epoch) return "STALE_EPOCH";
  const writers = writersOf(state, statement.devPub);
  if (writers.length === 0) return "NOT_A_WRITER";
  return content === null || kept !== null
    ? null
    : judgeSpace(state, content.size, writers, limits);
}

/** Whether a blob is kept as this statement wants it: nothing is to be decided then. */
export function isWanted(kept: BlobRow | null, statement: SignedBlobStatement): boolean {
  return (
    kept !== null &&
    isOf(kept, statement) &&
    (kept.droppedAt === null) === (statement.content !== null)
  );
}

/** Keeps a blob, or again one that was dropped; or drops one, which then waits for its grace. */
export function admitBlob(
  state: SpaceState,
  statement: SignedBlobStatement,
  kept: BlobRow | null,
  now: number,
  limits: Limits,
): Decision<{ readonly blob: BlobRow; readonly counters: readonly CounterRow[] }> {
  const refusal = judgeBlob(state, statement, kept, limits);
  if (refusal !== null) return { ok: false, refusal };
  const { content, blobId, docId, devPub } = statement;
  if (kept !== null) {
    const blob = { ...kept, droppedAt: content === null ? now : null };
    return { ok: true, state, blob, counters: [] };
  }
  if (content === null) throw new Error("a drop of no blob was refused");
  const { size, chunks } = content;
  const key = toHex(devPub);
  const before = state.devices.get(key);
  if (before === undefined) throw new Error("a judged statement has a certified device");
  const device = { ...before, countedBytes: before.countedBytes + size, usedAt: now };
  return {
    ok: true,
    state: {
      ...state,
      countedBytes: state.countedBytes + size,
      devices: new Map(state.devices).set(key, device),
    },
    blob: { blobId, docId, devPub, size, chunks, pos: state.head, at: now, droppedAt: null },
    counters: [
      { devPub, ctr: device.lastCtr, countedBytes: device.countedBytes, at: device.usedAt },
    ],
  };
}

function isOf(kept: BlobRow, { docId, content }: SignedBlobStatement): boolean {
  return equal(kept.docId, docId) && (content === null || isContent(kept, content));
}

function isContent(kept: BlobRow, { size, chunks }: BlobContent): boolean {
  return (
    kept.size === size &&
    kept.chunks.length === chunks.length &&
    kept.chunks.every((hash, ix) => equal(hash, chunks[ix] ?? new Uint8Array(0)))
  );
}

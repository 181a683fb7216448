/** The snapshot that a document begins with which was made of another one: what it came with, under its origin alone. */
import type { Store } from "#crdt-store/store.ts";
import { blobIdBytes } from "#relay/protocol/blob.ts";
import { chainStart } from "#relay/protocol/domain.ts";
import { blobKeyBytes } from "#client/crypto/blob.ts";
import { encodeSnapshotContent } from "#client/crypto/snapshot.ts";
import type { Random } from "#client/sync/ports.ts";
import { mostInlineBytes } from "#client/sync/snapshots.ts";
import type { Space } from "#client/sync/space.ts";

export interface Past {
  /** As Automerge saves it. */
  readonly document: Uint8Array;
  readonly heads: readonly Uint8Array[];
  /** Hashes of all its changes. */
  readonly changes: readonly Uint8Array[];
}

/** Its changes wait for the relay until that has the snapshot; in the caller's transaction. */
export function sendPast(
  store: Store,
  random: Random,
  space: Space,
  doc: Uint8Array,
  { document, heads, changes }: Past,
): void {
  const content = encodeSnapshotContent({ heads: [], document });
  const isLarge = content.length > mostInlineBytes;
  store.outbox.add(space.id, doc, changes);
  store.outgoingSnapshots.put({
    doc,
    space: space.id,
    coversPos: 0,
    chain: chainStart(space.id),
    omitted: [],
    heads,
    changes,
    content,
    blob: isLarge ? { id: random(blobIdBytes), key: random(blobKeyBytes) } : null,
  });
}

/** Snapshots as a member with a changed program makes them: sealed and signed as they should be, whatever they hold. */
import { nodeAutomerge, nodeEd25519, nodeRandom } from "#client/cli/node-ports.ts";
import { signHead, type SignedHead } from "#client/crypto/authorship.ts";
import { encodeSnapshotContent } from "#client/crypto/snapshot.ts";
import { DeviceDocuments } from "#client/device/documents.ts";
import { Shelf } from "#client/device/shelf.ts";
import type { Space } from "#client/sync/space.ts";
import { parseChange } from "#crdt-store/chunks.ts";
import type { Store } from "#crdt-store/store.ts";
import { parseHex, toHex } from "#relay/protocol/bytes.ts";

export async function documentsIn(store: Store): Promise<DeviceDocuments> {
  const ports = { store, random: nodeRandom, clock: Date, damaged: () => undefined };
  return new DeviceDocuments({ ...ports, culprits: null }, await nodeAutomerge());
}

/** What goes out with whatever is sent next: a snapshot that says it covers all that this device has read. */
export function putSnapshot(
  store: Store,
  doc: Uint8Array,
  saved: { readonly bytes: Uint8Array; readonly heads: readonly string[] },
  heads: readonly SignedHead[],
): void {
  const space = store.documents.get(doc)?.space;
  const cursor = space === undefined ? null : store.inbox.cursor(space);
  if (space === undefined || cursor === null) throw new Error("a note that is at the relay");
  store.outgoingSnapshots.put({
    doc,
    space,
    coversPos: cursor.pos,
    chain: cursor.chain,
    omitted: [],
    heads: saved.heads.map((hash) => parseHex(hash) ?? new Uint8Array()),
    changes: [],
    content: encodeSnapshotContent({ heads, document: saved.bytes }),
    blob: null,
  });
}

/** The space of a note, as its device's store has it. */
export function spaceIn(store: Store, doc: Uint8Array): Space {
  const shelf = new Shelf({ store, ed: nodeEd25519(), clock: Date, random: nodeRandom });
  shelf.openAll();
  const space = shelf.get(store.documents.get(doc)?.space ?? new Uint8Array());
  if (space === undefined) throw new Error("a notebook of this device's");
  return space;
}

/** The signed heads of the actors of this device among the changes. */
export function ownHeads(
  store: Store,
  space: Space,
  doc: Uint8Array,
  chunks: readonly Uint8Array[],
): readonly SignedHead[] {
  const own = chunks.flatMap((chunk) => {
    const parsed = parseChange(chunk);
    if (parsed.type === "failed") throw new Error("a change of the note's");
    const actor = store.documents.actor(doc, parsed.change.actor);
    return actor === null ? [] : [{ ...parsed.change, own: actor }];
  });
  const newest = new Map(own.map((change) => [toHex(change.actor), change]));
  return [...newest.values()].map(({ own: actor, seq, hash }) => {
    const signer = space.signerOf(doc, actor);
    if (signer === null) throw new Error("an actor of this device's");
    return signHead(space.ed, signer, doc, actor.nonce, seq, hash);
  });
}

/**
 * Blobs up and down (docs/protocol.md, BLOB), both resumable: what the relay has is asked before anything is sent, and
 * chunks that came are kept until the blob is whole. What a blob holds is its owner's affair: snapshots now.
 */
import type { Store } from "#crdt-store/store.ts";
import { equal } from "#relay/protocol/bytes.ts";
import { chunkHash, signBlobStatement } from "#relay/protocol/blob.ts";
import { refusals } from "#relay/protocol/errors.ts";
import type { Message } from "#relay/protocol/messages.ts";
import { blobContentOf, openChunks, sealChunk, type BlobName } from "#client/crypto/blob.ts";
import type { Space } from "./space.ts";

export interface BlobPorts {
  readonly store: Store;
  /** Null when the connection broke. */
  readonly ask: (message: Message) => Promise<Message | null>;
  /**
   * Asks for `parts` parts; resolves to null when they have come or the connection broke, else to what came in their place.
   */
  readonly stream: (
    message: Message,
    parts: number,
    part: (message: Message) => void,
  ) => Promise<Message | null>;
}

/** 0 when the relay has all of it, a refusal's code, or null where the connection broke. */
export async function uploadBlob(
  { ask }: BlobPorts,
  space: Space,
  docId: Uint8Array,
  name: BlobName,
  content: Uint8Array,
): Promise<number | null> {
  const key = space.currentKey;
  if (key === null) return refusals.STALE_EPOCH.code;
  const wanted = blobContentOf(name, content);
  const statement = signBlobStatement(
    {
      spaceId: space.id,
      docId,
      epoch: key.epoch,
      devPub: space.device.publicKey,
      blobId: name.blobId,
      content: wanted,
    },
    (message) => space.ed.sign(space.device.seed, message),
  );
  const have = await ask({ type: "blobInit", statement });
  if (have?.type !== "blobHave" || have.status !== 0) return statusOf(have);
  for (const index of wanted.chunks.keys()) {
    if (isKept(have.bitmap, index)) continue;
    const { blobId } = name;
    const chunk = sealChunk(name, content, index);
    const ack = await ask({ type: "blobPut", spaceId: space.id, blobId, index, chunk });
    if (ack?.type !== "blobAck" || ack.status !== 0) return statusOf(ack);
  }
  return 0;
}

/**
 * The content of a blob; "broken" where the connection broke or the relay has not got all of it now, null if it is not what
 * its name says.
 *
 * @param hashes the names of its chunks
 */
export async function downloadBlob(
  { store, stream }: BlobPorts,
  handle: number,
  name: BlobName,
  hashes: readonly Uint8Array[],
): Promise<Uint8Array | "broken" | null> {
  const { blobId } = name;
  const missing = (): number[] => {
    const held = new Set(store.blobChunks.held(blobId));
    return [...hashes.keys()].filter((index) => !held.has(index));
  };
  for (let lacking = missing(); lacking.length > 0; lacking = missing()) {
    const [from = 0] = lacking;
    const gap = lacking.findIndex((index, ix) => index !== from + ix);
    const count = gap < 0 ? lacking.length : gap;
    const end = await stream({ type: "blobGet", handle, blobId, from, count }, count, (part) => {
      if (part.type !== "blobData") return;
      const hash = hashes[part.index];
      if (hash === undefined || !equal(chunkHash(part.chunk), hash)) return;
      store.blobChunks.put(blobId, part.index, part.chunk);
    });
    if (end !== null || missing().length >= lacking.length) return "broken";
  }
  const content = openChunks(name, store.blobChunks.all(blobId));
  store.blobChunks.forget(blobId);
  return content;
}

function isKept(bitmap: Uint8Array, index: number): boolean {
  return ((bitmap[index >> 3] ?? 0) & (0x80 >> (index & 7))) !== 0;
}

function statusOf(answer: Message | null): number | null {
  if (answer === null) return null;
  if (answer.type === "blobHave" || answer.type === "blobAck") return answer.status;
  return answer.type === "error" ? answer.code : refusals.INTERNAL.code;
}

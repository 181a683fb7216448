/**
 * Sealing what is too large for an entry: padded as a whole, then in chunks under a key of its own, each bound to its blob
 * and its place (PROTOCOL §7). The same content under the same key gives the same chunks, so that an upload resumes.
 */
import { Writer } from "#relay/protocol/bytes.ts";
import { blobIdBytes, chunkBytes, chunkHash, type BlobContent } from "#relay/protocol/blob.ts";
import { aeadNonceBytes, open, seal } from "./aead.ts";
import { paddedLength } from "./payload.ts";

export const blobKeyBytes = 32;
const tagBytes = 16;
/** Of the padded content in each chunk but the last. */
const plainChunkBytes = chunkBytes - tagBytes;

/** What opens a blob; it stands inside a sealed entry. */
export interface BlobName {
  readonly blobId: Uint8Array;
  /** Random, used for this blob alone. */
  readonly key: Uint8Array;
  /** Bytes of the content, before padding. */
  readonly size: number;
}

/** How many chunks a content of so many bytes has. */
export function chunkCount(size: number): number {
  return Math.ceil(paddedLength(size) / plainChunkBytes);
}

/** One sealed chunk of a content. */
export function sealChunk(name: BlobName, content: Uint8Array, index: number): Uint8Array {
  const padded = paddedLength(name.size);
  const from = index * plainChunkBytes;
  const plain = new Uint8Array(Math.min(plainChunkBytes, padded - from));
  plain.set(content.subarray(from, from + plain.length));
  return seal(name.key, nonceOf(index), contextOf(name, index), plain);
}

/** What the relay is told of a content: the bytes of its chunks, and their names. */
export function blobContentOf(name: BlobName, content: Uint8Array): BlobContent {
  const count = chunkCount(name.size);
  const chunks = Array.from({ length: count }, (_, ix) => chunkHash(sealChunk(name, content, ix)));
  return { size: paddedLength(name.size) + count * tagBytes, chunks };
}

/** The content of all its chunks in order; null if one is not what the name says. */
export function openChunks(name: BlobName, chunks: readonly Uint8Array[]): Uint8Array | null {
  if (chunks.length !== chunkCount(name.size)) return null;
  const padded = new Uint8Array(paddedLength(name.size));
  for (const [index, chunk] of chunks.entries()) {
    const plain = open(name.key, nonceOf(index), contextOf(name, index), chunk);
    const from = index * plainChunkBytes;
    if (plain?.length !== Math.min(plainChunkBytes, padded.length - from)) return null;
    padded.set(plain, from);
  }
  return padded.slice(0, name.size);
}

/** The key is used for one blob, so counting is enough. */
function nonceOf(index: number): Uint8Array {
  return new Writer()
    .bytes(new Uint8Array(aeadNonceBytes - 8))
    .u64(index)
    .finish();
}

function contextOf({ blobId, size }: BlobName, index: number): Uint8Array {
  return new Writer().fixed(blobId, blobIdBytes).u16(index).u16(chunkCount(size)).finish();
}

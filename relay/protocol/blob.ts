/**
 * Blobs: what is too large for an entry, in chunks that are named by the hash of their sealed bytes
 * (docs/protocol.md, BLOB). A device that may write says which blob is to be kept, and which no more.
 */
import { parseAll, Writer, type Parsed } from "./bytes.ts";
import { hashInDomain, inDomain } from "./domain.ts";
import { docIdBytes, spaceIdBytes } from "./genesis.ts";
import { keyBytes, signatureBytes } from "./keys.ts";
import { protocolVersion } from "./limits.ts";

export const blobIdBytes = 16;
/** Every chunk but the last has this length. */
export const chunkBytes = 256 << 10;
const hashBytes = 32;

const statementTypes = { init: 1, drop: 2 } as const;

/** What is kept: `size` bytes in chunks of these hashes, in order. */
export interface BlobContent {
  readonly size: number;
  readonly chunks: readonly Uint8Array[];
}

/**
 * ```
 * 0 ver u8 | 1 type u8 (1 init, 2 drop) | 2 spaceId 32 | 34 docId 16 | 50 epoch u32 | 54 devPub 32
 * | 86 blobId 16 | init: size u64, n u16, n × chunk hash 32 | sig 64
 * ```
 */
export interface BlobStatement {
  readonly spaceId: Uint8Array;
  /** The document the blob belongs to: it goes when that is dropped. */
  readonly docId: Uint8Array;
  readonly epoch: number;
  readonly devPub: Uint8Array;
  readonly blobId: Uint8Array;
  /** Null in a drop. */
  readonly content: BlobContent | null;
}

export interface SignedBlobStatement extends BlobStatement {
  readonly signature: Uint8Array;
  /** What is signed, without its domain. */
  readonly unsigned: Uint8Array;
}

export function signBlobStatement(
  statement: BlobStatement,
  sign: (message: Uint8Array) => Uint8Array,
): Uint8Array {
  const { content } = statement;
  const writer = new Writer()
    .u8(protocolVersion)
    .u8(content === null ? statementTypes.drop : statementTypes.init)
    .fixed(statement.spaceId, spaceIdBytes)
    .fixed(statement.docId, docIdBytes)
    .u32(statement.epoch)
    .fixed(statement.devPub, keyBytes)
    .fixed(statement.blobId, blobIdBytes);
  if (content !== null) {
    writer.u64(content.size).u16(content.chunks.length);
    for (const hash of content.chunks) writer.fixed(hash, hashBytes);
  }
  const unsigned = writer.finish();
  const signature = sign(blobMessage(unsigned));
  return new Writer().bytes(unsigned).fixed(signature, signatureBytes).finish();
}

/** What the device signs. */
export function blobMessage(unsigned: Uint8Array): Uint8Array {
  return inDomain("blob", unsigned);
}

/** Shape only. A content's number of chunks is the one its size asks for. */
export function parseBlobStatement(bytes: Uint8Array): Parsed<SignedBlobStatement> {
  return parseAll(bytes, (reader) => {
    if (reader.u8() !== protocolVersion) reader.refuse("unknown version");
    const type = reader.u8();
    const head = {
      spaceId: reader.bytes(spaceIdBytes),
      docId: reader.bytes(docIdBytes),
      epoch: reader.u32(),
      devPub: reader.bytes(keyBytes),
      blobId: reader.bytes(blobIdBytes),
    };
    let content: BlobContent | null = null;
    if (type === statementTypes.init) {
      const size = reader.u64();
      const count = reader.u16();
      if (count === 0 || count !== Math.ceil(size / chunkBytes)) reader.refuse("wrong chunk count");
      content = { size, chunks: reader.list(count, hashBytes, () => reader.bytes(hashBytes)) };
    } else if (type !== statementTypes.drop) reader.refuse("unknown statement");
    const unsigned = Uint8Array.from(bytes.subarray(0, reader.offset));
    return { ...head, content, signature: reader.bytes(signatureBytes), unsigned };
  });
}

/** The name of a chunk: over its sealed bytes. */
export function chunkHash(sealed: Uint8Array): Uint8Array {
  return hashInDomain("chunk", sealed);
}

/** Bytes of the chunk at an index. */
export function chunkLength(size: number, index: number): number {
  return Math.min(chunkBytes, size - index * chunkBytes);
}

/** One bit per chunk, the first one highest in its byte: 1 for those that are kept. */
export function encodeHave(count: number, kept: readonly number[]): Uint8Array {
  const bitmap = new Uint8Array(Math.ceil(count / 8));
  for (const index of kept) {
    const at = index >> 3;
    bitmap[at] = (bitmap[at] ?? 0) | (0x80 >> (index & 7));
  }
  return bitmap;
}

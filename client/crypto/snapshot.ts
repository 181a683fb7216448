/** What is sealed inside a snapshot: the layout of its entry and of what it holds (PROTOCOL §4, §7). */
import { parseAll, Writer, type Parsed, type Reader } from "#relay/protocol/bytes.ts";
import { blobIdBytes } from "#relay/protocol/blob.ts";
import { chainTagBytes } from "#relay/protocol/domain.ts";
import {
  originBytes,
  readHead,
  readOrigin,
  signedHeadBytes,
  writeHead,
  type Origin,
  type SignedHead,
} from "./authorship.ts";
import { blobKeyBytes, type BlobName } from "./blob.ts";
import { paddedLength, type Frontier } from "./payload.ts";

/** Signed heads of all actors, and the document as Automerge saved it. */
export interface SnapshotContent {
  readonly heads: readonly SignedHead[];
  readonly document: Uint8Array;
}

/**
 * ```
 * 0 flags u8 (2 origin) | 1 format u8 = 2 | 2 pos u64 | 10 chainTag 16 | 26 [origin]
 * | n u16 | Automerge heads 32·n | where u8 (0 here, 1 in a blob)
 * | here: len u32, content | in a blob: blobId 16, key 32, size u64 (of the content)   | zeros
 * ```
 */
export interface SnapshotPayload {
  readonly frontier: Frontier;
  readonly origin: Origin | null;
  /** Those of the document, 32 bytes each. */
  readonly documentHeads: readonly Uint8Array[];
  /** {@link encodeSnapshotContent}, or where it is. */
  readonly content: Uint8Array | BlobName;
}

const flagOrigin = 2;
const formatDocument = 2;
const hashBytes = 32;

export function encodeSnapshot(payload: SnapshotPayload): Uint8Array {
  const { frontier, origin, documentHeads, content } = payload;
  const writer = new Writer()
    .u8(origin === null ? 0 : flagOrigin)
    .u8(formatDocument)
    .u64(frontier.pos)
    .fixed(frontier.chainTag, chainTagBytes);
  if (origin !== null) writer.bytes(originBytes(origin));
  writer.u16(documentHeads.length);
  for (const head of documentHeads) writer.fixed(head, hashBytes);
  if (content instanceof Uint8Array) writer.u8(0).block32(content);
  else {
    writer
      .u8(1)
      .fixed(content.blobId, blobIdBytes)
      .fixed(content.key, blobKeyBytes)
      .u64(content.size);
  }
  const plain = writer.finish();
  const padded = new Uint8Array(paddedLength(plain.length));
  padded.set(plain);
  return padded;
}

/** Any bytes in (a member sealed them), never an exception. */
export function parseSnapshot(bytes: Uint8Array): Parsed<SnapshotPayload> {
  return parseAll(bytes, (reader) => {
    const flags = reader.u8();
    if ((flags & ~flagOrigin) !== 0) reader.refuse("unknown flags");
    if (reader.u8() !== formatDocument) reader.refuse("unknown format");
    const frontier = { pos: reader.u64(), chainTag: reader.bytes(chainTagBytes) };
    const origin = (flags & flagOrigin) === 0 ? null : readOrigin(reader);
    const documentHeads = reader.list(reader.u16(), hashBytes, () => reader.bytes(hashBytes));
    const content = readContent(reader);
    if (reader.bytes(reader.remaining).some((byte) => byte !== 0)) {
      reader.refuse("padding not zero");
    }
    return { frontier, origin, documentHeads, content };
  });
}

function readContent(reader: Reader): Uint8Array | BlobName {
  switch (reader.u8()) {
    case 0:
      return reader.bytes(reader.u32());
    case 1:
      return {
        blobId: reader.bytes(blobIdBytes),
        key: reader.bytes(blobKeyBytes),
        size: reader.u64(),
      };
    default:
      return reader.refuse("content in an unknown place");
  }
}

/** `n u16 | heads 152·n | document to the end` */
export function encodeSnapshotContent({ heads, document }: SnapshotContent): Uint8Array {
  const writer = new Writer().u16(heads.length);
  for (const head of heads) writeHead(writer, head);
  return writer.bytes(document).finish();
}

export function parseSnapshotContent(bytes: Uint8Array): Parsed<SnapshotContent> {
  return parseAll(bytes, (reader) => {
    const heads = reader.list(reader.u16(), signedHeadBytes, () => readHead(reader));
    return { heads, document: reader.bytes(reader.remaining) };
  });
}

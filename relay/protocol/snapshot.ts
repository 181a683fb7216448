/**
 * What snapshots and cards say in the clear, in their entries' ext (docs/protocol.md, SNAP and CARD).
 * A snapshot covers the entries of its document at or below a position, except those it leaves out.
 */
import { parseAll, Writer, type Parsed } from "./bytes.ts";

const hashBytes = 32;

/**
 * ```
 * 0 coversPos u64 | 8 chain there 32 | 40 n u16 | n × omitted entryId 32 | m u16 | m × chunk hash 32
 * ```
 */
export interface Cover {
  /** 0 for a snapshot that covers nothing: a document that begins with it. */
  readonly coversPos: number;
  /** The chain at that position, whole. */
  readonly chain: Uint8Array;
  readonly omitted: readonly Uint8Array[];
  /** Of the blob that holds the snapshot; none if it is in the entry itself. */
  readonly chunks: readonly Uint8Array[];
}

export function encodeCover(cover: Cover): Uint8Array {
  const writer = new Writer().u64(cover.coversPos).fixed(cover.chain, hashBytes);
  for (const hashes of [cover.omitted, cover.chunks]) {
    writer.u16(hashes.length);
    for (const hash of hashes) writer.fixed(hash, hashBytes);
  }
  return writer.finish();
}

export function parseCover(ext: Uint8Array): Parsed<Cover> {
  return parseAll(ext, (reader) => {
    const readHashes = () => reader.list(reader.u16(), hashBytes, () => reader.bytes(hashBytes));
    return {
      coversPos: reader.u64(),
      chain: reader.bytes(hashBytes),
      omitted: readHashes(),
      chunks: readHashes(),
    };
  });
}

/** A card's ext: the position it was derived at, u64. */
export function encodeCardExt(derivedPos: number): Uint8Array {
  return new Writer().u64(derivedPos).finish();
}

/** The position a card was derived at. */
export function parseCardExt(ext: Uint8Array): Parsed<number> {
  return parseAll(ext, (reader) => reader.u64());
}

/** Many short byte arrays as two long ones, which cross to another thread without being copied one by one. */
import { concat } from "#relay/protocol/bytes.ts";

export interface PackedChunks {
  readonly bytes: Uint8Array;
  readonly lengths: Uint32Array;
}

export function packChunks(chunks: readonly Uint8Array[]): PackedChunks {
  return {
    bytes: concat(...chunks),
    lengths: Uint32Array.from(chunks, ({ length }) => length),
  };
}

/** Views on the packed bytes. */
export function unpackChunks({ bytes, lengths }: PackedChunks): Uint8Array[] {
  let at = 0;
  return Array.from(lengths, (length) => bytes.subarray(at, (at += length)));
}

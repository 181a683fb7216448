/** What is sealed inside an entry: its plaintext layout, compression and padding (PROTOCOL §4). */
import { deflateSync, Inflate } from "fflate";
import { parseAll, Writer, type Parsed } from "#relay/protocol/bytes.ts";
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

/** How far its sender had read this space's log: evidence against a relay that tells two stories. */
export interface Frontier {
  readonly pos: number;
  /** First 16 bytes of the chain there. */
  readonly chainTag: Uint8Array;
}

/**
 * ```
 * 0 flags u8 (1 deflated, 2 origin) | 1 format u8 (1 changes) | 2 pos u64 | 10 chainTag 16
 * | 26 [origin] | n u16 | heads 152·n | len u32 | rawLen u32 | data | zeros
 * ```
 */
export interface Payload {
  readonly frontier: Frontier;
  /** Travels with the root change of a document. */
  readonly origin: Origin | null;
  readonly heads: readonly SignedHead[];
  /** Automerge change chunks, concatenated. */
  readonly data: Uint8Array;
}

const flagDeflated = 1;
const flagOrigin = 2;
const formatChanges = 1;
const smallestPadded = 256;
/** Nothing smaller than this gets shorter by deflate often enough to be worth the work. */
const deflateFrom = 400;
/** The most an entry may inflate to: 4 MiB (research/protocol.md §2.6). */
export const maxInflatedBytes = 4 << 20;
/** Inflated at a time: 1 KiB becomes at most 1 MiB before anybody counts. */
const inflateStep = 1 << 10;

/**
 * @param compress never in the vault: its size must not tell secrets apart (PROTOCOL §4)
 */
export function encodePayload(payload: Payload, compress: boolean): Uint8Array {
  const deflated =
    compress && payload.data.length >= deflateFrom ? deflateSync(payload.data, { level: 6 }) : null;
  const useDeflated = deflated !== null && deflated.length < payload.data.length;
  const data = useDeflated ? deflated : payload.data;
  const writer = new Writer()
    .u8((useDeflated ? flagDeflated : 0) | (payload.origin === null ? 0 : flagOrigin))
    .u8(formatChanges)
    .u64(payload.frontier.pos)
    .fixed(payload.frontier.chainTag, chainTagBytes);
  if (payload.origin !== null) writer.bytes(originBytes(payload.origin));
  writer.u16(payload.heads.length);
  for (const head of payload.heads) writeHead(writer, head);
  const plain = writer.u32(data.length).u32(payload.data.length).bytes(data).finish();
  const padded = new Uint8Array(paddedLength(plain.length));
  padded.set(plain);
  return padded;
}

/** Any bytes in (they were sealed by a member, who may be malicious), never an exception. */
export function parsePayload(bytes: Uint8Array): Parsed<Payload> {
  return parseAll(bytes, (reader) => {
    const flags = reader.u8();
    if ((flags & ~(flagDeflated | flagOrigin)) !== 0) reader.refuse("unknown flags");
    if (reader.u8() !== formatChanges) reader.refuse("unknown format");
    const frontier = { pos: reader.u64(), chainTag: reader.bytes(chainTagBytes) };
    const origin = (flags & flagOrigin) === 0 ? null : readOrigin(reader);
    const heads = reader.list(reader.u16(), signedHeadBytes, () => readHead(reader));
    const length = reader.u32();
    const rawLength = reader.u32();
    if (rawLength > maxInflatedBytes) reader.refuse("inflates beyond the limit");
    const packed = reader.bytes(length);
    if (reader.bytes(reader.remaining).some((byte) => byte !== 0))
      reader.refuse("padding not zero");
    const data = (flags & flagDeflated) === 0 ? packed : inflate(packed, rawLength);
    if (data?.length !== rawLength) return reader.refuse("data of another length");
    return { frontier, origin, heads, data };
  });
}

/** Null unless it inflates to exactly so many bytes; stops soon after the first too many. */
function inflate(packed: Uint8Array, rawLength: number): Uint8Array | null {
  const data = new Uint8Array(rawLength);
  let length = 0;
  try {
    const stream = new Inflate((chunk) => {
      if (length + chunk.length > rawLength) throw new Error("more than was declared");
      data.set(chunk, length);
      length += chunk.length;
    });
    for (let at = 0; at < packed.length; at += inflateStep) {
      const end = Math.min(at + inflateStep, packed.length);
      stream.push(packed.subarray(at, end), end === packed.length);
    }
  } catch {
    return null;
  }
  return length === rawLength ? data : null;
}

/** max(256, PADMÉ): at most 12 % longer, and only O(log log) of the length is told (PoPETs 2019). */
export function paddedLength(length: number): number {
  if (length <= smallestPadded) return smallestPadded;
  const exponent = Math.floor(Math.log2(length));
  const significant = Math.floor(Math.log2(exponent)) + 1;
  const step = 2 ** (exponent - significant);
  return Math.ceil(length / step) * step;
}

/**
 * An entry: one sealed, signed piece of a document's history, as it travels and as it is stored.
 * What is sealed in it is nobody's business here (client/crypto/payload.ts).
 */
import { concat, parseAll, Writer, type Parsed } from "./bytes.ts";
import { hashInDomain, inDomain } from "./domain.ts";
import { docIdBytes, spaceIdBytes } from "./genesis.ts";
import { keyBytes, signatureBytes } from "./keys.ts";
import { protocolVersion } from "./limits.ts";

/** Kinds a client of this version writes or reads. Others are stored, chained and forwarded unread. */
export const entryKinds = { changes: 1, snapshot: 2, drop: 3, card: 4 } as const;

export const entryHeaderBytes = 126;
export const nonceBytes = 24;
const tagBytes = 16;

/**
 * ```
 * 0 ver u8 | 1 kind u8 | 2 flags u16 | 4 spaceId 32 | 36 docId 16 | 52 epoch u32 | 56 devPub 32
 * | 88 ctr u64 | 96 nonce 24 | 120 extLen u16 | 122 ctLen u32 | 126 ext | ciphertext + tag | sig 64
 * ```
 */
export interface EntryHeader {
  readonly kind: number;
  readonly flags: number;
  readonly spaceId: Uint8Array;
  readonly docId: Uint8Array;
  readonly epoch: number;
  readonly devPub: Uint8Array;
  /** Strictly increasing per device and space; gaps are legal. */
  readonly ctr: number;
  readonly nonce: Uint8Array;
}

export interface Entry extends EntryHeader {
  readonly ext: Uint8Array;
  /** With its 16-byte tag. */
  readonly ciphertext: Uint8Array;
  readonly signature: Uint8Array;
  /** SHA-256 over header, ext and ciphertext: its identity. The signature is over this. */
  readonly entryId: Uint8Array;
  /** Header and ext: what the seal binds. */
  readonly aad: Uint8Array;
  /** The whole entry, verbatim. */
  readonly bytes: Uint8Array;
}

/** Header and ext for a ciphertext (with tag) of `ciphertextLength` bytes. */
export function encodeEntryAad(
  header: EntryHeader,
  ext: Uint8Array,
  ciphertextLength: number,
): Uint8Array {
  return new Writer()
    .u8(protocolVersion)
    .u8(header.kind)
    .u16(header.flags)
    .fixed(header.spaceId, spaceIdBytes)
    .fixed(header.docId, docIdBytes)
    .u32(header.epoch)
    .fixed(header.devPub, keyBytes)
    .u64(header.ctr)
    .fixed(header.nonce, nonceBytes)
    .u16(ext.length)
    .u32(ciphertextLength)
    .bytes(ext)
    .finish();
}

export function entryIdOf(aad: Uint8Array, ciphertext: Uint8Array): Uint8Array {
  return hashInDomain("entry", aad, ciphertext);
}

/** What the device signs. */
export function entryMessage(entryId: Uint8Array): Uint8Array {
  return inDomain("sig", entryId);
}

export function encodeEntry(
  aad: Uint8Array,
  ciphertext: Uint8Array,
  signature: Uint8Array,
): Uint8Array {
  return concat(aad, ciphertext, signature);
}

/** Shape only; any kind of this version's layout parses. `maxBytes` bounds the whole entry. */
export function parseEntry(bytes: Uint8Array, maxBytes: number): Parsed<Entry> {
  return parseAll(bytes, (reader) => {
    if (bytes.length > maxBytes) reader.refuse(`entry of ${bytes.length} bytes`);
    if (reader.u8() !== protocolVersion) reader.refuse("unknown version");
    const header = {
      kind: reader.u8(),
      flags: reader.u16(),
      spaceId: reader.bytes(spaceIdBytes),
      docId: reader.bytes(docIdBytes),
      epoch: reader.u32(),
      devPub: reader.bytes(keyBytes),
      ctr: reader.u64(),
      nonce: reader.bytes(nonceBytes),
    };
    const extLength = reader.u16();
    const ciphertextLength = reader.u32();
    if (ciphertextLength < tagBytes) reader.refuse("ciphertext shorter than its tag");
    const ext = reader.bytes(extLength);
    const aad = Uint8Array.from(bytes.subarray(0, reader.offset));
    const ciphertext = reader.bytes(ciphertextLength);
    const signature = reader.bytes(signatureBytes);
    const entryId = entryIdOf(aad, ciphertext);
    return { ...header, ext, ciphertext, signature, entryId, aad, bytes: Uint8Array.from(bytes) };
  });
}

export const stubBytes = 53;

/**
 * What stands in the log for an entry whose body is not sent: enough to check the chain.
 * ```
 * 0 docId 16 | 16 kind u8 | 17 size u32 | 21 entryId 32                                    53 bytes
 * ```
 */
export interface Stub {
  readonly docId: Uint8Array;
  readonly kind: number;
  readonly size: number;
  readonly entryId: Uint8Array;
}

export function encodeStub(stub: Stub): Uint8Array {
  return new Writer()
    .fixed(stub.docId, docIdBytes)
    .u8(stub.kind)
    .u32(stub.size)
    .fixed(stub.entryId, 32)
    .finish();
}

export function parseStub(bytes: Uint8Array): Parsed<Stub> {
  return parseAll(bytes, (reader) => ({
    docId: reader.bytes(docIdBytes),
    kind: reader.u8(),
    size: reader.u32(),
    entryId: reader.bytes(32),
  }));
}

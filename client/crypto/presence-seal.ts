/**
 * Presence: who is here and where their caret stands. Sealed under the epoch, padded, never stored.
 * A beat is signed (name, how far its sender has read); a cursor between beats is not, for a member
 * could at most fake a cursor.
 */
import { concat, parseAll, Writer, type Parsed, type Reader } from "#relay/protocol/bytes.ts";
import { chainTagBytes, hashInDomain, inDomain } from "#relay/protocol/domain.ts";
import { docIdBytes } from "#relay/protocol/genesis.ts";
import { protocolVersion } from "#relay/protocol/limits.ts";
import { aeadNonceBytes, open, seal } from "./aead.ts";
import { epochSubkey } from "./derive.ts";
import type { Ed25519, SigningKey } from "./ed25519.ts";
import type { Frontier } from "./payload.ts";
import { maxNameBytes } from "./profile.ts";

export const presenceSessionBytes = 8;

/** A caret in a note: Automerge cursors as text, resolved by whoever holds the document. */
export interface PresenceCursor {
  readonly docId: Uint8Array;
  readonly field: "title" | "body";
  readonly anchor: string;
  readonly head: string;
}

/** Two devices that hold the same of a document tell the same digest of it. */
export interface DocumentDigest {
  readonly docId: Uint8Array;
  /** {@link digestBytes} bytes. */
  readonly digest: Uint8Array;
}

const digestBytes = 8;
export const maxDigests = 8;
export const maxWanted = 16;

/** @param heads of the document, in any order */
export function digestOfHeads(docId: Uint8Array, heads: readonly Uint8Array[]): Uint8Array {
  const sorted = [...heads].sort(compareBytes);
  return hashInDomain("heads", docId, ...sorted).slice(0, digestBytes);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const at = a.findIndex((byte, ix) => byte !== b[ix]);
  return at < 0 ? 0 : (a[at] ?? 0) - (b[at] ?? 0);
}

export type PresenceContent =
  | {
      readonly type: "beat";
      readonly name: string;
      readonly frontier: Frontier;
      /** True when an answer is wanted: the sender has just arrived. */
      readonly arriving: boolean;
      /** What the sender holds of some documents, at most {@link maxDigests}. */
      readonly digests: readonly DocumentDigest[];
      /** Hashes of changes that the sender lacks and others depend on, at most {@link maxWanted}. */
      readonly wanted: readonly Uint8Array[];
    }
  | { readonly type: "cursor"; readonly cursor: PresenceCursor | null }
  | { readonly type: "leave" };

/**
 * Clear part, also the AAD:
 * ```
 * 0 ver u8 | 1 flags u8 (1 signed) | 2 epoch u32 | 6 devPub 32 | 38 session 8 | 46 seq u32 | 50 nonce 24
 * ```
 * then the ciphertext with its tag, then, if signed, 64 bytes.
 */
export interface PresenceHeader {
  readonly epoch: number;
  readonly devPub: Uint8Array;
  /** Fresh per connection: replays from another one are of an unknown session. */
  readonly session: Uint8Array;
  /** Rises with every message of a session. */
  readonly seq: number;
}

export interface SealedPresence extends PresenceHeader {
  readonly signed: boolean;
  readonly nonce: Uint8Array;
  readonly aad: Uint8Array;
  readonly ciphertext: Uint8Array;
  readonly signature: Uint8Array;
}

const headerBytes = 74;
const flagSigned = 1;
const paddedTo = 256;
const maxCursorText = 256;

export function sealPresence(
  ed: Ed25519,
  device: SigningKey,
  spaceId: Uint8Array,
  epochKey: Uint8Array,
  header: PresenceHeader,
  nonce: Uint8Array,
  content: PresenceContent,
): Uint8Array {
  const signed = content.type !== "cursor";
  const aad = new Writer()
    .u8(protocolVersion)
    .u8(signed ? flagSigned : 0)
    .u32(header.epoch)
    .fixed(header.devPub, 32)
    .fixed(header.session, presenceSessionBytes)
    .u32(header.seq)
    .fixed(nonce, aeadNonceBytes)
    .finish();
  const key = epochSubkey(epochKey, spaceId, "presence");
  const ciphertext = seal(key, nonce, concat(spaceId, aad), encodeContent(content));
  const body = concat(aad, ciphertext);
  return signed ? concat(body, ed.sign(device.seed, inDomain("eph-sig", spaceId, body))) : body;
}

/** Shape only. */
export function parseSealedPresence(bytes: Uint8Array): Parsed<SealedPresence> {
  return parseAll(bytes, (reader) => {
    if (reader.u8() !== protocolVersion) reader.refuse("unknown version");
    const flags = reader.u8();
    if ((flags & ~flagSigned) !== 0) reader.refuse("unknown flags");
    const signed = flags === flagSigned;
    const header = {
      epoch: reader.u32(),
      devPub: reader.bytes(32),
      session: reader.bytes(presenceSessionBytes),
      seq: reader.u32(),
      nonce: reader.bytes(aeadNonceBytes),
    };
    const sealedLength = reader.remaining - (signed ? 64 : 0);
    if (sealedLength < 16) reader.refuse("too short");
    const ciphertext = reader.bytes(sealedLength);
    const signature = signed ? reader.bytes(64) : new Uint8Array(0);
    return { ...header, signed, aad: bytes.slice(0, headerBytes), ciphertext, signature };
  });
}

/** The content, or null if forged, of another space or epoch, or malformed. */
export function openPresence(
  ed: Ed25519,
  spaceId: Uint8Array,
  epochKey: Uint8Array,
  sealed: SealedPresence,
): PresenceContent | null {
  const key = epochSubkey(epochKey, spaceId, "presence");
  const plain = open(key, sealed.nonce, concat(spaceId, sealed.aad), sealed.ciphertext);
  if (plain === null) return null;
  const body = concat(sealed.aad, sealed.ciphertext);
  if (
    sealed.signed &&
    !ed.verify(sealed.devPub, inDomain("eph-sig", spaceId, body), sealed.signature)
  ) {
    return null;
  }
  const content = parseContent(plain);
  if (!content.ok || (content.value.type !== "cursor") !== sealed.signed) return null;
  return content.value;
}

function encodeContent(content: PresenceContent): Uint8Array {
  const writer = new Writer();
  switch (content.type) {
    case "beat":
      writer
        .u8(1)
        .u8(content.arriving ? 1 : 0)
        .text16(content.name)
        .u64(content.frontier.pos)
        .fixed(content.frontier.chainTag, chainTagBytes)
        .u8(content.digests.length);
      for (const { docId, digest } of content.digests) {
        writer.fixed(docId, docIdBytes).fixed(digest, digestBytes);
      }
      writer.u8(content.wanted.length);
      for (const hash of content.wanted) writer.fixed(hash, 32);
      break;
    case "cursor":
      writer.u8(2).u8(content.cursor === null ? 0 : 1);
      if (content.cursor !== null) {
        writer
          .fixed(content.cursor.docId, docIdBytes)
          .u8(content.cursor.field === "title" ? 0 : 1)
          .text16(content.cursor.anchor)
          .text16(content.cursor.head);
      }
      break;
    case "leave":
      writer.u8(3);
      break;
  }
  const plain = writer.finish();
  const padded = new Uint8Array(Math.ceil(plain.length / paddedTo) * paddedTo);
  padded.set(plain);
  return padded;
}

function listOf<T>(reader: Reader, most: number, read: () => T): readonly T[] {
  const length = reader.remaining === 0 ? 0 : reader.u8();
  return length > most ? reader.refuse("too many") : Array.from({ length }, read);
}

function parseContent(bytes: Uint8Array): Parsed<PresenceContent> {
  return parseAll(bytes, (reader) => {
    const type = reader.u8();
    let content: PresenceContent;
    if (type === 1) {
      content = {
        type: "beat",
        arriving: reader.u8() === 1,
        name: reader.text16(maxNameBytes),
        frontier: { pos: reader.u64(), chainTag: reader.bytes(chainTagBytes) },
        // The first versions ended here: their padding reads as none of either.
        digests: listOf(reader, maxDigests, () => ({
          docId: reader.bytes(docIdBytes),
          digest: reader.bytes(digestBytes),
        })),
        wanted: listOf(reader, maxWanted, () => reader.bytes(32)),
      };
    } else if (type === 2) {
      const cursor =
        reader.u8() === 0
          ? null
          : {
              docId: reader.bytes(docIdBytes),
              field: reader.u8() === 0 ? ("title" as const) : ("body" as const),
              anchor: reader.text16(maxCursorText),
              head: reader.text16(maxCursorText),
            };
      content = { type: "cursor", cursor };
    } else if (type === 3) content = { type: "leave" };
    else return reader.refuse("unknown presence");
    reader.bytes(reader.remaining);
    return content;
  });
}

/**
 * Who wrote what inside a document. Automerge authenticates nobody: anybody can make a change with
 * anybody's actor id. So an actor id is derived from a device key, and the newest change of each
 * actor is signed; its hash covers all that went before (PROTOCOL §1, §4).
 */
import { parseAll, Writer, type Parsed, type Reader } from "#relay/protocol/bytes.ts";
import { hashInDomain, inDomain } from "#relay/protocol/domain.ts";
import { equal } from "#relay/protocol/bytes.ts";
import { documentIdOf } from "#relay/protocol/genesis.ts";
import type { Ed25519, SigningKey } from "./ed25519.ts";

export const actorBytes = 16;
export const actorNonceBytes = 16;
export const signedHeadBytes = 152;

/** The Automerge actor id of one opening of a document on one device. */
export function actorOf(docId: Uint8Array, devPub: Uint8Array, actorNonce: Uint8Array): Uint8Array {
  return hashInDomain("actor", docId, devPub, actorNonce).slice(0, actorBytes);
}

/**
 * ```
 * 0 actorNonce 16 | 16 devPub 32 | 48 seq u64 | 56 hash 32 | 88 sig_dev 64                152 bytes
 * ```
 */
export interface SignedHead {
  readonly actorNonce: Uint8Array;
  readonly devPub: Uint8Array;
  /** Automerge's sequence number of the actor's newest change. */
  readonly seq: number;
  readonly hash: Uint8Array;
  readonly signature: Uint8Array;
}

function headMessage(
  docId: Uint8Array,
  actor: Uint8Array,
  seq: number,
  hash: Uint8Array,
): Uint8Array {
  return inDomain("head", docId, actor, new Writer().u64(seq).finish(), hash);
}

export function signHead(
  ed: Ed25519,
  device: SigningKey,
  docId: Uint8Array,
  actorNonce: Uint8Array,
  seq: number,
  hash: Uint8Array,
): SignedHead {
  const actor = actorOf(docId, device.publicKey, actorNonce);
  const signature = ed.sign(device.seed, headMessage(docId, actor, seq, hash));
  return { actorNonce, devPub: device.publicKey, seq, hash, signature };
}

export function isHeadGenuine(ed: Ed25519, docId: Uint8Array, head: SignedHead): boolean {
  const actor = actorOf(docId, head.devPub, head.actorNonce);
  return ed.verify(head.devPub, headMessage(docId, actor, head.seq, head.hash), head.signature);
}

export function writeHead(writer: Writer, head: SignedHead): void {
  writer
    .fixed(head.actorNonce, actorNonceBytes)
    .fixed(head.devPub, 32)
    .u64(head.seq)
    .fixed(head.hash, 32)
    .fixed(head.signature, 64);
}

export function readHead(reader: Reader): SignedHead {
  return {
    actorNonce: reader.bytes(actorNonceBytes),
    devPub: reader.bytes(32),
    seq: reader.u64(),
    hash: reader.bytes(32),
    signature: reader.bytes(64),
  };
}

export const docNonceBytes = 16;

/**
 * The creator's word on what a document starts from; its id binds the device, so an id cannot be
 * squatted or given a second root.
 * ```
 * 0 docNonce 16 | 16 devPub 32 | 48 n u8 | 49 heads 32·n | sig_dev 64
 * ```
 */
export interface Origin {
  readonly docNonce: Uint8Array;
  readonly devPub: Uint8Array;
  readonly heads: readonly Uint8Array[];
  readonly signature: Uint8Array;
}

function originMessage(docId: Uint8Array, heads: readonly Uint8Array[]): Uint8Array {
  return inDomain("origin", docId, ...heads);
}

export function signOrigin(
  ed: Ed25519,
  device: SigningKey,
  docId: Uint8Array,
  docNonce: Uint8Array,
  heads: readonly Uint8Array[],
): Uint8Array {
  const writer = new Writer()
    .fixed(docNonce, docNonceBytes)
    .fixed(device.publicKey, 32)
    .u8(heads.length);
  for (const head of heads) writer.fixed(head, 32);
  return writer.fixed(ed.sign(device.seed, originMessage(docId, heads)), 64).finish();
}

export function readOrigin(reader: Reader): Origin {
  const docNonce = reader.bytes(docNonceBytes);
  const devPub = reader.bytes(32);
  const heads = reader.list(reader.u8(), 32, () => reader.bytes(32));
  return { docNonce, devPub, heads, signature: reader.bytes(64) };
}

export function parseOrigin(bytes: Uint8Array): Parsed<Origin> {
  return parseAll(bytes, readOrigin);
}

export function originBytes(origin: Origin): Uint8Array {
  const writer = new Writer()
    .fixed(origin.docNonce, docNonceBytes)
    .fixed(origin.devPub, 32)
    .u8(origin.heads.length);
  for (const head of origin.heads) writer.fixed(head, 32);
  return writer.fixed(origin.signature, 64).finish();
}

/** Whether the origin belongs to this document of this space and its device signed it. */
export function isOriginGenuine(
  ed: Ed25519,
  spaceId: Uint8Array,
  docId: Uint8Array,
  origin: Origin,
): boolean {
  return (
    equal(documentIdOf(spaceId, origin.devPub, origin.docNonce), docId) &&
    ed.verify(origin.devPub, originMessage(docId, origin.heads), origin.signature)
  );
}

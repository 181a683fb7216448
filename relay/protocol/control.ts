/**
 * Control records: who may do what in a space, as bytes. Their order and their effect are judged
 * in authority.ts, alike by the relay and by every client.
 */
import { parseAll, Writer, type Parsed, type Reader } from "./bytes.ts";
import { hashInDomain, inDomain } from "./domain.ts";
import { spaceIdBytes } from "./genesis.ts";
import { keyBytes, signatureBytes } from "./keys.ts";
import { maxCapabilities, maxControlBytes, maxMetaBytes, protocolVersion } from "./limits.ts";

/** Numbers grow with power, so roles compare. Zero is no access. */
export const roles = { none: 0, read: 1, edit: 2, admin: 3 } as const;
export type RoleCode = (typeof roles)[keyof typeof roles];

export const capabilityKinds = { person: 1, link: 2, device: 3, recovery: 4 } as const;
export type CapabilityKind = (typeof capabilityKinds)[keyof typeof capabilityKinds];

export const controlTypes = { grant: 2, join: 3, rotate: 4, delete: 5, restore: 6 } as const;

/** An epoch key sealed to one capability: 32 bytes and a tag. */
export const sealedKeyBytes = 48;
/** The previous epoch key under the new one: nonce 24, key 32, tag 16. */
export const previousKeyBytes = 72;

/**
 * A capability added by an administrator, or one whose role is raised (the same key again).
 * ```
 * capSignPub 32 | capBoxPub 32 | role u8 | capKind u8 | notAfter u64 | maxJoins u16 | ephPub 32
 * | keyLen u16 (0 or 48) | sealed key | metaLen u16 | encrypted meta
 * ```
 */
export interface GrantBody {
  readonly type: "grant";
  readonly signPub: Uint8Array;
  readonly boxPub: Uint8Array;
  readonly role: RoleCode;
  readonly kind: CapabilityKind;
  /** Milliseconds since 1970 after which a link admits nobody, 0 for never. Judged by the relay's clock. */
  readonly notAfter: number;
  /** How many JOINs a link admits, 0 for no limit. */
  readonly maxJoins: number;
  readonly ephPub: Uint8Array;
  /** Null only in the first record of a space, before there is a key. */
  readonly sealedKey: Uint8Array | null;
  readonly meta: Uint8Array;
}

/**
 * Somebody who came by a link takes a capability of their own, with the link's role.
 * ```
 * capSignPub 32 | capBoxPub 32 | ephPub 32 | keyLen u16 | sealed key | metaLen u16 | encrypted meta
 * ```
 */
export interface JoinBody {
  readonly type: "join";
  readonly signPub: Uint8Array;
  readonly boxPub: Uint8Array;
  readonly ephPub: Uint8Array;
  readonly sealedKey: Uint8Array;
  readonly meta: Uint8Array;
}

/**
 * A new epoch key; the only way in which rights shrink.
 * ```
 * nRoles u16 | (capIx u32, role u8)* | keyCommit 32 | SHA-256(readToken) 32 | ephPub 32
 * | nKeys u16 | (capIx u32, sealed key 48)* | prevLen u16 (0 or 72) | nonce 24, K_{e-1} under K_e 48
 * ```
 * capIx counts the space's GRANT and JOIN records from 0 (a repeated GRANT keeps its first index).
 */
export interface RotateBody {
  readonly type: "rotate";
  readonly changes: readonly { readonly capIx: number; readonly role: RoleCode }[];
  readonly keyCommit: Uint8Array;
  readonly readTokenHash: Uint8Array;
  readonly ephPub: Uint8Array;
  readonly keys: readonly { readonly capIx: number; readonly sealedKey: Uint8Array }[];
  /** Null only when there is no earlier epoch. */
  readonly previousKey: Uint8Array | null;
}

/** The whole space is closed; a RESTORE undoes it while the relay still has what was in it. */
export interface DeleteBody {
  readonly type: "delete";
}

export interface RestoreBody {
  readonly type: "restore";
}

export type ControlBody = GrantBody | JoinBody | RotateBody | DeleteBody | RestoreBody;

/**
 * ```
 * 0 ver u8 | 1 type u8 | 2 flags u16 = 0 | 4 spaceId 32 | 36 ctrlSeq u32 | 40 prevCtrlHash 32
 * | 72 epochAfter u32 | 76 timeMs u64 | 84 seenPos u64 | 92 seenChain 32 | 124 bodyLen u32
 * | 128 body | signerPub 32 | sig 64
 * ```
 */
export interface ControlRecord {
  readonly spaceId: Uint8Array;
  /** 1, 2, 3 … without holes. */
  readonly ctrlSeq: number;
  /** Hash of the record before; of the first record the space id. */
  readonly prevCtrlHash: Uint8Array;
  readonly epochAfter: number;
  /** For display only: authority never rests on a clock. */
  readonly timeMs: number;
  /** The signer's frontier: evidence, never a reason to refuse. */
  readonly seenPos: number;
  readonly seenChain: Uint8Array;
  readonly body: ControlBody;
  readonly signerPub: Uint8Array;
}

export interface SignedControl {
  readonly record: ControlRecord;
  /** The record's bytes with signature, verbatim. */
  readonly bytes: Uint8Array;
  /** Its identity, over everything but the signature. */
  readonly hash: Uint8Array;
  readonly signature: Uint8Array;
}

const smallestRecord = 128 + keyBytes + signatureBytes;

function encodeBody(body: ControlBody): Uint8Array {
  const writer = new Writer();
  switch (body.type) {
    case "grant":
      writer
        .fixed(body.signPub, keyBytes)
        .fixed(body.boxPub, keyBytes)
        .u8(body.role)
        .u8(body.kind)
        .u64(body.notAfter)
        .u16(body.maxJoins)
        .fixed(body.ephPub, keyBytes)
        .block16(body.sealedKey ?? new Uint8Array(0))
        .block16(body.meta);
      break;
    case "join":
      writer
        .fixed(body.signPub, keyBytes)
        .fixed(body.boxPub, keyBytes)
        .fixed(body.ephPub, keyBytes)
        .block16(body.sealedKey)
        .block16(body.meta);
      break;
    case "rotate":
      writer.u16(body.changes.length);
      for (const change of body.changes) writer.u32(change.capIx).u8(change.role);
      writer
        .fixed(body.keyCommit, 32)
        .fixed(body.readTokenHash, 32)
        .fixed(body.ephPub, keyBytes)
        .u16(body.keys.length);
      for (const key of body.keys) writer.u32(key.capIx).fixed(key.sealedKey, sealedKeyBytes);
      writer.block16(body.previousKey ?? new Uint8Array(0));
      break;
    case "delete":
    case "restore":
      break;
  }
  return writer.finish();
}

function readRole(reader: Reader): RoleCode {
  const role = reader.u8();
  if (role === 0 || role === 1 || role === 2 || role === 3) return role;
  return reader.refuse("unknown role");
}

function readKind(reader: Reader): CapabilityKind {
  const kind = reader.u8();
  if (kind === 1 || kind === 2 || kind === 3 || kind === 4) return kind;
  return reader.refuse("unknown capability kind");
}

function readOptional(reader: Reader, length: number): Uint8Array | null {
  const block = reader.block16(length);
  if (block.length === 0) return null;
  return block.length === length ? block : reader.refuse(`block of ${block.length} bytes`);
}

function readBody(type: number, reader: Reader): ControlBody {
  switch (type) {
    case controlTypes.grant:
      return {
        type: "grant",
        signPub: reader.bytes(keyBytes),
        boxPub: reader.bytes(keyBytes),
        role: readRole(reader),
        kind: readKind(reader),
        notAfter: reader.u64(),
        maxJoins: reader.u16(),
        ephPub: reader.bytes(keyBytes),
        sealedKey: readOptional(reader, sealedKeyBytes),
        meta: reader.block16(maxMetaBytes),
      };
    case controlTypes.join:
      return {
        type: "join",
        signPub: reader.bytes(keyBytes),
        boxPub: reader.bytes(keyBytes),
        ephPub: reader.bytes(keyBytes),
        sealedKey: readOptional(reader, sealedKeyBytes) ?? reader.refuse("join without a key"),
        meta: reader.block16(maxMetaBytes),
      };
    case controlTypes.rotate: {
      const nRoles = reader.u16();
      if (nRoles > maxCapabilities) reader.refuse("too many role changes");
      const changes = reader.list(nRoles, 5, () => ({
        capIx: reader.u32(),
        role: readRole(reader),
      }));
      const keyCommit = reader.bytes(32);
      const readTokenHash = reader.bytes(32);
      const ephPub = reader.bytes(keyBytes);
      const nKeys = reader.u16();
      if (nKeys > maxCapabilities) reader.refuse("too many keys");
      const keys = reader.list(nKeys, 4 + sealedKeyBytes, () => ({
        capIx: reader.u32(),
        sealedKey: reader.bytes(sealedKeyBytes),
      }));
      const previousKey = readOptional(reader, previousKeyBytes);
      return { type: "rotate", changes, keyCommit, readTokenHash, ephPub, keys, previousKey };
    }
    case controlTypes.delete:
      return { type: "delete" };
    case controlTypes.restore:
      return { type: "restore" };
    default:
      return reader.refuse("unknown control type");
  }
}

/** The first 128 bytes for a body of `bodyLength`: also the AAD of the keys sealed in it. */
export function encodeControlHeader(
  record: Omit<ControlRecord, "body" | "signerPub"> & { readonly type: ControlBody["type"] },
  bodyLength: number,
): Uint8Array {
  return new Writer()
    .u8(protocolVersion)
    .u8(controlTypes[record.type])
    .u16(0)
    .fixed(record.spaceId, spaceIdBytes)
    .u32(record.ctrlSeq)
    .fixed(record.prevCtrlHash, 32)
    .u32(record.epochAfter)
    .u64(record.timeMs)
    .u64(record.seenPos)
    .fixed(record.seenChain, 32)
    .u32(bodyLength)
    .finish();
}

/** What the AAD of sealed keys binds: the header without the body's length, which depends on them. */
export function controlSealHeader(
  record: Omit<ControlRecord, "body" | "signerPub"> & { readonly type: ControlBody["type"] },
): Uint8Array {
  return encodeControlHeader(record, 0);
}

export function signControl(
  record: ControlRecord,
  sign: (message: Uint8Array) => Uint8Array,
): SignedControl {
  const body = encodeBody(record.body);
  const unsigned = new Writer()
    .bytes(encodeControlHeader({ ...record, type: record.body.type }, body.length))
    .bytes(body)
    .fixed(record.signerPub, keyBytes)
    .finish();
  const hash = hashInDomain("ctrl", unsigned);
  const signature = sign(controlMessage(hash));
  const bytes = new Writer().bytes(unsigned).fixed(signature, signatureBytes).finish();
  return { record, bytes, hash, signature };
}

/** What the signer signs. */
export function controlMessage(hash: Uint8Array): Uint8Array {
  return inDomain("ctrl-sig", hash);
}

/** Shape only: neither signature nor right is judged here. */
export function parseControl(bytes: Uint8Array): Parsed<SignedControl> {
  return parseAll(bytes, (reader) => {
    if (bytes.length < smallestRecord || bytes.length > maxControlBytes) {
      reader.refuse(`record of ${bytes.length} bytes`);
    }
    if (reader.u8() !== protocolVersion) reader.refuse("unknown version");
    const type = reader.u8();
    if (reader.u16() !== 0) reader.refuse("unknown flags");
    const head = {
      spaceId: reader.bytes(spaceIdBytes),
      ctrlSeq: reader.u32(),
      prevCtrlHash: reader.bytes(32),
      epochAfter: reader.u32(),
      timeMs: reader.u64(),
      seenPos: reader.u64(),
      seenChain: reader.bytes(32),
    };
    const bodyLength = reader.u32();
    const bodyStart = reader.offset;
    const body = readBody(type, reader);
    if (reader.offset - bodyStart !== bodyLength) reader.refuse("body of another length");
    const signerPub = reader.bytes(keyBytes);
    const hash = hashInDomain("ctrl", bytes.subarray(0, reader.offset));
    const signature = reader.bytes(signatureBytes);
    return { record: { ...head, body, signerPub }, bytes: Uint8Array.from(bytes), hash, signature };
  });
}

export const certificateBytes = 161;

/**
 * A device's key certified by a capability; a set that only grows.
 * ```
 * 0 ver u8 | 1 spaceId 32 | 33 capPub 32 | 65 devPub 32 | 97 sig_cap 64                  161 bytes
 * ```
 */
export interface Certificate {
  readonly spaceId: Uint8Array;
  readonly capPub: Uint8Array;
  readonly devPub: Uint8Array;
  readonly signature: Uint8Array;
}

export function certificateMessage(
  certificate: Pick<Certificate, "spaceId" | "capPub" | "devPub">,
): Uint8Array {
  const version = new Uint8Array([protocolVersion]);
  return inDomain("cert", version, certificate.spaceId, certificate.capPub, certificate.devPub);
}

export function encodeCertificate(certificate: Certificate): Uint8Array {
  return new Writer()
    .u8(protocolVersion)
    .fixed(certificate.spaceId, spaceIdBytes)
    .fixed(certificate.capPub, keyBytes)
    .fixed(certificate.devPub, keyBytes)
    .fixed(certificate.signature, signatureBytes)
    .finish();
}

export function parseCertificate(bytes: Uint8Array): Parsed<Certificate> {
  return parseAll(bytes, (reader) => {
    if (reader.u8() !== protocolVersion) reader.refuse("unknown version");
    return {
      spaceId: reader.bytes(spaceIdBytes),
      capPub: reader.bytes(keyBytes),
      devPub: reader.bytes(keyBytes),
      signature: reader.bytes(signatureBytes),
    };
  });
}

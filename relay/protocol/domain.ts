/**
 * Every hash and signature of the protocol has a domain of its own: the string `sealeaf/1/…`,
 * first in its input and ended by a zero byte, so that no two uses can be confused and none is a
 * prefix of another (docs/protocol.md, GEN-2).
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { concat, utf8, Writer } from "./bytes.ts";

export type Domain =
  | "actor"
  | "auth"
  | "blob"
  | "chain"
  | "chain0"
  | "cert"
  | "chunk"
  | "ctrl"
  | "ctrl-sig"
  | "dev"
  | "doc"
  | "entry"
  | "eph-sig"
  | "head"
  | "heads"
  | "home"
  | "index"
  | "kc"
  | "origin"
  | "past"
  | "person-colour"
  | "profile"
  | "renewal"
  | "root"
  | "seal"
  | "sig"
  | "space"
  | "welcome";

/** The bytes that are signed or hashed: the domain, a zero, then the parts in order. */
export function inDomain(domain: Domain, ...parts: readonly Uint8Array[]): Uint8Array {
  return concat(utf8(`sealeaf/1/${domain}`), zero, ...parts);
}

const zero = new Uint8Array(1);

/** SHA-256 within a domain, 32 bytes. */
export function hashInDomain(domain: Domain, ...parts: readonly Uint8Array[]): Uint8Array {
  return sha256(inDomain(domain, ...parts));
}

export function sha256Of(bytes: Uint8Array): Uint8Array {
  return sha256(bytes);
}

/** The chain before position 1. */
export function chainStart(spaceId: Uint8Array): Uint8Array {
  return hashInDomain("chain0", spaceId);
}

/**
 * The chain at `pos`. A control record stands in it with document id zero and its hash as entry id.
 */
export function chainNext(
  pos: number,
  previous: Uint8Array,
  docId: Uint8Array,
  entryId: Uint8Array,
): Uint8Array {
  return hashInDomain("chain", new Writer().u64(pos).finish(), previous, docId, entryId);
}

/** Bytes of a chain that travel as a tag in cursors and frontiers. */
export const chainTagBytes = 16;

export function chainTag(chain: Uint8Array): Uint8Array {
  return chain.slice(0, chainTagBytes);
}

/**
 * Every derived key of the client, once. Labels follow PROTOCOL §2; each is `sealeaf/1/…` and is
 * the `info` of HKDF-SHA-256, so no key serves two purposes.
 */
import { expand, extract, hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { concat, toHex, utf8 } from "#relay/protocol/bytes.ts";
import { hashInDomain, sha256Of } from "#relay/protocol/domain.ts";
import { readTokenBytes } from "#relay/protocol/messages.ts";

const label = (name: string): Uint8Array => utf8(`sealeaf/1/${name}`);

/** What follows from the 24 words. Never stored; made again from the words when they are typed. */
export interface RootSecrets {
  /** Ed25519 seed: the vault's genesis administrator. */
  readonly vaultAdmin: Uint8Array;
  /** 16 bytes: the nonce of the vault's GENESIS, so that the words find it. */
  readonly vaultNonce: Uint8Array;
  /** X25519 secret: every vault epoch key is also sealed to it. */
  readonly recoveryBox: Uint8Array;
  /** 32 bytes: opens every backup of this identity. */
  readonly backup: Uint8Array;
}

/** @param entropy 32 bytes, the words decoded */
export function rootSecrets(entropy: Uint8Array): RootSecrets {
  const root = extract(sha256, entropy, label("root"));
  const derive = (name: string): Uint8Array => expand(sha256, root, label(name), 32);
  return {
    vaultAdmin: derive("vault-admin"),
    vaultNonce: derive("vault-nonce").slice(0, 16),
    recoveryBox: derive("recovery-box"),
    backup: derive("backup"),
  };
}

/**
 * The key of one backup file, and what tells beforehand whether a backup key is the right one (16 bytes); `salt` is
 * the file's own, so two files of one identity have nothing in common.
 */
export function backupFileKeys(
  backupKey: Uint8Array,
  salt: Uint8Array,
): { readonly key: Uint8Array; readonly check: Uint8Array } {
  return {
    key: hkdf(sha256, backupKey, salt, label("backup-file"), 32),
    check: hkdf(sha256, backupKey, salt, label("backup-check"), 16),
  };
}

/** The two halves of a capability from its 32-byte secret. */
export function capabilitySeeds(secret: Uint8Array): { sign: Uint8Array; box: Uint8Array } {
  return {
    sign: hkdf(sha256, secret, undefined, label("cap-sign"), 32),
    box: hkdf(sha256, secret, undefined, label("cap-box"), 32),
  };
}

/** A device's signing seed in one space: nothing links its keys across spaces. */
export function deviceSeed(
  deviceSecret: Uint8Array,
  spaceId: Uint8Array,
  incarnation: Uint8Array,
): Uint8Array {
  return hkdf(sha256, deviceSecret, undefined, concat(label("dev"), spaceId, incarnation), 32);
}

export type EpochPurpose = "update" | "snapshot" | "card" | "presence" | "meta" | "prev";

/** A 32-byte key for one purpose; the epoch key itself encrypts nothing. Not to be written to: every caller is given the same. */
export function epochSubkey(
  epochKey: Uint8Array,
  spaceId: Uint8Array,
  purpose: EpochPurpose,
): Uint8Array {
  const known = subkeys.get(epochKey) ?? new Map<string, Uint8Array>();
  subkeys.set(epochKey, known);
  const name = `${purpose} ${toHex(spaceId)}`;
  const subkey = known.get(name) ?? hkdf(sha256, epochKey, spaceId, label(purpose), 32);
  known.set(name, subkey);
  return subkey;
}

/** A thousand cards are opened with one of them, and deriving it takes longer than opening a card. They go with their epoch key. */
const subkeys = new WeakMap<Uint8Array, Map<string, Uint8Array>>();

/** Shown to the relay for every read of the space in this epoch. */
export function readToken(epochKey: Uint8Array, spaceId: Uint8Array): Uint8Array {
  return hkdf(sha256, epochKey, spaceId, label("read-token"), readTokenBytes);
}

export function readTokenHash(token: Uint8Array): Uint8Array {
  return sha256Of(token);
}

/** Signed in the rotation: a member who was given another key sees it. */
export function keyCommitOf(spaceId: Uint8Array, epoch: number, epochKey: Uint8Array): Uint8Array {
  const number = new Uint8Array(4);
  new DataView(number.buffer).setUint32(0, epoch);
  return hashInDomain("kc", spaceId, number, epochKey);
}

/** The key under which an epoch key travels to one capability (PROTOCOL §3). */
export function sealingKey(
  shared: Uint8Array,
  spaceId: Uint8Array,
  epoch: number,
  ephPub: Uint8Array,
  boxPub: Uint8Array,
): Uint8Array {
  const number = new Uint8Array(4);
  new DataView(number.buffer).setUint32(0, epoch);
  return hkdf(
    sha256,
    shared,
    undefined,
    concat(label("seal"), spaceId, number, ephPub, boxPub),
    32,
  );
}

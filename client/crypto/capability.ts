/**
 * A capability: the right to something in one space, held as a 32-byte secret by a person, a link,
 * a device or the recovery words. Epoch keys travel sealed to its box half.
 */
import { x25519 } from "@noble/curves/ed25519.js";
import { concat, isZero } from "#relay/protocol/bytes.ts";
import { aeadNonceBytes, open, seal } from "./aead.ts";
import { capabilitySeeds, sealingKey } from "./derive.ts";
import { signingKey, type Ed25519, type SigningKey } from "./ed25519.ts";

export interface HeldCapability {
  readonly sign: SigningKey;
  readonly box: BoxKey;
}

export interface BoxKey {
  readonly secret: Uint8Array;
  readonly publicKey: Uint8Array;
}

export function boxKey(secret: Uint8Array): BoxKey {
  return { secret, publicKey: x25519.getPublicKey(secret) };
}

export function capabilityFrom(ed: Ed25519, secret: Uint8Array): HeldCapability {
  const seeds = capabilitySeeds(secret);
  return { sign: signingKey(ed, seeds.sign), box: boxKey(seeds.box) };
}

/** What binds a sealed key to its place: the space, the epoch of the key, and the record's header. */
export interface SealContext {
  readonly spaceId: Uint8Array;
  readonly epoch: number;
  readonly aad: Uint8Array;
}

const zeroNonce = new Uint8Array(aeadNonceBytes); // each key is used once: fresh ephemeral per record

/** Null for a box key that cannot hold a secret (small order). */
export function sealEpochKey(
  epochKey: Uint8Array,
  ephemeral: BoxKey,
  boxPub: Uint8Array,
  context: SealContext,
): Uint8Array | null {
  const shared = sharedSecret(ephemeral.secret, boxPub);
  if (shared === null) return null;
  const key = sealingKey(shared, context.spaceId, context.epoch, ephemeral.publicKey, boxPub);
  return seal(key, zeroNonce, context.aad, epochKey);
}

/** Null unless it was sealed to this capability in this context. */
export function openEpochKey(
  sealed: Uint8Array,
  ephPub: Uint8Array,
  box: BoxKey,
  context: SealContext,
): Uint8Array | null {
  const shared = sharedSecret(box.secret, ephPub);
  if (shared === null) return null;
  const key = sealingKey(shared, context.spaceId, context.epoch, ephPub, box.publicKey);
  return open(key, zeroNonce, context.aad, sealed);
}

function sharedSecret(secret: Uint8Array, publicKey: Uint8Array): Uint8Array | null {
  try {
    const shared = x25519.getSharedSecret(secret, publicKey);
    return isZero(shared) ? null : shared;
  } catch {
    return null; // noble refuses small-order points by throwing
  }
}

/** Random nonce first, for values that stand alone (metadata, the previous epoch key). */
export function sealWithNonce(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  return concat(nonce, seal(key, nonce, aad, plaintext));
}

export function openWithNonce(
  key: Uint8Array,
  aad: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | null {
  if (sealed.length < aeadNonceBytes) return null;
  return open(key, sealed.subarray(0, aeadNonceBytes), aad, sealed.subarray(aeadNonceBytes));
}

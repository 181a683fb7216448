/**
 * One verdict about public keys in every library, relay and client (docs/protocol.md, GEN-4): an Ed25519 key
 * counts only when its encoding is canonical and its point has no small-order part; an X25519 key
 * only when it is not one of the small-order points (they make the shared secret zero).
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { isZero } from "./bytes.ts";

export const keyBytes = 32;
export const signatureBytes = 64;

/** Whether a signing key may appear in a genesis, a control record or a certificate. */
export function isSoundSigningKey(publicKey: Uint8Array): boolean {
  try {
    const point = ed25519.Point.fromBytes(publicKey, false);
    return !point.is0() && point.isTorsionFree();
  } catch {
    return false;
  }
}

/** The all-zero box key is refused here; other weak points are caught as all-zero secrets. */
export function isSoundBoxKey(publicKey: Uint8Array): boolean {
  return publicKey.length === keyBytes && !isZero(publicKey);
}

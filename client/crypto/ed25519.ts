/** Signatures as a port: noble everywhere, the platform's where it is faster and as strict. */
import { ed25519 } from "@noble/curves/ed25519.js";

export interface Ed25519 {
  /** @param seed 32 bytes */
  publicKey(seed: Uint8Array): Uint8Array;
  /** Deterministic (RFC 8032), 64 bytes. */
  sign(seed: Uint8Array, message: Uint8Array): Uint8Array;
  /** Strict: canonical R and S, no small-order keys. Never throws. */
  verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean;
}

export const nobleEd25519: Ed25519 = {
  publicKey: (seed) => ed25519.getPublicKey(seed),
  sign: (seed, message) => ed25519.sign(message, seed),
  verify: (publicKey, message, signature) => {
    try {
      return ed25519.verify(signature, message, publicKey, { zip215: false });
    } catch {
      return false;
    }
  },
};

/** A key pair for signing; the seed stays with whoever made it. */
export interface SigningKey {
  readonly seed: Uint8Array;
  readonly publicKey: Uint8Array;
}

export function signingKey(ed: Ed25519, seed: Uint8Array): SigningKey {
  return { seed, publicKey: ed.publicKey(seed) };
}

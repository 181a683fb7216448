/** XChaCha20-Poly1305, the one cipher of version 1. Nonces are random, 24 bytes. */
import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";

export const aeadNonceBytes = 24;

export function seal(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plaintext: Uint8Array,
): Uint8Array {
  return xchacha20poly1305(key, nonce, aad).encrypt(plaintext);
}

/** Null if the tag does not fit: wrong key, other context, or altered bytes. */
export function open(
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | null {
  try {
    return xchacha20poly1305(key, nonce, aad).decrypt(ciphertext);
  } catch {
    return null;
  }
}

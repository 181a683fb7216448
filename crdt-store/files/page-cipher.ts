import { xchacha20poly1305 } from "@noble/ciphers/chacha.js";

/**
 * XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) under one key, with nonces of 24 bytes. Every implementation makes
 * the same bytes: files move between platforms. Arguments may be views; none is kept or changed but the last.
 */
export interface PageCipher {
  /** Writes the ciphertext and its tag of 16 bytes into `sealed`, which is 16 bytes longer than `plain`. */
  seal(plain: Uint8Array, nonce: Uint8Array, additionalData: Uint8Array, sealed: Uint8Array): void;
  /** Writes what was sealed into `plain`; false if it is not authentic, and then `plain` means nothing. */
  open(
    sealed: Uint8Array,
    nonce: Uint8Array,
    additionalData: Uint8Array,
    plain: Uint8Array,
  ): boolean;
}

/** Takes a key of 32 bytes, which it copies. */
export type PageCipherOf = (key: Uint8Array) => PageCipher;

/** The portable one: JavaScript alone. */
export const nobleCipher: PageCipherOf = (key) => {
  const ownKey = key.slice();
  return {
    seal(plain, nonce, additionalData, sealed) {
      xchacha20poly1305(ownKey, nonce, additionalData).encrypt(plain, sealed);
    },
    open(sealed, nonce, additionalData, plain) {
      try {
        xchacha20poly1305(ownKey, nonce, additionalData).decrypt(sealed, plain);
        return true;
      } catch {
        // The only failure left with arguments of these lengths is the tag.
        return false;
      }
    },
  };
};

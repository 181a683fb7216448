/**
 * Ed25519 by node:crypto, off the event loop: several verifications run on the thread pool at once.
 * OpenSSL refuses S ≥ L and compares R by its bytes, so the verdict is that of the strict libraries;
 * that keys are sound is checked where they enter (protocol/keys.ts).
 */
import { createPrivateKey, createPublicKey, sign, verify, type KeyObject } from "node:crypto";
import { toBase64url, toHex } from "#relay/protocol/bytes.ts";
import { signatureBytes } from "#relay/protocol/keys.ts";

/** Making a KeyObject costs about a sixth of a verification (measured, 20 µs as JWK). */
const maxCachedKeys = 10_000;

/** A verifier with a cache of its own. Malformed keys and signatures are false, never an exception. */
export function createVerifier(): (
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
) => Promise<boolean> {
  const keys = new Map<string, KeyObject>();

  function keyOf(publicKey: Uint8Array): KeyObject {
    const id = toHex(publicKey);
    const key = keys.get(id) ?? importPublicKey(publicKey);
    keys.delete(id);
    keys.set(id, key);
    for (const oldest of keys.keys()) {
      if (keys.size <= maxCachedKeys) break;
      keys.delete(oldest);
    }
    return key;
  }

  return (publicKey, message, signature) => {
    if (signature.length !== signatureBytes) return Promise.resolve(false);
    let key: KeyObject;
    try {
      key = keyOf(publicKey);
    } catch {
      return Promise.resolve(false);
    }
    return new Promise((resolve) => {
      verify(null, message, key, signature, (error, valid) => {
        resolve(error === null && valid);
      });
    });
  };
}

/** A signer with an Ed25519 secret of 32 bytes and its public key. */
export function createSigner(
  secret: Uint8Array,
  publicKey: Uint8Array,
): (message: Uint8Array) => Promise<Uint8Array> {
  const key = createPrivateKey({
    key: { kty: "OKP", crv: "Ed25519", d: toBase64url(secret), x: toBase64url(publicKey) },
    format: "jwk",
  });
  return (message) =>
    new Promise((resolve, reject) => {
      sign(null, message, key, (error, signature) => {
        if (error === null) resolve(new Uint8Array(signature));
        else reject(error);
      });
    });
}

function importPublicKey(publicKey: Uint8Array): KeyObject {
  return createPublicKey({
    key: { kty: "OKP", crv: "Ed25519", x: toBase64url(publicKey) },
    format: "jwk",
  });
}

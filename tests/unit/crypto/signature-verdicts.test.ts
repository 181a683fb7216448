/** One verdict on every signature, whichever library gives it: the relay's, the command line's, the browser's (GEN-4). */
import { describe, expect, it } from "vitest";
import { nodeEd25519 } from "#client/cli/node-ports.ts";
import { nobleEd25519 } from "#client/crypto/ed25519.ts";
import { isSoundSigningKey } from "#relay/protocol/keys.ts";
import { createVerifier } from "#relay/signatures.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";

const message = bytesNamed("message", 40);
const seed = bytesNamed("seed", 32);
const publicKey = nobleEd25519.publicKey(seed);
const signature = nobleEd25519.sign(seed, message);

/** As each side judges: a key counts only if it is sound. */
async function verdicts(key: Uint8Array, sig: Uint8Array): Promise<readonly boolean[]> {
  const isSound = isSoundSigningKey(key);
  return [
    isSound && (await createVerifier()(key, message, sig)),
    isSound && nodeEd25519().verify(key, message, sig),
    isSound && nobleEd25519.verify(key, message, sig),
  ];
}

const order = (1n << 252n) + 27_742_317_777_372_353_535_851_937_790_883_648_493n;

/** The same signature with S made larger by the order of the group. */
function withLargerS(): Uint8Array {
  let s = 0n;
  for (let at = 63; at >= 32; at -= 1) s = (s << 8n) | BigInt(signature[at] ?? 0);
  s += order;
  const bytes = signature.slice();
  for (let at = 32; at < 64; at += 1) {
    bytes[at] = Number(s & 255n);
    s >>= 8n;
  }
  return bytes;
}

const smallOrder = [
  "0100000000000000000000000000000000000000000000000000000000000000",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "0000000000000000000000000000000000000000000000000000000000000000",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
].map((hex) => Uint8Array.from(Buffer.from(hex, "hex")));

describe("a signature (attack 67)", () => {
  it("that is right is right for everybody", async () => {
    expect(await verdicts(publicKey, signature)).toEqual([true, true, true]);
  });

  it("with an S that is not reduced is wrong for everybody", async () => {
    expect(await verdicts(publicKey, withLargerS())).toEqual([false, false, false]);
  });

  it("by a key of small order, for which any message goes, is wrong for everybody", async () => {
    for (const key of smallOrder) {
      const forged = new Uint8Array(64);
      forged.set(key);
      expect(await verdicts(key, forged)).toEqual([false, false, false]);
    }
  });

  it("with any bit altered is wrong for everybody", async () => {
    for (let bit = 0; bit < 512; bit += 37) {
      const altered = signature.slice();
      altered[bit >> 3] = (altered[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(await verdicts(publicKey, altered)).toEqual([false, false, false]);
    }
  });
});

describe("one seed", () => {
  it("is the same key and signs the same, whichever library is asked", () => {
    for (let number = 0; number < 50; number += 1) {
      const one = bytesNamed(`seed ${number}`, 32);
      expect(nodeEd25519().publicKey(one)).toEqual(nobleEd25519.publicKey(one));
      expect(nodeEd25519().sign(one, message)).toEqual(nobleEd25519.sign(one, message));
    }
  });
});

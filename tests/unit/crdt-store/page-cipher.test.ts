import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { fastestCipher, opensslCipher } from "#crdt-store/files/node-cipher.ts";
import { nobleCipher } from "#crdt-store/files/page-cipher.ts";

const tagBytes = 16;
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });

function sealedBy(cipherOf: typeof nobleCipher, message: Message): Uint8Array {
  const sealed = new Uint8Array(message.plain.length + tagBytes);
  cipherOf(message.key).seal(message.plain, message.nonce, message.data, sealed);
  return sealed;
}

interface Message {
  readonly key: Uint8Array;
  readonly nonce: Uint8Array;
  readonly data: Uint8Array;
  readonly plain: Uint8Array;
}

const messages = fc.record({
  key: bytes(32),
  nonce: bytes(24),
  data: fc.uint8Array({ maxLength: 40 }),
  plain: fc.uint8Array({ maxLength: 300 }),
});

// draft-irtf-cfrg-xchacha-03 §A.3.1
const known = {
  key: hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f"),
  nonce: hex("404142434445464748494a4b4c4d4e4f5051525354555657"),
  data: hex("50515253c0c1c2c3c4c5c6c7"),
  plain: new TextEncoder().encode(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  ),
};
const knownSealed = hex(
  `bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39
   ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9
   21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49`,
);

for (const [name, cipherOf] of [
  ["portable", nobleCipher],
  ["OpenSSL's", opensslCipher],
] as const) {
  describe(`the ${name} cipher of pages`, () => {
    it("is the XChaCha20-Poly1305 of its specification", () => {
      expect(sealedBy(cipherOf, known)).toEqual(knownSealed);
    });

    it("refuses every changed bit of the sealed bytes, the nonce and the additional data", () => {
      const open = (sealed: Uint8Array, nonce: Uint8Array, data: Uint8Array) =>
        cipherOf(known.key).open(sealed, nonce, data, new Uint8Array(known.plain.length));
      expect(open(knownSealed, known.nonce, known.data)).toBe(true);
      for (let at = 0; at < knownSealed.length; at += 1) {
        expect(open(flipped(knownSealed, at), known.nonce, known.data)).toBe(false);
      }
      for (let at = 0; at < known.nonce.length; at += 1) {
        expect(open(knownSealed, flipped(known.nonce, at), known.data)).toBe(false);
      }
      expect(open(knownSealed, known.nonce, flipped(known.data, 0))).toBe(false);
      expect(open(knownSealed, known.nonce, known.data.subarray(1))).toBe(false);
    });

    it("keeps its own copy of the key and can be used again and again", () => {
      const given = known.key.slice();
      const cipher = cipherOf(given);
      given.fill(0);
      for (let round = 0; round < 3; round += 1) {
        const sealed = new Uint8Array(knownSealed.length);
        cipher.seal(known.plain, known.nonce, known.data, sealed);
        expect(sealed).toEqual(knownSealed);
        const opened = new Uint8Array(known.plain.length);
        expect(cipher.open(sealed, known.nonce, known.data, opened)).toBe(true);
        expect(opened).toEqual(known.plain);
      }
    });
  });
}

describe("the two ciphers of pages", () => {
  it("make the same bytes and open each other's", () => {
    fc.assert(
      fc.property(messages, (message) => {
        const sealed = sealedBy(nobleCipher, message);
        expect(sealedBy(opensslCipher, message)).toEqual(sealed);
        for (const cipherOf of [nobleCipher, opensslCipher]) {
          const opened = new Uint8Array(message.plain.length);
          const isAuthentic = cipherOf(message.key).open(
            sealed,
            message.nonce,
            message.data,
            opened,
          );
          expect(isAuthentic).toBe(true);
          expect(opened).toEqual(message.plain);
        }
      }),
    );
  });

  it("work on views that start anywhere in a larger buffer", () => {
    for (const cipherOf of [nobleCipher, opensslCipher]) {
      const within = (part: Uint8Array, at: number) => {
        const heap = new Uint8Array(part.length + at + 5);
        heap.set(part, at);
        return heap.subarray(at, at + part.length);
      };
      const sealed = within(new Uint8Array(knownSealed.length), 3);
      cipherOf(within(known.key, 1)).seal(
        within(known.plain, 7),
        within(known.nonce, 1),
        within(known.data, 3),
        sealed,
      );
      expect(Buffer.from(sealed)).toEqual(Buffer.from(knownSealed));
      expect(new Uint8Array(sealed.buffer).subarray(-5)).toEqual(new Uint8Array(5));
    }
  });

  it("OpenSSL's is taken where it is there, as in this Node", () => {
    expect(fastestCipher()).toBe(opensslCipher);
  });
});

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(/\s/g, ""), "hex"));
}

function flipped(message: Uint8Array, at: number): Uint8Array {
  const changed = message.slice();
  changed[at] = (changed[at] ?? 0) ^ 1;
  return changed;
}

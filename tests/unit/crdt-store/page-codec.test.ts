import { createCipheriv, createHash } from "node:crypto";

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { createPageCodec, pageSize, reservedBytes } from "#crdt-store/files/page-codec.ts";
import { bytesFor, key, seededBytes } from "./store-fixtures.ts";

const databaseId = bytesFor("database", 16);
const payloadBytes = pageSize - reservedBytes;

function setupCodec(options: { key?: Uint8Array; databaseId?: Uint8Array; seed?: number } = {}) {
  return createPageCodec({
    key: options.key ?? key,
    databaseId: options.databaseId ?? databaseId,
    random: seededBytes(options.seed ?? 1),
  });
}

function pageOf(fill: number): Uint8Array {
  const page = new Uint8Array(pageSize);
  page.fill(fill, 0, payloadBytes);
  return page;
}

describe("a key that was zeroed by a lock", () => {
  it("seals nothing any more", () => {
    expect(() => setupCodec({ key: new Uint8Array(32) })).toThrow("this page key was zeroed");
  });
});

describe("a sealed page", () => {
  it("is XChaCha20-Poly1305 over the page, bound to database and page number", () => {
    const nonce = seededBytes(1)(24 * 256).slice(0, 24);
    const stored = setupCodec().seal(pageOf(0x61), 513).slice();
    // XChaCha20-Poly1305 is ChaCha20-Poly1305 under an HChaCha20 subkey (draft-irtf-cfrg-xchacha-03 §2.3).
    const iv = new Uint8Array([0, 0, 0, 0, ...nonce.subarray(16)]);
    const cipher = createCipheriv("chacha20-poly1305", hChaCha20(key, nonce), iv, {
      authTagLength: 16,
    });
    cipher.setAAD(new Uint8Array([...databaseId, 0, 0, 2, 1]), { plaintextLength: payloadBytes });
    const expected = Buffer.concat([
      cipher.update(pageOf(0x61).subarray(0, payloadBytes)),
      cipher.final(),
      cipher.getAuthTag(),
      nonce,
    ]);
    expect(Buffer.from(stored).equals(expected)).toBe(true);
  });

  it("does not change its form from release to release", () => {
    const stored = setupCodec({
      key: new Uint8Array(32).fill(1),
      databaseId: new Uint8Array(16).fill(2),
    }).seal(pageOf(3), 1);
    expect(createHash("sha256").update(stored).digest("hex")).toMatchInlineSnapshot(
      `"3b1da743870a201ec1dee7f51b3cc395b3ebf1c232569fdc4d64d5263a842847"`,
    );
  });

  it("opens to what was sealed, with zeros in the reserved bytes", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: payloadBytes, maxLength: payloadBytes }),
        fc.integer({ min: 1, max: 0xffff_ffff }),
        (payload, number) => {
          const page = new Uint8Array(pageSize);
          page.set(payload);
          const stored = setupCodec().seal(page, number).slice();
          const opened = new Uint8Array(pageSize).fill(9);
          expect(setupCodec().open(stored, number, opened)).toBe(true);
          expect(opened).toEqual(page);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("is refused after any change of a bit, leaving the target alone", () => {
    const codec = setupCodec();
    const stored = codec.seal(pageOf(5), 7).slice();
    const target = new Uint8Array(pageSize).fill(9);
    for (const at of [
      0,
      1,
      2_000,
      payloadBytes - 1,
      payloadBytes,
      payloadBytes + 15,
      pageSize - 24,
      pageSize - 1,
    ]) {
      const tampered = stored.slice();
      tampered[at] = (tampered[at] ?? 0) ^ 0x10;
      expect(codec.open(tampered, 7, target)).toBe(false);
    }
    expect(target.every((byte) => byte === 9)).toBe(true);
    expect(codec.open(stored, 7, target)).toBe(true);
  });

  it("is refused as another page, in another database, under another key", () => {
    const stored = setupCodec().seal(pageOf(5), 7).slice();
    const target = new Uint8Array(pageSize);
    expect(setupCodec().open(stored, 8, target)).toBe(false);
    expect(setupCodec({ databaseId: bytesFor("other", 16) }).open(stored, 7, target)).toBe(false);
    expect(setupCodec({ key: bytesFor("other") }).open(stored, 7, target)).toBe(false);
  });

  it("has a fresh nonce each time", () => {
    const codec = setupCodec();
    const nonces = Array.from({ length: 600 }, () =>
      Buffer.from(codec.seal(pageOf(1), 1).subarray(pageSize - 24)).toString("hex"),
    );
    expect(new Set(nonces).size).toBe(600);
  });

  it("is copied as it stands when a checkpoint moves the page just read, and only then", () => {
    const codec = setupCodec();
    const page = pageOf(5);
    const stored = codec.seal(page, 7).slice();
    codec.open(stored, 7, new Uint8Array(pageSize));
    expect(codec.seal(page, 7)).toEqual(stored);
    expect(codec.seal(pageOf(6), 7)).not.toEqual(stored);
    expect(codec.seal(page, 8)).not.toEqual(stored);
  });

  it("cannot be made of a page whose reserved bytes are in use", () => {
    const page = pageOf(1);
    page[pageSize - 1] = 1;
    expect(() => setupCodec().seal(page, 1)).toThrow("reserved bytes");
  });
});

/** Test vector implementation of draft-irtf-cfrg-xchacha-03 §2.2, independent of the library under test. */
function hChaCha20(secret: Uint8Array, nonce: Uint8Array): Uint8Array {
  const words = new Uint32Array(16);
  const view = (bytes: Uint8Array) =>
    new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  words.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]);
  for (let index = 0; index < 8; index += 1)
    words[4 + index] = view(secret).getUint32(index * 4, true);
  for (let index = 0; index < 4; index += 1)
    words[12 + index] = view(nonce).getUint32(index * 4, true);
  const word = (index: number) => words[index] ?? 0;
  const mix = (a: number, b: number, c: number, shift: number) => {
    words[a] = word(a) + word(b);
    const turned = word(c) ^ word(a);
    words[c] = (turned << shift) | (turned >>> (32 - shift));
  };
  const quarter = (a: number, b: number, c: number, d: number) => {
    mix(a, b, d, 16);
    mix(c, d, b, 12);
    mix(a, b, d, 8);
    mix(c, d, b, 7);
  };
  for (let round = 0; round < 10; round += 1) {
    for (let column = 0; column < 4; column += 1)
      quarter(column, column + 4, column + 8, column + 12);
    for (let row = 0; row < 4; row += 1) {
      quarter(row, 4 + ((row + 1) % 4), 8 + ((row + 2) % 4), 12 + ((row + 3) % 4));
    }
  }
  const subkey = new Uint8Array(32);
  for (const [index, from] of [0, 1, 2, 3, 12, 13, 14, 15].entries()) {
    view(subkey).setUint32(index * 4, word(from), true);
  }
  return subkey;
}

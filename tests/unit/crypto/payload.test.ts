import { deflateSync } from "fflate";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Origin, SignedHead } from "#client/crypto/authorship.ts";
import {
  encodePayload,
  maxInflatedBytes,
  paddedLength,
  parsePayload,
  type Payload,
} from "#client/crypto/payload.ts";
import { Writer } from "#relay/protocol/bytes.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";

const exactly = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const head: fc.Arbitrary<SignedHead> = fc.record({
  actorNonce: exactly(16),
  devPub: exactly(32),
  seq: fc.nat(),
  hash: exactly(32),
  signature: exactly(64),
});
const origin: fc.Arbitrary<Origin> = fc.record({
  docNonce: exactly(16),
  devPub: exactly(32),
  heads: fc.array(exactly(32), { maxLength: 4 }),
  signature: exactly(64),
});
const payload: fc.Arbitrary<Payload> = fc.record({
  frontier: fc.record({ pos: fc.maxSafeNat(), chainTag: exactly(16) }),
  origin: fc.option(origin),
  heads: fc.array(head, { maxLength: 4 }),
  data: fc.uint8Array({ maxLength: 2_000 }),
});

function plain(data: Uint8Array): Payload {
  return { frontier: { pos: 1, chainTag: new Uint8Array(16) }, origin: null, heads: [], data };
}

describe("what is sealed in an entry", () => {
  it("says the same after it was written, compressed or not", () => {
    fc.assert(
      fc.property(payload, fc.boolean(), (made, compress) => {
        const parsed = parsePayload(encodePayload(made, compress));
        expect(parsed).toEqual({ ok: true, value: made });
      }),
    );
  });

  it("is compressed when that makes it shorter, and never where it must not be", () => {
    const dull = plain(new Uint8Array(20_000));
    expect(encodePayload(dull, true).length).toBeLessThan(1_000);
    expect(encodePayload(dull, false).length).toBeGreaterThan(20_000);
    const noise = plain(bytesNamed("noise", 900));
    expect(encodePayload(noise, true)).toEqual(encodePayload(noise, false));
  });

  it("weighs the same for 1 to 200 bytes: the length of a word is nobody's business (attack 64)", () => {
    const lengths = new Set<number>();
    for (let bytes = 1; bytes <= 200; bytes += 1) {
      lengths.add(encodePayload(plain(bytesNamed("text", bytes)), true).length);
    }
    expect([...lengths]).toEqual([256]);
  });

  it("is padded to few lengths, at most an eighth longer", () => {
    const lengths = new Set<number>();
    let worst = 1;
    for (let length = 1; length <= 20_000; length += 1) {
      const padded = paddedLength(length);
      lengths.add(padded);
      worst = length > 256 ? Math.max(worst, padded / length) : worst;
      expect(padded).toBeGreaterThanOrEqual(length);
    }
    expect(worst).toBeLessThan(1.125);
    expect(lengths.size).toBeLessThan(120);
  });
});

describe("a malformed content is refused, never with an exception,", () => {
  const good = encodePayload(plain(bytesNamed("text", 40)), true);

  it("when it says more than is there, or less", () => {
    expect(parsePayload(new Uint8Array(0)).ok).toBe(false);
    expect(parsePayload(good.slice(0, 60)).ok).toBe(false);
  });

  it("when flags, format or padding are not of this version", () => {
    expect(parsePayload(good.with(0, 4)).ok).toBe(false);
    expect(parsePayload(good.with(1, 2)).ok).toBe(false);
    expect(parsePayload(good.with(255, 1))).toEqual({
      ok: false,
      error: expect.stringContaining("padding not zero"),
    });
  });

  it("when it would inflate to more than an entry may, or to another length than it says (attack 51)", () => {
    const packed = (data: Uint8Array, rawLength: number): Uint8Array =>
      new Writer()
        .u8(1)
        .u8(1)
        .u64(1)
        .fixed(new Uint8Array(16), 16)
        .u16(0)
        .u32(data.length)
        .u32(rawLength)
        .bytes(data)
        .finish();
    const bomb = deflateSync(new Uint8Array(maxInflatedBytes + 1));
    expect(bomb.length).toBeLessThan(8_192);
    expect(parsePayload(packed(bomb, maxInflatedBytes + 1))).toEqual({
      ok: false,
      error: expect.stringContaining("inflates beyond the limit"),
    });
    const most = deflateSync(new Uint8Array(maxInflatedBytes));
    expect(parsePayload(packed(most, maxInflatedBytes)).ok).toBe(true);
    // One that lies about its length is refused, not cut.
    expect(parsePayload(packed(bomb, 100)).ok).toBe(false);
    expect(parsePayload(packed(deflateSync(new Uint8Array(50)), 100)).ok).toBe(false);
    expect(parsePayload(packed(bytesNamed("noise", 50), 100)).ok).toBe(false);
  });

  it("whatever it is", () => {
    const altered = fc
      .tuple(fc.nat(good.length - 1), fc.nat(255))
      .map(([at, byte]) => good.with(at, byte));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 600 }), altered), (bytes) => {
        expect(typeof parsePayload(bytes).ok).toBe("boolean");
      }),
      { numRuns: 1_000 },
    );
  });
});

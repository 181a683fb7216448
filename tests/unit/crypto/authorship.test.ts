import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  actorOf,
  isHeadGenuine,
  isOriginGenuine,
  originBytes,
  parseOrigin,
  readHead,
  signHead,
  signOrigin,
  writeHead,
} from "#client/crypto/authorship.ts";
import { nodeEd25519 } from "#client/cli/node-ports.ts";
import { nobleEd25519, signingKey } from "#client/crypto/ed25519.ts";
import { parseAll, Writer } from "#relay/protocol/bytes.ts";
import { documentIdOf } from "#relay/protocol/genesis.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";

const ed = nodeEd25519();
const device = signingKey(ed, bytesNamed("device", 32));
const thief = signingKey(ed, bytesNamed("thief", 32));
const spaceId = bytesNamed("space", 32);
const docNonce = bytesNamed("doc nonce", 16);
const docId = documentIdOf(spaceId, device.publicKey, docNonce);
const actorNonce = bytesNamed("actor nonce", 16);
const hash = bytesNamed("hash", 32);

describe("a signed head", () => {
  const head = signHead(ed, device, docId, actorNonce, 3, hash);

  it("is genuine for its document, actor, number and change, and for nothing else", () => {
    expect(isHeadGenuine(ed, docId, head)).toBe(true);
    expect(isHeadGenuine(ed, bytesNamed("another document", 16), head)).toBe(false);
    expect(isHeadGenuine(ed, docId, { ...head, seq: 4 })).toBe(false);
    expect(isHeadGenuine(ed, docId, { ...head, hash: bytesNamed("another", 32) })).toBe(false);
    expect(isHeadGenuine(ed, docId, { ...head, actorNonce: docNonce })).toBe(false);
    expect(isHeadGenuine(ed, docId, { ...head, devPub: thief.publicKey })).toBe(false);
  });

  it("cannot be made for the actor of another device", () => {
    const stolen = signHead(ed, thief, docId, actorNonce, 3, hash);
    expect(isHeadGenuine(ed, docId, { ...stolen, devPub: device.publicKey })).toBe(false);
    expect(actorOf(docId, thief.publicKey, actorNonce)).not.toEqual(
      actorOf(docId, device.publicKey, actorNonce),
    );
  });

  it("is the same after it was written", () => {
    const writer = new Writer();
    writeHead(writer, head);
    expect(parseAll(writer.finish(), readHead)).toEqual({ ok: true, value: head });
  });
});

describe("an origin", () => {
  const bytes = signOrigin(ed, device, docId, docNonce, [hash]);
  const parsed = parseOrigin(bytes);
  if (!parsed.ok) throw new Error(parsed.error);
  const origin = parsed.value;

  it("is genuine for the document its creator made, in the space it was made in", () => {
    expect(isOriginGenuine(ed, spaceId, docId, origin)).toBe(true);
    expect(isOriginGenuine(ed, bytesNamed("another space", 32), docId, origin)).toBe(false);
    expect(isOriginGenuine(ed, spaceId, bytesNamed("another", 16), origin)).toBe(false);
  });

  it("cannot be given other heads, nor another creator", () => {
    const other = bytesNamed("another head", 32);
    expect(isOriginGenuine(ed, spaceId, docId, { ...origin, heads: [other] })).toBe(false);
    expect(isOriginGenuine(ed, spaceId, docId, { ...origin, heads: [hash, other] })).toBe(false);
    const squatted = parseOrigin(signOrigin(ed, thief, docId, docNonce, [other]));
    if (!squatted.ok) throw new Error(squatted.error);
    expect(isOriginGenuine(ed, spaceId, docId, squatted.value)).toBe(false);
  });

  it("is the same after it was written, and any bytes are a verdict", () => {
    expect(originBytes(origin)).toEqual(bytes);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (noise) => {
        expect(typeof parseOrigin(noise).ok).toBe("boolean");
      }),
    );
  });
});

describe("Ed25519 on Node", () => {
  const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const message = fc.uint8Array({ maxLength: 100 });

  it("signs as the portable one does, and each believes the other", () => {
    fc.assert(
      fc.property(bytes32, message, (seed, text) => {
        const publicKey = nobleEd25519.publicKey(seed);
        const signature = nobleEd25519.sign(seed, text);
        expect(ed.publicKey(seed)).toEqual(publicKey);
        expect(ed.sign(seed, text)).toEqual(signature);
        expect(ed.verify(publicKey, text, signature)).toBe(true);
        expect(nobleEd25519.verify(publicKey, text, signature)).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  it("refuses what the portable one refuses: altered, of another length, S not reduced", () => {
    const seed = bytesNamed("seed", 32);
    const publicKey = ed.publicKey(seed);
    const text = bytesNamed("text", 20);
    const signature = ed.sign(seed, text);
    // S + L is the same number modulo the group's order.
    const order = [
      0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
      0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    const unreduced = signature.slice();
    let carry = 0;
    for (const [ix, byte] of order.entries()) {
      const sum = (signature[32 + ix] ?? 0) + byte + carry;
      unreduced[32 + ix] = sum & 0xff;
      carry = sum >> 8;
    }
    const wrong = [
      signature.with(0, (signature[0] ?? 0) ^ 1),
      signature.with(40, (signature[40] ?? 0) ^ 1),
      signature.slice(0, 63),
      new Uint8Array(64),
      unreduced,
    ];
    for (const bad of wrong) {
      expect(ed.verify(publicKey, text, bad)).toBe(false);
      expect(nobleEd25519.verify(publicKey, text, bad)).toBe(false);
    }
    const keys = [new Uint8Array(31), new Uint8Array(32), new Uint8Array(32).fill(0xff)];
    for (const key of keys) {
      expect(ed.verify(key, text, signature)).toBe(false);
      expect(nobleEd25519.verify(key, text, signature)).toBe(false);
    }
  });
});

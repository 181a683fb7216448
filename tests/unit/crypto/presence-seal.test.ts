import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nodeEd25519 } from "#client/cli/node-ports.ts";
import { signingKey } from "#client/crypto/ed25519.ts";
import {
  maxDigests,
  maxWanted,
  openPresence,
  parseSealedPresence,
  sealPresence,
  type PresenceContent,
} from "#client/crypto/presence-seal.ts";
import { maxPresenceBytes } from "#relay/protocol/limits.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";

const ed = nodeEd25519();
const device = signingKey(ed, bytesNamed("device", 32));
const spaceId = bytesNamed("space", 32);
const key = bytesNamed("epoch key", 32);
const header = { epoch: 1, devPub: device.publicKey, session: bytesNamed("tab", 8), seq: 9 };

function sealed(content: PresenceContent): Uint8Array {
  return sealPresence(ed, device, spaceId, key, header, bytesNamed("nonce", 24), content);
}

function opened(bytes: Uint8Array, space = spaceId, epochKey = key): PresenceContent | null {
  const parsed = parseSealedPresence(bytes);
  return parsed.ok ? openPresence(ed, space, epochKey, parsed.value) : null;
}

const nothingMore = { digests: [], wanted: [] };
const name = fc.string({ unit: "grapheme", maxLength: 10 });
const content: fc.Arbitrary<PresenceContent> = fc.oneof(
  fc.record({
    type: fc.constant("beat" as const),
    name,
    frontier: fc.record({
      pos: fc.maxSafeNat(),
      chainTag: fc.uint8Array({ minLength: 16, maxLength: 16 }),
    }),
    arriving: fc.boolean(),
    digests: fc.array(
      fc.record({
        docId: fc.uint8Array({ minLength: 16, maxLength: 16 }),
        digest: fc.uint8Array({ minLength: 8, maxLength: 8 }),
      }),
      { maxLength: maxDigests },
    ),
    wanted: fc.array(fc.uint8Array({ minLength: 32, maxLength: 32 }), { maxLength: maxWanted }),
  }),
  fc.record({
    type: fc.constant("cursor" as const),
    cursor: fc.option(
      fc.record({
        docId: fc.uint8Array({ minLength: 16, maxLength: 16 }),
        field: fc.constantFrom<"title" | "body">("title", "body"),
        anchor: fc.string({ maxLength: 60 }),
        head: fc.string({ maxLength: 60 }),
      }),
    ),
  }),
  fc.constant({ type: "leave" as const }),
);

describe("presence", () => {
  it("says the same to a member, and fits the relay's limit", () => {
    fc.assert(
      fc.property(content, (told) => {
        const bytes = sealed(told);
        expect(bytes.length).toBeLessThanOrEqual(maxPresenceBytes);
        expect(opened(bytes)).toEqual(told);
      }),
    );
  });

  it("weighs the same whatever the name, and whether there is a caret or not", () => {
    const frontier = { pos: 1, chainTag: new Uint8Array(16) };
    const beats = ["", "Ada", "Ada Augusta King-Noel, Countess of Lovelace"].map((who) =>
      sealed({ type: "beat", name: who, frontier, arriving: false, ...nothingMore }),
    );
    expect(new Set(beats.map(({ length }) => length)).size).toBe(1);
    const cursor = {
      docId: bytesNamed("doc", 16),
      field: "body",
      anchor: "1@a",
      head: "2@a",
    } as const;
    expect(sealed({ type: "cursor", cursor }).length).toBe(
      sealed({ type: "cursor", cursor: null }).length,
    );
  });

  it("says nothing in another space or epoch", () => {
    const bytes = sealed({ type: "leave" });
    expect(opened(bytes)).toEqual({ type: "leave" });
    expect(opened(bytes, bytesNamed("another space", 32))).toBeNull();
    expect(opened(bytes, spaceId, bytesNamed("another key", 32))).toBeNull();
  });

  it("of a beat is signed: another member cannot speak for its device", () => {
    const thief = signingKey(ed, bytesNamed("thief", 32));
    const frontier = { pos: 1, chainTag: new Uint8Array(16) };
    const beat = { type: "beat", name: "Ada", frontier, arriving: false, ...nothingMore } as const;
    const nonce = bytesNamed("nonce", 24);
    expect(opened(sealPresence(ed, thief, spaceId, key, header, nonce, beat))).toBeNull();
    expect(opened(sealPresence(ed, device, spaceId, key, header, nonce, beat))).toEqual(beat);
  });

  it("is refused whichever bit is altered", () => {
    for (const told of [{ type: "leave" }, { type: "cursor", cursor: null }] as const) {
      const bytes = sealed(told);
      fc.assert(
        fc.property(fc.nat(bytes.length - 1), fc.nat(7), (at, bit) => {
          expect(opened(bytes.with(at, (bytes[at] ?? 0) ^ (1 << bit)))).toBeNull();
        }),
      );
    }
  });

  it("of any bytes is a verdict, never an exception", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (noise) => {
        expect(opened(noise)).toBeNull();
      }),
    );
  });
});

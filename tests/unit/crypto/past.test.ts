import { describe, expect, it } from "vitest";
import { nodeEd25519 } from "#client/cli/node-ports.ts";
import { signingKey } from "#client/crypto/ed25519.ts";
import { openPast, parsePast, signPast, type Past } from "#client/crypto/past.ts";

const ed = nodeEd25519();
const keyOf = (byte: number) => signingKey(ed, new Uint8Array(32).fill(byte));
const doc = new Uint8Array(16).fill(7);

const past: Past = {
  updatedAt: 1_800_000_000_000,
  authors: [
    {
      person: new Uint8Array(32).fill(1),
      device: new Uint8Array(32).fill(2),
      name: "Ana",
      verified: true,
      changes: 3,
      lastAt: 1_799_999_999_000,
    },
    { person: null, device: null, name: "", verified: false, changes: 1, lastAt: null },
  ],
};

describe("what a copier states of a document's past", () => {
  const device = keyOf(9);
  const packed = signPast(ed, device, doc, past);

  it("is read as it was said", () => {
    expect(openPast(ed, device.publicKey, doc, packed)).toEqual(past);
    expect(parsePast(packed)).toEqual(past);
  });

  it("is nobody else's word, and of no other document", () => {
    const other = signPast(ed, keyOf(8), doc, past);
    expect(openPast(ed, device.publicKey, doc, other)).toBeNull();
    expect(openPast(ed, device.publicKey, new Uint8Array(16).fill(8), packed)).toBeNull();
  });

  it("is not believed when a byte of it is another, when it ends early, or when it is of a later version", () => {
    for (let at = 0; at < packed.length; at += 1) {
      const changed = packed.map((byte, ix) => (ix === at ? byte ^ 1 : byte));
      expect(openPast(ed, device.publicKey, doc, changed)).toBeNull();
      expect(openPast(ed, device.publicKey, doc, packed.slice(0, at))).toBeNull();
    }
    expect(parsePast(packed.with(0, 2))).toBeNull();
  });
});

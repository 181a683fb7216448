import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  isWorthTelling,
  packWitness,
  spaceOfWitness,
  unpackWitness,
  witnessKey,
} from "#client/device/space-witness.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";

const dayMs = 86_400_000;
const tag = bytesNamed("tag", 16);
const other = bytesNamed("other", 16);

describe("what the vault says of a notebook's log", () => {
  it("comes back as it was written, and any other bytes are nothing", () => {
    const told = { pos: 7_000, chainTag: tag, at: 1_800_000_000_000 };
    const packed = packWitness(told);
    expect(unpackWitness(packed)).toEqual(told);
    expect(unpackWitness(packed.with(0, 2))).toBeNull();
    expect(unpackWitness(packed.slice(1))).toBeNull();
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        unpackWitness(bytes);
      }),
    );
  });

  it("stands under a key of its own", () => {
    const space = bytesNamed("space", 32);
    expect(spaceOfWitness(witnessKey(toHex(space)))).toEqual(space);
    for (const key of ["notebooks", "seen ", "seen 00", `pin ${toHex(space)}`]) {
      expect(spaceOfWitness(key)).toBeNull();
    }
  });
});

describe("how far a device has read is told", () => {
  it("where nobody has told it, and there is something to tell", () => {
    expect(isWorthTelling({ pos: 1, chainTag: tag }, null, 0, false)).toBe(true);
    expect(isWorthTelling({ pos: 0, chainTag: tag }, null, 0, false)).toBe(false);
  });

  it("once a day for a log that moves, and not at all for one that does not", () => {
    const told = { pos: 5, chainTag: tag, at: 0 };
    const further = { pos: 6, chainTag: other };
    expect(isWorthTelling(further, told, dayMs - 1, false)).toBe(false);
    expect(isWorthTelling(further, told, dayMs, false)).toBe(true);
    expect(isWorthTelling({ pos: 5, chainTag: tag }, told, 100 * dayMs, true)).toBe(false);
  });

  it("never by a device that has read less, unless it knows that all of it is there again", () => {
    const told = { pos: 5, chainTag: tag, at: 0 };
    const less = { pos: 4, chainTag: other };
    expect(isWorthTelling(less, told, 100 * dayMs, false)).toBe(false);
    expect(isWorthTelling(less, told, 1, true)).toBe(true);
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { nodeEd25519 } from "#client/cli/node-ports.ts";
import { signingKey } from "#client/crypto/ed25519.ts";
import { cleanName, maxNameBytes, openProfile, signProfile } from "#client/crypto/profile.ts";
import { utf8 } from "#relay/protocol/bytes.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";

const ed = nodeEd25519();
const ada = signingKey(ed, bytesNamed("ada", 32));
const bob = signingKey(ed, bytesNamed("bob", 32));
const spaceId = bytesNamed("space", 32);

describe("a profile", () => {
  it("tells the name that its capability signed for this notebook, and none else", () => {
    const profile = signProfile(ed, ada, spaceId, "Ada");
    expect(openProfile(ed, ada.publicKey, spaceId, profile)).toBe("Ada");
    expect(openProfile(ed, bob.publicKey, spaceId, profile)).toBeNull();
    expect(openProfile(ed, ada.publicKey, bytesNamed("another", 32), profile)).toBeNull();
    expect(openProfile(ed, ada.publicKey, spaceId, profile.with(2, 0x42))).toBeNull();
    expect(openProfile(ed, ada.publicKey, spaceId, profile.slice(0, -1))).toBeNull();
  });

  it("longer than a name may be is refused although it is signed", () => {
    const long = signProfile(ed, ada, spaceId, "a".repeat(maxNameBytes + 1));
    expect(openProfile(ed, ada.publicKey, spaceId, long)).toBeNull();
    const longest = signProfile(ed, ada, spaceId, "a".repeat(maxNameBytes));
    expect(openProfile(ed, ada.publicKey, spaceId, longest)).toBe("a".repeat(maxNameBytes));
  });
});

describe("a typed name", () => {
  it("becomes one line without hidden characters", () => {
    expect(cleanName("  Ada \n\t Lovelace ")).toBe("Ada Lovelace");
    expect(cleanName("Ada\u202E\u200BEve")).toBe("Ada Eve");
    expect(cleanName("\u0000\u200B \n")).toBe("");
  });

  it("stays whole characters and within its bytes, and cleaning twice changes nothing", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), (typed) => {
        const clean = cleanName(typed);
        expect(utf8(clean).length).toBeLessThanOrEqual(maxNameBytes);
        expect(new TextDecoder().decode(utf8(clean))).toBe(clean);
        expect(cleanName(clean)).toBe(clean);
        if (clean === "") return;
        const profile = signProfile(ed, ada, spaceId, clean);
        expect(openProfile(ed, ada.publicKey, spaceId, profile)).toBe(clean);
      }),
    );
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeCard, parseCard, type Card } from "#client/crypto/card.ts";
import { utf8 } from "#relay/protocol/bytes.ts";
import { maxCardBytes } from "#relay/protocol/limits.ts";

const shortText = fc.string({ unit: "grapheme", maxLength: 40 });
const card: fc.Arbitrary<Card> = fc.record({
  title: shortText,
  preview: shortText,
  tags: fc.array(shortText, { maxLength: 8 }),
  createdAt: fc.maxSafeNat(),
  updatedAt: fc.maxSafeNat(),
});

describe("a card", () => {
  it("comes back as it was sealed, in a length that tells little", () => {
    fc.assert(
      fc.property(card, (made) => {
        const bytes = encodeCard(made);
        expect(parseCard(bytes)).toEqual({ ok: true, value: made });
        expect(bytes.length % 16).toBe(0);
      }),
    );
  });

  it("is made of a row whose times are no times, too", () => {
    for (const wrong of [-1, 0.5, Number.NaN, 2 ** 60]) {
      const made = { title: "Milk", preview: "", tags: [], createdAt: wrong, updatedAt: wrong };
      const value = { ...made, createdAt: 0, updatedAt: 0 };
      expect(parseCard(encodeCard(made))).toEqual({ ok: true, value });
    }
  });

  it("is a value or a refusal, whatever the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        expect(typeof parseCard(bytes).ok).toBe("boolean");
      }),
    );
    const bytes = encodeCard({ title: "a", preview: "", tags: [], createdAt: 1, updatedAt: 2 });
    const marked = Uint8Array.from(bytes);
    marked[marked.length - 1] = 1;
    expect(parseCard(marked).ok).toBe(false);
  });

  it("of an overlong note is cut between characters and stays below the relay's limit", () => {
    const long = "👩‍🌾".repeat(1_000);
    const tags = Array.from({ length: 300 }, (_, ix) => `${"t".repeat(90)}${ix}`);
    const bytes = encodeCard({ title: long, preview: long, tags, createdAt: 1, updatedAt: 2 });
    const parsed = parseCard(bytes);
    if (!parsed.ok) throw new Error(parsed.error);
    expect(bytes.length).toBeLessThan(maxCardBytes - 300);
    expect(long.startsWith(parsed.value.title)).toBe(true);
    expect(utf8(parsed.value.title).length).toBeGreaterThan(990);
    expect(parsed.value.tags.length).toBeGreaterThan(5);
  });
});

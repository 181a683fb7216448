import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePhrase, wordCount, wordsOf } from "#client/crypto/phrase.ts";

const entropy = fc.uint8Array({ minLength: 32, maxLength: 32 });
const known = [...Array.from({ length: 23 }, () => "abandon"), "art"];

describe("the words", () => {
  it("are 24 and lead back to the same bytes", () => {
    fc.assert(
      fc.property(entropy, (bytes) => {
        const words = wordsOf(bytes);
        expect(words).toHaveLength(wordCount);
        expect(parsePhrase(words.join(" "))).toEqual({ ok: true, entropy: bytes });
      }),
    );
  });

  it("are those of BIP39 for 32 zero bytes", () => {
    expect(wordsOf(new Uint8Array(32))).toEqual(known);
  });

  it("may be typed with numbers, commas, line breaks and capitals", () => {
    const typed = known.map((word, ix) => `${ix + 1}. ${word.toUpperCase()},`).join("\r\n");
    expect(parsePhrase(`  ${typed}  `)).toEqual({ ok: true, entropy: new Uint8Array(32) });
  });
});

describe("a mistake in the words is named:", () => {
  it("how many there are", () => {
    expect(parsePhrase(known.slice(1).join(" "))).toEqual({
      ok: false,
      message: "These are 23 words; there must be 24.",
    });
    expect(parsePhrase("")).toEqual({
      ok: false,
      message: "These are 0 words; there must be 24.",
    });
  });

  it("that they are of another program", () => {
    const twelve = [...Array.from({ length: 11 }, () => "abandon"), "about"];
    expect(parsePhrase(twelve.join(" "))).toMatchObject({
      message:
        "These are 12 words; there must be 24. Words of another program do not open Sealeaf.",
    });
    // Half of what was to be typed is of no other program.
    expect(parsePhrase(twelve.with(3, "Ana").join(" "))).toMatchObject({
      message: "These are 12 words; there must be 24.",
    });
  });

  it.each([
    ["abandn", "Did you mean “abandon”?"],
    ["abadnon", "Did you mean “abandon”?"],
    ["abandonn", "Did you mean “abandon”?"],
    ["coffe", "Did you mean “coffee”?"],
    ["gril", "Did you mean “girl” or “grid” or “grit”?"],
    ["xylophone", "Is it a typing error?"],
    ["a", "Is it a typing error?"],
  ])("which one is not in the list: %s", (typed, asked) => {
    const { message } = parsePhrase(known.with(6, typed).join(" ")) as { message: string };
    expect(message).toBe(`Word 7 (“${typed}”) is not in the list. ${asked}`);
  });

  it("that one is wrong, or two are swapped (attack 63)", () => {
    const wrong = { ok: false, message: expect.stringContaining("do not belong together") };
    expect(parsePhrase(known.with(0, "zoo").join(" "))).toEqual(wrong);
    expect(parsePhrase(known.with(0, "art").with(23, "abandon").join(" "))).toEqual(wrong);
  });

  it("whatever is typed", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 300 }), (typed) => {
        expect(parsePhrase(typed).ok).toBe(false);
      }),
    );
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { markWords, phraseOf, withoutMarks, wordMark } from "#crdt-store/search-words.ts";

function shown(text: string): string {
  return markWords(text).replaceAll(wordMark, "|");
}

describe("marks between words", { timeout: 60_000 }, () => {
  it("stand where people write no spaces, and nowhere else", () => {
    expect(shown("Garden plan, naïve; ёж")).not.toContain("|");
    expect(shown("去花园")).toBe("|去|花|园|");
    expect(shown("iPhone手机")).toBe("iPhone|手|机|");
    expect(shown("สวนผักของแม่")).toBe("|สวน|ผัก|ของ|แม่|");
    expect(shown("ripe🍅🍅")).toBe("ripe|🍅|🍅|");
  });

  it("leave the text as it was when they are taken out", () => {
    const composed = fc
      .string({ unit: "binary" })
      .map((text) => text.normalize("NFC").replaceAll(wordMark, ""));
    const scripts = fc
      .array(fc.constantFrom("花", "ก", "า", "ｶ", "か\u3099", "Ά", "ё", "🍅", "\u200d", "a", " "))
      .map((parts) => parts.join("").normalize("NFC"));
    fc.assert(
      fc.property(fc.oneof(composed, scripts), (text) => {
        expect(withoutMarks(markWords(text))).toBe(text);
      }),
    );
  });

  it("are not multiplied by marks in the text itself", () => {
    expect(markWords(`a${wordMark}b花`)).toBe(markWords("ab花"));
  });
});

describe("a phrase", () => {
  it("is letters between quotes, whatever was typed", () => {
    expect(phraseOf("bed", true)).toBe('"bed*"');
    expect(phraseOf('a"b* NOT ^(c)', false)).toBe('"a b NOT c"');
    expect(phraseOf("花园", true)).toBe('"花 园*"');
    expect(phraseOf("…!?", true)).toBeNull();
    expect(phraseOf("\u0301", true)).toBeNull();
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.boolean(), (text, isPrefix) => {
        expect(phraseOf(text, isPrefix) ?? '"a"').toMatch(/^"[^"*^:()\0]+\*?"$/);
      }),
    );
  });
});

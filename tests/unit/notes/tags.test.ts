import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cleanTag, isWithinTag, tagKey, tagsOf } from "#client/notes/tags.ts";

function inline(body: string): string[] {
  return tagsOf({ tags: {}, body });
}

describe("the tags of a note", { timeout: 60_000 }, () => {
  it("are words behind a #, in any script, with digits, - _ and /", () => {
    expect(inline("#spring and #garden/beds, (#to-do) #snake_case #été #q1-2026")).toEqual([
      "spring",
      "garden/beds",
      "to-do",
      "snake_case",
      "été",
      "q1-2026",
    ]);
    expect(inline("今天#园艺 很好。#สวน #बाग़ #정원!")).toEqual(["园艺", "สวน", "बाग़", "정원"]);
    expect(inline("- [ ] order #seeds\n> quoted #quote\n**#bold**")).toEqual([
      "seeds",
      "quote",
      "bold",
    ]);
  });

  it("are no headings, numbers, parts of words or addresses", () => {
    const texts = [
      "# Heading",
      "## spring",
      "##spring",
      "issue #12, #1-2",
      "C# and F#",
      "word#part",
      "https://example.org/page#part and https://example.org/#part",
      "[below](#part) and [x](page#part)",
      "[ref]: https://example.org#part",
      "&#39; &#x27;",
      "\\#escaped",
      "#",
      "#-",
      "#//",
    ];
    expect(texts.filter((text) => inline(text).length > 0)).toEqual([]);
  });

  it("are not looked for in code", () => {
    expect(inline("`#no` and ``a ` #no`` but #yes")).toEqual(["yes"]);
    expect(inline("```\n#no\n```\n#yes\n~~~js\n#no\n~~~")).toEqual(["yes"]);
    expect(inline("text\n\n    #no\n\t#no\n\n#yes")).toEqual(["yes"]);
    expect(inline("- a\n    - nested #yes\n\n    still the item #and")).toEqual(["yes", "and"]);
    expect(inline("a stray ` here\n\nand `there` #yes")).toEqual(["yes"]);
  });

  it("stand once, as first written; those set on the note come first", () => {
    expect(tagsOf({ tags: { Spring: true, gone: false }, body: "#spring #SPRING #beds" })).toEqual([
      "Spring",
      "beds",
    ]);
    expect(inline("#e\u0301te\u0301 #\u00e9t\u00e9")).toEqual(["été"]);
    expect(inline(Array.from({ length: 500 }, (_, ix) => `#t${ix}`).join(" "))).toHaveLength(200);
  });

  it("stand below others by their slashes", () => {
    expect(isWithinTag("garden", "garden")).toBe(true);
    expect(isWithinTag("garden/beds/north", "garden/beds")).toBe(true);
    expect(isWithinTag("gardening", "garden")).toBe(false);
    expect(cleanTag("#garden/")).toBe("garden");
    expect(cleanTag("two words")).toBeNull();
  });

  it("are found in any text at all, and are tags", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc
        .array(fc.constantFrom("#", "`", "``", "a", " ", "\n", "    ", "(", "](", "/", "花", "~~~"))
        .map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(text, (body) => {
        for (const tag of inline(body)) expect(cleanTag(tag)).toBe(tag);
      }),
    );
  });

  it("take no longer in hostile text than in any other", () => {
    const size = 200_000;
    for (const unit of ["`", "#", "](", "`a``", "\n    ", "#a-/", "http://#"]) {
      expect(inline(unit.repeat(size / unit.length)).length).toBeLessThanOrEqual(200);
    }
  });

  it("are the same whatever their case", () => {
    expect(tagKey("Éte\u0301")).toBe("été");
  });
});

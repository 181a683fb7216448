import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { splicesBetween } from "#client/notes/text-diff.ts";
import { applySplices } from "#client/notes/text-splices.ts";

/** Texts that share lines, words and emoji, so that anchors, gaps and cut points all occur. */
const words = fc.constantFrom("the ", "leaf ", "🌿", "🌱", "a", "b ", "\n", "one line\n", "é ", "");
const text = fc.oneof(
  fc.array(words, { maxLength: 60 }).map((parts) => parts.join("")),
  fc.string({ unit: "binary", maxLength: 80 }),
);

/** Under the u flag half of a pair matches only where the other half is missing. */
const halfPair = /[\ud800-\udfff]/u;

describe("splices between two versions of a text", () => {
  it("turn the old text into the new one", () => {
    fc.assert(
      fc.property(text, text, (before, after) => {
        expect(applySplices(before, splicesBetween(before, after))).toBe(after);
      }),
      { numRuns: 2_000 },
    );
  });

  it("never cut a surrogate pair", () => {
    fc.assert(
      fc.property(text, text, (before, after) => {
        let current = before;
        for (const splice of splicesBetween(before, after)) {
          current = applySplices(current, [splice]);
          expect(current).not.toMatch(halfPair);
          expect(splice.insert).not.toMatch(halfPair);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it("are none for equal texts", () => {
    expect(splicesBetween("same", "same")).toEqual([]);
  });

  it("touch only what changed, in several places", () => {
    expect(splicesBetween("one two three", "one 2 three!")).toEqual([
      { at: 4, remove: 3, insert: "2" },
      { at: 11, remove: 0, insert: "!" },
    ]);
  });

  it("leave the second half of an emoji with its first", () => {
    // Both begin with the same high surrogate.
    expect(splicesBetween("🌿", "🌱")).toEqual([{ at: 0, remove: 2, insert: "🌱" }]);
  });

  it("stay small when every line of a long text changes a little", () => {
    const lines = Array.from({ length: 20_000 }, (_, ix) => `entry ${ix % 97} of the list`);
    const before = lines.join("\n");
    const after = lines.map((line) => line.replace("list", "long list")).join("\n");
    const splices = splicesBetween(before, after);
    expect(applySplices(before, splices)).toBe(after);
    expect(splices.every(({ remove, insert }) => remove === 0 && insert === "long ")).toBe(true);
  });

  it("find two small edits far apart in one huge line", () => {
    const middle = Array.from({ length: 100_000 }, (_, ix) => `w${ix}`).join(" ");
    const splices = splicesBetween(`red ${middle} end`, `green ${middle} finish`);
    expect(splices.reduce((sum, { insert }) => sum + insert.length, 0)).toBeLessThan(12);
  });

  it("replace what has nothing in common, instead of searching for long", () => {
    const before = "ab".repeat(500_000);
    const after = "cd".repeat(500_000);
    expect(splicesBetween(before, after)).toEqual([{ at: 0, remove: 1_000_000, insert: after }]);
  });
});

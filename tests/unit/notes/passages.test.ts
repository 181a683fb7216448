import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sharedPassages } from "#client/notes/passages.ts";
import { diffParts } from "#client/notes/text-diff.ts";

const plan = `# Garden

The north side gets little sun.
It stays wet until May.

Beds: two of them.

- [ ] order seeds
- [ ] build the second bed
  with the old boards
- [ ] call Ben`;

function shared(base: string, ours: string, theirs: string) {
  return sharedPassages(base, ours, theirs, 20);
}

const change = (from: string, to: string): string => plan.replace(from, to);

describe("a passage that both changed", () => {
  it("is told with what each made of it", () => {
    const ours = change("two of them", "three of them");
    const theirs = change("two of them", "two of them, then a third");
    expect(shared(plan, ours, theirs)).toEqual([
      {
        line: 5,
        base: "Beds: two of them.",
        ours: "Beds: three of them.",
        theirs: "Beds: two of them, then a third.",
      },
    ]);
  });

  it.each([
    ["at two ends of a line", change("The north", "A north"), change("little sun", "no sun")],
    [
      "in two lines of one paragraph",
      change("little sun", "no sun"),
      change("until May", "always"),
    ],
    ["one of them taken away", change("Beds: two of them.\n\n", ""), change("two", "three")],
    ["in an item and in what is under it", change("second", "third"), change("old", "new")],
    ["both put behind the last line", `${plan}\n- [ ] rest`, `${plan}\n- [ ] dig`],
    ["written on, and put right behind it", `${plan} tonight`, `${plan}\n- [ ] dig`],
    ["both typed the same", change("two", "three"), change("two", "three")],
    ["one of them everything", "something else", change("two", "three")],
  ])("is one %s", (_, ours, theirs) => {
    expect(shared(plan, ours, theirs)).toHaveLength(1);
  });

  it.each([
    ["in two paragraphs", change("little sun", "no sun"), change("two of", "three of")],
    ["in two items of a list", change("[ ] order", "[x] order"), change("[ ] call", "[x] call")],
    ["in two items, one under the other", change("order", "buy"), change("second", "third")],
    ["in a heading and below it", change("# Garden", "# Yard"), change("little sun", "no sun")],
    ["and a paragraph put behind", change("call Ben", "ask Ben"), `${plan}\n\nLater.`],
    ["by one side only", plan, change("two", "three")],
    ["the same taken away", change("- [ ] call Ben", ""), change("- [ ] call Ben", "")],
  ])("is none where edits are %s", (_, ours, theirs) => {
    expect(shared(plan, ours, theirs)).toEqual([]);
  });

  it("is found for each of several, up to so many", () => {
    const lines = Array.from({ length: 30 }, (_, ix) => `line ${ix}`);
    const base = lines.join("\n\n");
    const ours = lines.map((line) => `${line} a`).join("\n\n");
    const theirs = lines.map((line) => `${line} b`).join("\n\n");
    expect(shared(base, ours, theirs)).toHaveLength(20);
    expect(sharedPassages(base, ours, theirs, 3).map(({ line }) => line)).toEqual([0, 2, 4]);
  });

  it("is the same one from either side, whatever was written", () => {
    const word = fc.constantFrom("a", "b", "c", "", "- x", "# y", "  z");
    const text = fc.array(word, { maxLength: 8 }).map((lines) => lines.join("\n"));
    fc.assert(
      fc.property(text, text, text, (base, ours, theirs) => {
        const seen = shared(base, ours, theirs);
        const turned = shared(base, theirs, ours).map((passage) => ({
          ...passage,
          ours: passage.theirs,
          theirs: passage.ours,
        }));
        expect(turned).toEqual(seen);
        for (const passage of seen) expect(passage.ours).not.toBe(passage.base);
      }),
      // What others made of an empty line that was taken away here.
      { examples: [["\n  z\na\na\na\na", "  z", "a\na\na\na\na\na"]] },
    );
  });

  it("takes bounded time where everything was rewritten", () => {
    const lines = (letter: string) =>
      Array.from({ length: 20_000 }, (_, ix) => `${letter}${(ix * 7) % 19}`).join("\n");
    expect(shared(lines("a"), lines("b"), lines("c"))).toHaveLength(1);
  });
});

describe("the parts of a difference", () => {
  it("put together are both texts", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, after) => {
        const parts = diffParts(before, after);
        const of = (type: "removed" | "added"): string =>
          parts
            .flatMap((part) => (part.type === "same" || part.type === type ? part.text : []))
            .join("");
        expect(of("removed")).toBe(before);
        expect(of("added")).toBe(after);
      }),
    );
  });
});

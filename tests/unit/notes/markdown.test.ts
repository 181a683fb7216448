import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { plainLine, plainPreview, plainTitle } from "#client/notes/markdown.ts";

describe("one line of Markdown as plain text", () => {
  it.each([
    ["# Beds", "Beds"],
    ["- [x] order **seeds**", "order seeds"],
    ["> 1. *soon* and ~~never~~", "soon and never"],
    ["see [the plan](https://example.org/a_b) now", "see the plan now"],
    ["![a bed](bed.png)", "a bed"],
    ["`**kept**` __bold__", "**kept** bold"],
    ["snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"],
    ["\\*not emphasis\\*", "*not emphasis*"],
    ["- - -", ""],
    ["***", ""],
    ["<https://example.org>", "https://example.org"],
  ])("%s → %s", (line, plain) => {
    expect(plainLine(line)).toBe(plain);
  });
});

describe("a note's name and preview", () => {
  it("are its title and the beginning of its body", () => {
    const note = {
      title: "  Garden\nplan ",
      body: "# Beds\n\nThe north side.\n```js\nlet *a*\n```",
    };
    expect(plainTitle(note)).toBe("Garden plan");
    expect(plainPreview(note)).toBe("Beds The north side. let *a*");
  });

  it("come from the body alone when there is no title, and say nothing twice", () => {
    const note = { title: "", body: "\n## Packing\r\n- tent\n- stove" };
    expect(plainTitle(note)).toBe("Packing");
    expect(plainPreview(note)).toBe("tent stove");
    expect(plainTitle({ title: "", body: "" })).toBe("");
  });

  it("are one short line of whole characters, whatever the note holds", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme", maxLength: 600 }), (body) => {
        for (const plain of [plainTitle({ title: "", body }), plainPreview({ title: "t", body })]) {
          expect(plain.length).toBeLessThanOrEqual(200);
          expect(plain).not.toMatch(/[\n\r]/);
          expect(/[\ud800-\udfff]/u.test(plain)).toBe(false);
        }
      }),
    );
    expect(plainTitle({ title: "😀".repeat(150), body: "" })).toHaveLength(200);
    expect(plainTitle({ title: `a${"😀".repeat(150)}`, body: "" })).toHaveLength(199);
  });

  it("cost the same for a long note", () => {
    const body = "word ".repeat(2_000_000);
    expect(plainPreview({ title: "", body: `first\n${body}` })).toHaveLength(200);
  });
});

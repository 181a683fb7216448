import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { Splice } from "#client/device/api.ts";
import {
  applySplices,
  diffTexts,
  mapBack,
  mapThrough,
  normaliseSplices,
  pushSplice,
} from "#client/notes/text-splices.ts";

const unit = fc.constantFrom("a", "b", "\n", "\ud83d", "\ude00", "😀", "é");
const text = fc.array(unit, { maxLength: 12 }).map((units) => units.join(""));
const wellFormed = text.map((made) => made.replace(/[\ud800-\udfff]/gu, "x"));
const step = fc.record({ at: fc.nat(), remove: fc.nat(4), insert: text });

/** Splices that fit the text they are applied to, one after the other. */
function fit(start: string, steps: readonly Splice[]): Splice[] {
  let length = start.length;
  return steps.map(({ at, remove, insert }) => {
    const position = at % (length + 1);
    const removed = Math.min(remove, length - position);
    length += insert.length - removed;
    return { at: position, remove: removed, insert };
  });
}

const edit = fc
  .tuple(wellFormed, fc.array(step, { maxLength: 6 }))
  .map(([start, steps]) => ({ start, splices: fit(start, steps) }));

describe("splices", () => {
  it("say the same after they were folded into each other", () => {
    fc.assert(
      fc.property(edit, ({ start, splices }) => {
        const folded: Splice[] = [];
        for (const splice of splices) pushSplice(folded, splice);
        expect(applySplices(start, folded)).toBe(applySplices(start, splices));
        expect(folded.length).toBeLessThanOrEqual(splices.length);
      }),
    );
  });

  it("of a run of typing and deleting are one", () => {
    const folded: Splice[] = [];
    const run = [
      { at: 3, remove: 0, insert: "a" },
      { at: 4, remove: 0, insert: "b" },
      { at: 4, remove: 1, insert: "" },
      { at: 2, remove: 2, insert: "" },
      { at: 2, remove: 1, insert: "z" },
    ];
    for (const splice of run) pushSplice(folded, splice);
    expect(folded).toEqual([{ at: 2, remove: 2, insert: "z" }]);
  });

  it("of typing that undid itself are none", () => {
    const folded: Splice[] = [];
    pushSplice(folded, { at: 3, remove: 0, insert: "ab" });
    pushSplice(folded, { at: 3, remove: 2, insert: "" });
    expect(folded).toEqual([]);
  });

  it("never cut a pair of surrogates once normal, and say the same but for lone halves", () => {
    fc.assert(
      fc.property(edit, ({ start, splices }) => {
        const wanted = applySplices(start, splices).replace(/[\ud800-\udfff]/gu, "\ufffd");
        let current = start;
        for (const splice of normaliseSplices(start, splices)) {
          const removed = current.slice(splice.at, splice.at + splice.remove);
          expect(/[\ud800-\udfff]/u.test(removed + splice.insert)).toBe(false);
          current = applySplices(current, [splice]);
          expect(/[\ud800-\udfff]/u.test(current)).toBe(false);
        }
        expect(current).toBe(wanted);
      }),
    );
  });

  it("between two texts are the smallest one", () => {
    expect(diffTexts("one two three", "one 2 three")).toEqual({ at: 4, remove: 3, insert: "2" });
    expect(diffTexts("a😀b", "a😁b")).toEqual({ at: 1, remove: 2, insert: "😁" });
    expect(diffTexts("same", "same")).toBeNull();
    fc.assert(
      fc.property(wellFormed, wellFormed, (before, after) => {
        const splice = diffTexts(before, after);
        expect(splice ? applySplices(before, [splice]) : before).toBe(after);
      }),
    );
  });

  it("carry positions there and, where nothing was removed or inserted, back", () => {
    const splices = [
      { at: 2, remove: 0, insert: "xyz" },
      { at: 7, remove: 2, insert: "" },
    ];
    expect([0, 2, 3, 4, 5, 6, 8].map((at) => mapThrough(at, splices))).toEqual([
      0, 2, 6, 7, 7, 7, 9,
    ]);
    expect([0, 2, 3, 6, 7, 9].map((at) => mapBack(at, splices))).toEqual([0, 2, 2, 3, 6, 8]);
  });
});

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { FieldSplice } from "#client/device/api.ts";
import { inBatches, mostCharactersPerChange } from "#client/notes/change-batches.ts";
import { applySplices } from "#client/notes/text-splices.ts";

const body = (at: number, remove: number, insert: string): FieldSplice => ({
  field: "body",
  at,
  remove,
  insert,
});

describe("cutting splices into changes", () => {
  it("leaves ordinary typing in one change", () => {
    expect(inBatches([body(0, 0, "Hello"), body(2, 1, "")])).toEqual([
      [body(0, 0, "Hello"), body(2, 1, "")],
    ]);
  });

  it("cuts a long paste so that no change inserts more than it may, and cuts no pair", () => {
    const paste = `x${"🌿".repeat(mostCharactersPerChange)}`;
    const batches = inBatches([body(1, 1, paste)]);
    expect(batches.length).toBeGreaterThan(2);
    for (const batch of batches) {
      const inserted = batch.map((splice) => splice.insert).join("");
      expect(inserted.length).toBeLessThanOrEqual(mostCharactersPerChange);
      expect(/^[\uDC00-\uDFFF]|[\uD800-\uDBFF]$/.test(inserted)).toBe(false);
    }
    expect(applySplices("abc", batches.flat())).toBe(`a${paste}c`);
  });

  it("says the same as the splices it was given", () => {
    const edits = fc.array(
      fc.record({ at: fc.nat(20), remove: fc.nat(5), length: fc.nat(90_000) }),
      { maxLength: 4 },
    );
    fc.assert(
      fc.property(edits, (given) => {
        let text = "The quick brown fox";
        const splices = given.map(({ at, remove, length }) => {
          const start = Math.min(at, text.length);
          const splice = body(start, Math.min(remove, text.length - start), "y".repeat(length));
          text = applySplices(text, [splice]);
          return splice;
        });
        expect(applySplices("The quick brown fox", inBatches(splices).flat())).toBe(text);
      }),
      { numRuns: 50 },
    );
  });
});

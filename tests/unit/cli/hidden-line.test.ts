import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { HiddenLine } from "#client/cli/hidden-line.ts";

describe("a hidden line", () => {
  it("is what was typed before Enter, in however many pieces", () => {
    const text = fc.string({ unit: "grapheme-ascii" });
    fc.assert(
      fc.property(fc.array(text), (pieces) => {
        const line = new HiddenLine();
        for (const piece of pieces) expect(line.type(piece)).toBeNull();
        expect(line.type("\r")).toEqual({ type: "typed", text: pieces.join("") });
      }),
    );
  });

  it("can be mended", () => {
    const line = new HiddenLine();
    line.type("wrong\u{15}four 🌿🌿\u{7f}x\u{8}");
    expect(line.type("\n")).toEqual({ type: "typed", text: "four 🌿" });
    expect(new HiddenLine().type("\u{7f}\u{7f}a\u{4}")).toEqual({ type: "typed", text: "a" });
  });

  it("can be given up", () => {
    expect(new HiddenLine().type("abc\u{3}\r")).toEqual({ type: "cancelled" });
  });
});

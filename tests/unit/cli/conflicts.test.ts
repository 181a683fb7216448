import { describe, expect, it } from "vitest";
import { conflictsText } from "#client/cli/conflicts.ts";
import type { ConflictRow } from "#client/device/api.ts";

const row: ConflictRow = {
  id: "0a1b",
  note: "N",
  field: "body",
  line: 2,
  with: "Ben",
  at: 0,
  reviewed: false,
  times: 3,
  heads: { base: [], ours: [], theirs: [] },
  ours: [
    { type: "same", text: "Beds: " },
    { type: "removed", text: "two" },
    { type: "added", text: "three" },
  ],
  theirs: [
    { type: "same", text: "Beds: two" },
    { type: "added", text: "\nand a third" },
  ],
};

describe("conflicts for a person", () => {
  it("are one block each, with what either side did", () => {
    const text = conflictsText(
      [row, { ...row, reviewed: true, times: 1 }],
      new Map([["N", "Plan"]]),
    );
    expect(text).toBe(`0a1b  to review
  Plan (N), body, with Ben, 3 times, 1970-01-01T00:00:00.000Z
  here:  Beds: [-two-]{+three+}
  there: Beds: two{+⏎and a third+}

0a1b  reviewed
  Plan (N), body, with Ben, 1970-01-01T00:00:00.000Z
  here:  Beds: [-two-]{+three+}
  there: Beds: two{+⏎and a third+}
`);
  });

  it("are a sentence where there are none", () => {
    expect(conflictsText([], new Map())).toBe("No passage was changed in two places at once.\n");
  });
});

/** The short form of `npm run test:fuzz`. */
import { describe, expect, it } from "vitest";
import { fuzz } from "#tests/fuzz/run.ts";

describe("anything at all", () => {
  it("[SES-4] twenty thousand frames of chance and mischief crash nothing and spoil nothing (26)", async () => {
    const { troubles, answers } = await fuzz({ frames: 20_000, seed: 20_260_803 });
    expect(troubles).toEqual([]);
    // They were not all turned away at the door.
    expect(answers.size).toBeGreaterThan(12);
    expect(answers.get("accepted")).toBeGreaterThan(500);
  }, 120_000);

  it("[SES-4] a relay that did throw would be seen", async () => {
    const { troubles } = await fuzz({
      frames: 500,
      seed: 1,
      sabotage: () => () => Promise.reject(new Error("planted")),
    });
    expect(troubles.length).toBeGreaterThan(0);
  });
});

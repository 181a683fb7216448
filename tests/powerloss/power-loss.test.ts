import { describe, expect, it } from "vitest";

import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { controls, modes, run } from "./run.ts";

const cycles = 100;
const controlCycles = 40;
// Generous: a ceiling, not a measurement.
const timeout = 120_000;

// Seeds differ from those that `npm run test:powerloss` starts with.
for (const [index, mode] of modes.entries()) {
  const seed = 50_000 + index * 1_000;

  describe(`a store ${mode === "plain" ? "in clear" : "encrypted"}, after power cuts at any write`, () => {
    it(
      "opens whole, with every acknowledged transaction and nothing that was undone",
      async () => {
        const outcome = run({ engine: await loadNodeEngine(), mode, seed, cycles });
        expect(outcome.troubles).toEqual([]);
        expect(outcome.commits).toBeGreaterThan(cycles);
        expect(outcome.undone).toBeGreaterThan(0);
      },
      timeout,
    );

    it.each(Object.entries(controls))(
      "is found wrong where %s, which shows that this test can fail",
      async (_, sabotage) => {
        const engine = await loadNodeEngine();
        const outcome = run({ engine, mode, seed, cycles: controlCycles, sabotage });
        expect(outcome.lost + outcome.damaged).toBeGreaterThan(0);
      },
      timeout,
    );
  });
}

it(
  "the same seed gives the same cuts and the same outcome",
  async () => {
    const engine = await loadNodeEngine();
    const twice = [1, 2].map(() => run({ engine, mode: "encrypted", seed: 77, cycles: 12 }));
    expect(twice[0]).toEqual(twice[1]);
  },
  timeout,
);

import { beforeAll, describe, expect, it } from "vitest";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { runStory, type Outcome } from "./story.ts";

const shownEvents = 40;

/** A test for each seed of [from, to]. Files share the seeds, so that they run side by side. */
export function testSeeds(from: number, to: number): void {
  describe("devices that wrote while everything went wrong agree in the end", () => {
    let engines: Engines;
    beforeAll(async () => {
      engines = await loadEngines();
    });
    for (let seed = from; seed <= to; seed += 1) {
      it(`seed ${seed}`, async () => {
        const outcome = await runStory({ seed: String(seed), engines });
        expect(report(outcome)).toBe("");
      });
    }
  });
}

/** Empty when all is well; else what is wrong, what happened last, and how to see it again. */
function report(outcome: Outcome): string {
  if (outcome.problems.length === 0) return "";
  return [
    `run it alone: npm run test:simulation -- --seed ${outcome.seed} --trace`,
    ...outcome.problems,
    "the last events:",
    ...outcome.trace.slice(-shownEvents),
  ].join("\n");
}

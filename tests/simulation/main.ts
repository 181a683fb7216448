/** Many seeds from the command line: `npm run test:simulation -- --seeds 2000 [--from 1] [--seed name]`. */
import { parseArgs } from "node:util";
import { loadEngines } from "#tests/support/world.ts";
import { runStory } from "./story.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
  },
});

const engines = await loadEngines();
const first = Number(values.from);
const seeds =
  values.seed === undefined
    ? Array.from({ length: Number(values.seeds) }, (_, ix) => String(first + ix))
    : [values.seed];

let failed = 0;
let words = 0;
const began = performance.now();
for (const seed of seeds) {
  const outcome = await runStory({ seed, engines });
  words += outcome.words;
  if (outcome.problems.length > 0) failed += 1;
  if (outcome.problems.length > 0 || values.seed !== undefined) {
    console.log(`seed ${seed}: ${outcome.problems.length} problems, digest ${outcome.digest}`);
    if (outcome.problems.length > 0) {
      console.log(outcome.problems.slice(0, 10).join("\n"));
      console.log(outcome.trace.slice(values.trace ? 0 : -15).join("\n"));
    }
  }
}
const seconds = (performance.now() - began) / 1000;
console.log(
  `${seeds.length} seeds, ${failed} failed, ${words} words, ${seconds.toFixed(1)} s (${((seconds / seeds.length) * 1000).toFixed(0)} ms each)`,
);
process.exitCode = failed === 0 ? 0 : 1;

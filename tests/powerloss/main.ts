/**
 * Power cuts at every kind of moment: `npm run test:powerloss [-- --cycles 1000 --seed 1 --mode plain|encrypted]`.
 * A life that failed runs alone with the seed that is printed with it and `--cycles 10 --control 0`.
 */
import { parseArgs } from "node:util";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { controls, cyclesPerLife, modes, run, type RunOutcome } from "./run.ts";

const { values } = parseArgs({
  options: {
    cycles: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    mode: { type: "string" },
    /** Cycles of each negative control. */
    control: { type: "string", default: "100" },
  },
});
const cycles = Number(values.cycles);
const seed = Number(values.seed);
const controlCycles = Number(values.control);
if (![cycles, seed, controlCycles].every(Number.isSafeInteger)) {
  throw new Error("--cycles, --seed and --control take whole numbers");
}

const engine = await loadNodeEngine();
let hasFailed = false;
for (const mode of modes) {
  if (values.mode !== undefined && values.mode !== mode) continue;
  const began = performance.now();
  const outcome = run({ engine, mode, seed, cycles });
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(`${mode}: ${wordsOf(outcome)} (${seconds} s)`);
  for (const { seed: life, cycle, type, what } of outcome.troubles) {
    hasFailed = true;
    console.log(`  ${type} in cycle ${cycle}: ${what}`);
    console.log(
      `  again: npm run test:powerloss -- --mode ${mode} --seed ${life} --cycles ${cyclesPerLife} --control 0`,
    );
  }
  if (controlCycles > 0 && !runControls(mode)) hasFailed = true;
}
process.exitCode = hasFailed ? 1 : 0;

/** True if each of them loses something. */
function runControls(mode: (typeof modes)[number]): boolean {
  const losses = Object.entries(controls).map(([name, sabotage]) => {
    const outcome = run({ engine, mode, seed, cycles: controlCycles, sabotage });
    console.log(`  control, ${name}: ${wordsOf(outcome)}`);
    return outcome.lost + outcome.damaged;
  });
  return losses.every((count) => count > 0);
}

function wordsOf({ cycles: done, commits, undone, lost, damaged }: RunOutcome): string {
  return `${done} cuts, ${commits} commits, ${undone} undone on a faulty disk; ${lost} lost, ${damaged} damaged`;
}

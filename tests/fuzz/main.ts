/**
 * Any bytes, in any order: `npm run test:fuzz [-- --frames 1000000 --seed 1]`. Fails if the relay throws,
 * answers what it should not, keeps growing, or serves the next client badly.
 */
import { setFlagsFromString } from "node:v8";
import { parseArgs } from "node:util";
import { runInNewContext } from "node:vm";
import { fuzz, type FuzzOutcome } from "./run.ts";

const { values } = parseArgs({
  options: {
    frames: { type: "string", default: "1000000" },
    seed: { type: "string", default: "1" },
  },
});
const frames = Number(values.frames);
const seed = Number(values.seed);
if (![frames, seed].every(Number.isSafeInteger)) {
  throw new Error("--frames and --seed take whole numbers");
}
/** More than the relay keeps of spaces that it was asked for, and than a collection varies by. */
const allowedGrowth = 64 << 20;

setFlagsFromString("--expose-gc");
globalThis.gc = runInNewContext("gc") as typeof globalThis.gc; // what the flag exposes

const began = performance.now();
const outcome = await fuzz({ frames, seed });
const seconds = (performance.now() - began) / 1000;
console.log(
  `${frames} frames on ${outcome.connections} connections in ${seconds.toFixed(0)} s, seed ${seed}`,
);
for (const [name, count] of [...outcome.answers].toSorted((a, b) => b[1] - a[1])) {
  console.log(`  ${String(count).padStart(8)}  ${name}`);
}
const { before, after } = outcome.memory;
console.log(`memory in use: ${mebibytes(before)} after a tenth, ${mebibytes(after)} at the end`);
const control = await fuzz({
  frames: 2000,
  seed,
  sabotage: () => () => Promise.reject(new Error("planted")),
});
console.log(`control, a relay that fails at every signature: ${control.troubles.length} troubles`);
const hasFailed = report(outcome) || control.troubles.length === 0;
process.exitCode = hasFailed ? 1 : 0;

function report({ troubles }: FuzzOutcome): boolean {
  for (const trouble of new Set(troubles)) console.log(`TROUBLE: ${trouble}`);
  const hasGrown = after - before > allowedGrowth;
  if (hasGrown) console.log("TROUBLE: the relay grows");
  return troubles.length > 0 || hasGrown;
}

function mebibytes(bytes: number): string {
  return `${(bytes / (1 << 20)).toFixed(1)} MiB`;
}

/**
 * Death by SIGKILL under load: `npm run test:relay-crash [-- --rounds 200 --victim "two relays"]`, as many for each of a relay, its
 * PostgreSQL, and one of two relays. Two careless clients show that the reckoning can find what it looks for.
 */
import { parseArgs } from "node:util";
import { buildRelay } from "#tests/support/built-relay.ts";
import { crashStorm, type StormResult, type VictimName } from "./storm.ts";
import { victims } from "./victims.ts";
import type { Care } from "./writer.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "200" },
    /** A word of the only victim. */
    victim: { type: "string", default: "" },
    /** Rounds of each negative control. */
    control: { type: "string", default: "15" },
  },
});
const rounds = Number(values.rounds);
const controlRounds = Number(values.control);
if (![rounds, controlRounds].every((count) => Number.isInteger(count) && count >= 0)) {
  console.error("--rounds and --control take whole numbers.");
  process.exit(2);
}

const built = await buildRelay();
const { program } = built;
let isWell = true;
try {
  for (const victim of Object.keys(victims) as VictimName[]) {
    if (!victim.includes(values.victim)) continue;
    const result = await crashStorm({ program, victim, rounds, chance: Math.random });
    console.log(`${victim} killed: ${wordsOf(result)}`);
    for (const trouble of result.troubles) console.log(`  ${trouble}`);
    if (result.lost + result.duplicated + result.troubles.length > 0) isWell = false;
  }
  if (controlRounds > 0) {
    const lost = await control("trusting", "takes what it sent for stored");
    const twice = await control("hasty", "seals anew what was not acknowledged");
    if (lost.lost === 0 || twice.duplicated === 0) isWell = false;
  }
} finally {
  built.remove();
}
process.exitCode = isWell ? 0 : 1;

async function control(care: Care, what: string): Promise<StormResult> {
  const victim = "a relay on SQLite";
  const result = await crashStorm({
    program,
    victim,
    rounds: controlRounds,
    care,
    chance: Math.random,
  });
  console.log(`control, a client that ${what}: ${wordsOf(result)}`);
  return result;
}

function wordsOf({ rounds: done, acknowledged, lost, duplicated, outages }: StormResult): string {
  const sorted = outages.toSorted((a, b) => a - b);
  const at = (share: number) =>
    (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(0);
  return (
    `${done} rounds; ${acknowledged} acknowledged, ${lost} lost, ${duplicated} duplicated; ` +
    `outage ${at(0.5)} ms median, ${at(0.95)} p95, ${at(1)} max`
  );
}

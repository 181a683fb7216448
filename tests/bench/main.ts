/** `npm run bench [-- name …]`: every figure of a run beside what it is compared with. */
import { cpus } from "node:os";
import { benchEditor } from "./editor.ts";
import { benchLatency } from "./latency.ts";
import { verdict, type Measurement } from "./measurement.ts";
import { benchRelay } from "./relay.ts";
import { benchStore } from "./store.ts";
import { benchSync } from "./sync.ts";

const benches: Record<string, () => AsyncIterable<Measurement>> = {
  store: () => atOnce(benchStore()),
  relay: () => atOnce(benchRelay()),
  latency: () => atOnce(benchLatency()),
  editor: () => atOnce(benchEditor()),
  sync: benchSync,
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => benches[name] === undefined);
if (unknown.length > 0) {
  console.error(
    `There is no bench “${unknown.join(", ")}”. There are: ${Object.keys(benches).join(", ")}.`,
  );
  process.exit(2);
}

console.log(`Node ${process.version}, ${cpus().length} cores. Compare ratios within one run only.`);
for (const [name, bench] of Object.entries(benches)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n${name}`);
  for await (const row of bench()) console.log(`  ${format(row)}`);
}

async function* atOnce(rows: Promise<readonly Measurement[]>): AsyncIterable<Measurement> {
  yield* await rows;
}

function format({ name, ms, perSecond, ratio, note, budget }: Measurement): string {
  const figures = [
    ratio === undefined ? null : `${ratio.toFixed(2)}×`,
    ms === undefined ? null : `${ms.toFixed(3)} ms`,
    perSecond === undefined ? null : `${Math.round(perSecond).toLocaleString("en")}/s`,
    note ?? null,
    budget === undefined ? null : `[${verdict(budget)}]`,
  ];
  return `${name.padEnd(60)} ${figures.filter((figure) => figure !== null).join("  ")}`;
}

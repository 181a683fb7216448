/** `npm run test:killstorm [-- --cycles 10]`: so many deaths of the renderer and of the whole browser, in Chromium. */
import { parseArgs } from "node:util";
import buildProduct from "#tests/support/built-product.ts";
import { isCalm, killStorm, summary } from "./storm.ts";

const { values } = parseArgs({ options: { cycles: { type: "string", default: "10" } } });
const cycles = Number(values.cycles);
if (!Number.isInteger(cycles) || cycles < 1) {
  console.error(`--cycles takes a whole number from 1, not “${values.cycles}”.`);
  process.exit(2);
}

buildProduct();
const result = await killStorm({
  cycles,
  onCycle: (line) => console.log(line),
});
console.log(summary(result));
process.exitCode = isCalm(result) ? 0 : 1;

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

const seeds = 200;

it(`devices that wrote while everything went wrong agree in the end (attack 59): ${seeds} seeds`, async () => {
  const printed = await run(["--story", "short", "--seeds", String(seeds)]);
  console.log(printed.trimEnd().split("\n").at(-1));
  expect(printed).toMatch(new RegExp(`^${seeds} seeds, 0 failed`, "m"));
}, 600_000);

/** All cores work on it in processes of their own: tests themselves run one file at a time on two. */
function run(options: readonly string[]): Promise<string> {
  const main = fileURLToPath(new URL("main.ts", import.meta.url));
  return new Promise((resolve) => {
    const command = ["--import", "tsx", main, ...options];
    execFile(process.execPath, command, { maxBuffer: 64 << 20 }, (_error, stdout, stderr) => {
      resolve(stdout + stderr);
    });
  });
}

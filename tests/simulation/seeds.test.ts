import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";

it.each([
  {
    story: "long",
    seeds: 60,
    what: "people who let each other in and out while the relay was put back and emptied",
  },
  { story: "short", seeds: 60, what: "devices that wrote while everything went wrong" },
])(
  "$what agree in the end (attack 59): $seeds seeds",
  async ({ story, seeds }) => {
    const printed = await run(["--story", story, "--seeds", String(seeds)]);
    console.log(printed.trimEnd().split("\n").slice(-2).join("\n"));
    expect(printed).toMatch(new RegExp(`^${seeds} seeds, 0 failed`, "m"));
  },
  600_000,
);

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

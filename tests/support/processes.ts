/** The operating system's processes of a test's own browser: found by their profile, ended by their id. */
import { readdirSync, readFileSync } from "node:fs";

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly args: readonly string[];
}

/** Ends every renderer of the browser on this profile as `kill -9` does. Returns how many there were. */
export function killRenderers(profile: string): number {
  const all = processes();
  const browser = all.find(
    ({ args }) =>
      args.includes(`--user-data-dir=${profile}`) && !args.some((arg) => arg.startsWith("--type=")),
  );
  if (browser === undefined) throw new Error("no browser runs on this profile");
  const family = new Set([browser.pid]);
  let renderers = 0;
  for (let grown = true; grown;) {
    grown = false;
    for (const { pid, parent } of all) {
      if (family.has(parent) && !family.has(pid)) {
        family.add(pid);
        grown = true;
      }
    }
  }
  for (const { pid, args } of all) {
    if (!family.has(pid) || !args.includes("--type=renderer")) continue;
    process.kill(pid, "SIGKILL");
    renderers += 1;
  }
  return renderers;
}

function processes(): readonly Process[] {
  return readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid)) return [];
    try {
      const args = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
      // The name in parentheses may hold anything; the fields follow the last one.
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const parent = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
      return [{ pid, parent, args: args.flatMap((arg) => arg.split(" ")) }];
    } catch {
      return []; // ended while we looked
    }
  });
}

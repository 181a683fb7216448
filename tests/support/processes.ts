/** The operating system's processes of a test's own browser: found by their profile, ended by their id. */
import { readdirSync, readFileSync } from "node:fs";

interface Process {
  readonly pid: number;
  readonly parent: number;
  /** As in proc(5); Z: it has ended and nobody has asked how. */
  readonly state: string;
  readonly args: readonly string[];
  /** Ticks of the processor it has used. */
  readonly used: number;
}

/** Ends every renderer of the browser on this profile as `kill -9` does. Returns how many there were. */
export function killRenderers(profile: string): number {
  return kill(familyOf(browserOn(profile)).filter(({ args }) => args.includes("--type=renderer")));
}

/** The renderer of the browser on this profile in which `work`, repeated, keeps the processor busy. */
export async function rendererBusyWith(
  profile: string,
  work: () => Promise<void>,
): Promise<number> {
  const renderers = (): readonly Process[] =>
    familyOf(browserOn(profile)).filter(({ args }) => args.includes("--type=renderer"));
  const before = new Map(renderers().map(({ pid, used }) => [pid, used]));
  for (;;) {
    await work();
    const [busiest, next] = renderers()
      .map(({ pid, used }) => ({ pid, ticks: used - (before.get(pid) ?? used) }))
      .toSorted((a, b) => b.ticks - a.ticks);
    // Others have work of their own; the one that is asked for soon leaves them behind.
    if (busiest !== undefined && busiest.ticks > 30 + 4 * (next?.ticks ?? 0)) return busiest.pid;
  }
}

/** The process of the Chromium on this profile that all its others descend from. */
export function browserOn(profile: string): number {
  const browser = processes().find(
    ({ args }) =>
      args.includes(`--user-data-dir=${profile}`) && !args.some((arg) => arg.startsWith("--type=")),
  );
  if (browser === undefined) throw new Error("no browser runs on this profile");
  return browser.pid;
}

/** Ends a Firefox's processes that run pages, as `kill -9` does. Returns how many there were. */
export function killContentProcesses(browser: number): number {
  const pages = familyOf(browser).filter(
    ({ args }) => args.includes("-contentproc") && args.includes("tab"),
  );
  return kill(pages);
}

/** Ends a process and all that descend from it as `kill -9` does; resolves when none of them runs any more. */
export async function killFamily(root: number): Promise<void> {
  const family = familyOf(root);
  kill(family);
  while (family.some(({ pid }) => isRunning(pid))) {
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
}

function kill(doomed: readonly Process[]): number {
  for (const { pid } of doomed) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It ended by itself, with its parent perhaps.
    }
  }
  return doomed.length;
}

function isRunning(pid: number): boolean {
  const found = processes().find((other) => other.pid === pid);
  return found !== undefined && found.state !== "Z";
}

/** `root` first. */
function familyOf(root: number): readonly Process[] {
  const all = processes();
  const family = new Set([root]);
  for (let before = 0; family.size > before;) {
    before = family.size;
    for (const { pid, parent } of all) if (family.has(parent)) family.add(pid);
  }
  return all.filter(({ pid }) => family.has(pid)).toSorted((a, b) => order(a) - order(b));

  function order({ pid }: Process): number {
    return pid === root ? 0 : 1;
  }
}

function processes(): readonly Process[] {
  return readdirSync("/proc").flatMap((name) => {
    const pid = Number(name);
    if (!Number.isInteger(pid)) return [];
    try {
      const args = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
      // The name in parentheses may hold anything; the fields follow the last one.
      const stat = readFileSync(`/proc/${name}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      const [state = "", parent] = fields;
      const used = Number(fields[11]) + Number(fields[12]);
      const words = args.flatMap((arg) => arg.split(" "));
      return [{ pid, parent: Number(parent), state, used, args: words }];
    } catch {
      return []; // ended while we looked
    }
  });
}

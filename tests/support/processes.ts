/** The operating system's processes of a test's own browser: found by their profile, ended by their id. */
import { readdirSync, readFileSync } from "node:fs";
import { lookFor } from "./time-limit.ts";

const endLimitMs = 60_000;

interface Process {
  readonly pid: number;
  readonly parent: number;
  /** As in proc(5); Z: it has ended and nobody has asked how. */
  readonly state: string;
  readonly args: readonly string[];
  /** Ticks of the processor it has used. */
  readonly used: number;
}

/** Processes found beforehand, so that nothing stands between a moment and their end. */
export class Targets {
  readonly #processes: readonly Process[];

  private constructor(found: readonly Process[]) {
    this.#processes = found;
  }

  /** Every renderer of the Chromium on this profile; throws if there is none. */
  static renderers(profile: string): Targets {
    const isRenderer = ({ args }: Process): boolean => args.includes("--type=renderer");
    return Targets.#some(familyOf(chromiumOn(profile)).filter(isRenderer));
  }

  /** The whole Chromium on this profile. */
  static browser(profile: string): Targets {
    return Targets.family(chromiumOn(profile));
  }

  /** The processes of a Firefox that run pages; throws if there is none. */
  static contentProcesses(firefox: number): Targets {
    const runsPages = ({ args }: Process): boolean =>
      args.includes("-contentproc") && args.includes("tab");
    return Targets.#some(familyOf(firefox).filter(runsPages));
  }

  /** A process and all that descend from it. */
  static family(root: number): Targets {
    return new Targets(familyOf(root));
  }

  static #some(found: readonly Process[]): Targets {
    if (found.length === 0) throw new Error("no process of that kind runs");
    return new Targets(found);
  }

  /** As `kill -9` does; resolves when none of them runs any more. */
  async kill(): Promise<void> {
    for (const { pid } of this.#processes) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // It ended by itself, with its parent perhaps.
      }
    }
    const ended = await lookFor(endLimitMs, async () =>
      this.#processes.some(isRunning) ? null : true,
    );
    if (ended === null) throw new Error(`processes still run ${endLimitMs} ms after their end`);
  }
}

/** The renderer of the browser on this profile in which `work`, repeated, keeps the processor busy. */
export async function rendererBusyWith(
  profile: string,
  work: () => Promise<void>,
): Promise<number> {
  const renderers = (): readonly Process[] =>
    familyOf(chromiumOn(profile)).filter(({ args }) => args.includes("--type=renderer"));
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
function chromiumOn(profile: string): number {
  const browser = processes().find(
    ({ args }) =>
      args.includes(`--user-data-dir=${profile}`) && !args.some((arg) => arg.startsWith("--type=")),
  );
  if (browser === undefined) throw new Error("no browser runs on this profile");
  return browser.pid;
}

function isRunning({ pid }: Process): boolean {
  const found = processOf(String(pid));
  return found !== null && found.state !== "Z";
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
  return readdirSync("/proc").flatMap((name) => processOf(name) ?? []);
}

function processOf(name: string): Process | null {
  const pid = Number(name);
  if (!Number.isInteger(pid)) return null;
  try {
    const args = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
    // The name in parentheses may hold anything; the fields follow the last one.
    const stat = readFileSync(`/proc/${name}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const [state = "", parent] = fields;
    const used = Number(fields[11]) + Number(fields[12]);
    const words = args.flatMap((arg) => arg.split(" "));
    return { pid, parent: Number(parent), state, used, args: words };
  } catch {
    return null; // ended while we looked
  }
}

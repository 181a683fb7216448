/**
 * Seeds from the command line, as many processes as there are cores:
 * `npm run test:simulation -- --seeds 2000 [--from 1] [--story short]`, or one with all that happened:
 * `-- --seed 17 --trace`. In the long story people come and go; `--safe-relay` keeps the relay's disk whole.
 */
import { fork, type ChildProcess } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { deeds, runLongStory, type LongOutcome } from "./long-story.ts";
import { runStory, type Outcome } from "./story.ts";

const shownEvents = 40;
const shownProblems = 10;
/** Of hundreds that take minutes, after so many it is told how far it is. */
const toldEvery = 100;

const { values } = parseArgs({
  options: {
    story: { type: "string", default: "long" },
    "safe-relay": { type: "boolean", default: false },
    seeds: { type: "string", default: "500" },
    from: { type: "string", default: "1" },
    seed: { type: "string" },
    trace: { type: "boolean", default: false },
    /** Set by a parent: run the seeds it sends. */
    worker: { type: "boolean", default: false },
  },
});

/** What a worker tells of a seed. */
interface Report {
  readonly seed: string;
  readonly failed: boolean;
  readonly words: number;
  /** How often what was done; nothing of the short story. */
  readonly done: Partial<LongOutcome["done"]>;
  readonly text: string;
}

async function run(seed: string, engines: Engines): Promise<Outcome & Partial<LongOutcome>> {
  if (values.story === "short") return runStory({ seed, engines });
  return runLongStory({ seed, engines, safeRelay: values["safe-relay"] });
}

if (values.worker) await serve();
else if (values.seed === undefined) await runMany(Number(values.from), Number(values.seeds));
else {
  const outcome = await run(values.seed, await loadEngines());
  console.log(textOf(outcome, values.trace ? Infinity : shownEvents));
  process.exitCode = outcome.problems.length === 0 ? 0 : 1;
}

async function serve(): Promise<void> {
  const engines = await loadEngines();
  process.on("message", (seed: string) => {
    // A seed that waits for something that never comes ends the process, which is told.
    process.channel?.unref();
    void run(seed, engines).then((outcome) => {
      process.channel?.ref();
      process.send?.({
        seed,
        failed: outcome.problems.length > 0,
        words: outcome.words,
        done: outcome.done ?? {},
        text: textOf(outcome, shownEvents),
      } satisfies Report);
    });
  });
  process.send?.(null);
}

async function runMany(from: number, count: number): Promise<void> {
  const began = performance.now();
  const waiting = Array.from({ length: count }, (_, ix) => String(from + ix));
  const reports: Report[] = [];
  const workers = Array.from({ length: Math.min(availableParallelism(), count) }, () =>
    work(waiting, reports),
  );
  await Promise.all(workers);
  const failed = reports.filter((report) => report.failed);
  const words = reports.reduce((sum, report) => sum + report.words, 0);
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  const done = deeds.flatMap((deed) => {
    const times = reports.reduce((sum, report) => sum + (report.done[deed] ?? 0), 0);
    return times === 0 ? [] : [`${deed} ${times}`];
  });
  if (done.length > 0) console.log(done.join(", "));
  const names = failed.length === 0 ? "" : ` (${failed.map(({ seed }) => seed).join(", ")})`;
  console.log(
    `${reports.length} seeds, ${failed.length} failed${names}, ${words} words written, ${seconds} s`,
  );
  process.exitCode = failed.length === 0 && reports.length === count ? 0 : 1;
}

/** Processes that take one seed after the other until none is left; the next begins where one breaks down. */
async function work(waiting: string[], reports: Report[]): Promise<void> {
  while (waiting.length > 0) await workUntilOver(waiting, reports);
}

function workUntilOver(waiting: string[], reports: Report[]): Promise<void> {
  const add = (report: Report): void => {
    reports.push(report);
    if (report.failed) console.log(report.text);
    if (reports.length % toldEvery === 0) console.error(`${reports.length} seeds so far`);
  };
  let current: string | null = null;
  let told = "";
  const child: ChildProcess = fork(
    fileURLToPath(import.meta.url),
    ["--worker", ...storyOptions()],
    {
      execArgv: ["--import", "tsx"],
      stdio: ["ignore", "inherit", "pipe", "ipc"],
    },
  );
  child.stderr?.on("data", (text: Buffer) => {
    told += text.toString();
  });
  return new Promise((resolve) => {
    child.on("message", (report: Report | null) => {
      if (report !== null) add(report);
      current = waiting.shift() ?? null;
      if (current === null) child.disconnect();
      else child.send(current);
    });
    child.on("exit", () => {
      if (current !== null) {
        const text = `seed ${current}: the process ended\n${told}`;
        add({ seed: current, failed: true, words: 0, done: {}, text });
      }
      resolve();
    });
  });
}

function storyOptions(): string[] {
  return ["--story", values.story, ...(values["safe-relay"] ? ["--safe-relay"] : [])];
}

function textOf(outcome: Outcome, events: number): string {
  return [
    `seed ${outcome.seed}: ${outcome.problems.length} problems in ${outcome.trace.length} events, digest ${outcome.digest}`,
    ...outcome.problems.slice(0, shownProblems),
    ...(outcome.problems.length === 0 && events !== Infinity ? [] : outcome.trace.slice(-events)),
  ].join("\n");
}

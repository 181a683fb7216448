/** The store's benches in Chromium, on OPFS, in a worker: built as a page, served, driven. */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { build } from "vite";
import { launchPerson } from "#tests/support/browser.ts";
import { startStaticServer } from "#tests/support/static-server.ts";
import type { SearchTimes } from "./search-load.ts";
import type { CommitLoad, CommitTimes } from "./store-load.ts";
import { medianOpening, type Opening, type SizedStore } from "./store-opening.ts";
import type { BenchAnswers, BenchCall } from "./store-page/calls.ts";

const root = resolve(import.meta.dirname, "../..");
const repeats = 5;

export interface BrowserBench extends AsyncDisposable {
  timeCommits(load: CommitLoad, key: Uint8Array): Promise<CommitTimes[]>;
  measureOpening(store: SizedStore): Promise<Opening>;
  timeSearches(key: Uint8Array): Promise<SearchTimes>;
}

/** Builds the page into `directory` and serves it; profiles are kept there too. */
export async function startBrowserBench(directory: string): Promise<BrowserBench> {
  const site = join(directory, "site");
  await buildPage(site);
  const server = await startStaticServer(site);
  const profile = join(directory, "profile");
  const page = new BenchPage(server.origin, profile);
  return {
    timeCommits: (load, key) =>
      page.during((call) => call({ type: "commits", load, key: [...key] })),
    measureOpening: (store) => measureOpening(page, site, store),
    timeSearches: (key) => page.during((call) => call({ type: "search", key: [...key] })),
    [Symbol.asyncDispose]: () => server.close(),
  };
}

async function buildPage(outDir: string): Promise<void> {
  await build({
    root: join(root, "tests/bench/store-page"),
    configFile: false,
    logLevel: "error",
    worker: { format: "es" },
    build: { outDir, emptyOutDir: true, target: "es2023", assetsInlineLimit: 0 },
  });
  // An isolated page has a clock of 5 µs instead of 100.
  const headers = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
  };
  writeFileSync(join(outDir, "headers.json"), JSON.stringify(headers));
}

async function measureOpening(page: BenchPage, site: string, store: SizedStore): Promise<Opening> {
  const { key, directory } = store;
  if (key === null) throw new Error("browsers keep no store in clear");
  const name = `store-${store.megabytes}`;
  const linked = join(site, name);
  if (!existsSync(linked)) symlinkSync(directory, linked);
  await page.during((call) => call({ type: "put", directory: name, from: `/${name}` }));
  const openings: Opening[] = [];
  // Ending the browser leaves the log as it was: every opening finds the same files.
  for (let count = 0; count < repeats; count += 1) {
    openings.push(
      await page.during(async (call) => {
        await call({ type: "ready" });
        const before = page.rendererMB();
        const times = await call({ type: "open", directory: name, key: [...key] });
        return { ...times, grownMB: page.rendererMB() - before };
      }),
    );
  }
  return medianOpening(openings);
}

type CallStore = <Call extends BenchCall>(call: Call) => Promise<BenchAnswers[Call["type"]]>;

class BenchPage {
  readonly #origin: string;
  readonly #profile: string;

  constructor(origin: string, profile: string) {
    this.#origin = origin;
    this.#profile = profile;
    mkdirSync(profile, { recursive: true });
  }

  /** Runs `act` in a browser of its own, on the kept profile. */
  async during<Result>(act: (call: CallStore) => Promise<Result>): Promise<Result> {
    await using person = await launchPerson(this.#profile);
    const { page } = person;
    await page.goto(this.#origin);
    await page.waitForFunction(() => "callStore" in globalThis);
    const call: CallStore = (asked) =>
      page.evaluate(
        // Defined by the page's own script, which answers by the type of the call.
        (sent) => (globalThis as unknown as { callStore: CallStore }).callStore(sent),
        asked,
      );
    return await act(call);
  }

  /** The memory of all its renderers that is shared with nothing, in MB. */
  rendererMB(): number {
    const browser = processes().find(
      ({ command }) =>
        command.includes(`--user-data-dir=${this.#profile}`) && !command.includes("--type="),
    );
    if (browser === undefined) throw new Error("the browser is not running");
    const renderers = processes().filter(
      ({ pid, command }) => command.includes("--type=renderer") && isBelow(pid, browser.pid),
    );
    return renderers.reduce((sum, { pid }) => sum + statusOf(pid, "RssAnon"), 0) / 1_000;
  }
}

interface Process {
  readonly pid: number;
  readonly command: string;
}

function processes(): Process[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({ pid: Number(name), command: read(`/proc/${name}/cmdline`) }));
}

function isBelow(pid: number, ancestor: number): boolean {
  const parent = statusOf(pid, "PPid");
  return parent === ancestor || (parent > 1 && isBelow(parent, ancestor));
}

function statusOf(pid: number, field: string): number {
  return Number(
    new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(read(`/proc/${pid}/status`))?.[1] ?? 0,
  );
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // The process has ended.
  }
}

/** Keys typed in Chromium, from the key to the frame that shows it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import * as A from "@automerge/automerge/slim";
import { build } from "vite";

import type { NoteDocument } from "#client/device/api.ts";
import { launchPerson } from "#tests/support/browser.ts";
import { startStaticServer } from "#tests/support/static-server.ts";
import { historyEdits } from "./long-history.ts";
import type { Measurement } from "./measurement.ts";

const root = resolve(import.meta.dirname, "../..");
const keys = 300;
const betweenMs = 40;
/** A frame as soon as there is something to show: waiting for the screen's next turn is not ours to measure. */
const switches = ["--disable-frame-rate-limit", "--disable-gpu-vsync"];

/** @param history the saved note with a long history */
export async function benchTyping(history: Uint8Array): Promise<Measurement[]> {
  const directory = mkdtempSync(join(tmpdir(), "sealeaf-typing-"));
  try {
    const site = join(directory, "site");
    await buildPage(site);
    const notes = { short: savedNote(2_000), long: savedNote(100_000), history };
    for (const [name, bytes] of Object.entries(notes)) {
      writeFileSync(join(site, `${name}.bin`), bytes);
    }
    const server = await startStaticServer(site);
    try {
      const timesOf = (name: string): Promise<Typed> =>
        typedIn(join(directory, name), server.origin, `/${name}.bin`);
      const short = await timesOf("short");
      const row = async (name: string, file: string): Promise<Measurement> =>
        rowOf(name, await timesOf(file), short);
      return [
        { name: "Chromium: key → painted, 2,000 characters, p95", ms: quantile(short.times, 0.95) },
        await row("Chromium: key → painted, 100,000 characters, p95", "long"),
        await row(
          `Chromium: key → painted, ${historyEdits.toLocaleString("en")} edits, p95`,
          "history",
        ),
      ];
    } finally {
      await server.close();
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

async function buildPage(outDir: string): Promise<void> {
  await build({
    root: join(root, "tests/bench/note-page"),
    configFile: false,
    logLevel: "error",
    build: { outDir, emptyOutDir: true, target: "es2023", assetsInlineLimit: 0 },
  });
  writeFileSync(join(outDir, "headers.json"), "{}");
}

function savedNote(length: number): Uint8Array {
  const line = "The north side gets the *morning* sun, and `moss`.\n";
  const document = A.change(A.init<NoteDocument>(), { time: 0 }, (fresh) => {
    fresh.format = 1;
    fresh.title = "";
    fresh.body = line.repeat(length / line.length + 1).slice(0, length);
    fresh.tags = {};
    fresh.attachments = {};
    fresh.createdAt = 0;
  });
  const saved = A.save(document);
  A.free(document);
  return saved;
}

/** What the page of note-page/ defines. */
interface NotePage {
  openNote(address: string): Promise<number>;
  paintTimes(): readonly number[];
}

interface Typed {
  readonly times: readonly number[];
  /** What the page's process spent on a key, on all its threads: what a busy machine does not change. */
  readonly cpuMs: number;
}

async function typedIn(profile: string, origin: string, address: string): Promise<Typed> {
  await using person = await launchPerson(profile, { switches });
  const { page } = person;
  await page.goto(origin);
  await page.waitForFunction(() => "openNote" in globalThis);
  const length = await page.evaluate(
    (from) => (globalThis as unknown as NotePage).openNote(from),
    address,
  );
  if (length === 0) throw new Error("the note is empty");
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable");
  const cpuSeconds = async (): Promise<number> => {
    const { metrics } = await devtools.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "ProcessTime")?.value ?? 0;
  };
  const before = await cpuSeconds();
  await page.keyboard.type("and so they wait. ".repeat(keys / 18), { delay: betweenMs });
  const times = await page.evaluate(() => [...(globalThis as unknown as NotePage).paintTimes()]);
  return { times, cpuMs: ((await cpuSeconds()) - before) * (1000 / times.length) };
}

function rowOf(name: string, { times, cpuMs }: Typed, short: Typed): Measurement {
  const p95 = quantile(times, 0.95);
  const middle = `p50 ${quantile(times, 0.5).toFixed(1)} ms, ${cpuMs.toFixed(1)} ms of CPU a key`;
  return {
    name,
    ms: p95,
    ratio: cpuMs / short.cpuMs,
    note: `CPU a key with 2,000 characters; ${middle}`,
    budget: { figure: p95, must: 8, aim: 4, unit: " ms" },
  };
}

function quantile(times: readonly number[], share: number): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length * share)] ?? 0;
}

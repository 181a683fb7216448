/** Searching very many notes, in Node and in Chromium; times are of the index alone. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { loadNodeEngine, openNodeFiles } from "#crdt-store/files/node.ts";
import { SearchIndex } from "#crdt-store/search-index.ts";
import type { Measurement } from "./measurement.ts";
import {
  notesPerCommit,
  searchedNotes,
  timeSearches,
  type SearchTime,
  type SearchTimes,
} from "./search-load.ts";
import type { BrowserBench } from "./store-browser.ts";

/** @param directory to make files in */
export async function benchSearch(
  directory: string,
  chromium: BrowserBench,
  key: Uint8Array,
): Promise<Measurement[]> {
  return [
    ...rowsOf("Node", await timeInNode(join(directory, "search"), key)),
    ...rowsOf("Chromium", await chromium.timeSearches(key)),
  ];
}

async function timeInNode(directory: string, key: Uint8Array): Promise<SearchTimes> {
  const engine = await loadNodeEngine();
  const random = (count: number): Uint8Array => new Uint8Array(randomBytes(count));
  return timeSearches({
    open: async () => SearchIndex.open({ engine, files: openNodeFiles(directory), key, random }),
    random,
    processorMs: () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / 1_000;
    },
  });
}

function rowsOf(
  platform: string,
  { commits, steps, reopen, searches }: SearchTimes,
): Measurement[] {
  const total = [...commits, ...steps].reduce((sum, ms) => sum + ms, 0);
  const notes = searchedNotes.toLocaleString("en");
  const kinds = new Map<string, SearchTime[]>();
  for (const search of searches) {
    kinds.set(search.kind, [...(kinds.get(search.kind) ?? []), search]);
  }
  return [
    { name: `${platform}: indexing ${notes} notes, per note`, ms: total / searchedNotes },
    { name: `${platform}: longest commit of ${notesPerCommit} notes`, ms: Math.max(...commits) },
    { name: `${platform}: step of the index's upkeep, p99`, ms: percentile(steps, 0.99) },
    { name: `${platform}: opening the index again`, ms: reopen },
    searchRow(`${platform}: ${searches.length} searches over ${notes} notes`, searches),
    ...[...kinds].map(([kind, some]) => searchRow(`${platform}:   ${kind}`, some)),
  ];
}

function searchRow(name: string, searches: readonly SearchTime[]): Measurement {
  const times = searches.map(({ ms }) => ms);
  const ms = percentile(times, 0.95);
  const median = `median ${percentile(times, 0.5).toFixed(2)} ms`;
  const processorTimes = searches.flatMap(({ processorMs }) => processorMs ?? []);
  return {
    name: `${name}, p95`,
    ms,
    note:
      processorTimes.length === 0
        ? median
        : `${median}; p95 of the processor's time ${percentile(processorTimes, 0.95).toFixed(2)} ms`,
    budget: { figure: ms, must: 50, aim: 10, unit: " ms" },
  };
}

function percentile(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

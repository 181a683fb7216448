import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { loadNodeEngine, openNodeFiles } from "#crdt-store/files/node.ts";
import {
  SearchIndex,
  type IndexedNote,
  type IndexQuery,
  type Phrase,
} from "#crdt-store/search-index.ts";
import type { Measurement } from "./measurement.ts";

const notes = 10_000;
const wordsPerNote = 300;
const vocabulary = 30_000;
/** As the device puts them. */
const notesPerCommit = 8;

/**
 * A search over 10,000 notes of about 2 KB in the encrypted index, as it is typed letter by letter; words are as frequent
 * as in a natural language. Times are of the index alone, in Node; beside them the processor's own, which a busy machine
 * does not stretch as much.
 */
export async function benchSearch(): Promise<Measurement[]> {
  const directory = mkdtempSync(
    join(process.env["SEALEAF_BENCH_DIR"] ?? tmpdir(), "sealeaf-bench-"),
  );
  const engine = await loadNodeEngine();
  const open = (): SearchIndex =>
    SearchIndex.open({
      engine,
      files: openNodeFiles(directory),
      key: new Uint8Array(32).fill(4),
      random: (count) => randomBytes(count),
    });
  try {
    const language = new Language();
    let index = open();
    const building = build(index, language);
    index.close();
    const openMs = timed(() => {
      index = open();
    });
    const rows = [
      ...building,
      { name: "opening the index again", ms: openMs },
      ...ask(index, language),
    ];
    index.close();
    return rows;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

function build(index: SearchIndex, language: Language): Measurement[] {
  const commits: number[] = [];
  const steps: number[] = [];
  for (let first = 0; first < notes; first += notesPerCommit) {
    const group = Array.from({ length: notesPerCommit }, (_, ix) => language.note(first + ix));
    commits.push(timed(() => index.put(group)));
    for (let isMore = true; isMore;) {
      steps.push(
        timed(() => {
          isMore = index.tidy();
        }),
      );
    }
  }
  const total = [...commits, ...steps].reduce((sum, ms) => sum + ms, 0);
  return [
    { name: `indexing ${notes} notes, per note`, ms: total / notes },
    { name: `longest commit of ${notesPerCommit} notes`, ms: Math.max(...commits) },
    { name: "step of upkeep, p99", ms: percentile(steps, 0.99) },
  ];
}

function ask(index: SearchIndex, language: Language): Measurement[] {
  const kinds = new Map<string, Search[]>();
  const time = (kind: string, query: Partial<IndexQuery>): void => {
    const before = process.cpuUsage();
    const ms = timed(() => index.find({ ...nothing, ...query }));
    const { user, system } = process.cpuUsage(before);
    kinds.set(kind, [...(kinds.get(kind) ?? []), { ms, processorMs: (user + system) / 1000 }]);
  };
  for (let round = 0; round < 60; round += 1) {
    const first = language.word();
    const second = language.word();
    for (let length = 1; length <= first.length; length += 1) {
      const kind =
        length === 1 ? "one letter" : length === 2 ? "two letters" : "a word as it is typed";
      time(kind, { all: [{ text: first.slice(0, length), isPrefix: true }] });
    }
    for (let length = 1; length <= second.length; length += 1) {
      const typed = { text: second.slice(0, length), isPrefix: true };
      time("a second word as it is typed", { all: [whole(first), typed] });
    }
    time("a phrase", { all: [whole(`${first} ${second}`)] });
    time("a word and without another", { all: [whole(first)], none: [whole(second)] });
    time("a word of one tag", {
      all: [whole(first)],
      tags: [{ key: "tag1", isPrefix: false }],
    });
    time("a tag alone", { tags: [{ key: "tag2", isPrefix: false }] });
  }
  const all = [...kinds.values()].flat();
  return [
    row(`${all.length} searches over ${notes} notes`, all),
    ...[...kinds].map(([kind, searches]) => row(`  ${kind}`, searches)),
  ];
}

interface Search {
  readonly ms: number;
  readonly processorMs: number;
}

function row(name: string, searches: readonly Search[]): Measurement {
  const times = searches.map(({ ms }) => ms);
  const ms = percentile(times, 0.95);
  const median = percentile(times, 0.5).toFixed(2);
  const processorMs = percentile(
    searches.map((search) => search.processorMs),
    0.95,
  ).toFixed(2);
  return {
    name: `${name}, p95`,
    ms,
    note: `median ${median} ms; p95 of the processor's time ${processorMs} ms`,
    budget: { figure: ms, must: 50, aim: 10, unit: " ms" },
  };
}

const nothing: IndexQuery = {
  all: [],
  none: [],
  tags: [],
  withoutTags: [],
  spaces: null,
  trashed: false,
  pinned: null,
  from: null,
  before: null,
  most: 30,
};

function whole(text: string): Phrase {
  return { text, isPrefix: false };
}

/** Words of random letters, frequent and rare as Zipf found them; the same in every run. */
class Language {
  readonly #words: readonly string[];
  readonly #cumulated: readonly number[];
  #state = 1;

  constructor() {
    const letters = cumulated("etaoinshrdlcumwfgypbvkjxqz".length, 2);
    this.#words = Array.from({ length: vocabulary }, () => {
      const length = 2 + Math.floor(this.#random() * 8);
      return Array.from(
        { length },
        () => "etaoinshrdlcumwfgypbvkjxqz"[this.#pick(letters)] ?? "",
      ).join("");
    });
    this.#cumulated = cumulated(vocabulary, 3);
  }

  word(): string {
    return this.#words[this.#pick(this.#cumulated)] ?? "";
  }

  note(number: number): IndexedNote {
    const text = (words: number): string =>
      Array.from({ length: words }, () => this.word()).join(" ");
    const tag = `tag${number % 20}`;
    return {
      doc: new Uint8Array(randomBytes(16)),
      version: 1,
      space: new Uint8Array(32),
      updatedAt: 1_700_000_000_000 + number * 7_200_000,
      trashed: false,
      pinned: false,
      title: text(4),
      body: text(wordsPerNote / 2 + Math.floor(this.#random() * wordsPerNote)),
      tags: [{ name: tag, key: tag }],
    };
  }

  #pick(shares: readonly number[]): number {
    const wanted = this.#random() * (shares.at(-1) ?? 0);
    let low = 0;
    let high = shares.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((shares[middle] ?? 0) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #random(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state / 4_294_967_296;
  }
}

function cumulated(count: number, offset: number): number[] {
  let sum = 0;
  return Array.from({ length: count }, (_, ix) => (sum += 1 / (ix + offset)));
}

function timed(act: () => unknown): number {
  const start = performance.now();
  act();
  return performance.now() - start;
}

function percentile(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}

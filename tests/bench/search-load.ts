/**
 * Searches over 10,000 notes of about 2 KB in the encrypted index, as they are typed letter by letter; words are as frequent
 * as in a natural language. Runs wherever an index does.
 */
import type { IndexedNote, IndexQuery, Phrase, SearchIndex } from "#crdt-store/search-index.ts";

export const searchedNotes = 10_000;
const wordsPerNote = 300;
const vocabulary = 30_000;
/** As the device puts them. */
export const notesPerCommit = 8;

/** All in ms. */
export interface SearchTimes {
  readonly commits: readonly number[];
  readonly steps: readonly number[];
  readonly reopen: number;
  readonly searches: readonly SearchTime[];
}

export interface SearchTime {
  readonly kind: string;
  readonly ms: number;
  /** The processor's own time, which a busy machine does not stretch as much; null where nobody tells it. */
  readonly processorMs: number | null;
}

export interface SearchPorts {
  /** Opens the same files each time. */
  readonly open: () => Promise<SearchIndex>;
  readonly random: (count: number) => Uint8Array;
  /** Since whenever; null where nobody tells. */
  readonly processorMs: (() => number) | null;
}

export async function timeSearches(ports: SearchPorts): Promise<SearchTimes> {
  const language = new Language(ports.random);
  const first = await ports.open();
  const building = build(first, language);
  first.close();
  const began = performance.now();
  const index = await ports.open();
  const reopen = performance.now() - began;
  const searches = ask(index, language, ports.processorMs);
  index.close();
  return { ...building, reopen, searches };
}

function build(index: SearchIndex, language: Language): Pick<SearchTimes, "commits" | "steps"> {
  const commits: number[] = [];
  const steps: number[] = [];
  for (let first = 0; first < searchedNotes; first += notesPerCommit) {
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
  return { commits, steps };
}

function ask(
  index: SearchIndex,
  language: Language,
  processorMs: SearchPorts["processorMs"],
): readonly SearchTime[] {
  const searches: SearchTime[] = [];
  const time = (kind: string, query: Partial<IndexQuery>): void => {
    const before = processorMs?.() ?? null;
    const ms = timed(() => index.find({ ...nothing, ...query }));
    const after = processorMs?.() ?? null;
    searches.push({
      kind,
      ms,
      processorMs: before === null || after === null ? null : after - before,
    });
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
  return searches;
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
  readonly #random16: () => Uint8Array;
  readonly #words: readonly string[];
  readonly #cumulated: readonly number[];
  #state = 1;

  constructor(random: (count: number) => Uint8Array) {
    this.#random16 = () => random(16);
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
      doc: this.#random16(),
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

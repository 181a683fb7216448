import { wordMark, withoutMarks } from "./search-words.ts";

/** A piece of text, and whether it is what was looked for. */
export interface TextPart {
  readonly text: string;
  readonly match: boolean;
}

/** Where a word of the query stands in a column: bytes of UTF-8. */
export interface WordRange {
  readonly word: number;
  readonly start: number;
  readonly end: number;
}

const excerptBytes = 240;
/** So much stands in front of the first match, for its sense. */
const leadBytes = 48;

const decoder = new TextDecoder();

/** What FTS4's offsets() says of one column: quadruples of column, word, byte offset and length. */
export function rangesIn(offsets: string, column: number): WordRange[] {
  const numbers = offsets === "" ? [] : offsets.split(" ").map(Number);
  const ranges: WordRange[] = [];
  for (let at = 0; at + 3 < numbers.length; at += 4) {
    const [of = 0, word = 0, start = 0, length = 0] = numbers.slice(at, at + 4);
    if (of === column) ranges.push({ word, start, end: start + length });
  }
  return ranges.sort((a, b) => a.start - b.start);
}

/** The whole text in parts. */
export function highlighted(text: Uint8Array, ranges: readonly WordRange[]): TextPart[] {
  return partsOf(text, ranges, 0, text.length);
}

/** The piece of a text that shows the most of what was looked for; empty if nothing stands in it. */
export function excerpt(text: Uint8Array, ranges: readonly WordRange[]): TextPart[] {
  const best = bestStart(ranges);
  if (best === undefined) return [];
  const from = atWord(text, Math.max(0, best.start - leadBytes), best.start);
  const to = atCharacter(text, Math.min(text.length, from + excerptBytes));
  const parts = partsOf(text, ranges, from, to);
  return [
    ...(from > 0 ? [{ text: "…", match: false }] : []),
    ...parts,
    ...(to < text.length ? [{ text: "…", match: false }] : []),
  ];
}

/** The first match in the text as it was before marks were put in; null if nothing stands in it. */
export function firstMatch(
  text: Uint8Array,
  ranges: readonly WordRange[],
): { readonly at: number; readonly text: string } | null {
  const [first] = joined(text, ranges);
  if (first === undefined) return null;
  return { at: plain(text, 0, first.start).length, text: plain(text, first.start, first.end) };
}

function bestStart(ranges: readonly WordRange[]): WordRange | undefined {
  let best: WordRange | undefined;
  let mostWords = 0;
  for (const [index, range] of ranges.entries()) {
    const words = new Set<number>();
    for (let at = index; at < ranges.length; at += 1) {
      const other = ranges[at];
      if (other === undefined || other.end > range.start + excerptBytes - leadBytes) break;
      words.add(other.word);
    }
    if (words.size > mostWords) [best, mostWords] = [range, words.size];
  }
  return best ?? ranges[0];
}

function partsOf(
  text: Uint8Array,
  ranges: readonly WordRange[],
  from: number,
  to: number,
): TextPart[] {
  const parts: TextPart[] = [];
  let at = from;
  for (const { start, end } of joined(text, ranges)) {
    if (end <= from || start >= to) continue;
    if (start > at) parts.push({ text: plain(text, at, start), match: false });
    parts.push({ text: plain(text, Math.max(start, from), Math.min(end, to)), match: true });
    at = Math.min(end, to);
  }
  if (at < to) parts.push({ text: plain(text, at, to), match: false });
  return parts.filter((part) => part.text !== "");
}

/** Ranges that touch, or that only marks divide, are one to the eye. */
function joined(text: Uint8Array, ranges: readonly WordRange[]): { start: number; end: number }[] {
  const mark = wordMark.charCodeAt(0);
  const found: { start: number; end: number }[] = [];
  for (const { start, end } of ranges) {
    const last = found.at(-1);
    const between = last === undefined ? [1] : text.subarray(last.end, Math.max(start, last.end));
    if (last !== undefined && between.every((byte) => byte === mark)) {
      last.end = Math.max(last.end, end);
    } else {
      found.push({ start, end });
    }
  }
  return found;
}

function plain(text: Uint8Array, from: number, to: number): string {
  return withoutMarks(decoder.decode(text.subarray(from, to)));
}

/** Where to begin so that no word is cut, if one ends before `limit`. */
function atWord(text: Uint8Array, from: number, limit: number): number {
  if (from === 0) return 0;
  for (let at = from; at < limit; at += 1) {
    const byte = text[at] ?? 0;
    if (byte <= 0x20) return at + 1;
  }
  return atCharacter(text, from);
}

function atCharacter(text: Uint8Array, from: number): number {
  let at = from;
  while (at < text.length && ((text[at] ?? 0) & 0xc0) === 0x80) at += 1;
  return at;
}

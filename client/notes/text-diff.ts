/**
 * The edits between two versions of a text: small where versions resemble each other, and found in
 * bounded time where they do not. Lines are compared first, then words, then characters; at each
 * step what occurs once on both sides anchors the rest (patience diff, Bram Cohen).
 */
import diff from "fast-diff";
import type { Splice } from "#client/device/api.ts";
import { diffTexts, normaliseSplices, pushSplice } from "./text-splices.ts";

/** A piece of a text beside another version of it. */
export interface DiffPart {
  readonly type: "same" | "removed" | "added";
  readonly text: string;
}

/** How `after` came of `before`, word by word as a person reads it; nothing empty. */
export function diffParts(before: string, after: string): readonly DiffPart[] {
  const parts: DiffPart[] = [];
  const add = (type: DiffPart["type"], text: string): void => {
    if (text !== "") parts.push({ type, text });
  };
  let from = 0;
  for (const change of refine({ at: 0, before, after }, 0)) {
    add("same", before.slice(from, change.at));
    add("removed", change.before);
    add("added", change.after);
    from = change.at + change.before.length;
  }
  add("same", before.slice(from));
  return parts;
}

/** A stretch of the old text and what stands in its place. */
interface Change {
  /** In the old text. */
  readonly at: number;
  readonly before: string;
  readonly after: string;
}

/** Myers' algorithm takes up to the square of the length: a pair this long takes some tens of ms. */
const longestCharacterDiff = 4_000;
/** The squares of all pairs together: about a second. */
const mostCharacterSteps = 200_000_000;
/** Lines first met inside a gap of a gap of a gap are not worth looking for. */
const mostRounds = 8;

const granularities = [
  (text: string): readonly string[] => text.match(/[^\n]*\n|[^\n]+$/g) ?? [],
  (text: string): readonly string[] => text.match(/\s+|\S+/g) ?? [],
] as const;

/** Edits that turn `before` into `after`, positions sequential, no surrogate pair cut. */
export function splicesBetween(before: string, after: string): readonly Splice[] {
  const changes = refine({ at: 0, before, after }, 0);
  const splices: Splice[] = [];
  let moved = 0;
  let steps = 0;
  for (const change of changes) {
    const cost = (change.before.length + change.after.length) ** 2;
    const isSmall = cost <= longestCharacterDiff ** 2 && steps + cost <= mostCharacterSteps;
    if (isSmall) steps += cost;
    for (const splice of isSmall ? characterSplices(change) : wholeSplice(change)) {
      pushSplice(splices, { ...splice, at: splice.at + change.at + moved });
    }
    moved += change.after.length - change.before.length;
  }
  return splices;
}

function characterSplices({ before, after }: Change): readonly Splice[] {
  const splices: Splice[] = [];
  let at = 0;
  for (const [kind, text] of diff(before, after)) {
    if (kind === diff.DELETE) pushSplice(splices, { at, remove: text.length, insert: "" });
    else {
      if (kind === diff.INSERT) pushSplice(splices, { at, remove: 0, insert: text });
      at += text.length;
    }
  }
  return normaliseSplices(before, splices);
}

function wholeSplice({ before, after }: Change): readonly Splice[] {
  const splice = diffTexts(before, after);
  return splice === null ? [] : [splice];
}

/** What differs, in order, at the finest granularity of tokens. */
function refine(change: Change, level: number): readonly Change[] {
  const tokensOf = granularities[level];
  if (change.before === change.after) return [];
  if (tokensOf === undefined || change.before === "" || change.after === "") return [change];
  const gaps = gapsIn(change, tokensOf(change.before), tokensOf(change.after));
  return gaps.flatMap((gap) => refine(gap, level + 1));
}

interface Range {
  readonly a0: number;
  readonly a1: number;
  readonly b0: number;
  readonly b1: number;
}

/** Tokens [a0, a1) of one side, in whose place the other has [b0, b1). */
export type TokenGap = Range;

function gapsIn(change: Change, a: readonly string[], b: readonly string[]): Change[] {
  const offsets = offsetsOf(a);
  return gapsBetween(a, b).map(({ a0, a1, b0, b1 }) => ({
    at: change.at + (offsets[a0] ?? 0),
    before: a.slice(a0, a1).join(""),
    after: b.slice(b0, b1).join(""),
  }));
}

/** What lies between the tokens that both sides have in the same order. */
export function gapsBetween(a: readonly string[], b: readonly string[]): readonly TokenGap[] {
  let ranges: readonly Range[] = [{ a0: 0, a1: a.length, b0: 0, b1: b.length }];
  for (let round = 0; round < mostRounds; round += 1) {
    const next = ranges.flatMap((range) => splitAtAnchors(trimmed(range, a, b), a, b));
    if (next.length === ranges.length) break;
    ranges = next;
  }
  return ranges
    .map((range) => trimmed(range, a, b))
    .flatMap(pairedIfEqual)
    .filter(
      ({ a0, a1, b0, b1 }) =>
        a1 - a0 !== b1 - b0 || a.slice(a0, a1).some((token, ix) => token !== b[b0 + ix]),
    );
}

/** As many tokens on both sides are most likely the same ones, each changed a little. */
function pairedIfEqual({ a0, a1, b0, b1 }: Range): readonly Range[] {
  if (a1 - a0 !== b1 - b0) return [{ a0, a1, b0, b1 }];
  return Array.from({ length: a1 - a0 }, (_, ix) => ({
    a0: a0 + ix,
    a1: a0 + ix + 1,
    b0: b0 + ix,
    b1: b0 + ix + 1,
  }));
}

function trimmed(range: Range, a: readonly string[], b: readonly string[]): Range {
  let { a0, a1, b0, b1 } = range;
  while (a0 < a1 && b0 < b1 && a[a0] === b[b0]) {
    a0 += 1;
    b0 += 1;
  }
  while (a0 < a1 && b0 < b1 && a[a1 - 1] === b[b1 - 1]) {
    a1 -= 1;
    b1 -= 1;
  }
  return { a0, a1, b0, b1 };
}

function splitAtAnchors(range: Range, a: readonly string[], b: readonly string[]): Range[] {
  const split: Range[] = [];
  let { a0, b0 } = range;
  for (const { ix, jx } of anchors(range, a, b)) {
    split.push({ a0, a1: ix, b0, b1: jx });
    a0 = ix + 1;
    b0 = jx + 1;
  }
  split.push({ a0, a1: range.a1, b0, b1: range.b1 });
  return split;
}

interface Anchor {
  readonly ix: number;
  readonly jx: number;
}

/** The longest ascending run of tokens that occur once on each side. */
function anchors(range: Range, a: readonly string[], b: readonly string[]): readonly Anchor[] {
  const inA = uniquePlaces(a, range.a0, range.a1);
  const inB = uniquePlaces(b, range.b0, range.b1);
  const pairs: Anchor[] = [];
  for (const [token, ix] of inA) {
    const jx = inB.get(token) ?? -1;
    if (ix >= 0 && jx >= 0) pairs.push({ ix, jx });
  }
  return longestAscending(pairs);
}

/** Where each token stands, in order of place; -1 for those that occur again. */
function uniquePlaces(tokens: readonly string[], from: number, to: number): Map<string, number> {
  const places = new Map<string, number>();
  for (let ix = from; ix < to; ix += 1) {
    const token = tokens[ix] ?? "";
    places.set(token, places.has(token) ? -1 : ix);
  }
  return places;
}

/** @param pairs ascending by `ix`; the result ascends by both */
function longestAscending(pairs: readonly Anchor[]): readonly Anchor[] {
  interface Link {
    readonly pair: Anchor;
    readonly before: Link | undefined;
  }
  // tails[n] ends an ascending run of n + 1 pairs, with the smallest jx any such run ends with.
  const tails: Link[] = [];
  for (const pair of pairs) {
    let low = 0;
    let high = tails.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((tails[middle]?.pair.jx ?? 0) < pair.jx) low = middle + 1;
      else high = middle;
    }
    tails[low] = { pair, before: tails[low - 1] };
  }
  const run: Anchor[] = [];
  for (let link = tails.at(-1); link !== undefined; link = link.before) run.push(link.pair);
  return run.toReversed();
}

function offsetsOf(tokens: readonly string[]): readonly number[] {
  const offsets = [0];
  for (const token of tokens) offsets.push((offsets.at(-1) ?? 0) + token.length);
  return offsets;
}

/**
 * Which passages of a text two versions both changed.
 *
 * A passage is what a reader takes in as one: a paragraph, a list item with what is indented under it, a heading, a
 * row, a line of a quote. Two edits meet if they changed the same passage, or put something into the same place between
 * two. Pure; seen from the other side the same passages come out.
 */
import { gapsBetween, type TokenGap } from "./text-diff.ts";

/** A passage as both versions began with it, and what each made of it. */
export interface SharedPassage {
  /** Of the common version, from 0. */
  readonly line: number;
  readonly base: string;
  readonly ours: string;
  readonly theirs: string;
}

/** Lines [from, to) of the common version; empty for a place between two. */
interface Reach {
  readonly from: number;
  readonly to: number;
}

/** What one side changed, and the passages it fell into. */
interface Edit extends Reach {
  readonly side: "ours" | "theirs";
  readonly gap: TokenGap;
  /** The first character that it changed is the first of its lines; the last the last. */
  readonly atStart: boolean;
  readonly atEnd: boolean;
}

/** Edits that hang together, of both sides. */
interface Cluster extends Reach {
  readonly edits: readonly Edit[];
}

/** Rewritten so thoroughly that passages cannot be told apart: then the whole text counts as one. */
const mostEdits = 400;

/** At most `most` of them, the first ones. */
export function sharedPassages(
  base: string,
  ours: string,
  theirs: string,
  most: number,
): readonly SharedPassage[] {
  if (base === ours || base === theirs) return [];
  const lines = base.split("\n");
  const versions = { ours: ours.split("\n"), theirs: theirs.split("\n") };
  const starts = passageStarts(lines);
  const edits = (["ours", "theirs"] as const).flatMap((side) =>
    editsBetween(lines, versions[side], starts, side),
  );
  const made = (side: Edit["side"], cluster: Cluster): string =>
    textOf(rebuilt(lines, versions[side], side, cluster));
  return clusters(edits)
    .map((cluster) => ({
      line: cluster.from,
      base: textOf(lines.slice(cluster.from, cluster.to)),
      ours: made("ours", cluster),
      theirs: made("theirs", cluster),
    }))
    .filter((passage) => isChangedByBoth(passage) && !isSameDeletion(passage))
    .slice(0, most);
}

function textOf(lines: readonly string[]): string {
  return lines.join("\n");
}

/** What begins a passage without an empty line before it: a list item, a heading, a quote, a row, a fence. */
const opening = /^\s*(?:[-*+]\s|\d{1,9}[.)]\s|#{1,6}\s|>|\||```|~~~)/;
const heading = /^\s*#{1,6}\s/;

/** For each line the one its passage begins with. */
function passageStarts(lines: readonly string[]): readonly number[] {
  const starts: number[] = [];
  for (const [ix, line] of lines.entries()) {
    const before = lines[ix - 1] ?? "";
    const isClosed = before.trim() === "" || heading.test(before);
    const begins = isClosed || line.trim() === "" || opening.test(line);
    starts.push(begins ? ix : (starts[ix - 1] ?? ix));
  }
  return starts;
}

function editsBetween(
  base: readonly string[],
  version: readonly string[],
  starts: readonly number[],
  side: Edit["side"],
): readonly Edit[] {
  const gaps = gapsBetween(base, version);
  const whole = { a0: 0, a1: base.length, b0: 0, b1: version.length };
  return (gaps.length > mostEdits ? [whole] : gaps).map((gap) => {
    const before = textOf(base.slice(gap.a0, gap.a1));
    const after = textOf(version.slice(gap.b0, gap.b1));
    return {
      ...reachOf(gap, starts),
      side,
      gap,
      atStart: before[0] !== after[0],
      atEnd: before.at(-1) !== after.at(-1),
    };
  });
}

/** The passages that a change of lines falls into; between two of them, just the place. */
function reachOf({ a0, a1 }: TokenGap, starts: readonly number[]): Reach {
  if (a0 === a1 && starts[a0] !== starts[a0 - 1]) return { from: a0, to: a0 };
  const last = a0 === a1 ? a0 : a1 - 1;
  let to = last + 1;
  while (to < starts.length && starts[to] === starts[last]) to += 1;
  return { from: starts[a0] ?? a0, to };
}

/** Those of edits of both sides, in order. */
function clusters(edits: readonly Edit[]): readonly Cluster[] {
  let found: readonly (readonly Edit[])[] = [];
  for (const edit of edits) {
    const isMet = (cluster: readonly Edit[]): boolean =>
      cluster.some((other) => doMeet(other, edit));
    const met = found.filter(isMet);
    found = [...found.filter((cluster) => !met.includes(cluster)), [...met.flat(), edit]];
  }
  return found
    .filter((cluster) => new Set(cluster.map(({ side }) => side)).size === 2)
    .map((cluster) => ({
      from: Math.min(...cluster.map(({ from }) => from)),
      to: Math.max(...cluster.map(({ to }) => to)),
      edits: cluster,
    }))
    .toSorted((x, y) => x.from - y.from || x.to - y.to);
}

function doMeet(a: Edit, b: Edit): boolean {
  if (isPlace(a)) return isPlace(b) ? a.from === b.from : isAt(a.from, b);
  return isPlace(b) ? isAt(b.from, a) : a.from < b.to && b.from < a.to;
}

function isPlace({ from, to }: Reach): boolean {
  return from === to;
}

/** Whether an edit reaches across a place between passages, or goes on from exactly there. */
function isAt(place: number, edit: Edit): boolean {
  if (edit.from < place && place < edit.to) return true;
  return (place === edit.gap.a1 && edit.atEnd) || (place === edit.gap.a0 && edit.atStart);
}

/** What a side made of the lines of a cluster. */
function rebuilt(
  base: readonly string[],
  version: readonly string[],
  side: Edit["side"],
  { from, to, edits }: Cluster,
): readonly string[] {
  const lines: string[] = [];
  let at = from;
  const own = edits.filter((edit) => edit.side === side);
  for (const { gap } of own.toSorted((a, b) => a.gap.a0 - b.gap.a0 || a.gap.b0 - b.gap.b0)) {
    lines.push(...base.slice(at, gap.a0), ...version.slice(gap.b0, gap.b1));
    at = gap.a1;
  }
  return [...lines, ...base.slice(at, to)];
}

/** Who took away an empty line has changed nothing that anybody reads. */
function isChangedByBoth({ base, ours, theirs }: SharedPassage): boolean {
  return ours !== base && theirs !== base;
}

/** Both took the same piece away: nothing is there to be looked at. */
function isSameDeletion({ base, ours, theirs }: SharedPassage): boolean {
  if (ours !== theirs || ours.length >= base.length) return false;
  let prefix = 0;
  while (prefix < ours.length && ours[prefix] === base[prefix]) prefix += 1;
  return base.endsWith(ours.slice(prefix));
}

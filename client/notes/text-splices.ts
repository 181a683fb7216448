import type { Splice } from "#client/device/api.ts";

/**
 * Appends `splice` to `buffer` (positions sequential) in place, folding it into the last entry when
 * the two touch, so that a run of typing or deleting stays one entry.
 */
export function pushSplice(buffer: Splice[], splice: Splice): void {
  if (splice.remove === 0 && splice.insert === "") return;
  const last = buffer.at(-1);
  const merged = last && mergeTouching(last, splice);
  if (!merged) {
    buffer.push(splice);
    return;
  }
  buffer.pop();
  if (merged.remove > 0 || merged.insert !== "") buffer.push(merged);
}

function mergeTouching(first: Splice, second: Splice): Splice | undefined {
  const insertedEnd = first.at + first.insert.length;
  const removedEnd = second.at + second.remove;
  if (second.at > insertedEnd || removedEnd < first.at) return undefined;

  const before = Math.max(0, first.at - second.at);
  const after = Math.max(0, removedEnd - insertedEnd);
  const keptHead = first.insert.slice(0, Math.max(0, second.at - first.at));
  const keptTail = first.insert.slice(Math.max(0, removedEnd - first.at));
  return {
    at: Math.min(first.at, second.at),
    remove: first.remove + before + after,
    insert: keptHead + second.insert + keptTail,
  };
}

/** The text after the splices, each position counted in the result of those before it. */
export function applySplices(text: string, splices: readonly Splice[]): string {
  // Splices usually ascend: then the text is copied once, not once for each of them.
  let source = text;
  let result = "";
  let read = 0;
  for (const { at, remove, insert } of splices) {
    if (at < result.length) {
      source = result + source.slice(read);
      result = "";
      read = 0;
    }
    const keptTo = read + at - result.length;
    result += source.slice(read, keptTo) + insert;
    read = keptTo + remove;
  }
  return result + source.slice(read);
}

/** The one smallest splice that turns `before` into `after`, never cutting a surrogate pair; null when equal. */
export function diffTexts(before: string, after: string): Splice | null {
  if (before === after) return null;
  const { at, remove, insert } = trimSplice(before, {
    at: 0,
    remove: before.length,
    insert: after,
  });
  return widenToPairs(before, { at, remove, insert });
}

/**
 * The same edit as Automerge may take it: what is removed only to be put back is left alone, and no
 * splice starts or ends inside a surrogate pair (Automerge would move it behind the pair, and the
 * screen and the document would differ). A half pair that the whole edit leaves behind becomes U+FFFD.
 */
export function normaliseSplices(text: string, splices: readonly Splice[]): Splice[] {
  const normal: Splice[] = [];
  let current = text;
  for (const splice of splices) {
    const exact = widenToPairs(current, trimSplice(current, splice));
    if (loneSurrogate.test(exact.insert)) return wholeEdit(text, splices);
    if (exact.remove === 0 && exact.insert === "") continue;
    normal.push(exact);
    current = applySplices(current, [exact]);
  }
  return normal;
}

// Under the u flag a surrogate that is half of a pair is not matched, only one that stands alone.
const loneSurrogate = /[\ud800-\udfff]/u;
const loneSurrogates = /[\ud800-\udfff]/gu;

// Two splices may each carry one half of a pair; only their sum can tell.
function wholeEdit(text: string, splices: readonly Splice[]): Splice[] {
  const after = applySplices(text, splices).replace(loneSurrogates, "\ufffd");
  const splice = diffTexts(text, after);
  return splice ? [splice] : [];
}

function trimSplice(text: string, { at, remove, insert }: Splice): Splice {
  const shortest = Math.min(remove, insert.length);
  let head = 0;
  while (head < shortest && text.charCodeAt(at + head) === insert.charCodeAt(head)) head++;
  let tail = 0;
  while (
    tail < shortest - head &&
    text.charCodeAt(at + remove - 1 - tail) === insert.charCodeAt(insert.length - 1 - tail)
  ) {
    tail++;
  }
  return {
    at: at + head,
    remove: remove - head - tail,
    insert: insert.slice(head, insert.length - tail),
  };
}

function widenToPairs(text: string, splice: Splice): Splice {
  let { at, remove, insert } = splice;
  if (cutsPair(text, at + remove)) {
    insert += text[at + remove] ?? "";
    remove += 1;
  }
  if (cutsPair(text, at)) {
    at -= 1;
    remove += 1;
    insert = (text[at] ?? "") + insert;
  }
  return { at, remove, insert };
}

function cutsPair(text: string, position: number): boolean {
  if (position <= 0 || position >= text.length) return false;
  const before = text.charCodeAt(position - 1);
  const after = text.charCodeAt(position);
  return before >= 0xd800 && before < 0xdc00 && after >= 0xdc00 && after < 0xe000;
}

/** Where a position of the old text stands in the new one; inside removed text: where that text began. */
export function mapThrough(position: number, splices: readonly Splice[]): number {
  let mapped = position;
  for (const { at, remove, insert } of splices) {
    if (mapped >= at + remove && mapped > at) mapped += insert.length - remove;
    else if (mapped > at) mapped = at;
  }
  return mapped;
}

/** The reverse of {@link mapThrough}: inside inserted text, where it was inserted. */
export function mapBack(position: number, splices: readonly Splice[]): number {
  let mapped = position;
  for (const { at, remove, insert } of splices.toReversed()) {
    if (mapped >= at + insert.length) mapped += remove - insert.length;
    else if (mapped > at) mapped = at;
  }
  return mapped;
}

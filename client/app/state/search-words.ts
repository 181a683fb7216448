/** What the search says of what it found. */
import type { SearchAnswer } from "#client/device/api.ts";

/** One sentence for the line above the results, read out when it changes. */
export function foundWords(answer: SearchAnswer, typed: string): string {
  const { hits, total, isMore } = answer;
  if (hits.length === 0) return `No note matches “${typed.trim()}”.`;
  if (isMore) return `More than ${total} notes`;
  if (total > hits.length) return `${total} notes, the best ${hits.length} shown`;
  return total === 1 ? "1 note" : `${total} notes`;
}

export function preparingWords({ done, total }: NonNullable<SearchAnswer["preparing"]>): string {
  const count = (number: number): string => number.toLocaleString("en");
  return `Search is being prepared: ${count(done)} of ${count(total)} notes.`;
}

export interface SearchHint {
  readonly example: string;
  readonly meaning: string;
}

/** What else can be asked for, to be put into the field. */
export const searchHints: readonly SearchHint[] = [
  { example: '"exact words"', meaning: "in this order" },
  { example: "-word", meaning: "without it" },
  { example: "tag:garden", meaning: "with a tag" },
  { example: "in:Home", meaning: "in a notebook" },
  { example: "is:pinned", meaning: "or shared, trashed" },
  { example: "after:2026-03", meaning: "or before: a date" },
];

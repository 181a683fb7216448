/**
 * What people type into the search field, understood: words, "phrases", -words, and conditions.
 *
 *   tag:garden  #garden  in:Home  in:"My notebook"  is:pinned|trashed|shared  after:2026-03  before:2026-03-14
 *
 * Every text is a query: what is no condition is a word. The last word is always taken as unfinished.
 */
import { cleanTag, tagKey } from "./tags.ts";

export interface SearchPhrase {
  readonly text: string;
  /** The last word may go on. */
  readonly isPrefix: boolean;
}

export interface SearchTag {
  readonly key: string;
  readonly isPrefix: boolean;
  readonly isExcluded: boolean;
}

export interface SearchNotebook {
  /** A name, the beginning of one if unfinished, or an id. */
  readonly name: string;
  readonly isPrefix: boolean;
  readonly isExcluded: boolean;
}

export interface SearchQuery {
  readonly all: readonly SearchPhrase[];
  readonly none: readonly SearchPhrase[];
  readonly tags: readonly SearchTag[];
  readonly notebooks: readonly SearchNotebook[];
  readonly trashed: boolean;
  readonly pinned: boolean | null;
  readonly shared: boolean | null;
  /** Milliseconds since 1970; changed at this moment or later. */
  readonly from: number | null;
  /** Changed earlier than this. */
  readonly before: number | null;
  /** What was not understood and is left out, in sentences for a person. */
  readonly remarks: readonly string[];
  /** Nothing is asked for at all. */
  readonly isEmpty: boolean;
}

/** One written piece: `-key:"value"` and everything less than that. */
interface Piece {
  readonly isExcluded: boolean;
  readonly key: string | null;
  readonly value: string;
  readonly isQuoted: boolean;
  /** Its closing quote is there. */
  readonly isClosed: boolean;
  /** Nothing stands behind it yet, not even a space. */
  readonly isLast: boolean;
}

interface Draft {
  all: SearchPhrase[];
  none: SearchPhrase[];
  tags: SearchTag[];
  notebooks: SearchNotebook[];
  trashed: boolean;
  pinned: boolean | null;
  shared: boolean | null;
  from: number | null;
  before: number | null;
  remarks: string[];
}

/** Longer queries are pasted by mistake. */
const mostCharacters = 1_000;
const mostPieces = 40;
const conditions = ["tag", "in", "is", "before", "after"] as const;

type Condition = (typeof conditions)[number];

/** Never throws. */
export function parseSearchQuery(typed: string): SearchQuery {
  const draft: Draft = {
    all: [],
    none: [],
    tags: [],
    notebooks: [],
    trashed: false,
    pinned: null,
    shared: null,
    from: null,
    before: null,
    remarks: [],
  };
  const pieces = piecesOf(typed.slice(0, mostCharacters));
  for (const piece of pieces) take(draft, piece);
  // Conditions may stand behind the last word.
  const lastWord = pieces.findLast((piece) => isWord(piece) && !piece.isExcluded);
  const last = draft.all.pop();
  if (last !== undefined) draft.all.push({ ...last, isPrefix: lastWord?.isClosed !== true });
  return { ...draft, isEmpty: pieces.length === 0 };
}

function piecesOf(typed: string): Piece[] {
  const text = typed.replace(/[“”„«»]/g, '"');
  const pattern = /(-?)(?:(tag|in|is|before|after):)?(?:"([^"]*)("|$)|([^\s"]+))/giu;
  const pieces = [...text.matchAll(pattern)].slice(0, mostPieces).map((match) => {
    const [whole, minus = "", key, quoted, closing, plain] = match;
    const value = quoted ?? plain ?? "";
    const end = match.index + whole.length;
    return {
      isExcluded: minus === "-",
      key: key?.toLowerCase() ?? null,
      value: value.trim(),
      isQuoted: quoted !== undefined,
      isClosed: closing === '"',
      isLast: end === text.length && closing !== '"',
    };
  });
  // `tag:` alone is a condition without its value, as soon as something else follows.
  return pieces.map(bareCondition).filter(({ value, key }) => value !== "" || key !== null);
}

function bareCondition(piece: Piece): Piece {
  const bare = /^-?(tag|in|is|before|after):$/i.exec(piece.value)?.[1];
  if (piece.key !== null || piece.isQuoted || bare === undefined) return piece;
  return { ...piece, key: bare.toLowerCase(), value: "" };
}

function take(draft: Draft, piece: Piece): void {
  if (isCondition(piece.key)) takeCondition(draft, piece.key, piece);
  else if (isWord(piece)) takePhrase(draft, piece);
  else takeTag(draft, piece);
}

function isWord({ key, isQuoted, value }: Piece): boolean {
  return !isCondition(key) && (isQuoted || !value.startsWith("#") || cleanTag(value) === null);
}

function isCondition(key: string | null): key is Condition {
  return conditions.some((condition) => condition === key);
}

function takePhrase(draft: Draft, { value, isExcluded, isQuoted }: Piece): void {
  const phrase = { text: value, isPrefix: !isQuoted && value.endsWith("*") };
  (isExcluded ? draft.none : draft.all).push(phrase);
}

function takeCondition(draft: Draft, key: Condition, piece: Piece): void {
  if (piece.value === "") {
    if (!piece.isLast) draft.remarks.push(`Say what you mean behind “${key}:”.`);
    return;
  }
  switch (key) {
    case "tag":
      return takeTag(draft, piece);
    case "in":
      draft.notebooks.push({
        name: piece.value,
        isPrefix: piece.isLast,
        isExcluded: piece.isExcluded,
      });
      return;
    case "is":
      return takeState(draft, piece);
    case "before":
    case "after":
      return takeDate(draft, key, piece);
  }
}

function takeTag(draft: Draft, { value, isExcluded, isLast }: Piece): void {
  const tag = cleanTag(value);
  if (tag === null) {
    draft.remarks.push(`“${value}” cannot be a tag: tags are made of letters, digits, - _ and /.`);
    return;
  }
  draft.tags.push({ key: tagKey(tag), isPrefix: isLast && !isExcluded, isExcluded });
}

const states = ["pinned", "trashed", "shared"] as const;

function takeState(draft: Draft, { value, isExcluded, isLast }: Piece): void {
  const state = states.find((name) => name === value.toLowerCase());
  switch (state) {
    case "pinned":
      draft.pinned = !isExcluded;
      return;
    case "shared":
      draft.shared = !isExcluded;
      return;
    case "trashed":
      draft.trashed = !isExcluded;
      return;
    case undefined: {
      const isBegun = isLast && states.some((name) => name.startsWith(value.toLowerCase()));
      if (!isBegun)
        draft.remarks.push(`“is:${value}” is not known: there are pinned, trashed and shared.`);
    }
  }
}

function takeDate(draft: Draft, key: "before" | "after", { value, isExcluded, isLast }: Piece) {
  const moment = beginningOf(value);
  if (moment === null) {
    const isBegun = isLast && /^\d{1,4}(-(\d{1,2}(-\d{0,2})?)?)?$/.test(value);
    if (!isBegun) {
      draft.remarks.push(
        `“${key}:${value}” holds no date: write 2026, 2026-03 or 2026-03-14 behind it.`,
      );
    }
    return;
  }
  // What is not before a moment is from that moment on.
  const isFrom = (key === "after") !== isExcluded;
  if (isFrom) draft.from = Math.max(moment, draft.from ?? moment);
  else draft.before = Math.min(moment, draft.before ?? moment);
}

/** When a year, month or day begins where this runs; null for what is none. */
function beginningOf(written: string): number | null {
  const match = /^(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?$/.exec(written);
  if (match === null) return null;
  const [year = 0, month = 1, day = 1] = match.slice(1).map((part) => Number(part ?? 1));
  const date = new Date(year, month - 1, day);
  const isReal =
    date.getFullYear() === year && date.getMonth() === month - 1 && date.getDate() === day;
  return isReal ? date.getTime() : null;
}

/*
 * What is a word, for a tokenizer that knows only runs of letters (SQLite's unicode61). Where people put no spaces
 * between words, marks are put into the text before it is indexed, and into a query alike:
 *
 * - Chinese, Japanese and Korean: around every character, and what is looked for is a phrase of characters. Words of a
 *   dictionary would hide parts of compounds (大学 in 北京大学) and differ from one browser to the next.
 * - Thai, Lao, Khmer and Burmese: between the words that Intl.Segmenter finds; single characters would match anywhere.
 * - Emoji: around each.
 *
 * The mark is a control character that no text has any business to hold; without it the text is what it was.
 *
 * unicode61 folds the accents of Latin letters, and elsewhere only those that stand apart from their letter. So the letters
 * of Greek, and the Cyrillic ё, are taken apart for the index and put together again behind it. (й is a letter of its own.)
 */

export const wordMark = "\u001f";

const spacelessLetter = String.raw`(?=[\p{L}\p{N}])[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Hang}\p{scx=Bopo}]|\p{Extended_Pictographic}`;
const cluster = new RegExp(String.raw`(?:${spacelessLetter})\p{M}*`, "gu");
const clusters = new RegExp(String.raw`(?:(?:${spacelessLetter})\p{M}*)+`, "gu");
const segmented = /[\p{sc=Thai}\p{sc=Lao}\p{sc=Khmr}\p{sc=Mymr}]+/gu;
const accented = /[\u0370-\u03ff\u1f00-\u1fffёЁ]+/g;
const apart = /[\u0370-\u03ff\u1f00-\u1fffеЕ][\u0300-\u036f]+/g;
/** Most text is told at once to need nothing. */
const mayNeedMarks =
  /[\u0370-\u03ff\u1f00-\u1fffёЁ\u0e00-\u109f\u1100-\u11ff\u1780-\u17ff\u19e0-\u19ff\u2190-\u{10ffff}©®]/u;

const segmenter =
  // Firefox before 125 has none; there a run counts as one word and is found by its beginning.
  "Segmenter" in Intl ? new Intl.Segmenter("th", { granularity: "word" }) : null;

/** The text with {@link wordMark} between words that no space divides. */
export function markWords(text: string): string {
  const clean = text.includes(wordMark) ? withoutMarks(text) : text;
  if (!mayNeedMarks.test(clean)) return clean;
  return clean
    .replace(accented, (letters) => letters.normalize("NFD"))
    .replace(clusters, (run) => `${run.replace(cluster, `${wordMark}$&`)}${wordMark}`)
    .replace(segmented, markSegments);
}

export function withoutMarks(marked: string): string {
  return marked.replaceAll(wordMark, "").replace(apart, (letters) => letters.normalize("NFC"));
}

function markSegments(run: string): string {
  if (segmenter === null) return `${wordMark}${run}${wordMark}`;
  const words = Array.from(segmenter.segment(run), ({ segment }) => segment);
  return `${wordMark}${words.join(wordMark)}${wordMark}`;
}

const noTokenCharacters = /[^\p{L}\p{N}\p{M}\p{Co}\p{Extended_Pictographic}]+/gu;

/**
 * Words in the order in which they must stand, for FTS4's MATCH; null if there is no letter in them. Nothing of what was
 * typed is an operator: all that is left of it is letters between quotes.
 *
 * @param isPrefix the last word may go on
 */
export function phraseOf(text: string, isPrefix: boolean): string | null {
  const words = markWords(text).replace(noTokenCharacters, " ").trim();
  if (!/[^\p{M}\s]/u.test(words)) return null;
  return `"${words}${isPrefix ? "*" : ""}"`;
}

/**
 * Characters that unicode61 would take for spaces: vowel signs and other marks that are parts of words in the scripts of
 * India and South-East Asia, and emoji. Accents it knows by itself, and folds.
 */
export function extraTokenCharacters(): string {
  const isExtra = /(?![\u0300-\u0331\ufe00-\ufe0f])\p{M}|(?![\0-\xff])\p{Extended_Pictographic}/gu;
  // Where there are any, in the scripts and signs of today.
  const blocks = [
    [0x332, 0x1cff],
    [0x20d0, 0x2bff],
    [0x302a, 0x309a],
    [0xa66f, 0xabff],
    [0x1_f000, 0x1_faff],
  ] as const;
  // One search in one text: asked of each character by itself it takes several times as long.
  const characters = blocks.flatMap(([first, last]) =>
    Array.from({ length: last - first + 1 }, (_, ix) => String.fromCodePoint(first + ix)),
  );
  return characters.join("").match(isExtra)?.join("") ?? "";
}

/*
 * BM25F (Robertson, Zaragoza, Taylor 2004: "Simple BM25 extension to multiple weighted fields"): the weighted counts of a
 * word in all columns go through one saturation, so that a word in the title counts more, and not merely more often.
 */

/** Title, body, tags. */
const weights = [6, 1, 5] as const;
const saturation = 1.2;
/** What a word that stands in every note still counts: it may stand in a title. */
const commonWord = 0.2;
/** How much a long text counts its words for less, 0 to 1. */
const lengthNormalisation = 0.6;

/** What FTS4's matchinfo('pcnalx') says of one row: 32-bit numbers in the platform's order, little-endian everywhere. */
export interface MatchInfo {
  readonly phrases: number;
  readonly columns: number;
  readonly rows: number;
  readonly averageLengths: readonly number[];
  readonly lengths: readonly number[];
  /** For each phrase, for each column: hits in this row, hits in all rows, rows with hits. */
  readonly hits: readonly number[];
}

export function readMatchInfo(blob: Uint8Array): MatchInfo {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const numbers = Array.from({ length: blob.byteLength / 4 }, (_, ix) =>
    view.getUint32(ix * 4, true),
  );
  const [phrases = 0, columns = 0, rows = 0, ...rest] = numbers;
  return {
    phrases,
    columns,
    rows,
    averageLengths: rest.slice(0, columns),
    lengths: rest.slice(columns, 2 * columns),
    hits: rest.slice(2 * columns),
  };
}

/** How well a row answers the query; higher is better. */
export function scoreOf(info: MatchInfo): number {
  let score = 0;
  for (let phrase = 0; phrase < info.phrases; phrase += 1) score += phraseScore(info, phrase);
  return score;
}

function phraseScore(info: MatchInfo, phrase: number): number {
  let count = 0;
  let rowsWithHits = 0;
  for (let column = 0; column < info.columns; column += 1) {
    const at = 3 * (phrase * info.columns + column);
    const length = (info.lengths[column] ?? 0) / Math.max(1, info.averageLengths[column] ?? 1);
    const norm = 1 - lengthNormalisation + lengthNormalisation * length;
    count += ((weights[column] ?? 1) * (info.hits[at] ?? 0)) / norm;
    rowsWithHits = Math.max(rowsWithHits, info.hits[at + 2] ?? 0);
  }
  const rarity = Math.log(1 + (info.rows - rowsWithHits + 0.5) / (rowsWithHits + 0.5));
  return ((rarity + commonWord) * (count * (saturation + 1))) / (count + saturation);
}

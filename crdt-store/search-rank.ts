/*
 * BM25F (Robertson, Zaragoza, Taylor 2004: "Simple BM25 extension to multiple weighted fields"): the weighted counts of a
 * word in all columns go through one saturation, so that a word in the title counts more, and not merely more often.
 */

/** Title, body, tags. */
const weights = [10, 1, 8] as const;
const body = 1;
const saturation = 1.2;
/** How much a long text counts its words for less, 0 to 1, and how long, in UTF-16 units, it ordinarily is. */
const lengthNormalisation = 0.6;
const ordinaryLength = 2_000;
/** What a word that stands in every note still counts: it may stand in a title. */
const commonWord = 0.2;

/** What FTS4's matchinfo('ncpx') says of one row: 32-bit numbers in the platform's order, little-endian everywhere. */
export interface MatchInfo {
  readonly rows: number;
  readonly columns: number;
  readonly phrases: number;
  /** For each phrase, for each column: hits in this row, hits in all rows, rows with hits. */
  readonly hits: readonly number[];
}

export function readMatchInfo(blob: Uint8Array): MatchInfo {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const numbers = Array.from({ length: blob.byteLength / 4 }, (_, ix) =>
    view.getUint32(ix * 4, true),
  );
  const [rows = 0, columns = 0, phrases = 0, ...hits] = numbers;
  return { rows, columns, phrases, hits };
}

/** How well a row whose body has so many UTF-16 units answers the query; higher is better. */
export function scoreOf(info: MatchInfo, bodyLength: number): number {
  const share = Math.min(bodyLength / ordinaryLength, 50);
  const norm = 1 - lengthNormalisation + lengthNormalisation * share;
  let score = 0;
  for (let phrase = 0; phrase < info.phrases; phrase += 1) {
    score += phraseScore(info, phrase, norm);
  }
  return score;
}

function phraseScore(info: MatchInfo, phrase: number, bodyNorm: number): number {
  let count = 0;
  let rowsWithHits = 0;
  for (let column = 0; column < info.columns; column += 1) {
    const at = 3 * (phrase * info.columns + column);
    const weighted = (weights[column] ?? 1) * (info.hits[at] ?? 0);
    count += column === body ? weighted / bodyNorm : weighted;
    rowsWithHits = Math.max(rowsWithHits, info.hits[at + 2] ?? 0);
  }
  const rarity = Math.log(1 + (info.rows - rowsWithHits + 0.5) / (rowsWithHits + 0.5));
  return ((rarity + commonWord) * (count * (saturation + 1))) / (count + saturation);
}

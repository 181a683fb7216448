/** Which changes are tried where they can be stopped before anybody applies them: a rule, and nothing else. */

export interface Work {
  /** Rows they unroll to when they are applied. */
  readonly rows: number;
  readonly bytes: number;
}

/** Automerge takes a second or more for so many, whatever they are. */
export const manyRows = 100_000;
/** Below so many it takes no time that anybody would notice. */
export const fewRows = 10_000;
/** Written text has a byte for each row at least; run lengths without end have a few for all of them. */
export const mostRowsPerByte = 4;

/**
 * Whether changes that came together are out of the ordinary: far more work than anybody types, or far more than their size
 * accounts for.
 *
 * @param before what came of the document since some of it was last tried, so that many small ones count as what they are
 */
export function isUnusual(come: Work, before: Work): boolean {
  if (come.rows >= manyRows) return true;
  const rows = come.rows + before.rows;
  return rows >= fewRows && rows > mostRowsPerByte * (come.bytes + before.bytes);
}

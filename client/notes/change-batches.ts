import type { FieldSplice } from "#client/device/api.ts";

/**
 * Characters inserted by one change at most: four UTF-8 bytes each stay below the relay's 256 KiB for
 * an entry, whatever deflate makes of them. A change cannot be divided once it is made.
 */
export const mostCharactersPerChange = 40_000;

/** The text in runs of at most {@link mostCharactersPerChange}, no surrogate pair cut. */
export function inPieces(text: string): readonly string[] {
  const pieces: string[] = [];
  for (let at = 0; at < text.length;) {
    let end = Math.min(text.length, at + mostCharactersPerChange);
    const last = text.charCodeAt(end - 1);
    if (end < text.length && last >= 0xd800 && last <= 0xdbff) end -= 1;
    pieces.push(text.slice(at, end));
    at = end;
  }
  return pieces;
}

/**
 * Splices in order, in as many changes as are needed that none outgrows an entry; one, as a rule.
 * Long insertions are cut, positions stay sequential.
 */
export function inBatches(edits: readonly FieldSplice[]): readonly (readonly FieldSplice[])[] {
  const batches: FieldSplice[][] = [[]];
  let size = 0;
  for (const edit of edits) {
    const pieces = inPieces(edit.insert);
    for (const [ix, piece] of (pieces.length === 0 ? [""] : pieces).entries()) {
      const before = pieces.slice(0, ix).reduce((sum, earlier) => sum + earlier.length, 0);
      if (size > 0 && size + piece.length > mostCharactersPerChange) {
        batches.push([]);
        size = 0;
      }
      batches.at(-1)?.push({
        ...edit,
        at: edit.at + before,
        remove: ix === 0 ? edit.remove : 0,
        insert: piece,
      });
      size += piece.length;
    }
  }
  return batches.filter((batch) => batch.length > 0);
}

/** Which rows of a long list are in the page: those in sight, and some on either side for whoever scrolls on. */

/** Rows that a screen's height and a half of scrolling brings: they are there before they are seen. */
const beyond = 20;

/**
 * @param top how far the list is scrolled, in px
 * @param height what is seen of it, in px
 * @param pitch from one row to the next, in px
 * @param kept the place of a row that stays in the page wherever it is, -1 for none: it has the keyboard's focus
 * @returns places in the list, rising
 */
export function placesInView(
  { top, height }: { readonly top: number; readonly height: number },
  pitch: number,
  count: number,
  kept: number,
): readonly number[] {
  const last = Math.min(count, Math.ceil((top + height) / pitch) + beyond);
  // What was taken from the end of a list leaves it scrolled too far for a moment.
  const first = Math.max(0, Math.min(Math.floor(top / pitch), count) - beyond);
  const places = Array.from({ length: Math.max(0, last - first) }, (_, ix) => first + ix);
  if (kept < 0 || kept >= count || (kept >= first && kept < last)) return places;
  return kept < first ? [kept, ...places] : [...places, kept];
}

/** What the page says to the service worker that waits; one word, so that old and new versions agree. */
export const TAKE_OVER = "take-over";

/** What went wrong, in its own words, for the log people read. */
export function failureWords(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

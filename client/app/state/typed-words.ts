/** The words in what somebody typed or pasted, numbers and punctuation of a printed list left out. */
export function wordsIn(typed: string): string[] {
  return (
    typed
      .toLowerCase()
      .normalize("NFKD")
      .match(/\p{L}+/gu) ?? []
  );
}

/** The three words somebody is asked for, to see that what they saved can be read again. */

export interface AskedWord {
  /** From 1, as the words are numbered. */
  readonly number: number;
  readonly word: string;
}

/** One of each third. Always the same of the same words: asking again teaches nobody the easy ones. */
export function wordsToAsk(words: readonly string[]): readonly AskedWord[] {
  const third = Math.floor(words.length / 3);
  let mix = 0;
  for (const letter of words.join(" ")) mix = (mix * 31 + (letter.codePointAt(0) ?? 0)) >>> 0;
  return [0, 1, 2].flatMap((part) => {
    const ix = part * third + (Math.floor(mix / third ** part) % third);
    const word = words[ix];
    return word === undefined ? [] : [{ number: ix + 1, word }];
  });
}

/** The numbers of those that were answered with another word. */
export function wrongAnswers(
  asked: readonly AskedWord[],
  answers: readonly string[],
): readonly number[] {
  return asked.flatMap(({ number, word }, ix) =>
    (answers[ix] ?? "").trim().toLowerCase() === word ? [] : [number],
  );
}

/** A sentence on what does not fit, for somebody who looks at their own writing. */
export function wrongWords(numbers: readonly number[]): string {
  const [first] = numbers;
  return numbers.length === 1
    ? `Word ${first} is another one. Look at what you saved: is it word ${first}, and spelled the same?`
    : `Words ${numbers.join(" and ").replace(/ and (?=.* and )/g, ", ")} are others. Look at what you saved: are they in this order?`;
}

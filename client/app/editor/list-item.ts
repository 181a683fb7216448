/** The beginning of a line that is a list item, read as text. */
export interface Item {
  /** Quote marks before it, with the space after each. */
  readonly quote: string;
  readonly indent: string;
  /** "-", "*", "+", or a number with "." or ")". */
  readonly mark: string;
  readonly number: number | null;
  readonly task: boolean;
  /** Where the mark begins and where the text after it (and after the box of a task) begins. */
  readonly markAt: number;
  readonly textAt: number;
}

const itemStart =
  /^((?:[ ]{0,3}> ?)*)([ \t]*)([-+*]|(\d{1,9})[.)])(?:[ \t]+(\[[ xX]\])(?=\s|$))?(?:[ \t]+|$)/;
const thematicBreak = /^[ ]{0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;

export function readItem(line: string): Item | null {
  const match = itemStart.exec(line);
  if (!match || thematicBreak.test(line)) return null;
  const [all, quote = "", indent = "", mark = "", number, box] = match;
  return {
    quote,
    indent,
    mark,
    number: number === undefined ? null : Number(number),
    task: box !== undefined,
    markAt: quote.length + indent.length,
    textAt: all.length,
  };
}

/** The quote marks a line begins with, with the space after each. */
export function readQuote(line: string): string {
  return /^(?:[ ]{0,3}> ?)*/.exec(line)?.[0] ?? "";
}

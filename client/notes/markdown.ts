// A note's title and preview are shown in lists and sealed into its card: short, and cheap to make
// after every commit however long the note is, so only the beginning of the body is ever read.
const readChars = 4000;
const titleChars = 200;
const previewChars = 200;

/** The note's name as one plain line: its title, or else the first line of its body that says something. */
export function plainTitle(note: { readonly title: string; readonly body: string }): string {
  const title = oneLine(note.title);
  return cut(title || (plainLines(note.body)[0] ?? ""), titleChars);
}

/** What follows the name, as one plain line of at most 200 characters. */
export function plainPreview(note: { readonly title: string; readonly body: string }): string {
  const lines = plainLines(note.body);
  const rest = oneLine(note.title) ? lines : lines.slice(1);
  return cut(oneLine(rest.join(" ")), previewChars);
}

/** One line of Markdown without its marks; code keeps its characters. */
export function plainLine(line: string): string {
  const unquoted = line.replace(/^\s*(?:>\s?)+/, "");
  if (/^\s*(?:(?:-\s*){3,}|(?:\*\s*){3,}|(?:_\s*){3,}|=+)$/.test(unquoted)) return "";
  const text = unquoted
    .replace(/^\s*(?:[-+*]|\d{1,9}[.)])\s+/, "")
    .replace(/^\[[ xX]\]\s+/, "")
    .replace(/^\s*#{1,6}(?:\s+|$)/, "");
  return oneLine(splitCode(text).map(plainSpan).join(""));
}

function plainLines(body: string): string[] {
  const lines: string[] = [];
  let inFence = false;
  for (const line of body.slice(0, readChars).split(/\r\n?|\n/)) {
    if (/^\s*(?:`{3,}|~{3,})/.test(line)) {
      inFence = !inFence;
      continue;
    }
    const plain = inFence ? oneLine(line) : plainLine(line);
    if (plain) lines.push(plain);
  }
  return lines;
}

interface Span {
  readonly text: string;
  readonly code: boolean;
}

function splitCode(text: string): Span[] {
  const spans: Span[] = [];
  let rest = 0;
  for (const match of text.matchAll(/(`+)([^`]|[^`].*?[^`])\1(?!`)/g)) {
    spans.push({ text: text.slice(rest, match.index), code: false });
    spans.push({ text: match[2] ?? "", code: true });
    rest = match.index + match[0].length;
  }
  spans.push({ text: text.slice(rest), code: false });
  return spans;
}

function plainSpan({ text, code }: Span): string {
  if (code) return text;
  return text
    .replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/<((?:https?:|mailto:)[^>\s]+)>/g, "$1")
    .replace(/(?<!\\)(\*\*|__|~~)(?=\S)(.*?[^\s\\])\1/g, "$2")
    .replace(/(?<![\\\w*])([*_])(?=\S)(.*?[^\s\\])\1(?![\w*])/g, "$2")
    .replace(/\\([!-/:-@[-`{-~])/g, "$1");
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

function cut(text: string, chars: number): string {
  return text.length <= chars ? text : text.slice(0, chars).replace(/[\ud800-\udbff]$/, "");
}

/** The tags of a note: those set on it and the #words written in its body. */

/** More than anybody writes by hand; a pasted log must not become a thousand tags. */
const mostTags = 200;
const longestTag = 100;

const tagCharacters = String.raw`[\p{L}\p{N}\p{M}_\-/]`;
/** Scripts written without spaces: there a tag may follow a letter. */
const unspaced = String.raw`[\p{sc=Han}\p{sc=Hira}\p{sc=Kana}\p{sc=Hang}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmr}\p{sc=Mymr}]`;
/** Behind a letter, a second #, a backslash or an ampersand no tag begins. */
const inlineTag = new RegExp(
  String.raw`(?<=^|${unspaced}|[^\p{L}\p{N}\p{M}_\\#&/])#(${tagCharacters}+)`,
  "gu",
);
const wholeTag = new RegExp(`^${tagCharacters}+$`, "u");
const address =
  /\b[a-z][a-z0-9+.-]*:\/\/\S+|\bmailto:\S+|\]\([^)\n]{0,2000}\)|^\s{0,3}\[[^\]\n]+\]:.*$/gim;

/** Each once, as first written, whatever its case; tags set on the note come first. */
export function tagsOf(note: {
  readonly tags: Readonly<Record<string, boolean>>;
  readonly body: string;
}): string[] {
  const set = Object.keys(note.tags ?? {}).filter((name) => note.tags[name] === true);
  const found = new Map<string, string>();
  for (const written of [...set, ...inlineTags(note.body)]) {
    const tag = cleanTag(written);
    if (tag !== null && !found.has(tagKey(tag))) found.set(tagKey(tag), tag);
    if (found.size === mostTags) break;
  }
  return [...found.values()];
}

/** What makes two spellings the same tag. */
export function tagKey(tag: string): string {
  return tag.normalize("NFC").toLowerCase();
}

/** Whether `tag` is `parent` or stands below it, as `garden/beds` below `garden`. Both are keys. */
export function isWithinTag(tag: string, parent: string): boolean {
  return tag === parent || tag.startsWith(`${parent}/`);
}

/** Without # and without what cannot end a tag; null for what is none, a number for example. */
export function cleanTag(written: string): string | null {
  const tag = written
    .normalize("NFC")
    .replace(/^#/, "")
    .replace(/^[-/]+|[-/]+$/g, "");
  if (tag === "" || tag.length > longestTag || !wholeTag.test(tag)) return null;
  return /[^\p{N}\-_/]/u.test(tag) ? tag : null;
}

function inlineTags(body: string): string[] {
  if (!body.includes("#")) return [];
  const prose = withoutCodeBlocks(body)
    .split(/\n\s*\n/)
    .map((paragraph) => withoutCodeSpans(paragraph).replace(address, " ] "))
    .join("\n");
  return [...prose.matchAll(inlineTag)].map(([, tag = ""]) => tag);
}

function withoutCodeBlocks(body: string): string {
  const kept: string[] = [];
  let fence: string | null = null;
  let isInList = false;
  let mayIndent = true;
  for (const line of body.split("\n")) {
    const mark = /^[\s>]*(?:[-+*]\s+)?(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence !== null) {
      if (mark?.startsWith(fence) === true) fence = null;
      continue;
    }
    if (mark !== undefined) {
      fence = mark;
      continue;
    }
    const isBlank = line.trim() === "";
    const isIndented = /^(?: {4}|\t)/.test(line);
    // Four spaces are code only where no paragraph and no list can go on.
    const isCode: boolean = isIndented && mayIndent && !isInList;
    if (/^\s*(?:[-+*]|\d{1,9}[.)])\s/.test(line)) isInList = true;
    else if (!isBlank && !/^\s/.test(line)) isInList = false;
    mayIndent = isBlank || isCode;
    kept.push(isCode ? "" : line);
  }
  return kept.join("\n");
}

/** A span lies between two runs of as many backticks; a run without its like is text. */
function withoutCodeSpans(paragraph: string): string {
  const runs = [...paragraph.matchAll(/`+/g)].map(({ index, 0: { length } }) => ({
    index,
    length,
  }));
  const next = new Map<number, number>();
  const closing = runs.map(() => -1);
  for (let at = runs.length - 1; at >= 0; at -= 1) {
    const { length = 0 } = runs[at] ?? {};
    closing[at] = next.get(length) ?? -1;
    next.set(length, at);
  }
  let text = "";
  let from = 0;
  for (let at = 0; at < runs.length; at += 1) {
    const run = runs[at];
    const end = runs[closing[at] ?? -1];
    if (run === undefined || end === undefined) continue;
    text += `${paragraph.slice(from, run.index)} \` `;
    from = end.index + end.length;
    at = closing[at] ?? at;
  }
  return text + paragraph.slice(from);
}

/** Pieces of Markdown that a search found, as they are read: without the marks that make headings, lists and links. */
import type { TextPart } from "#client/device/api.ts";

/** What was looked for keeps every character; of what stands around it the marks go. */
export function plainSnippet(parts: readonly TextPart[]): TextPart[] {
  const plain = parts.map((part, index) => {
    if (part.match) return part;
    // The first part begins a line unless an ellipsis stands there.
    const text =
      index === 0 ? withoutMarkup(`\n${part.text}`).trimStart() : withoutMarkup(part.text);
    return { ...part, text };
  });
  return plain.filter((part) => part.text !== "");
}

function withoutMarkup(text: string): string {
  return text
    .replace(/!?\[([^\]\n]*)\]\([^)\n]{0,2000}\)/g, "$1")
    .replace(/\]\([^)\n]{0,2000}\)/g, "")
    .replace(/\n[ \t]*(?:>[ \t]?)+/g, "\n")
    .replace(/\n[ \t]*(?:[-+*]|\d{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?/g, "\n")
    .replace(/\n[ \t]*#{1,6}[ \t]+/g, "\n")
    .replace(/\n[ \t]*(?:`{3,}|~{3,})[^\n]*/g, "\n")
    .replace(/\*\*|__|~~|`+/g, "")
    .replace(/(?<![\p{L}\p{N}])[*_](?=\S|$)|(?<=\S|^)[*_](?![\p{L}\p{N}])/gu, "")
    .replace(/\s+/g, " ");
}

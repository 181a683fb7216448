/** The 24 words: BIP39 English as an encoding of 32 random bytes, checksum checked, no PBKDF2. */
import { entropyToMnemonic, mnemonicToEntropy } from "@scure/bip39";
import { wordlist } from "@scure/bip39/wordlists/english.js";

export const wordCount = 24;

export function wordsOf(entropy: Uint8Array): readonly string[] {
  return entropyToMnemonic(entropy, wordlist).split(" ");
}

export type Phrase =
  | { readonly ok: true; readonly entropy: Uint8Array }
  /** A sentence for whoever typed. */
  | { readonly ok: false; readonly message: string };

/** Forgives case, line breaks, numbering and commas; nothing else. */
export function parsePhrase(typed: string): Phrase {
  const words = asTyped(typed)
    .split(/[\s,.;:]+/)
    .filter((word) => word !== "" && !/^\d+$/.test(word));
  if (words.length !== wordCount) return refuse(wrongCount(words));
  const unknown = words.findIndex((word) => !wordlist.includes(word));
  if (unknown >= 0) {
    const word = words[unknown] ?? "";
    return refuse(`Word ${unknown + 1} (“${word}”) is not in the list. ${suggestion(word)}`);
  }
  try {
    return { ok: true, entropy: mnemonicToEntropy(words.join(" "), wordlist) };
  } catch {
    return refuse("These words do not belong together: one is wrong, or two are swapped.");
  }
}

/** Whether somebody has typed this word, whatever its case. */
export function sameWord(typed: string, word: string): boolean {
  return asTyped(typed).trim() === word;
}

function asTyped(typed: string): string {
  return typed.normalize("NFKD").toLowerCase();
}

/** How many words other programs use for the same list. */
const otherCounts = [12, 15, 18, 21];

function wrongCount(words: readonly string[]): string {
  const isOfAnother =
    otherCounts.includes(words.length) && words.every((word) => wordlist.includes(word));
  const whose = isOfAnother ? " Words of another program do not open Sealeaf." : "";
  return `These are ${words.length} words; there must be ${wordCount}.${whose}`;
}

const mostSuggestions = 3;
const mostSlips = 2;

/** The words of the list that are nearest to a mistyped one. */
function suggestion(typed: string): string {
  const near = wordlist
    .map((word) => ({ word, slips: slipsBetween(typed, word) }))
    .filter(({ slips }) => slips <= mostSlips);
  const fewest = Math.min(...near.map(({ slips }) => slips));
  const nearest = near.filter(({ slips }) => slips === fewest).map(({ word }) => `“${word}”`);
  if (nearest.length === 0 || nearest.length > mostSuggestions) return "Is it a typing error?";
  return `Did you mean ${nearest.join(" or ")}?`;
}

/** Letters left out, added, changed, or swapped with their neighbour: how many of these lie between two words. */
function slipsBetween(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > mostSlips) return Infinity;
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const now = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const isSame = a[row - 1] === b[column - 1];
      const steps = [
        (last[column] ?? 0) + 1,
        (now[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (isSame ? 0 : 1),
      ];
      const isSwapped = a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (row > 1 && column > 1 && isSwapped) steps.push((beforeLast[column - 2] ?? 0) + 1);
      now.push(Math.min(...steps));
    }
    beforeLast = last;
    last = now;
  }
  return last[b.length] ?? Infinity;
}

function refuse(message: string): Phrase {
  return { ok: false, message };
}

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
  const words = typed
    .normalize("NFKD")
    .toLowerCase()
    .split(/[\s,.;:]+/)
    .filter((word) => word !== "" && !/^\d+$/.test(word));
  if (words.length !== wordCount) {
    return refuse(`These are ${words.length} words; there must be ${wordCount}.`);
  }
  const unknown = words.findIndex((word) => !wordlist.includes(word));
  if (unknown >= 0) {
    return refuse(
      `Word ${unknown + 1} (“${words[unknown]}”) is not in the list. Is it a typing error?`,
    );
  }
  try {
    return { ok: true, entropy: mnemonicToEntropy(words.join(" "), wordlist) };
  } catch {
    return refuse("These words do not belong together: one is wrong, or two are swapped.");
  }
}

function refuse(message: string): Phrase {
  return { ok: false, message };
}

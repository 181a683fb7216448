/** The 24 words while they wait on this device, and the proof that they are kept elsewhere. */
import type { Store } from "#crdt-store/store.ts";
import { sameWord, wordCount, wordsOf } from "#client/crypto/phrase.ts";
import type { Random } from "#client/sync/ports.ts";
import { destroyEntropy, loadEntropy } from "./identity.ts";
import { refuse } from "./refusal.ts";

/** What somebody types when asked for some of the words: position (from 1) → word. */
export type WordAnswers = Readonly<Record<number, string>>;

const askedSetting = "device/words-asked";
const howManyAreAsked = 3;

export class RecoveryWords {
  readonly #store: Store;
  readonly #random: Random;

  constructor(ports: { readonly store: Store; readonly random: Random }) {
    this.#store = ports.store;
    this.#random = ports.random;
  }

  /** Null once they are gone. */
  list(): readonly string[] | null {
    const entropy = loadEntropy(this.#store);
    return entropy === null ? null : wordsOf(entropy);
  }

  /** Three positions, ascending from 1, the same until they are answered. Refused with `bad-words` when the words are gone. */
  asked(): readonly number[] {
    if (loadEntropy(this.#store) === null) refuse("bad-words", gone);
    const before = this.#store.settings.get(askedSetting);
    if (before !== null) return [...before];
    const asked = positions(this.#random);
    this.#store.settings.put(askedSetting, Uint8Array.from(asked));
    return asked;
  }

  /**
   * Destroys the words here; with answers, if these are the words that were asked for.
   * @param answers null where nobody can be asked
   */
  confirm(answers: WordAnswers | null): void {
    if (answers !== null) this.#mustBeRight(answers);
    this.#store.transaction(() => {
      destroyEntropy(this.#store);
      this.#store.settings.remove(askedSetting);
    });
  }

  #mustBeRight(answers: WordAnswers): void {
    const asked = this.asked();
    const words = this.list() ?? [];
    const wrong = asked.filter((position) => {
      const word = words[position - 1];
      const answer = answers[position];
      return word === undefined || answer === undefined || !sameWord(answer, word);
    });
    if (wrong.length === 0) return;
    const which = wrong.length === 1 ? `Word ${wrong[0]} is` : `Words ${listed(wrong)} are`;
    refuse(
      "bad-words",
      `${which} not what you saved. Look again: your words are still on this device.`,
    );
  }
}

const gone = "The words are not on this device any more.";

function positions(random: Random): number[] {
  const asked = new Set<number>();
  // 240 is a multiple of 24: each position is as likely as any other.
  while (asked.size < howManyAreAsked) {
    for (const byte of random(8)) {
      if (byte < 240 && asked.size < howManyAreAsked) asked.add(1 + (byte % wordCount));
    }
  }
  return [...asked].toSorted((a, b) => a - b);
}

function listed(numbers: readonly number[]): string {
  return `${numbers.slice(0, -1).join(", ")} and ${numbers.at(-1)}`;
}

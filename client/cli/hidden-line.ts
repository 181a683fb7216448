/** One line typed at a terminal that does not show it. */

export type HiddenLineEnd =
  | { readonly type: "typed"; readonly text: string }
  | { readonly type: "cancelled" };

const ctrl = (letter: string): string => String.fromCharCode(letter.charCodeAt(0) - 64);

/** Keeps what is typed in raw mode and understands the keys that mend a line. */
export class HiddenLine {
  #text = "";

  /** @param typed as it comes from the terminal; null: the line goes on */
  type(typed: string): HiddenLineEnd | null {
    for (const character of typed) {
      switch (character) {
        case "\r":
        case "\n":
        case ctrl("D"):
          return { type: "typed", text: this.#text };
        case ctrl("C"):
          return { type: "cancelled" };
        case ctrl("U"):
          this.#text = "";
          break;
        case ctrl("H"):
        case "\u{7f}":
          this.#text = Array.from(this.#text).slice(0, -1).join("");
          break;
        default:
          this.#text += character;
      }
    }
    return null;
  }
}

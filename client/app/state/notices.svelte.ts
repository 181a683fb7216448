import type { NoteTimers } from "#client/notes/open-note.ts";

export interface Notice {
  readonly id: number;
  readonly text: string;
  readonly action: { readonly label: string; run(): void } | null;
}

const visibleMs = 8_000;

/** Short messages at the edge of the window; each leaves by itself or when it is dismissed. */
export class Notices {
  readonly #timers: NoteTimers;
  #lastId = 0;
  list = $state.raw<readonly Notice[]>([]);

  constructor(timers: NoteTimers) {
    this.#timers = timers;
  }

  /** The id to dismiss it by. */
  show(text: string, action: Notice["action"] = null): number {
    this.#lastId += 1;
    const id = this.#lastId;
    // The same sentence twice in a row says nothing new.
    const others = this.list.filter((notice) => notice.text !== text);
    this.list = [...others, { id, text, action }].slice(-3);
    this.#timers.after(visibleMs, () => this.dismiss(id));
    return id;
  }

  dismiss(id: number): void {
    this.list = this.list.filter((notice) => notice.id !== id);
  }
}

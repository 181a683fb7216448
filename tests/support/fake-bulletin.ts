import type { Bulletin, Notice } from "#client/worker/bulletin.ts";

/** The air of one browser: what one calls out all others hear, at once. */
export class FakeAir {
  readonly #listeners = new Set<{ readonly owner: object; hear(notice: Notice): void }>();
  /** Everything that was called out so far. */
  readonly notices: Notice[] = [];

  /** One tab's or worker's own connection. */
  bulletin(): Bulletin {
    const owner = {};
    return {
      post: (notice) => {
        this.notices.push(notice);
        // As in a browser: the sender does not hear itself.
        for (const listener of this.#listeners) {
          if (listener.owner !== owner) listener.hear(notice);
        }
      },
      listen: (hear) => {
        const listener = { owner, hear };
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
      },
    };
  }
}

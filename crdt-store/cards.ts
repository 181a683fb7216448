import type { Sqlite } from "./sqlite.ts";

/** A document whose newest change the relay has from this device. */
export interface Described {
  readonly doc: Uint8Array;
  readonly space: Uint8Array;
  /** The position of that change. */
  readonly pos: number;
}

/** Which documents have a card at the relay, and from which position it was derived. */
export class Cards {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  /** The relay keeps a card derived at `pos`; a lower position than before changes nothing. */
  keeps(doc: Uint8Array, pos: number): void {
    this.#sqlite.run(
      `INSERT INTO card (doc, pos) VALUES (?, ?)
       ON CONFLICT (doc) DO UPDATE SET pos = max(pos, excluded.pos)`,
      [doc, pos],
    );
  }

  /**
   * Up to `most` documents, of those acknowledged after number `after` in the order of acknowledgements, whose card is
   * older than what this device last sent of them; and the number to go on from.
   */
  behind(after: number, most: number): { readonly documents: Described[]; readonly last: number } {
    const rows = this.#sqlite.all<Described & { id: number; card: number | null }>(
      `SELECT max(relayed.id) AS id, relayed.doc AS doc, relayed.space AS space, max(relayed.pos) AS pos,
         (SELECT card.pos FROM card WHERE card.doc = relayed.doc) AS card
       FROM relayed WHERE relayed.id > ? GROUP BY relayed.doc ORDER BY 1 LIMIT ?`,
      [after, most],
    );
    return {
      documents: rows
        .filter(({ pos, card }) => card === null || card < pos)
        .map(({ doc, space, pos }) => ({ doc, space, pos })),
      last: rows.at(-1)?.id ?? after,
    };
  }

  purge(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM card WHERE doc = ?", [doc]);
  }
}

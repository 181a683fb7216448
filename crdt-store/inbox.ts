import { equalBytes } from "@noble/ciphers/utils.js";

import type { Sqlite } from "./sqlite.ts";

/** How many chain tags of a space are kept, to check what other devices say they saw. */
export const keptChainTags = 10_000;

const chainBytes = 32;

/** Everything up to `pos` was received and its chain checked. */
export interface Cursor {
  readonly pos: number;
  /** The chain value at `pos`, 32 bytes. */
  readonly chain: Uint8Array;
}

/** Something received or found that is kept but not used. */
export interface Quarantined {
  readonly space: Uint8Array | null;
  readonly pos: number | null;
  readonly doc: Uint8Array | null;
  readonly entryId: Uint8Array | null;
  /** A stable code, such as `damaged-row`. */
  readonly reason: string;
  readonly bytes: Uint8Array;
  readonly signer: Uint8Array | null;
}

export interface Frontier {
  /** Device key, 32 bytes. */
  readonly dev: Uint8Array;
  readonly pos: number;
  readonly at: number;
}

/** What came from the relay: how far, with which chain, what had to be set aside, and how far other devices are. */
export class Inbox {
  readonly #sqlite: Sqlite;
  readonly #now: () => number;

  constructor(sqlite: Sqlite, now: () => number) {
    this.#sqlite = sqlite;
    this.#now = now;
  }

  /** Null before the first entry, and for a cursor that is not where the chain is: the log is met anew then. */
  cursor(space: Uint8Array): Cursor | null {
    const row = this.#sqlite.get<{ pos: number; chain: Uint8Array; tag: Uint8Array | null }>(
      `SELECT cursor.pos AS pos, cursor.chain AS chain, tag.chain AS tag FROM cursor
       LEFT JOIN chain_tag AS tag ON tag.space = cursor.space AND tag.pos = cursor.pos
       WHERE cursor.space = ?`,
      [space],
    );
    const fits = row !== undefined && row.tag !== null && equalBytes(row.chain, row.tag);
    return fits && row.chain.length === chainBytes ? { pos: row.pos, chain: row.chain } : null;
  }

  /**
   * Moves the cursor forward to `pos` and remembers its chain value. At or below the cursor nothing changes. Throws if
   * another chain value is remembered for `pos`: the caller has to notice a lying relay before it gets here.
   */
  advance(space: Uint8Array, pos: number, chain: Uint8Array): void {
    this.#sqlite.transaction(() => {
      const cursor = this.cursor(space);
      if (cursor !== null && pos <= cursor.pos) {
        const known = this.chainAt(space, pos);
        if (known !== null && !equalBytes(known, chain)) {
          throw new Error(`another chain is known at position ${pos}`);
        }
        return;
      }
      this.#moveTo(space, pos, chain);
    });
  }

  /**
   * Puts the cursor at `pos`, also backwards, and forgets the chain above it, what was awaited from there, and that
   * other devices had read further: the relay's log was found to be another. Of a document that the relay's list told of,
   * what stands at or below `pos` may be missing, too, and is not read again: it goes on being awaited, from no place in
   * particular (0), since the other log may have nothing of it.
   */
  rewind(space: Uint8Array, pos: number, chain: Uint8Array): void {
    this.#sqlite.transaction(() => {
      this.#sqlite.run("DELETE FROM chain_tag WHERE space = ? AND pos >= ?", [space, pos]);
      if (pos > 0) {
        this.#sqlite.run(
          `INSERT INTO awaited (doc, pos, space, entry_id, listed)
             SELECT DISTINCT doc, 0, space, NULL, 1 FROM awaited WHERE space = ?2 AND pos > ?1 AND listed = 1
           ON CONFLICT DO NOTHING`,
          [pos, space],
        );
      }
      this.#sqlite.run("DELETE FROM awaited WHERE space = ?1 AND (pos > ?2 OR ?2 = 0)", [
        space,
        pos,
      ]);
      this.#sqlite.run("UPDATE frontier SET pos = ? WHERE space = ? AND pos > ?", [
        pos,
        space,
        pos,
      ]);
      // What is read from the beginning is passed by in full.
      if (pos === 0) this.#sqlite.run("DELETE FROM listing WHERE space = ?", [space]);
      this.#moveTo(space, pos, chain);
    });
  }

  /**
   * Has everything from `pos` on read again: something that it brought was damaged here. Where the chain before it is
   * not kept any more, everything is.
   *
   * @param start the chain before the first position
   */
  readAgain(space: Uint8Array, pos: number, start: Uint8Array): void {
    this.#sqlite.transaction(() => {
      const before = this.chainAt(space, pos - 1);
      if (before === null) this.rewind(space, 0, start);
      else this.rewind(space, pos - 1, before);
    });
  }

  /** The chain value at `pos`, if it is among those kept. */
  chainAt(space: Uint8Array, pos: number): Uint8Array | null {
    return (
      this.#sqlite.get<{ chain: Uint8Array }>(
        "SELECT chain FROM chain_tag WHERE space = ? AND pos = ?",
        [space, pos],
      )?.chain ?? null
    );
  }

  quarantine(item: Quarantined): void {
    this.#sqlite.run(
      `INSERT INTO quarantine (space, pos, doc, entry_id, reason, signer, at, bytes)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        item.space,
        item.pos,
        item.doc,
        item.entryId,
        item.reason,
        item.signer,
        this.#now(),
        item.bytes,
      ],
    );
  }

  /** All of it, oldest first; `at` is when it was set aside. */
  quarantined(): (Quarantined & { readonly id: number; readonly at: number })[] {
    return this.#sqlite.all(
      `SELECT id, space, pos, doc, entry_id AS entryId, reason, signer, at, bytes
       FROM quarantine ORDER BY id`,
    );
  }

  /** What was set aside of a space for one of these reasons, oldest first. */
  setAsideFor(
    space: Uint8Array,
    reasons: readonly string[],
  ): { readonly pos: number | null; readonly bytes: Uint8Array }[] {
    return this.#sqlite.all(
      `SELECT pos, bytes FROM quarantine
       WHERE space = ? AND reason IN (SELECT value FROM json_each(?)) ORDER BY id`,
      [space, JSON.stringify(reasons)],
    );
  }

  /** An entry of a space is taken after all, should it have been set aside. */
  takeBack(space: Uint8Array, entryId: Uint8Array): void {
    this.#sqlite.run("DELETE FROM quarantine WHERE space = ? AND entry_id = ?", [space, entryId]);
  }

  /** Whether this entry of a space was set aside. */
  isQuarantined(space: Uint8Array, entryId: Uint8Array): boolean {
    const sql = "SELECT 1 AS found FROM quarantine WHERE space = ? AND entry_id = ? LIMIT 1";
    return this.#sqlite.get(sql, [space, entryId]) !== undefined;
  }

  /** Lets go of what was set aside: it is in the journal again. */
  release(id: number): void {
    this.#sqlite.run("DELETE FROM quarantine WHERE id = ?", [id]);
  }

  /** Gives what was set aside another reason. */
  relabel(id: number, reason: string): void {
    this.#sqlite.run("UPDATE quarantine SET reason = ? WHERE id = ?", [reason, id]);
  }

  /** How much of each document was set aside; documents of which nothing was are left out. */
  quarantinedByDocument(): { readonly doc: Uint8Array; readonly entries: number }[] {
    return this.#sqlite.all(
      "SELECT doc, count(*) AS entries FROM quarantine WHERE doc IS NOT NULL GROUP BY doc",
    );
  }

  /** Ids of the entries of a document that were set aside. */
  setAsideOf(doc: Uint8Array): Uint8Array[] {
    return this.#sqlite
      .all<{ entryId: Uint8Array }>(
        "SELECT DISTINCT entry_id AS entryId FROM quarantine WHERE doc = ? AND entry_id IS NOT NULL",
        [doc],
      )
      .map(({ entryId }) => entryId);
  }

  /** Whether something of a document was set aside that no relay is known to have. */
  holdsUnsent(doc: Uint8Array): boolean {
    const sql = "SELECT 1 AS found FROM quarantine WHERE doc = ? AND pos IS NULL LIMIT 1";
    return this.#sqlite.get(sql, [doc]) !== undefined;
  }

  /** Deletes what was set aside of a document. */
  purge(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM quarantine WHERE doc = ?", [doc]);
  }

  /** Notes that device `dev` has seen up to `pos`; a lower position than before changes nothing. */
  setFrontier(space: Uint8Array, dev: Uint8Array, pos: number): void {
    this.#sqlite.run(
      `INSERT INTO frontier (space, dev, pos, at) VALUES (?, ?, ?, ?)
       ON CONFLICT (space, dev) DO UPDATE SET pos = excluded.pos, at = excluded.at
       WHERE excluded.pos > frontier.pos`,
      [space, dev, pos, this.#now()],
    );
  }

  frontiers(space: Uint8Array): Frontier[] {
    return this.#sqlite.all("SELECT dev, pos, at FROM frontier WHERE space = ?", [space]);
  }

  #moveTo(space: Uint8Array, pos: number, chain: Uint8Array): void {
    this.#sqlite.run(
      `INSERT INTO cursor (space, pos, chain) VALUES (?, ?, ?)
       ON CONFLICT (space) DO UPDATE SET pos = excluded.pos, chain = excluded.chain`,
      [space, pos, chain],
    );
    this.#sqlite.run("INSERT OR REPLACE INTO chain_tag (space, pos, chain) VALUES (?, ?, ?)", [
      space,
      pos,
      chain,
    ]);
    this.#sqlite.run("DELETE FROM chain_tag WHERE space = ? AND pos <= ?", [
      space,
      pos - keptChainTags,
    ]);
  }
}

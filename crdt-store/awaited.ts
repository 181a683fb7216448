import { bytesToHex } from "@noble/hashes/utils.js";

import type { Sqlite } from "./sqlite.ts";

/** The body of an entry that a relay holds and this device does not. */
export interface AwaitedBody {
  readonly doc: Uint8Array;
  readonly space: Uint8Array;
  /** 0 where what was known of its place is of a log that is no more. */
  readonly pos: number;
  /** Null where the log was not read here. */
  readonly entryId: Uint8Array | null;
  /** The relay's list told of it: what stands before it may be missing too. */
  readonly listed: boolean;
}

type AwaitedRow = Omit<AwaitedBody, "listed"> & { listed: number };

const columns = "doc, pos, space, entry_id AS entryId, listed";

/** How far the list of a space's documents has been read. */
export interface Listing {
  /** The last document that was listed, 16 bytes; null before the first page. */
  readonly after: Uint8Array | null;
  /** Everything at or below this position was here when it began. */
  readonly heldUpTo: number;
}

/**
 * What of the spaces' logs is not here: bodies that passed by or were listed, and the lists that are being read. What is
 * missing is what stands here, so fetching goes on where a process ended. The cursor says how far a chain was checked;
 * this says which bodies below it are not held.
 */
export class Awaited {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  /** What is known of one from elsewhere stays. */
  add(body: AwaitedBody): void {
    this.#sqlite.run(
      `INSERT INTO awaited (doc, pos, space, entry_id, listed) VALUES (?, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET entry_id = coalesce(entry_id, excluded.entry_id), listed = max(listed, excluded.listed)`,
      [body.doc, body.pos, body.space, body.entryId, body.listed ? 1 : 0],
    );
  }

  /** Whether something of a document is not here. */
  has(doc: Uint8Array): boolean {
    return (
      this.#sqlite.get("SELECT 1 AS found FROM awaited WHERE doc = ? LIMIT 1", [doc]) !== undefined
    );
  }

  /** In order of position. */
  of(doc: Uint8Array): AwaitedBody[] {
    return this.#sqlite
      .all<AwaitedRow>(`SELECT ${columns} FROM awaited WHERE doc = ? ORDER BY pos`, [doc])
      .map(awaitedBody);
  }

  at(doc: Uint8Array, pos: number): AwaitedBody | null {
    const sql = `SELECT ${columns} FROM awaited WHERE doc = ? AND pos = ?`;
    const row = this.#sqlite.get<AwaitedRow>(sql, [doc, pos]);
    return row === undefined ? null : awaitedBody(row);
  }

  /** The body at a position is here. */
  arrived(doc: Uint8Array, pos: number): void {
    this.#sqlite.run("DELETE FROM awaited WHERE doc = ? AND pos = ?", [doc, pos]);
  }

  /** Nothing at or below a position is missing any more. */
  arrivedUpTo(doc: Uint8Array, pos: number): void {
    this.#sqlite.run("DELETE FROM awaited WHERE doc = ? AND pos <= ?", [doc, pos]);
  }

  /** A snapshot stands for everything at or below a position but these entries. */
  covered(doc: Uint8Array, pos: number, omitted: readonly Uint8Array[]): void {
    const left = new Set(omitted.map((id) => bytesToHex(id)));
    for (const body of this.of(doc)) {
      const isLeft = body.entryId !== null && left.has(bytesToHex(body.entryId));
      if (body.pos <= pos && !isLeft) this.arrived(doc, body.pos);
    }
  }

  purge(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM awaited WHERE doc = ?", [doc]);
  }

  /**
   * The documents of a space of which something is not here, in the order in which a person misses them: the index,
   * pinned notes, then those changed last.
   */
  documents(space: Uint8Array, index: Uint8Array): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>(
        `SELECT a.doc AS doc FROM (SELECT doc, max(pos) AS pos FROM awaited WHERE space = ?1 GROUP BY doc) AS a
         LEFT JOIN note ON note.doc = a.doc LEFT JOIN pin ON pin.doc = a.doc
         ORDER BY a.doc = ?2 DESC, pin.doc IS NULL, coalesce(note.updated_at, 0) DESC, a.pos DESC`,
        [space, index],
      )
      .map(({ doc }) => doc);
  }

  /** How many notes of each space are not here at all; spaces without any are left out. */
  countBySpace(): { readonly space: Uint8Array; readonly notes: number }[] {
    return this.#sqlite.all(
      `SELECT space, count(*) AS notes FROM note
       WHERE doc IN (SELECT doc FROM awaited) AND trashed_at IS NULL AND moved_to IS NULL
         AND NOT EXISTS (SELECT 1 FROM change WHERE change.doc = note.doc)
         AND NOT EXISTS (SELECT 1 FROM pack WHERE pack.doc = note.doc AND changes > 0)
       GROUP BY space`,
    );
  }

  /** All documents of which something is not here. */
  all(): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>("SELECT DISTINCT doc FROM awaited")
      .map(({ doc }) => doc);
  }

  /** Has the list of a space's documents read from its beginning; one that was not read to its end knew no more. */
  beginListing(space: Uint8Array, heldUpTo: number): void {
    this.#sqlite.run(
      `INSERT INTO listing (space, after, held_up_to) VALUES (?, NULL, ?)
       ON CONFLICT (space) DO UPDATE SET after = NULL, held_up_to = min(held_up_to, excluded.held_up_to)`,
      [space, heldUpTo],
    );
  }

  /** Null when no list is being read. */
  listing(space: Uint8Array): Listing | null {
    return (
      this.#sqlite.get<Listing>(
        "SELECT after, held_up_to AS heldUpTo FROM listing WHERE space = ?",
        [space],
      ) ?? null
    );
  }

  /** The list was read up to a document, or (null) to its end. */
  listed(space: Uint8Array, after: Uint8Array | null): void {
    if (after === null) this.#sqlite.run("DELETE FROM listing WHERE space = ?", [space]);
    else this.#sqlite.run("UPDATE listing SET after = ? WHERE space = ?", [after, space]);
  }
}

function awaitedBody(row: AwaitedRow): AwaitedBody {
  return { ...row, listed: row.listed === 1 };
}

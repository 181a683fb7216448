import type { Sqlite } from "./sqlite.ts";

/** What a list shows of a note, derived from its document. Times are ms since 1970. */
export interface NoteRow {
  readonly doc: Uint8Array;
  readonly space: Uint8Array;
  readonly title: string;
  readonly preview: string;
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly trashedAt: number | null;
  /** The document it was moved to. */
  readonly movedTo: Uint8Array | null;
  /** An index lists it; otherwise it stands under "Recovered". */
  readonly listed: boolean;
  /** Its document has changed since this was derived. */
  readonly stale: boolean;
}

type StoredNoteRow = Omit<NoteRow, "listed" | "stale"> & { listed: number; stale: number };

const columns = `doc, space, title, preview, created_at AS createdAt, updated_at AS updatedAt,
  trashed_at AS trashedAt, moved_to AS movedTo, listed, stale`;

/** The list of notes, so that showing it loads no document. Rebuildable. */
export class NotesIndex {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  upsert(note: NoteRow): void {
    this.#sqlite.run(
      `INSERT OR REPLACE INTO note (doc, space, title, preview, created_at, updated_at, trashed_at, moved_to, listed,
         stale) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        note.doc,
        note.space,
        note.title,
        note.preview,
        note.createdAt,
        note.updatedAt,
        note.trashedAt,
        note.movedTo,
        note.listed ? 1 : 0,
        note.stale ? 1 : 0,
      ],
    );
  }

  get(doc: Uint8Array): NoteRow | null {
    const row = this.#sqlite.get<StoredNoteRow>(`SELECT ${columns} FROM note WHERE doc = ?`, [doc]);
    return row === undefined ? null : noteRow(row);
  }

  /** The notes that are (or, as a rule, are not) in the trash, the one changed last first. */
  list(options: { readonly trashed?: boolean } = {}): NoteRow[] {
    return this.#sqlite
      .all<StoredNoteRow>(
        `SELECT ${columns} FROM note WHERE (trashed_at IS NOT NULL) = ? ORDER BY updated_at DESC`,
        [options.trashed === true ? 1 : 0],
      )
      .map(noteRow);
  }

  /** How many notes each space shows: those neither in the trash nor moved away. Spaces without any are left out. */
  countBySpace(): { readonly space: Uint8Array; readonly notes: number }[] {
    return this.#sqlite.all(
      `SELECT space, count(*) AS notes FROM note
       WHERE trashed_at IS NULL AND moved_to IS NULL GROUP BY space`,
    );
  }

  markStale(doc: Uint8Array): void {
    this.#sqlite.run("UPDATE note SET stale = 1 WHERE doc = ?", [doc]);
  }

  /** Up to `most` documents whose rows have to be derived anew. */
  stale(most: number): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>("SELECT doc FROM note WHERE stale = 1 LIMIT ?", [most])
      .map((row) => row.doc);
  }

  remove(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM note WHERE doc = ?", [doc]);
  }
}

function noteRow(row: StoredNoteRow): NoteRow {
  return { ...row, listed: row.listed === 1, stale: row.stale === 1 };
}

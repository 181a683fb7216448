import type { Sqlite } from "./sqlite.ts";

/** What a list shows of a note, derived from its document. Times are ms since 1970. */
export interface NoteRow {
  readonly doc: Uint8Array;
  readonly space: Uint8Array;
  readonly title: string;
  readonly preview: string;
  readonly tags: readonly string[];
  readonly createdAt: number;
  readonly updatedAt: number;
  readonly trashedAt: number | null;
  /** The document it was moved to. */
  readonly movedTo: Uint8Array | null;
  /** An index lists it; otherwise it stands under "Recovered". */
  readonly listed: boolean;
  /** Its document has changed since this was derived. */
  readonly stale: boolean;
  /** Another one whenever the document has changed: what is kept elsewhere of a note is kept for a version. */
  readonly version: number;
}

/** Where a note stands, as the index of its space has it. */
export type NotePlace = Pick<
  NoteRow,
  "createdAt" | "updatedAt" | "trashedAt" | "movedTo" | "listed"
>;

type StoredNoteRow = Omit<NoteRow, "listed" | "stale" | "tags"> & {
  listed: number;
  stale: number;
  tags: string;
};

const columns = `doc, space, title, preview, tags, created_at AS createdAt, updated_at AS updatedAt,
  trashed_at AS trashedAt, moved_to AS movedTo, listed, stale, version`;

/** The list of notes, so that showing it loads no document. Rebuildable. */
export class NotesIndex {
  readonly #sqlite: Sqlite;
  readonly #now: () => number;
  #changed: (doc: Uint8Array) => void = () => {};

  constructor(sqlite: Sqlite, now: () => number) {
    this.#sqlite = sqlite;
    this.#now = now;
  }

  /** `listener` is told of every row that is written or removed, also in transactions that do not commit. */
  onChange(listener: (doc: Uint8Array) => void): void {
    this.#changed = listener;
  }

  /** Something that is kept beside a row has changed. */
  tell(doc: Uint8Array): void {
    this.#changed(doc);
  }

  /** The row of a document that is new or has changed: its version becomes another one. */
  upsert(note: Omit<NoteRow, "version">): void {
    this.#sqlite.run(
      // The time, so that a version never comes back, not even after an older copy of the store was put in place.
      `INSERT INTO note (doc, space, title, preview, tags, created_at, updated_at, trashed_at, moved_to, listed, stale,
         version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (doc) DO UPDATE SET space = excluded.space, title = excluded.title, preview = excluded.preview,
         tags = excluded.tags, created_at = excluded.created_at, updated_at = excluded.updated_at,
         trashed_at = excluded.trashed_at, moved_to = excluded.moved_to, listed = excluded.listed,
         stale = excluded.stale, version = max(version + 1, excluded.version)`,
      [
        note.doc,
        note.space,
        note.title,
        note.preview,
        JSON.stringify(note.tags),
        note.createdAt,
        note.updatedAt,
        note.trashedAt,
        note.movedTo,
        note.listed ? 1 : 0,
        note.stale ? 1 : 0,
        this.#now(),
      ],
    );
    this.#changed(note.doc);
  }

  /** What the document of a row was found to say; the row is not stale any more. */
  describe(doc: Uint8Array, said: Pick<NoteRow, "title" | "preview" | "tags">): void {
    this.#sqlite.run("UPDATE note SET title = ?, preview = ?, tags = ?, stale = 0 WHERE doc = ?", [
      said.title,
      said.preview,
      JSON.stringify(said.tags),
      doc,
    ]);
    this.#changed(doc);
  }

  place(doc: Uint8Array, place: NotePlace): void {
    this.#sqlite.run(
      "UPDATE note SET created_at = ?, updated_at = ?, trashed_at = ?, moved_to = ?, listed = ? WHERE doc = ?",
      [place.createdAt, place.updatedAt, place.trashedAt, place.movedTo, place.listed ? 1 : 0, doc],
    );
    this.#changed(doc);
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

  /** All rows of a space, in any order. */
  inSpace(space: Uint8Array): NoteRow[] {
    return this.#sqlite
      .all<StoredNoteRow>(`SELECT ${columns} FROM note WHERE space = ?`, [space])
      .map(noteRow);
  }

  /** The notes that have gone to another notebook. */
  moved(): NoteRow[] {
    return this.#sqlite
      .all<StoredNoteRow>(`SELECT ${columns} FROM note WHERE moved_to IS NOT NULL`)
      .map(noteRow);
  }

  /** Every document that has a row, the one changed last first. */
  documents(): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>("SELECT doc FROM note ORDER BY updated_at DESC")
      .map((row) => row.doc);
  }

  /** How many documents have a row. */
  count(): number {
    return this.#sqlite.get<{ rows: number }>("SELECT count(*) AS rows FROM note")?.rows ?? 0;
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
    this.#changed(doc);
  }

  /** Up to `most` documents whose rows have to be derived anew. */
  stale(most: number): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>("SELECT doc FROM note WHERE stale = 1 LIMIT ?", [most])
      .map((row) => row.doc);
  }

  remove(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM note WHERE doc = ?", [doc]);
    this.#changed(doc);
  }
}

/** None if the value is damaged: the row is derived anew with the note's next change. */
function tagsIn(json: string): readonly string[] {
  try {
    const tags: unknown = JSON.parse(json);
    return Array.isArray(tags) ? tags.filter((tag) => typeof tag === "string") : [];
  } catch {
    return [];
  }
}

function noteRow(row: StoredNoteRow): NoteRow {
  return {
    ...row,
    tags: tagsIn(row.tags),
    listed: row.listed === 1,
    stale: row.stale === 1,
  };
}

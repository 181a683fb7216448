import { searchCodec } from "./database-codec.ts";
import type { SqliteEngine } from "./files/engine.ts";
import { bytesOfFiles, closeFiles, type FileSet } from "./files/file.ts";
import { excerpt, firstMatch, highlighted, rangesIn, type TextPart } from "./search-excerpt.ts";
import { readMatchInfo, scoreOf } from "./search-rank.ts";
import { extraTokenCharacters, markWords, phraseOf, withoutMarks } from "./search-words.ts";
import { Sqlite, type SqlValue } from "./sqlite.ts";
import { StoreError } from "./store-error.ts";

/*
 * The words of all notes, in a database of its own beside the notes: encrypted by the same key, thrown away and made
 * anew whenever it is damaged, of another key or of another format. A commit here does not wait for the disk; after a
 * power cut the newest may be missing, and whoever feeds the index sees that by the versions it holds.
 */

/** Another one whenever the tables or the way words are told apart change: an index of another format is emptied. */
const format = 2;

/** So many matches, the newest, are ranked; a word that stands in more notes than that tells little about them. */
const mostRanked = 300;
/** And so many that have all of it in their title, however old. */
const mostNamed = 100;
/** Small steps of the tree's upkeep: a few ms each, instead of seconds once in a while. */
const mergePages = 16;

/** Where a note stands when it was indexed, and which version of it. */
export interface IndexEntry {
  readonly doc: Uint8Array;
  readonly version: number;
  readonly space: Uint8Array;
  /** Milliseconds since 1970. */
  readonly updatedAt: number;
  readonly trashed: boolean;
  readonly pinned: boolean;
}

export interface IndexedNote extends IndexEntry {
  readonly title: string;
  readonly body: string;
  readonly tags: readonly IndexedTag[];
}

export interface IndexedTag {
  readonly name: string;
  /** What two spellings of it have in common. Slashes make parents. */
  readonly key: string;
}

/** Words in the order in which they must stand. */
export interface Phrase {
  readonly text: string;
  /** The last word may go on. */
  readonly isPrefix: boolean;
}

export interface TagWish {
  readonly key: string;
  /** The key is still being typed. */
  readonly isPrefix: boolean;
}

export interface IndexQuery {
  readonly all: readonly Phrase[];
  readonly none: readonly Phrase[];
  readonly tags: readonly TagWish[];
  readonly withoutTags: readonly TagWish[];
  /** Null: any. */
  readonly spaces: readonly Uint8Array[] | null;
  readonly trashed: boolean;
  readonly pinned: boolean | null;
  /** From this moment on, and before that one. */
  readonly from: number | null;
  readonly before: number | null;
  /** How many to answer. */
  readonly most: number;
}

export interface IndexHit {
  readonly doc: Uint8Array;
  readonly title: readonly TextPart[];
  /** The best piece of the body, as Markdown; empty if nothing in the body matches. */
  readonly excerpt: readonly TextPart[];
  /** The first match in the body: UTF-16 units. */
  readonly found: { readonly at: number; readonly text: string } | null;
}

export interface IndexAnswer {
  readonly hits: readonly IndexHit[];
  /** How many match, if not more than were counted. */
  readonly total: number;
  readonly isMore: boolean;
}

export interface SearchIndexOptions {
  readonly engine: SqliteEngine;
  /** Belong to the index from here on, also if opening fails. */
  readonly files: FileSet;
  /** That of the notes: 32 bytes; null for an index in clear. */
  readonly key: Uint8Array | null;
  readonly random: (count: number) => Uint8Array;
}

interface EntryRow {
  doc: Uint8Array;
  version: number;
  space: Uint8Array;
  updatedAt: number;
  trashed: number;
  pinned: number;
}

interface Candidate {
  readonly id: number;
  readonly doc: Uint8Array;
  readonly updatedAt: number;
  readonly score: number;
}

const entryColumns = "doc, version, space, updated_at AS updatedAt, trashed, pinned";
const candidateColumns = "e.id, e.doc, e.updated_at AS updatedAt";

/**
 * Everything is synchronous. Any method but {@link SearchIndex.startAnew} may throw a {@link StoreError}; after
 * `corrupt`, start anew.
 */
export class SearchIndex {
  readonly #options: SearchIndexOptions;
  #sqlite: Sqlite;

  private constructor(options: SearchIndexOptions, sqlite: Sqlite) {
    this.#options = options;
    this.#sqlite = sqlite;
  }

  /**
   * Opens the index in `files`. What cannot be read with this key, or not at all, is emptied: it holds nothing that the
   * notes do not. Throws {@link StoreError} only where the files themselves fail.
   */
  static open(options: SearchIndexOptions): SearchIndex {
    try {
      return new SearchIndex(options, openOrEmpty(options));
    } catch (error) {
      closeFiles(options.files);
      throw error;
    }
  }

  /** Forgets everything, whatever state the files are in. Throws {@link StoreError} only where the files fail. */
  startAnew(): void {
    this.#sqlite.abandon();
    emptyFiles(this.#options.files);
    this.#sqlite = openDatabase(this.#options);
  }

  /** Quick: the log is left to whoever opens the files next. */
  close(): void {
    this.#sqlite.abandon();
    closeFiles(this.#options.files);
  }

  fileBytes(): number {
    return bytesOfFiles(this.#options.files);
  }

  /** Every document that is indexed. */
  documents(): Uint8Array[] {
    return this.#sqlite.all<{ doc: Uint8Array }>("SELECT doc FROM entry").map((row) => row.doc);
  }

  entry(doc: Uint8Array): IndexEntry | null {
    const row = this.#sqlite.get<EntryRow>(`SELECT ${entryColumns} FROM entry WHERE doc = ?`, [
      doc,
    ]);
    if (row === undefined) return null;
    return { ...row, trashed: row.trashed === 1, pinned: row.pinned === 1 };
  }

  /** Indexes these notes in place of what was known of them, in one transaction. */
  put(notes: readonly IndexedNote[]): void {
    this.#sqlite.transaction(() => {
      this.#removeAll(notes.map(({ doc }) => doc));
      const placed = notes.map((note) => ({ note, id: this.#addEntry(note) }));
      // In any other order FTS4 would write out a tree for each.
      for (const { note, id } of placed.toSorted((a, b) => a.id - b.id)) this.#addText(id, note);
    });
  }

  /** Where a note stands now; what it says is not looked at again. */
  place({ doc, space, trashed, pinned }: Omit<IndexEntry, "version" | "updatedAt">): void {
    this.#sqlite.run("UPDATE entry SET space = ?, trashed = ?, pinned = ? WHERE doc = ?", [
      space,
      trashed ? 1 : 0,
      pinned ? 1 : 0,
      doc,
    ]);
  }

  remove(docs: readonly Uint8Array[]): void {
    this.#sqlite.transaction(() => this.#removeAll(docs));
  }

  /** One small step of upkeep, which keeps both searching and indexing fast; false when nothing is left to do. */
  tidy(): boolean {
    const before = this.#changes();
    this.#sqlite.run(`INSERT INTO note_text (note_text) VALUES ('merge=${mergePages},4')`);
    return this.#changes() - before > 1;
  }

  /** The best matches first. What cannot be a word is not looked for; a query of nothing else finds nothing. */
  find(query: IndexQuery): IndexAnswer {
    const all = query.all.flatMap((phrase) => phraseOf(phrase.text, phrase.isPrefix) ?? []);
    const none = query.none.flatMap((phrase) => phraseOf(phrase.text, phrase.isPrefix) ?? []);
    if (all.length === 0 && query.all.length > 0) return { hits: [], total: 0, isMore: false };
    if (all.length === 0) return this.#findPlain(query, none);
    const match = [all.join(" "), ...none.map((phrase) => `NOT ${phrase}`)].join(" ");
    const newest = this.#candidates(query, "note_text", match, mostRanked);
    const isMore = newest.length >= mostRanked;
    const hasNames = isMore && none.length === 0 && !all.every(isShort);
    const named = hasNames ? this.#candidates(query, "title", match, mostNamed) : [];
    const ranked = [...new Map([...named, ...newest].map((hit) => [hit.id, hit])).values()]
      .toSorted(byRank)
      .slice(0, query.most);
    return { hits: this.#hits(ranked, match), total: newest.length, isMore };
  }

  /** The newest matches, in any column or in the titles alone. */
  #candidates(
    query: IndexQuery,
    column: "note_text" | "title",
    match: string,
    most: number,
  ): Candidate[] {
    const filter = filterOf(query);
    return this.#sqlite
      .all<{ id: number; doc: Uint8Array; updatedAt: number; length: number; info: Uint8Array }>(
        `SELECT ${candidateColumns}, e.length, matchinfo(note_text, 'ncpx') AS info
         FROM note_text JOIN entry e ON e.id = note_text.docid
         WHERE ${column} MATCH ? AND ${filter.sql}
         ORDER BY note_text.docid DESC LIMIT ${most}`,
        [match, ...filter.params],
      )
      .map(({ info, length, ...row }) => ({ ...row, score: scoreOf(readMatchInfo(info), length) }));
  }

  #findPlain(query: IndexQuery, none: readonly string[]): IndexAnswer {
    const filter = filterOf(query);
    const without =
      none.length === 0
        ? ""
        : "AND e.id NOT IN (SELECT docid FROM note_text WHERE note_text MATCH ?)";
    const found = this.#sqlite.all<Omit<Candidate, "score">>(
      `SELECT ${candidateColumns} FROM entry e WHERE ${filter.sql} ${without}
       ORDER BY e.updated_at DESC LIMIT ${mostRanked}`,
      [...filter.params, ...(none.length === 0 ? [] : [none.join(" OR ")])],
    );
    const shown = found.slice(0, query.most);
    const rows = this.#sqlite.all<{ id: number; title: string }>(
      "SELECT docid AS id, title FROM note_text WHERE docid IN (SELECT value FROM json_each(?))",
      [JSON.stringify(shown.map(({ id }) => id))],
    );
    const titles = new Map(rows.map(({ id, title }) => [id, withoutMarks(title)]));
    const hits = shown.map(({ id, doc }) => {
      const title = titles.get(id) ?? "";
      return {
        doc,
        title: title === "" ? [] : [{ text: title, match: false }],
        excerpt: [],
        found: null,
      };
    });
    return { hits, total: found.length, isMore: found.length >= mostRanked };
  }

  #hits(ranked: readonly Candidate[], match: string): IndexHit[] {
    const rows = this.#sqlite.all<{
      id: number;
      at: string;
      title: Uint8Array;
      body: Uint8Array;
    }>(
      `SELECT docid AS id, offsets(note_text) AS at, CAST(title AS BLOB) AS title, CAST(body AS BLOB) AS body
       FROM note_text WHERE note_text MATCH ? AND +docid IN (SELECT value FROM json_each(?))`,
      [match, JSON.stringify(ranked.map(({ id }) => id))],
    );
    const byId = new Map(rows.map((row) => [row.id, row]));
    return ranked.flatMap(({ id, doc }) => {
      const row = byId.get(id);
      if (row === undefined) return [];
      const inBody = rangesIn(row.at, 1);
      return [
        {
          doc,
          title: highlighted(row.title, rangesIn(row.at, 0)),
          excerpt: excerpt(row.body, inBody),
          found: firstMatch(row.body, inBody),
        },
      ];
    });
  }

  #addEntry(note: IndexedNote): number {
    const id = this.#freeId(note.updatedAt);
    this.#sqlite.run(
      `INSERT INTO entry (id, doc, version, space, updated_at, trashed, pinned, length)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        id,
        note.doc,
        note.version,
        note.space,
        note.updatedAt,
        note.trashed ? 1 : 0,
        note.pinned ? 1 : 0,
        note.body.length,
      ],
    );
    return id;
  }

  /**
   * A number that grows with the time of the last change, so that the newest matches are the first ones met: by the
   * second, and where that is taken the next one after those of the same day.
   */
  #freeId(updatedAt: number): number {
    let id = Math.min(Math.max(1, Math.floor(updatedAt / 1000)), 2 ** 40);
    for (;;) {
      const taken = this.#sqlite.get<{ last: number | null }>(
        "SELECT max(id) AS last FROM entry WHERE id BETWEEN ? AND ? + 86400 AND EXISTS (SELECT 1 FROM entry WHERE id = ?)",
        [id, id, id],
      )?.last;
      if (taken === null || taken === undefined) return id;
      id = taken + 1;
    }
  }

  #addText(id: number, { title, body, tags }: IndexedNote): void {
    this.#sqlite.run("INSERT INTO note_text (docid, title, body, tags) VALUES (?, ?, ?, ?)", [
      id,
      markWords(title),
      markWords(body),
      markWords(tags.map(({ name }) => name).join(" ")),
    ]);
    for (const key of new Set(tags.map((tag) => tag.key))) {
      this.#sqlite.run("INSERT INTO tag (key, entry) VALUES (?, ?)", [key, id]);
    }
  }

  #removeAll(docs: readonly Uint8Array[]): void {
    const ids = docs.flatMap(
      (doc) =>
        this.#sqlite.get<{ id: number }>("SELECT id FROM entry WHERE doc = ?", [doc])?.id ?? [],
    );
    for (const id of ids.toSorted((a, b) => a - b)) {
      this.#sqlite.run("DELETE FROM note_text WHERE docid = ?", [id]);
      this.#sqlite.run("DELETE FROM tag WHERE entry = ?", [id]);
      this.#sqlite.run("DELETE FROM entry WHERE id = ?", [id]);
    }
  }

  #changes(): number {
    return this.#sqlite.get<{ n: number }>("SELECT total_changes() AS n")?.n ?? 0;
  }
}

interface Filter {
  readonly sql: string;
  readonly params: readonly SqlValue[];
}

/** The SQL has as many forms as there are kinds of conditions and numbers of tags, not as there are queries. */
function filterOf(query: IndexQuery): Filter {
  const parts: Filter[] = [{ sql: "e.trashed = ?", params: [query.trashed ? 1 : 0] }];
  if (query.pinned !== null) parts.push({ sql: "e.pinned = ?", params: [query.pinned ? 1 : 0] });
  if (query.from !== null) parts.push({ sql: "e.updated_at >= ?", params: [query.from] });
  if (query.before !== null) parts.push({ sql: "e.updated_at < ?", params: [query.before] });
  if (query.spaces !== null) {
    const spaces = JSON.stringify(query.spaces.map(upperHex));
    parts.push({ sql: "hex(e.space) IN (SELECT value FROM json_each(?))", params: [spaces] });
  }
  for (const wish of query.tags) {
    parts.push({ sql: `e.id IN (${wishedTag})`, params: tagRange(wish) });
  }
  for (const wish of query.withoutTags) {
    parts.push({ sql: `e.id NOT IN (${wishedTag})`, params: tagRange(wish) });
  }
  return {
    sql: parts.map((part) => part.sql).join(" AND "),
    params: parts.flatMap((part) => part.params),
  };
}

const wishedTag = `SELECT entry FROM tag WHERE key = ? UNION ALL SELECT entry FROM tag WHERE key >= ? AND key < ?`;

/** A tag has those below it: "garden" is met by "garden/beds", and by "gardening" only while it is being typed. */
function tagRange({ key, isPrefix }: TagWish): SqlValue[] {
  return isPrefix ? [key, key, `${key}\u{10ffff}`] : [key, `${key}/`, `${key}0`];
}

function byRank(a: Candidate, b: Candidate): number {
  // Scores that differ by next to nothing are equal: then the note changed last is the better one.
  const difference = Math.round(b.score * 10) - Math.round(a.score * 10);
  return difference || b.updatedAt - a.updatedAt || a.id - b.id;
}

/** A letter or two begin some word of nearly every note: more work would not find better ones. */
function isShort(phrase: string): boolean {
  return phrase.length <= `"ab*"`.length;
}

function upperHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0"))
    .join("")
    .toUpperCase();
}

function openOrEmpty(options: SearchIndexOptions): Sqlite {
  try {
    return openDatabase(options);
  } catch (error) {
    if (error instanceof StoreError && !isUnusable(error)) throw error;
    emptyFiles(options.files);
    return openDatabase(options);
  }
}

function isUnusable(error: StoreError): boolean {
  return ["corrupt", "wrong-key", "newer-version"].includes(error.type);
}

function openDatabase({ engine, files, key, random }: SearchIndexOptions): Sqlite {
  const sqlite = Sqlite.open({ engine, files, codec: searchCodec(engine, key, random) });
  try {
    sqlite.run("PRAGMA synchronous=NORMAL");
    const found = sqlite.get<{ user_version: number }>("PRAGMA user_version")?.user_version;
    if (found === 0) sqlite.transaction(() => createTables(sqlite));
    else if (found !== format) throw new StoreError("newer-version", "another format of index");
    // Tables that cannot be used are found out here rather than in the middle of a search.
    sqlite.all("SELECT docid FROM note_text LIMIT 1");
    sqlite.all("SELECT id FROM entry LIMIT 1");
    return sqlite;
  } catch (error) {
    sqlite.abandon();
    throw error;
  }
}

function createTables(sqlite: Sqlite): void {
  sqlite.script(`
CREATE TABLE entry (
  id INTEGER PRIMARY KEY, doc BLOB NOT NULL UNIQUE, version INTEGER NOT NULL, space BLOB NOT NULL,
  updated_at INTEGER NOT NULL, trashed INTEGER NOT NULL, pinned INTEGER NOT NULL,
  length INTEGER NOT NULL);
CREATE INDEX entry_by_time ON entry (updated_at);
CREATE TABLE tag (key TEXT NOT NULL, entry INTEGER NOT NULL, PRIMARY KEY (key, entry)) WITHOUT ROWID;
CREATE INDEX tag_by_entry ON tag (entry);
CREATE VIRTUAL TABLE note_text USING fts4 (title, body, tags, order=DESC, prefix="1,2",
  tokenize=unicode61 "remove_diacritics=2" "tokenchars=${extraTokenCharacters()}");
PRAGMA user_version = ${format};
`);
}

/**
 * The log first: a main file without its log is an older index or a damaged one, and both are found out. The journal
 * holds at most the mark of a creation that did not finish.
 */
function emptyFiles(files: FileSet): void {
  for (const role of ["wal", "main", "journal"] as const) {
    files[role].truncate(0);
    files[role].flush();
  }
}

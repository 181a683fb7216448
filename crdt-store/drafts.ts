import { packHashes, unpackHashes } from "./hash-list.ts";
import type { Sqlite } from "./sqlite.ts";

/** Keystrokes of an editing session that are not in an Automerge change yet; recovery replays them. */
export interface Draft {
  readonly doc: Uint8Array;
  readonly session: string;
  readonly actor: Uint8Array;
  /** The heads that the edits apply to. */
  readonly heads: readonly Uint8Array[];
  /** The edits as JSON; their shape belongs to the editor. */
  readonly edits: string;
  readonly at: number;
}

interface DraftRow {
  doc: Uint8Array;
  session: string;
  actor: Uint8Array;
  heads: Uint8Array;
  edits: string;
  at: number;
}

const columns = "doc, session, actor, heads, edits, at";

export class Drafts {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  /** Keeps the draft in place of an earlier one of the same document and session. */
  put(draft: Draft): void {
    this.#sqlite.run(
      "INSERT OR REPLACE INTO draft (doc, session, actor, heads, edits, at) VALUES (?, ?, ?, ?, ?, ?)",
      [draft.doc, draft.session, draft.actor, packHashes(draft.heads), draft.edits, draft.at],
    );
  }

  /** The drafts of a document, oldest first. */
  of(doc: Uint8Array): Draft[] {
    return this.#sqlite
      .all<DraftRow>(`SELECT ${columns} FROM draft WHERE doc = ? ORDER BY at`, [doc])
      .map(draftOf);
  }

  remove(doc: Uint8Array, session: string): void {
    this.#sqlite.run("DELETE FROM draft WHERE doc = ? AND session = ?", [doc, session]);
  }

  /** Deletes the drafts of every session. */
  purge(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM draft WHERE doc = ?", [doc]);
  }

  /** The documents that have some. */
  documents(): Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>("SELECT DISTINCT doc FROM draft")
      .map(({ doc }) => doc);
  }

  all(): Draft[] {
    return this.#sqlite.all<DraftRow>(`SELECT ${columns} FROM draft ORDER BY at`).map(draftOf);
  }
}

function draftOf(row: DraftRow): Draft {
  return { ...row, heads: unpackHashes(row.heads) };
}

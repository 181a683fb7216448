import { packHashes, unpackHashes } from "./hash-list.ts";
import type { Sqlite } from "./sqlite.ts";

/** A passage that this device and another changed without knowing of each other. Both edits are in the note. */
export interface Conflict {
  /** The same on both devices. */
  readonly id: Uint8Array;
  readonly doc: Uint8Array;
  readonly field: string;
  /** The line it began at in the version that both knew, from 0. */
  readonly line: number;
  /** The other device; null if it is not known. */
  readonly dev: Uint8Array | null;
  /** When it was found, in ms since 1970; of several that were joined, the last. */
  readonly at: number;
  readonly reviewed: boolean;
  /** How many were joined in it. */
  readonly times: number;
  /** The versions: what both knew, and what each made of it. */
  readonly baseHeads: readonly Uint8Array[];
  readonly ourHeads: readonly Uint8Array[];
  readonly theirHeads: readonly Uint8Array[];
  /** The passage in each of them. */
  readonly base: string;
  readonly ours: string;
  readonly theirs: string;
}

interface ConflictColumns extends Omit<
  Conflict,
  "reviewed" | "baseHeads" | "ourHeads" | "theirHeads"
> {
  readonly reviewed: number;
  readonly baseHeads: Uint8Array;
  readonly ourHeads: Uint8Array;
  readonly theirHeads: Uint8Array;
}

/** Of one document; then the oldest go, reviewed ones first. */
const mostOfDocument = 100;

const columns = `id, doc, field, line, dev, at, reviewed, times, base_heads AS baseHeads, our_heads AS ourHeads,
  their_heads AS theirHeads, base, ours, theirs`;

/** Concurrent edits of one passage, for somebody to look at; nothing waits for it. */
export class Conflicts {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  /** False if it is there already. */
  add(conflict: Conflict): boolean {
    return this.#sqlite.transaction(() => {
      if (this.#has(conflict.id)) return false;
      this.#put(conflict);
      this.#sqlite.run(
        `DELETE FROM conflict WHERE id IN (
           SELECT id FROM conflict WHERE doc = ? ORDER BY reviewed, at DESC, id LIMIT -1 OFFSET ?)`,
        [conflict.doc, mostOfDocument],
      );
      return true;
    });
  }

  /** Puts `later` in the place of one that nobody has reviewed: both tell of one exchange. It keeps the first's id and base. */
  join(id: Uint8Array, later: Conflict): void {
    this.#sqlite.run(
      `UPDATE conflict SET at = ?, times = times + 1, our_heads = ?, their_heads = ?, ours = ?, theirs = ?
       WHERE id = ? AND reviewed = 0`,
      [
        later.at,
        packHashes(later.ourHeads),
        packHashes(later.theirHeads),
        later.ours,
        later.theirs,
        id,
      ],
    );
  }

  /** The newest first; of one document if it is given. */
  list(doc?: Uint8Array): readonly Conflict[] {
    const rows =
      doc === undefined
        ? this.#sqlite.all<ConflictColumns>(
            `SELECT ${columns} FROM conflict ORDER BY at DESC, line, id`,
          )
        : this.#sqlite.all<ConflictColumns>(
            `SELECT ${columns} FROM conflict WHERE doc = ? ORDER BY at DESC, line, id`,
            [doc],
          );
    return rows.map((row) => ({
      ...row,
      reviewed: row.reviewed === 1,
      baseHeads: unpackHashes(row.baseHeads),
      ourHeads: unpackHashes(row.ourHeads),
      theirHeads: unpackHashes(row.theirHeads),
    }));
  }

  counts(): { readonly open: number; readonly reviewed: number } {
    const sql = "SELECT count(*) - sum(reviewed) AS open, sum(reviewed) AS reviewed FROM conflict";
    const row = this.#sqlite.get<{ open: number | null; reviewed: number | null }>(sql);
    return { open: row?.open ?? 0, reviewed: row?.reviewed ?? 0 };
  }

  /** False if there is none of this id; repeating is harmless. */
  markReviewed(id: Uint8Array): boolean {
    return this.#sqlite.run("UPDATE conflict SET reviewed = 1 WHERE id = ?", [id]) > 0;
  }

  /** Deletes those that were found before `at`, in ms since 1970. */
  forgetBefore(at: number): void {
    this.#sqlite.run("DELETE FROM conflict WHERE at < ?", [at]);
  }

  purge(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM conflict WHERE doc = ?", [doc]);
  }

  #has(id: Uint8Array): boolean {
    return this.#sqlite.get("SELECT 1 AS found FROM conflict WHERE id = ?", [id]) !== undefined;
  }

  #put(conflict: Conflict): void {
    this.#sqlite.run(
      `INSERT INTO conflict (id, doc, field, line, dev, at, reviewed, times, base_heads, our_heads, their_heads, base,
         ours, theirs) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      [
        conflict.id,
        conflict.doc,
        conflict.field,
        conflict.line,
        conflict.dev,
        conflict.at,
        conflict.reviewed ? 1 : 0,
        conflict.times,
        packHashes(conflict.baseHeads),
        packHashes(conflict.ourHeads),
        packHashes(conflict.theirHeads),
        conflict.base,
        conflict.ours,
        conflict.theirs,
      ],
    );
  }
}

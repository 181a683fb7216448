import type { Sqlite } from "./sqlite.ts";

/**
 * `fork`: somebody was shown another log of the space. `two-changes`: an author signed two different changes for one place.
 * `control-fork`: a control record that this device holds is not in the relay's log, another one is there.
 */
export type EvidenceOf = "fork" | "two-changes" | "control-fork";

export interface Evidence {
  readonly space: Uint8Array;
  readonly what: EvidenceOf;
  /** Ms since 1970. */
  readonly at: number;
  /** Signed by whom it concerns, verbatim: an entry, a beat, a control record. */
  readonly bytes: Uint8Array;
}

/** So much of one kind is kept of a space: who floods a device with it proves nothing more. */
const mostOfAKind = 32;

/** What proves that a relay told two stories, or an author wrote two. Kept for whoever has to decide whom to believe. */
export class EvidenceBook {
  readonly #sqlite: Sqlite;
  readonly #now: () => number;

  constructor(sqlite: Sqlite, now: () => number) {
    this.#sqlite = sqlite;
    this.#now = now;
  }

  /** Keeps it, unless the same is there or enough of its kind; answers whether it is the first of its kind in the space. */
  add(space: Uint8Array, what: EvidenceOf, bytes: Uint8Array): boolean {
    return this.#sqlite.transaction(() => {
      const known = this.of(space).filter((held) => held.what === what);
      if (known.length < mostOfAKind) {
        this.#sqlite.run(
          "INSERT INTO evidence (space, what, at, bytes) SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (SELECT 1 FROM evidence WHERE space = ?1 AND bytes = ?4)",
          [space, what, this.#now(), bytes],
        );
      }
      return known.length === 0;
    });
  }

  /** The oldest first. */
  of(space: Uint8Array): Evidence[] {
    return this.#sqlite.all<Evidence>(
      "SELECT space, what, at, bytes FROM evidence WHERE space = ? ORDER BY id",
      [space],
    );
  }

  /** When something of this kind was last found, in any space; null if it never was. */
  lastAt(what: EvidenceOf): number | null {
    const sql = "SELECT max(at) AS at FROM evidence WHERE what = ?";
    return this.#sqlite.get<{ at: number | null }>(sql, [what])?.at ?? null;
  }
}

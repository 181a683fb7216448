import { packHashes, unpackHashes } from "./hash-list.ts";
import type { Sqlite } from "./sqlite.ts";

/**
 * `moving`: its administrator's device is filling the new space. `leading`: the new space is known and not whole here.
 * `led`: the new space stands in its place.
 */
export type HomeState = "moving" | "leading" | "led";

/** A space that has another for its new home. */
export interface Home {
  readonly space: Uint8Array;
  readonly successor: Uint8Array;
  readonly state: HomeState;
}

/** Up to where what was written here in a document of the old space has been brought into the new one. */
export interface Carried {
  /** Heads in the old document. */
  readonly old: readonly Uint8Array[];
  /** The same text in the new one. */
  readonly now: readonly Uint8Array[];
}

/** Spaces on their way to a new home, or there. */
export class Homes {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  /** Sets it, in place of what was known. */
  put({ space, successor, state }: Home): void {
    this.#sqlite.run("INSERT OR REPLACE INTO home (space, successor, state) VALUES (?, ?, ?)", [
      space,
      successor,
      state,
    ]);
  }

  get(space: Uint8Array): Home | null {
    const sql = "SELECT space, successor, state FROM home WHERE space = ?";
    return this.#sqlite.get<Home>(sql, [space]) ?? null;
  }

  all(): Home[] {
    return this.#sqlite.all<Home>("SELECT space, successor, state FROM home");
  }

  /** Null before the first time. */
  carried(doc: Uint8Array): Carried | null {
    const row = this.#sqlite.get<{ old: Uint8Array; now: Uint8Array }>(
      "SELECT old, now FROM carried WHERE doc = ?",
      [doc],
    );
    return row === undefined ? null : { old: unpackHashes(row.old), now: unpackHashes(row.now) };
  }

  setCarried(doc: Uint8Array, { old, now }: Carried): void {
    this.#sqlite.run("INSERT OR REPLACE INTO carried (doc, old, now) VALUES (?, ?, ?)", [
      doc,
      packHashes(old),
      packHashes(now),
    ]);
  }
}

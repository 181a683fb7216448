import { bytesToHex } from "@noble/hashes/utils.js";

import type { Sqlite } from "./sqlite.ts";

/** A relay's log of a space was found shorter or other than it had been, and this device sees to what is missing. */
export interface Loss {
  /** 32 bytes. */
  readonly space: Uint8Array;
  /** When it was noticed, ms since 1970. */
  readonly since: number;
  /** When this device gives back what others wrote, unless they have by then; null before it is known what is missing. */
  readonly due: number | null;
  /** How many changes this device gave back. */
  readonly returned: number;
}

/** The spaces of which a relay lost something that is not made good yet. */
export class Losses {
  readonly #sqlite: Sqlite;
  /** By space in hex; null while nobody has asked. */
  #open: Map<string, Loss> | null = null;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
    sqlite.onRollback(() => (this.#open = null));
  }

  all(): Loss[] {
    return [...this.#loaded().values()];
  }

  of(space: Uint8Array): Loss | null {
    return this.#loaded().get(bytesToHex(space)) ?? null;
  }

  /** Notes that something is missing; what is known of that stays. */
  open(space: Uint8Array, since: number): void {
    if (this.of(space) === null) this.#put({ space, since, due: null, returned: 0 });
  }

  setDue(space: Uint8Array, due: number): void {
    const loss = this.of(space);
    if (loss !== null) this.#put({ ...loss, due });
  }

  addReturned(space: Uint8Array, changes: number): void {
    const loss = this.of(space);
    if (loss !== null && changes > 0) this.#put({ ...loss, returned: loss.returned + changes });
  }

  /** Nothing is missing any more; what was returned is counted until {@link settle}. */
  close(space: Uint8Array): void {
    this.#sqlite.run("UPDATE loss SET made_good = 1 WHERE space = ?", [space]);
    this.#open = null;
  }

  /** How many changes this device gave back of losses that are closed, which are forgotten; null while one is open. */
  settle(): number | null {
    if (this.#loaded().size > 0) return null;
    const { returned } = this.#sqlite.get<{ returned: number }>(
      "SELECT coalesce(sum(returned), 0) AS returned FROM loss",
    ) ?? { returned: 0 };
    this.#sqlite.run("DELETE FROM loss");
    return returned;
  }

  /** Reads everything from the table again: it was changed from outside. */
  forget(): void {
    this.#open = null;
  }

  #put({ space, since, due, returned }: Loss): void {
    this.#sqlite.run(
      `INSERT INTO loss (space, since, due, returned, made_good) VALUES (?1, ?2, ?3, ?4, 0)
       ON CONFLICT (space) DO UPDATE SET since = ?2, due = ?3, returned = returned * made_good + ?4, made_good = 0`,
      [space, since, due, returned],
    );
    this.#open = null;
  }

  #loaded(): Map<string, Loss> {
    this.#open ??= new Map(
      this.#sqlite
        .all<Loss>("SELECT space, since, due, returned FROM loss WHERE made_good = 0")
        .map((loss) => [bytesToHex(loss.space), loss]),
    );
    return this.#open;
  }
}

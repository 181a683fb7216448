import { bytesToHex } from "@noble/hashes/utils.js";

import type { Sqlite } from "./sqlite.ts";

/** How far another device of this person has read a space, as it told all of them. */
export interface SpaceWitness {
  /** 32 bytes. */
  readonly space: Uint8Array;
  readonly pos: number;
  /** 16 bytes: of the chain there. */
  readonly chainTag: Uint8Array;
  /** When it was told, ms since 1970, by that device's clock. */
  readonly at: number;
  /** This device has read that far, and the log was the same there. */
  readonly isMet: boolean;
}

interface Row extends Omit<SpaceWitness, "isMet"> {
  met: number;
}

/** What the vault says of each space's log: a relay that shows less has lost something, or keeps it back. */
export class SpaceWitnesses {
  readonly #sqlite: Sqlite;
  /** By space in hex; null while nobody has asked. */
  #known: Map<string, SpaceWitness> | null = null;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
    sqlite.onRollback(() => (this.#known = null));
  }

  of(space: Uint8Array): SpaceWitness | null {
    return this.#loaded().get(bytesToHex(space)) ?? null;
  }

  put({ space, pos, chainTag, at, isMet }: SpaceWitness): void {
    this.#sqlite.run(
      `INSERT OR REPLACE INTO space_witness (space, pos, chain_tag, at, met) VALUES (?, ?, ?, ?, ?)`,
      [space, pos, chainTag, at, isMet ? 1 : 0],
    );
    this.#known = null;
  }

  meet(space: Uint8Array): void {
    this.#sqlite.run("UPDATE space_witness SET met = 1 WHERE space = ?", [space]);
    this.#known = null;
  }

  /** Reads everything from the table again: it was changed from outside. */
  forget(): void {
    this.#known = null;
  }

  #loaded(): Map<string, SpaceWitness> {
    this.#known ??= new Map(
      this.#sqlite
        .all<Row>("SELECT space, pos, chain_tag AS chainTag, at, met FROM space_witness")
        .map(({ met, ...row }) => [bytesToHex(row.space), { ...row, isMet: met === 1 }]),
    );
    return this.#known;
  }
}

import { packHashes, unpackHashes } from "./hash-list.ts";
import type { Sqlite } from "./sqlite.ts";

/** Another device's snapshot of a document, which says that the relay need not keep what it covers. */
export interface PassedSnapshot {
  readonly doc: Uint8Array;
  readonly space: Uint8Array;
  /** The position it covers. */
  readonly coversPos: number;
  /** The heads it declares. */
  readonly heads: readonly Uint8Array[];
  /** When it is to be looked at, ms since 1970. */
  readonly due: number;
}

interface Row {
  doc: Uint8Array;
  space: Uint8Array;
  covers: number;
  due: number;
  heads: Uint8Array;
}

/** Snapshots by others that went by and were not looked at yet: of each document the newest, which is the one that counts. */
export class PassedSnapshots {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  put({ doc, space, coversPos, due, heads }: PassedSnapshot): void {
    this.#sqlite.run(
      "INSERT OR REPLACE INTO passed_snapshot (doc, space, covers, due, heads) VALUES (?, ?, ?, ?, ?)",
      [doc, space, coversPos, due, packHashes(heads)],
    );
  }

  of(doc: Uint8Array): PassedSnapshot | null {
    return this.#some("doc = ?", doc)[0] ?? null;
  }

  inSpace(space: Uint8Array): PassedSnapshot[] {
    return this.#some("space = ?", space);
  }

  remove(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM passed_snapshot WHERE doc = ?", [doc]);
  }

  #some(where: string, value: Uint8Array): PassedSnapshot[] {
    const sql = `SELECT doc, space, covers, due, heads FROM passed_snapshot WHERE ${where}`;
    return this.#sqlite.all<Row>(sql, [value]).map(({ covers, heads, ...row }) => ({
      ...row,
      coversPos: covers,
      heads: unpackHashes(heads),
    }));
  }
}

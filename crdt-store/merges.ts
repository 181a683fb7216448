import { bytesToHex } from "@noble/hashes/utils.js";

import { packHashes, unpackHashes } from "./hash-list.ts";
import type { Sqlite } from "./sqlite.ts";

/** Two versions of a document that met here without knowing each other. */
export interface Merge {
  /** Heads of what was here and the other did not know. */
  readonly stood: readonly Uint8Array[];
  /** Heads of what was added. */
  readonly came: readonly Uint8Array[];
}

/** Of a change, what its place in the history needs. */
interface Placed {
  readonly doc: Uint8Array;
  readonly hash: Uint8Array;
  readonly deps: readonly Uint8Array[];
}

/** Between two looks so many merges of a document are told apart; what follows joins the last of them. */
const mostOfDocument = 8;

/**
 * Merges nobody has looked at yet, of notes that this device has opened under a name of its own: edits of others among
 * themselves are not its affair, and a device that fetches everything notes none.
 */
export class Merges {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  isWatched(doc: Uint8Array): boolean {
    const sql = `SELECT 1 AS found FROM actor JOIN document USING (doc)
      WHERE doc = ? AND kind = 'note' LIMIT 1`;
    return this.#sqlite.get(sql, [doc]) !== undefined;
  }

  /** Notes it if `added`, new in a document that stood at `heads`, did not know all of those. */
  note(doc: Uint8Array, heads: readonly Uint8Array[], added: readonly Placed[]): void {
    const meeting = meetingOf(heads, added);
    if (meeting === null) return;
    this.#sqlite.transaction(() => {
      const rows = this.#rows(doc);
      for (const row of rows) {
        const longer = continued(mergeIn(row), meeting);
        if (longer !== null) return this.#set(row.id, longer);
      }
      const last = rows.at(-1);
      if (last !== undefined && rows.length >= mostOfDocument) {
        const { stood, came } = mergeIn(last);
        return this.#set(last.id, {
          stood: together(stood, meeting.stood),
          came: together(came, meeting.came),
        });
      }
      this.#sqlite.run("INSERT INTO merge (doc, stood, came) VALUES (?, ?, ?)", [
        doc,
        packHashes(meeting.stood),
        packHashes(meeting.came),
      ]);
    });
  }

  /** Those of a document, the oldest first. */
  of(doc: Uint8Array): readonly Merge[] {
    return this.#rows(doc).map(mergeIn);
  }

  /** Up to `most` documents that have some. */
  documents(most: number): readonly Uint8Array[] {
    return this.#sqlite
      .all<{ doc: Uint8Array }>("SELECT DISTINCT doc FROM merge LIMIT ?", [most])
      .map(({ doc }) => doc);
  }

  /** They have been looked at, or their document is deleted. */
  remove(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM merge WHERE doc = ?", [doc]);
  }

  #set(id: number, { stood, came }: Merge): void {
    this.#sqlite.run("UPDATE merge SET stood = ?, came = ? WHERE id = ?", [
      packHashes(stood),
      packHashes(came),
      id,
    ]);
  }

  #rows(doc: Uint8Array): readonly MergeRow[] {
    return this.#sqlite.all("SELECT id, stood, came FROM merge WHERE doc = ? ORDER BY id", [doc]);
  }
}

interface MergeRow {
  readonly id: number;
  readonly stood: Uint8Array;
  readonly came: Uint8Array;
}

function mergeIn({ stood, came }: MergeRow): Merge {
  return { stood: unpackHashes(stood), came: unpackHashes(came) };
}

function together(
  some: readonly Uint8Array[],
  others: readonly Uint8Array[],
): readonly Uint8Array[] {
  const known = new Set(some.map((hash) => bytesToHex(hash)));
  return [...some, ...others.filter((hash) => !known.has(bytesToHex(hash)))];
}

interface Meeting extends Merge {
  /** Heads, in hex, that what came does go on from. */
  readonly known: ReadonlySet<string>;
  /** It goes on from nothing but those. */
  readonly isDirect: boolean;
}

/**
 * What met when `added`, dependencies first, came to a document at `heads`; null if all of it knew all of those.
 *
 * A new change is concurrent with something that was here exactly if one of the heads is not among its ancestors.
 */
export function meetingOf(heads: readonly Uint8Array[], added: readonly Placed[]): Meeting | null {
  const stood = new Map(heads.map((head) => [bytesToHex(head), head]));
  const knownTo = new Map<string, ReadonlySet<string>>();
  const concurrent = new Map<string, Uint8Array>();
  const unknown = new Set<string>();
  const known = new Set<string>();
  let isDirect = true;
  for (const { hash, deps } of added) {
    const keys = deps.map((dep) => bytesToHex(dep));
    const headsBelow = new Set(
      keys.flatMap((dep) => (stood.has(dep) ? [dep] : [...(knownTo.get(dep) ?? [])])),
    );
    knownTo.set(bytesToHex(hash), headsBelow);
    if (headsBelow.size === stood.size) continue;
    isDirect &&= keys.every((dep) => stood.has(dep) || knownTo.has(dep));
    for (const head of stood.keys()) (headsBelow.has(head) ? known : unknown).add(head);
    for (const dep of keys) concurrent.delete(dep);
    concurrent.set(bytesToHex(hash), hash);
  }
  if (concurrent.size === 0) return null;
  return {
    stood: [...stood].flatMap(([key, head]) => (unknown.has(key) ? [head] : [])),
    came: [...concurrent.values()],
    known,
    isDirect,
  };
}

/** `merge` with one of its sides gone on as `meeting` tells; null if that tells of something else. */
function continued(merge: Merge, meeting: Meeting): Merge | null {
  if (!meeting.isDirect || meeting.known.size === 0) return null;
  const { stood, came } = merge;
  const isAll = (side: readonly Uint8Array[]): boolean => {
    const keys = new Set(side.map((hash) => bytesToHex(hash)));
    return [...meeting.known].every((head) => keys.has(head));
  };
  const beyond = (side: readonly Uint8Array[]): readonly Uint8Array[] =>
    side.filter((hash) => !meeting.known.has(bytesToHex(hash)));
  if (isAll(came)) {
    return {
      stood: together(stood, meeting.stood),
      came: together(beyond(came), meeting.came),
    };
  }
  if (!isAll(stood)) return null;
  return { stood: together(beyond(stood), meeting.came), came: together(came, meeting.stood) };
}

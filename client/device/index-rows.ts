/** The rows of the list of notes, as the index of their notebook has them. */
import type { NoteRow as StoredNote } from "#crdt-store/notes-index.ts";
import type { Store } from "#crdt-store/store.ts";
import { equal, parseHex, toHex } from "#relay/protocol/bytes.ts";
import { docIdBytes } from "#relay/protocol/genesis.ts";
import { parsePast } from "#client/crypto/past.ts";
import type { Space } from "#client/sync/space.ts";
import {
  pastKey,
  unpackMoment,
  unpackMove,
  type Arrival,
  type NotebookIndex,
} from "./index-document.ts";
import { pendingCopies } from "./pending-moves.ts";
import type { Shelf } from "./shelf.ts";

type NewNote = Omit<StoredNote, "version">;

export interface IndexRowsPorts {
  readonly store: Store;
  readonly shelf: Shelf;
}

const nowhere = new Uint8Array(0);

/**
 * Brings the rows of a notebook's notes to what its index says.
 *
 * @param went where its documents went if it has a new home, by their hex
 */
export function projectRows(
  { store, shelf }: IndexRowsPorts,
  space: Space,
  index: NotebookIndex,
  went: ReadonlyMap<string, Arrival>,
): void {
  const { notes } = store;
  const copies = pendingCopies(store);
  const own = new Map(notes.inSpace(space.id).map((row) => [toHex(row.doc), row]));
  const purged = new Set(store.trash.purgedIn(space.id).map(toHex));
  for (const [key, packed] of Object.entries(index.notes)) {
    const doc = parseHex(key);
    const createdAt = unpackMoment(packed);
    if (doc?.length !== docIdBytes || createdAt === null || purged.has(toHex(doc))) continue;
    const row = own.get(toHex(doc)) ?? notes.get(doc);
    // A row of another space is that space's affair, whatever this index says; a row of none is damaged.
    const isAstray = row !== null && shelf.get(row.space) === undefined;
    if (row !== null && !equal(row.space, space.id) && !isAstray) continue;
    const kept = timedRow(store, index, row ?? blankRow(store, space, doc, createdAt));
    const listed = listedRow(index, { ...kept, space: space.id }, createdAt, copies);
    keepRow(store, isAstray ? null : row, settledRow(listed, went));
  }
  for (const row of own.values()) {
    if (index.notes[toHex(row.doc)] !== undefined) continue;
    keepRow(store, row, settledRow(listedRow(index, row, row.createdAt, copies), went));
  }
}

function settledRow(row: NewNote, went: ReadonlyMap<string, Arrival>): NewNote {
  const arrival = went.get(toHex(row.doc));
  return arrival === undefined ? row : { ...row, movedTo: arrival.doc };
}

function blankRow(store: Store, space: Space, doc: Uint8Array, createdAt: number): NewNote {
  return {
    doc,
    space: space.id,
    title: "",
    preview: "",
    tags: [],
    createdAt,
    updatedAt: createdAt,
    trashedAt: null,
    movedTo: null,
    listed: false,
    stale: store.changes.heads(doc).length > 0,
  };
}

/** A note that has been copied here, and not changed since, was changed when its original was. */
function timedRow(store: Store, index: NotebookIndex, row: NewNote): NewNote {
  if (row.listed) return row;
  const packed = index[pastKey(toHex(row.doc))];
  const past = packed instanceof Uint8Array ? parsePast(packed) : null;
  if (past === null || store.changes.isSigned(row.doc)) return row;
  return { ...row, updatedAt: past.updatedAt };
}

/** An index has thousands of rows and an edit of it changes one. */
function keepRow({ notes }: Store, before: StoredNote | null, after: NewNote): void {
  const isSame =
    before !== null &&
    before.updatedAt === after.updatedAt &&
    before.createdAt === after.createdAt &&
    before.trashedAt === after.trashedAt &&
    before.listed === after.listed &&
    toHex(before.movedTo ?? nowhere) === toHex(after.movedTo ?? nowhere);
  if (before === null) notes.upsert(after);
  else if (!isSame) notes.place(after.doc, after);
}

/** @param copies of notes whose marker waits, by their ids in hex */
function listedRow(
  index: NotebookIndex,
  row: NewNote,
  createdAt: number,
  copies: ReadonlyMap<string, Uint8Array>,
): NewNote {
  const key = toHex(row.doc);
  const trash = index.trash[key];
  const moved = index.moved[key];
  return {
    ...row,
    createdAt,
    trashedAt: trash === undefined ? null : (unpackMoment(trash) ?? createdAt),
    movedTo: (moved === undefined ? copies.get(key) : unpackMove(moved)?.doc) ?? null,
    listed: index.notes[key] !== undefined,
  };
}

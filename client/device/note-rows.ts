/** The rows of the note list: what a note says, how far it has come and who has seen it, without loading it. */
import type * as AutomergeModule from "@automerge/automerge/slim";
import { documentIdToText } from "#crdt-store/document-id.ts";
import type { NoteRow as StoredNote } from "#crdt-store/notes-index.ts";
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import type { Card } from "#client/crypto/card.ts";
import { plainPreview, plainTitle } from "#client/notes/markdown.ts";
import { tagsOf } from "#client/notes/tags.ts";
import type { Clock } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { NoteDocument, NoteRow, NoteState } from "./api.ts";
import type { NoteReader } from "./materialiser.ts";
import type { Shelf } from "./shelf.ts";

export interface NoteRowsPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly shelf: Shelf;
  /** Whose device it is, for a person. */
  readonly nameOf: (space: Space, dev: Uint8Array) => string;
}

/** Another device that is known to have read the log of a space up to `pos`. */
interface Reader {
  readonly pos: number;
  readonly name: string;
  /** When it said so. */
  readonly at: number;
}

/** What holds for all notes at the moment of asking, by document in hex. */
interface Whereabouts {
  readonly positions: ReadonlyMap<
    string,
    { readonly pos: number | null; readonly unplaced: number }
  >;
  readonly waiting: ReadonlySet<string>;
  /** With typing that is no change yet. */
  readonly drafted: ReadonlySet<string>;
  readonly quarantined: ReadonlyMap<string, number>;
  readonly missing: ReadonlyMap<string, number>;
  readonly pinned: ReadonlySet<string>;
  /** Some of it is not here. */
  readonly awaited: ReadonlySet<string>;
  /** By space in hex. */
  readonly readers: ReadonlyMap<string, readonly Reader[]>;
}

export class NoteRows implements NoteReader {
  readonly #ports: NoteRowsPorts;
  readonly #store: Store;
  /** Document ids as text, by their hex: each carries a checksum, and the list is asked for often. */
  readonly #idByDoc = new Map<string, string>();

  constructor(ports: NoteRowsPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /** All notes but those that have moved to another notebook. */
  list(): readonly NoteRow[] {
    const whereabouts = this.#whereabouts();
    const unready = this.#ports.shelf.unready();
    return [...this.#store.notes.list(), ...this.#store.notes.list({ trashed: true })]
      .filter((row) => row.movedTo === null && !unready.has(toHex(row.space)))
      .map((row) => this.#row(row, whereabouts));
  }

  /** The devices that are known to hold everything of a note, and when each said so last. */
  seenBy(doc: Uint8Array): readonly { readonly name: string; readonly at: number }[] {
    const row = this.#store.notes.get(doc);
    const space = row === null ? undefined : this.#ports.shelf.get(row.space);
    if (row === null || space === undefined) return [];
    const whereabouts = this.#whereabouts();
    const { pos } = whereabouts.positions.get(toHex(doc)) ?? { pos: null };
    if (pos === null || this.#row(row, whereabouts).state !== "seen-elsewhere") return [];
    return this.#readers(space)
      .filter((reader) => reader.pos >= pos)
      .map(({ name, at }) => ({ name, at }));
  }

  #row(row: StoredNote, whereabouts: Whereabouts): NoteRow {
    const key = toHex(row.doc);
    const id = this.#idByDoc.get(key) ?? documentIdToText(row.doc);
    this.#idByDoc.set(key, id);
    const { pos, unplaced } = whereabouts.positions.get(key) ?? { pos: null, unplaced: 0 };
    const here = !(pos === null && unplaced === 0 && whereabouts.awaited.has(key));
    const waiting = whereabouts.waiting.has(key) ? Math.max(1, unplaced) : 0;
    const notebook = toHex(row.space);
    // What a relay has lost again is only here, too, and typing that a crash or a full disk keeps from becoming a change.
    const isOnlyHere =
      waiting > 0 || (pos === null && here) || unplaced > 0 || whereabouts.drafted.has(key);
    const seenBy =
      isOnlyHere || pos === null ? [] : namesAt(whereabouts.readers.get(notebook) ?? [], pos);
    return {
      id,
      title: row.title,
      preview: row.preview,
      tags: row.tags,
      pinned: whereabouts.pinned.has(key),
      notebook,
      createdAt: row.createdAt,
      updatedAt: row.updatedAt,
      trashed: row.trashedAt !== null,
      here,
      state: stateOf(isOnlyHere, seenBy),
      waiting,
      seenBy,
      quarantined: whereabouts.quarantined.get(key) ?? 0,
      awaiting: whereabouts.missing.get(key) ?? 0,
    };
  }

  #whereabouts(): Whereabouts {
    const { changes, outbox, drafts, inbox, pins, awaited, missingChanges } = this.#store;
    return {
      positions: changes.lastPositions(),
      waiting: new Set(outbox.waitingDocuments().map(toHex)),
      drafted: new Set(drafts.documents().map(toHex)),
      quarantined: new Map(
        inbox.quarantinedByDocument().map(({ doc, entries }) => [toHex(doc), entries]),
      ),
      missing: missingChanges.counts(),
      pinned: new Set(pins.all().map(toHex)),
      awaited: new Set(awaited.all().map(toHex)),
      readers: new Map(
        this.#ports.shelf.spaces().map((space) => [space.hex, this.#readers(space)]),
      ),
    };
  }

  #readers(space: Space): readonly Reader[] {
    return this.#store.inbox
      .frontiers(space.id)
      .filter(({ dev }) => !equal(dev, space.device.publicKey))
      .map(({ dev, pos, at }) => ({ pos, at, name: this.#ports.nameOf(space, dev) }));
  }

  /** What the relay's list says of a note whose document is not here. */
  listed(space: Space, doc: Uint8Array, card: Card): void {
    const row = this.#store.notes.get(doc);
    if (row !== null && !equal(row.space, space.id)) return;
    const place = row ?? { trashedAt: null, movedTo: null, listed: false };
    this.#store.notes.upsert({ ...place, ...card, doc, space: space.id, stale: false });
  }

  /**
   * The row of a changed note is to be derived anew, also after a crash right behind this.
   *
   * @param isNews what changed it was written just now; a note that arrives late keeps its time, and so does one that was
   *   only copied
   */
  markStale(space: Space, doc: Uint8Array, isNews: boolean): void {
    const now = this.#ports.clock.now();
    const row = this.#store.notes.get(doc);
    this.#store.notes.upsert({
      ...(row ?? {
        doc,
        space: space.id,
        title: "",
        preview: "",
        tags: [],
        createdAt: now,
        trashedAt: null,
        movedTo: null,
        listed: false,
      }),
      updatedAt: isNews && this.#store.changes.isSigned(doc) ? now : (row?.updatedAt ?? now),
      stale: true,
    });
  }

  unread(most: number): readonly Uint8Array[] {
    return this.#store.notes.stale(most);
  }

  read(doc: Uint8Array, note: AutomergeModule.Doc<NoteDocument>): void {
    const row = this.#store.notes.get(doc);
    if (row !== null) this.#store.notes.describe(doc, { ...row, ...said(note) });
  }

  passOver(doc: Uint8Array): void {
    const row = this.#store.notes.get(doc);
    if (row !== null) this.#store.notes.describe(doc, row);
  }

  /** The row of a note that was changed here, from its document. */
  changed(doc: Uint8Array, note: AutomergeModule.Doc<NoteDocument>): void {
    const row = this.#store.notes.get(doc);
    if (row === null) return;
    const updatedAt = this.#ports.clock.now();
    this.#store.notes.upsert({ ...row, ...said(note), updatedAt, stale: false });
  }
}

/** What a list says of a document; nothing while its first change has not arrived. */
function said(
  note: AutomergeModule.Doc<NoteDocument>,
): Pick<StoredNote, "title" | "preview" | "tags"> | Record<never, never> {
  if (typeof note.body !== "string" || typeof note.title !== "string") return {};
  return { title: plainTitle(note), preview: plainPreview(note), tags: tagsOf(note) };
}

function namesAt(readers: readonly Reader[], pos: number): readonly string[] {
  return [...new Set(readers.filter((reader) => reader.pos >= pos).map(({ name }) => name))];
}

function stateOf(isOnlyHere: boolean, seenBy: readonly string[]): NoteState {
  if (isOnlyHere) return "saved-here";
  return seenBy.length > 0 ? "seen-elsewhere" : "on-relay";
}

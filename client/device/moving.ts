/**
 * Notes that go to another notebook: a new document there that begins with all that was written, the marker in the old
 * index once the relay has it, and what somebody still wrote in the old one (PROTOCOL §1, docs/decisions/moving.md).
 */
import { documentIdToText } from "#crdt-store/document-id.ts";
import type { NoteRow as StoredNote } from "#crdt-store/notes-index.ts";
import type { Store } from "#crdt-store/store.ts";
import { mustHex, toHex } from "#relay/protocol/bytes.ts";
import type { Timers } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { Background } from "./background.ts";
import { carryOver } from "./carry-over.ts";
import type { Copying } from "./copying.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { DeviceEvents } from "./events.ts";
import { packMove, type Arrival } from "./index-document.ts";
import type { Indices } from "./indices.ts";
import type { NoteRows } from "./note-rows.ts";
import { loadMoves, saveMoves } from "./pending-moves.ts";
import type { Shelf } from "./shelf.ts";

export interface MovingPorts {
  readonly store: Store;
  readonly timers: Timers;
  readonly background: Background;
  readonly copying: Copying;
  readonly shelf: Shelf;
  readonly indices: Indices;
  readonly rows: NoteRows;
  readonly events: DeviceEvents;
  readonly documents: () => Promise<DeviceDocuments>;
  readonly changedHere: (space: Space) => void;
}

/** A note of which there is a copy elsewhere, and where its own text goes on there. */
interface Moved {
  readonly doc: Uint8Array;
  readonly arrival: Arrival;
}

const quietMs = 1_000;

export class Moving {
  readonly #ports: MovingPorts;
  readonly #store: Store;
  #cancel: (() => void) | null = null;
  #closed = false;

  constructor(ports: MovingPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
  }

  /** Something happened: in a moment, does what moved notes still need. */
  soon(): void {
    const { timers, background } = this.#ports;
    if (this.#closed || this.#cancel !== null) return;
    this.#cancel = timers.after(quietMs, () => {
      this.#cancel = null;
      const isDone = this.#acknowledged().length === 0 && this.#leftovers().length === 0;
      if (!isDone) background.add(() => this.settle());
    });
  }

  /** Writes the markers of copies that the relay has, and takes along what was written in the old notes since. */
  async settle(): Promise<void> {
    const documents = await this.#ports.documents();
    for (const { doc, copy, space, target } of this.#acknowledged()) {
      this.#store.transaction(() => {
        saveMoves(
          this.#store,
          loadMoves(this.#store).filter((move) => move.doc !== toHex(doc)),
        );
        this.#ports.indices.edit(documents, space, (index) => {
          index.moved[toHex(doc)] = packMove(target.id, copy);
        });
        this.#ports.indices.project(space);
      });
      this.#ports.changedHere(space);
    }
    for (const moved of this.#leftovers()) this.#takeAlong(documents, moved);
  }

  /** A document in another notebook that begins with all of this one; in the caller's transaction. */
  copy(documents: DeviceDocuments, row: StoredNote, target: Space): Uint8Array {
    const { doc: copy } = this.#ports.copying.copy(documents, row, target, null);
    const move = { doc: toHex(row.doc), copy: toHex(copy), target: target.hex };
    saveMoves(this.#store, [...loadMoves(this.#store), move]);
    return copy;
  }

  /** Moves whose copy the relay has. */
  #acknowledged(): readonly {
    readonly doc: Uint8Array;
    readonly copy: Uint8Array;
    readonly space: Space;
    readonly target: Space;
  }[] {
    const { outbox, outgoingSnapshots, documents } = this.#store;
    return loadMoves(this.#store).flatMap((move) => {
      const [doc, copy, targetId] = [move.doc, move.copy, move.target].map(mustHex);
      if (doc === undefined || copy === undefined || targetId === undefined) return [];
      const from = documents.get(doc);
      const space = from === null ? undefined : this.#ports.shelf.get(from.space);
      const target = this.#ports.shelf.get(targetId);
      const isThere = !outbox.isWaiting(copy) && !outgoingSnapshots.has(copy);
      if (space?.mayWrite !== true || target === undefined || !isThere) return [];
      return [{ doc, copy, space, target }];
    });
  }

  /** Moved notes in which this device has written something that their copy has not got. */
  #leftovers(): readonly Moved[] {
    return this.#store.notes.moved().flatMap(({ doc, space, movedTo }) => {
      // What went along with its notebook is carried over by homes.ts.
      if (movedTo === null || this.#store.homes.get(space) !== null) return [];
      const arrival = this.#arrivalOf(doc, movedTo);
      return arrival !== null && this.#hasMore(doc, arrival) ? [{ doc, arrival }] : [];
    });
  }

  /** Null until the copy is here with its whole past. */
  #arrivalOf(doc: Uint8Array, copy: Uint8Array): Arrival | null {
    const { awaited, changes, missingChanges } = this.#store;
    const began = this.#spaceOf(copy)?.originOf(copy)?.heads ?? [];
    const isHere = changes.knows(copy) && !awaited.has(copy) && missingChanges.countOf(copy) === 0;
    // Only a copy with the whole past is one: then the note stood where the copy begins.
    if (!isHere || began.length === 0 || changes.missing(doc, began).length > 0) return null;
    return { doc: copy, old: began, now: began };
  }

  #hasMore(doc: Uint8Array, arrival: Arrival): boolean {
    const { changes, documents, homes } = this.#store;
    if (documents.actorsOf(doc).length === 0) return false;
    const { old } = homes.carried(doc) ?? arrival;
    return changes.beyond(doc, old).some(({ local }) => local);
  }

  /** The difference that this device's own changes made, written again in the copy where it began. */
  #takeAlong(documents: DeviceDocuments, { doc, arrival }: Moved): void {
    const target = this.#spaceOf(arrival.doc);
    if (target?.mayWrite !== true) return;
    const made = this.#store.transaction(() => {
      const carried = carryOver(this.#store, documents, doc, target, arrival, "own");
      if (carried === null || carried === "waiting") return null;
      this.#ports.rows.changed(arrival.doc, carried.doc);
      documents.automerge.free(carried.doc);
      return carried.changes;
    });
    if (made === null) return;
    const id = documentIdToText(arrival.doc);
    this.#ports.events.emit({ type: "changes", id, session: null, changes: made });
    this.#ports.changedHere(target);
  }

  #spaceOf(doc: Uint8Array): Space | undefined {
    const document = this.#store.documents.get(doc);
    return document === null ? undefined : this.#ports.shelf.get(document.space);
  }
}

/**
 * Notes that go to another notebook: a new document there that begins with all that was written, the marker in the old
 * index once the relay has it, and what somebody still wrote in the old one (PROTOCOL §1, docs/decisions/moving.md).
 */
import { parseChange, type Change } from "#crdt-store/chunks.ts";
import type { NoteRow as StoredNote } from "#crdt-store/notes-index.ts";
import type { Store } from "#crdt-store/store.ts";
import { concat, parseHex, toHex } from "#relay/protocol/bytes.ts";
import { blobIdBytes } from "#relay/protocol/blob.ts";
import { chainStart } from "#relay/protocol/domain.ts";
import { documentIdOf } from "#relay/protocol/genesis.ts";
import { docNonceBytes, signOrigin } from "#client/crypto/authorship.ts";
import { blobKeyBytes } from "#client/crypto/blob.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { encodeSnapshotContent } from "#client/crypto/snapshot.ts";
import { diffTexts } from "#client/notes/text-splices.ts";
import type { Clock, Random, Timers } from "#client/sync/ports.ts";
import { mostInlineBytes } from "#client/sync/snapshots.ts";
import type { Space } from "#client/sync/space.ts";
import type { FieldSplice, NoteDocument } from "./api.ts";
import type { Background } from "./background.ts";
import type { DeviceDocuments } from "./documents.ts";
import { packMoment, packMove } from "./index-document.ts";
import type { Indices } from "./indices.ts";
import type { NoteRows } from "./note-rows.ts";
import { loadMoves, saveMoves } from "./pending-moves.ts";
import type { Shelf } from "./shelf.ts";

export interface MovingPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly background: Background;
  readonly shelf: Shelf;
  readonly indices: Indices;
  readonly rows: NoteRows;
  readonly documents: () => Promise<DeviceDocuments>;
  readonly changedHere: (space: Space) => void;
}

const quietMs = 1_000;
const hashBytes = 32;

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
    for (const row of this.#leftovers()) this.#takeAlong(documents, row);
  }

  /** A document in another notebook that begins with all of this one; in the caller's transaction. */
  copy(documents: DeviceDocuments, row: StoredNote, target: Space): Uint8Array {
    const { ed, random, clock, indices } = this.#ports;
    const docNonce = random(docNonceBytes);
    const copy = documentIdOf(target.id, target.device.publicKey, docNonce);
    const saved = documents.save(row.doc);
    const heads = saved.heads.map(mustHex);
    const changes = saved.changes.map(mustParse);
    const origin = signOrigin(ed, target.device, copy, docNonce, heads);
    this.#store.documents.add({ doc: copy, space: target.id, kind: "note", origin });
    this.#store.changes.insert(
      changes.map((change) => ({
        ...change,
        doc: copy,
        opCount: 0,
        space: target.id,
        pos: null,
        signer: null,
        local: false,
        at: clock.now(),
      })),
    );
    const hashes = changes.map(({ hash }) => hash);
    this.#store.outbox.add(target.id, copy, hashes);
    const content = encodeSnapshotContent({ heads: [], document: saved.bytes });
    const isLarge = content.length > mostInlineBytes;
    this.#store.outgoingSnapshots.put({
      doc: copy,
      space: target.id,
      coversPos: 0,
      chain: chainStart(target.id),
      omitted: [],
      heads,
      changes: hashes,
      content,
      blob: isLarge ? { id: random(blobIdBytes), key: random(blobKeyBytes) } : null,
    });
    this.#store.notes.upsert({
      ...row,
      doc: copy,
      space: target.id,
      trashedAt: null,
      movedTo: null,
    });
    indices.edit(documents, target, (index) => {
      index.notes[toHex(copy)] = packMoment(row.createdAt);
    });
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
  #leftovers(): readonly (StoredNote & { readonly movedTo: Uint8Array })[] {
    return this.#store.notes.moved().flatMap((row) => {
      const { movedTo } = row;
      if (movedTo === null || this.#leftIn(row.doc, movedTo).length === 0) return [];
      return [{ ...row, movedTo }];
    });
  }

  #leftIn(doc: Uint8Array, copy: Uint8Array): readonly Change[] {
    const { awaited, changes, documents, missingChanges } = this.#store;
    const isCopyHere =
      changes.knows(copy) && !awaited.has(copy) && missingChanges.countOf(copy) === 0;
    if (!isCopyHere || documents.actorsOf(doc).length === 0) return [];
    // Only a copy with the whole past is one: then the note stood where the copy begins.
    const began = this.#spaceOf(copy)?.originOf(copy)?.heads ?? [];
    if (began.length === 0 || changes.missing(doc, began).length > 0) return [];
    const taken = this.#taken(doc);
    return changes
      .ofDocument(doc)
      .filter(({ local, hash }) => local && !taken.has(toHex(hash)) && !changes.has(copy, hash));
  }

  /** The difference that this device's own changes made, written again in the copy where it began. */
  #takeAlong(documents: DeviceDocuments, row: StoredNote & { readonly movedTo: Uint8Array }): void {
    const { doc, movedTo: copy } = row;
    const target = this.#spaceOf(copy);
    const origin = target?.originOf(copy);
    const left = this.#leftIn(doc, copy);
    if (target?.mayWrite !== true || origin == null || left.length === 0) return;
    const began = origin.heads.map(toHex);
    const followed = new Set(left.flatMap(({ deps }) => deps.map(toHex)));
    const own = left.map(({ hash }) => toHex(hash)).filter((hash) => !followed.has(hash));
    const { automerge } = documents;
    const loaded = documents.load<NoteDocument>(doc);
    const before = textOf(automerge.view(loaded, began));
    const after = textOf(automerge.view(loaded, [...began, ...own]));
    automerge.free(loaded);
    const edits = (["title", "body"] as const).flatMap((field): FieldSplice[] => {
      const splice = diffTexts(before[field], after[field]);
      return splice === null ? [] : [{ field, ...splice }];
    });
    this.#store.transaction(() => {
      this.#store.settings.put(
        takenName(doc),
        concat(...[...this.#taken(doc)].map(mustHex), ...left.map(({ hash }) => hash)),
      );
      if (edits.length === 0) return;
      const spliced = documents.spliceAt(target, copy, began, edits);
      if (spliced === null) throw new Error("a copy does not hold what it began with");
      this.#ports.rows.changed(copy, spliced.doc);
      automerge.free(spliced.doc);
    });
    this.#ports.changedHere(target);
  }

  /** Hashes in hex of changes that were written again in the copy. */
  #taken(doc: Uint8Array): ReadonlySet<string> {
    const packed = this.#store.settings.get(takenName(doc)) ?? new Uint8Array();
    return new Set(
      Array.from({ length: packed.length / hashBytes }, (_, ix) =>
        toHex(packed.slice(ix * hashBytes, (ix + 1) * hashBytes)),
      ),
    );
  }

  #spaceOf(doc: Uint8Array): Space | undefined {
    const document = this.#store.documents.get(doc);
    return document === null ? undefined : this.#ports.shelf.get(document.space);
  }
}

function takenName(doc: Uint8Array): string {
  return `device/taken-along/${toHex(doc)}`;
}

function textOf(note: Partial<NoteDocument>): { readonly title: string; readonly body: string } {
  return { title: note.title ?? "", body: note.body ?? "" };
}

function mustHex(text: string): Uint8Array {
  const bytes = parseHex(text);
  if (bytes === null) throw new Error("an id is not written in hex");
  return bytes;
}

function mustParse(chunk: Uint8Array): Change {
  const parsed = parseChange(chunk);
  if (parsed.type === "failed") throw new Error(`a change in a note is ${parsed.failure.type}`);
  return parsed.change;
}

/** What people do with notes: writing, reading, throwing away, moving; and drafts whose tab has gone. */
import { parseChange } from "#crdt-store/chunks.ts";
import { documentIdToText, parseDocumentId } from "#crdt-store/document-id.ts";
import type { Draft as StoredDraft } from "#crdt-store/drafts.ts";
import type { NoteRow as StoredNote } from "#crdt-store/notes-index.ts";
import type { Store } from "#crdt-store/store.ts";
import { isDiskFull } from "#crdt-store/store-error.ts";
import { parseHex, toHex, utf8 } from "#relay/protocol/bytes.ts";
import { documentIdOf } from "#relay/protocol/genesis.ts";
import { actorNonceBytes, docNonceBytes, signOrigin } from "#client/crypto/authorship.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { plainPreview, plainTitle } from "#client/notes/markdown.ts";
import { tagsOf } from "#client/notes/tags.ts";
import type { Clock, Random } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { Arrival } from "./arrival.ts";
import type { CallName, Commit, Draft, FieldSplice, NoteDocument, OpenedNote } from "./api.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { DeviceEvents } from "./events.ts";
import { packMoment } from "./index-document.ts";
import type { Indices } from "./indices.ts";
import type { Materialiser } from "./materialiser.ts";
import type { Moving } from "./moving.ts";
import type { NoteRows } from "./note-rows.ts";
import { refuse } from "./refusal.ts";
import type { RelayDesk } from "./relay-desk.ts";
import { mustWrite, roleName, type Shelf } from "./shelf.ts";

export interface NotesPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly random: Random;
  readonly sessionAlive: (session: string) => Promise<boolean>;
  readonly shelf: Shelf;
  readonly indices: Indices;
  readonly rows: NoteRows;
  readonly materialiser: Materialiser;
  readonly arrival: Arrival;
  readonly moving: Moving;
  readonly events: DeviceEvents;
  readonly documents: () => Promise<DeviceDocuments>;
  /** Something was written here: told to the lists, and to the relay. */
  readonly desk: RelayDesk;
  readonly changedHere: (space: Space) => void;
}

interface FoundNote {
  readonly docId: Uint8Array;
  readonly row: StoredNote;
  readonly space: Space;
}

export interface NewNote {
  readonly title: string;
  readonly body: string;
  readonly createdAt: number;
}

/** A note's text with the heads (hex) it stands at. */
export interface NoteText {
  readonly title: string;
  readonly body: string;
  readonly heads: readonly string[];
}

export class Notes {
  readonly #ports: NotesPorts;
  readonly #store: Store;
  /** Drafts that were told of, once each. */
  readonly #waitingDrafts = new Set<string>();

  constructor(ports: NotesPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /** Null for what is no note of this device. */
  find(id: string): FoundNote | null {
    const docId = parseDocumentId(id);
    const row = docId === undefined ? null : this.#store.notes.get(docId);
    const space = row === null ? undefined : this.#ports.shelf.get(row.space);
    return docId === undefined || row === null || space === undefined
      ? null
      : { docId, row, space };
  }

  /** Refuses with `no-such-note`. */
  must(id: string): FoundNote {
    return this.find(id) ?? refuse("no-such-note", "There is no such note on this device.");
  }

  async create(
    input: { readonly notebook?: string; readonly title?: string; readonly body?: string },
    call?: CallName,
  ): Promise<{ id: string }> {
    const { shelf, clock, documents, changedHere } = this.#ports;
    const space =
      input.notebook === undefined ? shelf.firstNotebook() : shelf.mustNotebook(input.notebook);
    mustWrite(space);
    const loaded = await documents();
    const note = {
      title: oneLine(input.title ?? ""),
      body: withNewlines(input.body ?? ""),
      createdAt: clock.now(),
    };
    const id = this.#once(call, () => this.#write(loaded, space, note));
    changedHere(space);
    return { id };
  }

  /** The text of the id of what `make` makes, or made when the call came before. */
  #once(call: CallName | undefined, make: () => Uint8Array): string {
    const { answers } = this.#store;
    return this.#store.transaction(() => answers.once(call, () => documentIdToText(make())));
  }

  /** A new document with its origin, its row and its place in the index; in the caller's transaction. */
  #write(documents: DeviceDocuments, space: Space, note: NewNote): Uint8Array {
    const { ed, random, clock, indices } = this.#ports;
    const docNonce = random(docNonceBytes);
    const docId = documentIdOf(space.id, space.device.publicKey, docNonce);
    const composed = documents.compose(documents.newActor(space, docId, "device"), note);
    const changes = documents.automerge.getAllChanges(composed);
    documents.automerge.free(composed);
    const origin = signOrigin(ed, space.device, docId, docNonce, [rootOf(changes)]);
    this.#store.documents.add({ doc: docId, space: space.id, kind: "note", origin });
    documents.journal(space, docId, changes);
    this.#store.notes.upsert({
      doc: docId,
      space: space.id,
      title: plainTitle(note),
      preview: plainPreview(note),
      tags: tagsOf({ body: note.body, tags: {} }),
      createdAt: note.createdAt,
      updatedAt: clock.now(),
      trashedAt: null,
      movedTo: null,
      listed: true,
      stale: false,
    });
    indices.edit(documents, space, (index) => {
      index.notes[toHex(docId)] = packMoment(note.createdAt);
    });
    return docId;
  }

  async open(id: string, session: string): Promise<OpenedNote> {
    const { docId, row, space } = this.must(id);
    await this.#ports.arrival.of(space, docId);
    await this.#recoverDraftsIfRoom(docId);
    const documents = await this.#ports.documents();
    const { snapshot, changes } = documents.contentOf(docId);
    if ((snapshot === null && changes.length === 0) || this.#ports.arrival.isMissing(docId)) {
      refuse(
        "unavailable",
        "This note has not arrived on this device yet. It comes as soon as the relay can be reached.",
      );
    }
    const actor = ifRoom(() => documents.newActor(space, docId, session));
    return {
      id,
      chunks: snapshot === null ? changes : [snapshot.bytes, ...changes],
      // What an author unknown to the store writes is taken for somebody else's: such an opening only reads.
      actor: actor ?? toHex(this.#ports.random(actorNonceBytes)),
      notebook: space.hex,
      role: actor === null ? "read" : roleName(space),
      trashed: row.trashedAt !== null,
    };
  }

  async draft(id: string, draft: Draft): Promise<void> {
    const { docId, space } = this.must(id);
    mustWrite(space);
    // Not before a commit that was sent before: while Automerge is being loaded that one waits, and would then drop the
    // draft that goes on from it.
    await this.#ports.documents();
    this.#store.drafts.put({
      doc: docId,
      session: draft.session,
      actor: mustHex(draft.actor),
      heads: draft.heads.map(mustHex),
      edits: JSON.stringify(draft.edits),
      at: this.#ports.clock.now(),
    });
  }

  async commit(id: string, commit: Commit): Promise<void> {
    const { desk, materialiser, clock, events, changedHere } = this.#ports;
    const { docId, row, space } = this.must(id);
    mustWrite(space);
    const documents = await this.#ports.documents();
    const { added, stale } = this.#store.transaction(() => {
      const fresh = documents.journal(space, docId, commit.changes);
      this.#store.drafts.remove(docId, commit.session);
      const after = {
        ...(this.#store.notes.get(docId) ?? row),
        title: commit.title,
        preview: commit.preview,
        updatedAt: clock.now(),
        // The tab described the note without what has come from elsewhere meanwhile.
        stale: commit.changes.length === 0 || this.#store.changes.heads(docId).length > 1,
      };
      this.#store.notes.upsert(after);
      desk.sealAhead(space);
      return { added: fresh, stale: after.stale };
    });
    if (added.length > 0) {
      events.emit({ type: "changes", id, session: commit.session, changes: added });
    }
    if (stale) materialiser.soon();
    changedHere(space);
  }

  async read(id: string): Promise<NoteText & { readonly id: string }> {
    const { docId, space } = this.must(id);
    await this.#ports.arrival.of(space, docId);
    await this.#recoverDraftsIfRoom(docId);
    const documents = await this.#ports.documents();
    const doc = documents.load<NoteDocument>(docId);
    const { title, body }: Partial<NoteDocument> = doc;
    const heads = documents.automerge.getHeads(doc);
    documents.automerge.free(doc);
    if (typeof title !== "string" || typeof body !== "string") {
      refuse("unavailable", "This note has not arrived on this device yet.");
    }
    return { id, title, body, heads };
  }

  async readAt(
    id: string,
    heads: readonly string[],
  ): Promise<{ readonly title: string; readonly body: string }> {
    const { docId } = this.must(id);
    const documents = await this.#ports.documents();
    if (!documents.holds(docId, heads)) refuseVersion();
    const doc = documents.load<NoteDocument>(docId);
    const { title, body } = documents.automerge.view(doc, [...heads]);
    documents.automerge.free(doc);
    return { title, body };
  }

  /** Splices made against `heads`; what others wrote since stays. Resolves to the merged text. */
  async splice(
    id: string,
    heads: readonly string[],
    edits: readonly FieldSplice[],
  ): Promise<NoteText> {
    const { events, changedHere } = this.#ports;
    const { docId, space } = this.must(id);
    mustWrite(space);
    const documents = await this.#ports.documents();
    const made = this.#store.transaction(() =>
      this.#spliceAt(documents, { docId, space }, heads, edits),
    );
    if (made === null) refuseVersion();
    events.emit({ type: "changes", id, session: null, changes: made.changes });
    changedHere(space);
    const { title, body } = made.doc;
    const after = documents.automerge.getHeads(made.doc);
    documents.automerge.free(made.doc);
    return { title, body, heads: after };
  }

  #spliceAt(
    documents: DeviceDocuments,
    { docId, space }: Pick<FoundNote, "docId" | "space">,
    heads: readonly string[],
    edits: readonly FieldSplice[],
  ): ReturnType<DeviceDocuments["spliceAt"]> {
    const spliced = documents.spliceAt(space, docId, heads, edits);
    if (spliced !== null) this.#ports.rows.changed(docId, spliced.doc);
    return spliced;
  }

  async trash(id: string): Promise<void> {
    await this.#setTrashed(id, this.#ports.clock.now());
  }

  async restore(id: string): Promise<void> {
    await this.#setTrashed(id, null);
  }

  async #setTrashed(id: string, at: number | null): Promise<void> {
    const { indices, changedHere } = this.#ports;
    const { docId, space } = this.must(id);
    mustWrite(space);
    const documents = await this.#ports.documents();
    this.#store.transaction(() => {
      indices.edit(documents, space, (index) => {
        if (at === null) delete index.trash[toHex(docId)];
        else index.trash[toHex(docId)] = packMoment(at);
      });
      indices.project(space);
    });
    changedHere(space);
  }

  /** Whatever its notebook allows: the mark is this person's own. */
  async pin(id: string, pinned: boolean): Promise<void> {
    const { indices } = this.#ports;
    const { docId } = this.must(id);
    const documents = await this.#ports.documents();
    this.#store.transaction(() => indices.vault.pin(documents, docId, pinned));
  }

  /** A note whose text is needed has to be here. */
  async #present(space: Space, docId: Uint8Array): Promise<void> {
    const { arrival } = this.#ports;
    await arrival.of(space, docId);
    if (arrival.isMissing(docId) || !this.#store.changes.knows(docId)) {
      refuse("unavailable", "This note has not arrived on this device yet.");
    }
  }

  /** Into the other notebook, with all that was ever written in it; the marker in the old one follows. */
  async move(id: string, notebook: string, call?: CallName): Promise<{ id: string }> {
    const { shelf, indices, changedHere } = this.#ports;
    const { docId, row, space } = this.must(id);
    const target = shelf.mustNotebook(notebook);
    mustWrite(space);
    mustWrite(target);
    if (target === space) return { id };
    await this.#present(space, docId);
    await this.#recoverDraftsIfRoom(docId);
    const documents = await this.#ports.documents();
    const moved = this.#once(call, () => {
      const copy = this.#ports.moving.copy(documents, row, target);
      if (this.#store.pins.has(docId)) {
        indices.vault.pin(documents, copy, true);
        indices.vault.pin(documents, docId, false);
      }
      indices.project(space);
      return copy;
    });
    changedHere(target);
    changedHere(space);
    return { id: moved };
  }

  /** Drafts whose tab is gone become changes: a crash loses nothing that was shown as saved. */
  async recoverDrafts(): Promise<void> {
    const docs = new Map(this.#store.drafts.all().map(({ doc }) => [toHex(doc), doc]));
    for (const doc of docs.values()) await this.#recoverDraftsOf(doc);
    const astray = this.#store.drafts
      .all()
      .filter(({ doc }) => this.#store.notes.get(doc) === null);
    for (const { doc, session } of astray) {
      if (!(await this.#ports.sessionAlive(session))) this.#setDraftAside(doc, session);
    }
  }

  /** What is written already can be read where nothing more can be; a draft stays one until there is room. */
  async #recoverDraftsIfRoom(docId: Uint8Array): Promise<void> {
    try {
      await this.#recoverDraftsOf(docId);
    } catch (error) {
      if (!isDiskFull(error)) throw error;
    }
  }

  async #recoverDraftsOf(docId: Uint8Array): Promise<void> {
    for (const { session } of this.#store.drafts.of(docId)) {
      if (!(await this.#ports.sessionAlive(session))) await this.#recoverDraft(docId, session);
    }
  }

  async #recoverDraft(docId: Uint8Array, session: string): Promise<void> {
    const { shelf, events, changedHere } = this.#ports;
    const row = this.#store.notes.get(docId);
    const space = row === null ? undefined : shelf.get(row.space);
    if (space === undefined) return;
    const documents = await this.#ports.documents();
    const made = this.#store.transaction(() => {
      // Asked again: another opening may have recovered it in the meantime.
      const draft = this.#store.drafts.of(docId).find((other) => other.session === session);
      if (draft === undefined) return null;
      const edits = parseEdits(draft.edits);
      const heads = draft.heads.map(toHex);
      if (edits === null || heads.length === 0) {
        this.#setDraftAside(docId, session);
        return null;
      }
      const spliced = this.#spliceAt(documents, { docId, space }, heads, edits);
      if (spliced === null) this.#keepDraftWaiting(draft);
      else this.#store.drafts.remove(docId, session);
      return spliced;
    });
    if (made === null) return;
    documents.automerge.free(made.doc);
    const id = documentIdToText(docId);
    events.emit({ type: "changes", id, session: null, changes: made.changes });
    changedHere(space);
  }

  /** It may be on top of what was damaged here and is fetched again. */
  #keepDraftWaiting({ doc, session }: StoredDraft): void {
    const name = `${toHex(doc)}/${session}`;
    if (this.#waitingDrafts.has(name)) return;
    this.#waitingDrafts.add(name);
    this.#store.syncLog.add(
      "warning",
      "The last moment's typing before a crash waits for an older part of its note. It is kept until that is here.",
    );
  }

  /** Typing that fits no note any more is kept for whoever looks for it, and holds nothing up. */
  #setDraftAside(docId: Uint8Array, session: string): void {
    const draft = this.#store.drafts.of(docId).find((other) => other.session === session);
    if (draft === undefined) return;
    this.#store.transaction(() => {
      this.#store.inbox.quarantine({
        space: null,
        pos: null,
        doc: docId,
        entryId: null,
        reason: "damaged-draft",
        bytes: utf8(draft.edits),
        signer: null,
      });
      this.#store.drafts.remove(docId, session);
      this.#store.syncLog.add(
        "warning",
        "The last moment's typing before a crash fits no note any more. It is set aside, not deleted.",
      );
    });
  }
}

/** As `draft()` above wrote them; null if they are damaged. */
function parseEdits(json: string): readonly FieldSplice[] | null {
  try {
    const edits: unknown = JSON.parse(json);
    return Array.isArray(edits) && edits.every(isSplice) ? edits : null;
  } catch {
    return null;
  }
}

function isSplice(edit: unknown): edit is FieldSplice {
  if (typeof edit !== "object" || edit === null) return false;
  const { field, at, remove, insert } = edit as Partial<Record<keyof FieldSplice, unknown>>;
  return (
    (field === "title" || field === "body") &&
    Number.isSafeInteger(at) &&
    Number.isSafeInteger(remove) &&
    typeof insert === "string"
  );
}

/** The hash of the change a new document begins with. */
function rootOf(changes: readonly Uint8Array[]): Uint8Array {
  const [root] = changes;
  if (root === undefined) throw new Error("a new note has no first change");
  const parsed = parseChange(root);
  if (parsed.type === "failed") {
    throw new Error(`a new note's first change is ${parsed.failure.type}`);
  }
  return parsed.change.hash;
}

function refuseVersion(): never {
  return refuse(
    "bad-input",
    "This note never stood at the version you name (--base). Read it again and repeat the edit.",
  );
}

/** What `write` makes, null where there is no room for it. */
function ifRoom<T>(write: () => T): T | null {
  try {
    return write();
  } catch (error) {
    if (isDiskFull(error)) return null;
    throw error;
  }
}

function mustHex(text: string): Uint8Array {
  return (
    parseHex(text) ?? refuse("bad-input", "A version or an author is not written as hex digits.")
  );
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}

function withNewlines(text: string): string {
  return text.replace(/\r\n?/g, "\n");
}

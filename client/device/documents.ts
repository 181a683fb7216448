/**
 * Automerge on the device itself: index documents, which every device edits, and notes that no tab
 * has open. What tabs have open lives in the tabs; here documents are loaded from the journal, and
 * every change made here goes into the journal and the outbox in one transaction.
 */
import type * as AutomergeModule from "@automerge/automerge/slim";
import { parseChange } from "#crdt-store/chunks.ts";
import type { Store } from "#crdt-store/store.ts";
import { parseHex, toHex } from "#relay/protocol/bytes.ts";
import { actorNonceBytes, actorOf } from "#client/crypto/authorship.ts";
import { inBatches, inPieces } from "#client/notes/change-batches.ts";
import type { Random } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { FieldSplice, NoteDocument } from "./api.ts";
import type { Automerge } from "./index-document.ts";

type Doc<T> = AutomergeModule.Doc<T>;

/** Session name of the device's own edits, beside those of tabs. */
const ownSession = "device";

export class DeviceDocuments {
  readonly #store: Store;
  readonly #random: Random;
  readonly #now: () => number;
  readonly automerge: Automerge;

  constructor(store: Store, random: Random, now: () => number, automerge: Automerge) {
    this.#store = store;
    this.#random = random;
    this.#now = now;
    this.automerge = automerge;
  }

  /** A fresh actor of this device for one document, known to the store; never used twice. */
  newActor(space: Space, docId: Uint8Array, session: string): string {
    const nonce = this.#random(actorNonceBytes);
    const actor = actorOf(docId, space.device.publicKey, nonce);
    this.#store.documents.addActor(docId, { actor, nonce, session });
    return toHex(actor);
  }

  /** All that the journal holds of a document, on top of `start`. Throws if Automerge refuses it. */
  load<T>(docId: Uint8Array, start: Doc<T> = this.automerge.init<T>()): Doc<T> {
    const snapshot = this.#store.snapshots.latest(docId);
    const base = snapshot === null ? start : this.automerge.loadIncremental(start, snapshot.bytes);
    const changes = this.#store.changes.bytesOfDocument(docId);
    return changes.length === 0 ? base : this.automerge.applyChanges(base, changes)[0];
  }

  /** Whether the document ever stood at these heads (hex), as far as the journal knows. */
  holds(docId: Uint8Array, heads: readonly string[]): boolean {
    return heads.every((head) => {
      const hash = parseHex(head);
      return hash !== null && this.#store.changes.has(docId, hash);
    });
  }

  /** Journals what `after` has and `before` had not, for sending. Returns the new chunks. */
  record<T>(space: Space, docId: Uint8Array, before: Doc<T>, after: Doc<T>): readonly Uint8Array[] {
    const changes = this.automerge.getChangesSince(after, this.automerge.getHeads(before));
    this.journal(space, docId, changes);
    return changes;
  }

  /** Journals change chunks of this device's actors and queues them; others' are left alone. */
  journal(space: Space, docId: Uint8Array, chunks: readonly Uint8Array[]): readonly Uint8Array[] {
    return this.#store.transaction(() => {
      const own = chunks.flatMap((bytes) => {
        const parsed = parseChange(bytes);
        if (parsed.type === "failed")
          throw new Error(`a change of our own is ${parsed.failure.type}`);
        const { change } = parsed;
        return this.#store.documents.actor(docId, change.actor) === null ? [] : [change];
      });
      const added = this.#store.changes.insert(
        own.map((change) => ({
          doc: docId,
          hash: change.hash,
          actor: change.actor,
          seq: change.seq,
          deps: change.deps,
          bytes: change.bytes,
          opCount: 0,
          space: space.id,
          pos: null,
          signer: space.device.publicKey,
          local: true,
          at: this.#now(),
        })),
      );
      this.#store.outbox.add(space.id, docId, added);
      const isNew = new Set(added.map(toHex));
      return own.filter((change) => isNew.has(toHex(change.hash))).map((change) => change.bytes);
    });
  }

  /** The changes of a new note, in order; the first is its root. */
  compose(
    actor: string,
    note: { readonly title: string; readonly body: string; readonly createdAt: number },
  ): Doc<NoteDocument> {
    const { automerge } = this;
    const [first = "", ...rest] = inPieces(note.body);
    let doc = automerge.change(
      automerge.init<NoteDocument>({ actor }),
      { time: Math.floor(note.createdAt / 1000) },
      (fresh) => {
        fresh.format = 1;
        fresh.title = note.title;
        fresh.body = first;
        fresh.tags = {};
        fresh.attachments = {};
        fresh.createdAt = note.createdAt;
      },
    );
    for (const piece of rest) {
      doc = automerge.change(doc, { time: 0 }, (draft) => {
        automerge.splice(draft, ["body"], draft.body.length, 0, piece);
      });
    }
    return doc;
  }

  /**
   * Applies splices that were made at `heads`, however far the document has come since: nobody's
   * newer text is touched. Null if the document does not hold those heads.
   */
  spliceAt(
    space: Space,
    docId: Uint8Array,
    heads: readonly string[],
    edits: readonly FieldSplice[],
  ): { readonly doc: Doc<NoteDocument>; readonly changes: readonly Uint8Array[] } | null {
    const { automerge } = this;
    if (!this.holds(docId, heads)) return null;
    const loaded = this.load<NoteDocument>(docId);
    const actor = this.newActor(space, docId, ownSession);
    let doc = automerge.clone(loaded, { actor });
    let at = [...heads];
    for (const batch of inBatches(edits)) {
      // A change made at old heads needs an actor without history there (Automerge 3.5).
      const made = automerge.changeAt(
        doc,
        at,
        { time: Math.floor(this.#now() / 1000) },
        (draft) => {
          for (const edit of batch) {
            automerge.splice(draft, [edit.field], edit.at, edit.remove, edit.insert);
          }
        },
      );
      doc = made.newDoc;
      at = [...(made.newHeads ?? at)];
    }
    const changes = this.record(space, docId, loaded, doc);
    // What changeAt hands back may show its text in the wrong order, though the document holds it right
    // (Automerge 3.5): a view is read from the document.
    return { doc: automerge.view(doc, automerge.getHeads(doc)), changes };
  }
}

/**
 * Automerge on the device itself: index documents, which every device edits, and notes that no tab
 * has open. What tabs have open lives in the tabs; here documents are loaded from the journal, and
 * every change made here goes into the journal and the outbox in one transaction.
 */
import type * as AutomergeModule from "@automerge/automerge/slim";
import { parseChange, type Change } from "#crdt-store/chunks.ts";
import type { DocumentContent, Store } from "#crdt-store/store.ts";
import { parseHex, toHex } from "#relay/protocol/bytes.ts";
import { actorNonceBytes, actorOf } from "#client/crypto/authorship.ts";
import { inBatches, inPieces } from "#client/notes/change-batches.ts";
import { applySound, firstUnsavable, isTrap } from "#client/notes/sound-changes.ts";
import type { Clock, Random } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { FieldSplice, NoteDocument } from "./api.ts";
import { notebookIndexGenesis, vaultIndexGenesis, type Automerge } from "./index-document.ts";
import { notApplicable, type Culprits } from "./culprits.ts";
import { refuse } from "./refusal.ts";

type Doc<T> = AutomergeModule.Doc<T>;

/** Session name of the device's own edits, beside those of tabs. */
const ownSession = "device";

export interface DocumentsPorts {
  readonly store: Store;
  readonly random: Random;
  readonly clock: Clock;
  /** Some changes of a document are missing here, because the snapshot that held them is damaged. */
  readonly damaged: (docId: Uint8Array) => void;
  /** Null where nothing may be written: a document that cannot be applied whole throws then. */
  readonly culprits: Culprits | null;
}

export class DeviceDocuments {
  readonly #ports: DocumentsPorts;
  readonly #store: Store;
  readonly automerge: Automerge;

  constructor(ports: DocumentsPorts, automerge: Automerge) {
    this.#ports = ports;
    this.#store = ports.store;
    this.automerge = automerge;
  }

  /** A fresh actor of this device for one document, known to the store; never used twice. */
  newActor(space: Space, docId: Uint8Array, session: string): string {
    const nonce = this.#ports.random(actorNonceBytes);
    const actor = actorOf(docId, space.device.publicKey, nonce);
    this.#store.documents.addActor(docId, { actor, nonce, session });
    return toHex(actor);
  }

  /** What a document is loaded from. If some of it turns out to be damaged, that is seen to, and the rest is given. */
  contentOf(docId: Uint8Array): DocumentContent {
    const content = this.#store.contentOf(docId);
    if (content.isWhole) return content;
    this.#ports.damaged(docId);
    return { ...this.#store.contentOf(docId), isWhole: false };
  }

  /**
   * All that this device holds of a document, on top of `start`, to be freed by the caller. What Automerge cannot take is set
   * aside. Throws if it cannot be read without that either.
   */
  load<T>(docId: Uint8Array, start?: Doc<T>): Doc<T> {
    const { snapshot, changes } = this.contentOf(docId);
    try {
      return this.#apply(snapshot?.bytes ?? null, changes, start);
    } catch (error) {
      const { culprits } = this.#ports;
      if (isTrap(error)) culprits?.trapped(docId);
      if (culprits === null || isTrap(error)) throw error;
      const base = this.#base(docId, snapshot?.bytes ?? null);
      const { doc, refused } = applySound(this.automerge, base, changes);
      culprits.setAside(docId, refused, notApplicable);
      return doc as Doc<T>; // the same document, less what could not be applied
    }
  }

  /** The first change with which what is in the journal's rows cannot be saved and loaded; null if it can. */
  firstUnsavable(docId: Uint8Array): Change | null {
    const pack = this.#store.changes.packOf(docId);
    const snapshot = pack === null ? null : this.#store.snapshots.get(docId, pack.snapshot);
    const { applied } = this.#store.changes.applicable(docId, this.givenOf(docId));
    return firstUnsavable(
      this.automerge,
      () => this.#base(docId, snapshot?.bytes ?? null),
      applied.map(({ bytes }) => bytes),
    );
  }

  /** The document as Automerge saves it, with its heads (hex) and changes. Throws if it would not load as the same. */
  save(docId: Uint8Array): {
    readonly bytes: Uint8Array;
    readonly heads: readonly string[];
    readonly changes: readonly Uint8Array[];
  } {
    const { automerge } = this;
    const doc = this.load<unknown>(docId, this.#genesisOf(docId) ?? undefined);
    const heads = automerge.getHeads(doc);
    const bytes = automerge.save(doc);
    automerge.free(doc);
    const again = automerge.load(bytes);
    try {
      if (automerge.getHeads(again).toSorted().join() !== heads.toSorted().join()) {
        throw new Error("it does not come back as it was saved");
      }
      return { bytes, heads, changes: automerge.getAllChanges(again) };
    } finally {
      automerge.free(again);
    }
  }

  /** What was let go from the journal and, on top of it, `rows`; to be freed by the caller. Throws if it cannot be read. */
  loadPacked(docId: Uint8Array, rows: readonly { readonly bytes: Uint8Array }[]): Doc<unknown> {
    const pack = this.#store.changes.packOf(docId);
    const snapshot = pack === null ? null : this.#store.snapshots.get(docId, pack.snapshot);
    if (pack !== null && snapshot === null) throw new Error("the snapshot in use is damaged");
    const changes = rows.map(({ bytes }) => bytes);
    return this.#apply(snapshot?.bytes ?? null, changes, this.#genesisOf(docId) ?? undefined);
  }

  #apply<T>(
    snapshot: Uint8Array | null,
    changes: readonly Uint8Array[],
    start: Doc<T> | undefined,
  ): Doc<T> {
    const { automerge } = this;
    const base = snapshot === null ? (start ?? automerge.init<T>()) : automerge.load<T>(snapshot);
    return changes.length === 0 ? base : automerge.applyChanges(base, [...changes])[0];
  }

  /** What changes are applied to, made anew: what was tried in vain leaves its base in an unknown state. */
  #base(docId: Uint8Array, snapshot: Uint8Array | null): Doc<unknown> {
    if (snapshot !== null) return this.automerge.load(snapshot);
    return this.#genesisOf(docId) ?? this.automerge.init();
  }

  /** The changes (hashes in hex) that a document begins with on every device without any of them journalling it. */
  givenOf(docId: Uint8Array): ReadonlySet<string> {
    const genesis = this.#genesisOf(docId);
    if (genesis === null) return new Set();
    const heads = this.automerge.getHeads(genesis);
    this.automerge.free(genesis);
    return new Set(heads);
  }

  #genesisOf(docId: Uint8Array): Doc<unknown> | null {
    const document = this.#store.documents.get(docId);
    if (document?.kind !== "index") return null;
    return this.#store.spaces.get(document.space)?.kind === "vault"
      ? vaultIndexGenesis(this.automerge)
      : notebookIndexGenesis(this.automerge);
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

  /**
   * Journals change chunks of this device's actors and queues them. Others' are nothing to sign: they are refused, unless
   * they are here already, for what is not refused is taken for saved.
   */
  journal(space: Space, docId: Uint8Array, chunks: readonly Uint8Array[]): readonly Uint8Array[] {
    return this.#store.transaction(() => {
      // A tab may still have it open.
      if (this.#store.trash.isPurged(docId)) {
        refuse(
          "no-such-note",
          "This note was deleted from this device. What you just wrote in it was not saved.",
        );
      }
      const own = chunks.flatMap((bytes) => {
        const parsed = parseChange(bytes);
        if (parsed.type === "failed")
          throw new Error(`a change of our own is ${parsed.failure.type}`);
        const { change } = parsed;
        if (this.#store.documents.actor(docId, change.actor) !== null) return [change];
        if (this.#store.changes.has(docId, change.hash)) return [];
        return refuse(
          "unavailable",
          "What you just wrote could not be saved here: this device does not know who wrote it. Copy it, then reload this page.",
        );
      });
      this.#ports.culprits?.readmit(
        docId,
        own.flatMap(({ deps }) => deps),
      );
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
          at: this.#ports.clock.now(),
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
    let length = first.length;
    for (const piece of rest) {
      // Counted here: asking the document would read all of it for every piece.
      doc = automerge.change(doc, { time: 0 }, (draft) => {
        automerge.splice(draft, ["body"], length, 0, piece);
      });
      length += piece.length;
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
    // Loaded first: what turns out to be damaged on the way is not held any more.
    const loaded = this.load<NoteDocument>(docId);
    if (!this.holds(docId, heads)) {
      automerge.free(loaded);
      return null;
    }
    const actor = this.newActor(space, docId, ownSession);
    let doc = automerge.clone(loaded, { actor });
    let at = [...heads];
    for (const batch of inBatches(edits)) {
      // A change made at old heads needs an actor without history there (Automerge 3.5).
      const made = automerge.changeAt(
        doc,
        at,
        { time: Math.floor(this.#ports.clock.now() / 1000) },
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
    automerge.free(loaded);
    // What changeAt hands back may show its text in the wrong order, though the document holds it right
    // (Automerge 3.5): a view is read from the document.
    return { doc: automerge.view(doc, automerge.getHeads(doc)), changes };
  }
}

/**
 * Making snapshots for the relay when a document's tail there has grown long (PROTOCOL §7): in idle time, by one device of
 * several, and only by one that holds and has merged all that the snapshot says it covers.
 */
import { parseChange, type Change } from "#crdt-store/chunks.ts";
import type { Store } from "#crdt-store/store.ts";
import { equal, parseHex, toHex } from "#relay/protocol/bytes.ts";
import { blobIdBytes } from "#relay/protocol/blob.ts";
import { signHead, type SignedHead } from "#client/crypto/authorship.ts";
import { blobKeyBytes } from "#client/crypto/blob.ts";
import { encodeSnapshotContent } from "#client/crypto/snapshot.ts";
import type { Random, Timers } from "#client/sync/ports.ts";
import { indexGeneses } from "#client/sync/index-geneses.ts";
import { headsForSnapshot, mostInlineBytes } from "#client/sync/snapshots.ts";
import type { Space } from "#client/sync/space.ts";
import type { Background } from "./background.ts";
import type { DeviceDocuments } from "./documents.ts";
import { failureWords } from "./failure-words.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { Shelf } from "./shelf.ts";

/** When a document is worth a snapshot. */
export interface SnapshotLimits {
  /** Above so many entries behind the last one, or … */
  readonly entries: number;
  /** … so many bytes of them; and more bytes than that one has. */
  readonly bytes: number;
  /** So long after the last thing that happened, and up to `spreadMs` more at random: another device may do it. */
  readonly quietMs: number;
  readonly spreadMs: number;
}

export const defaultSnapshotLimits: SnapshotLimits = {
  entries: 200,
  bytes: 512 << 10,
  quietMs: 5_000,
  spreadMs: 30_000,
};

export interface SnapshotMakerPorts {
  readonly store: Store;
  readonly timers: Timers;
  readonly random: Random;
  /** 0 ≤ x < 1. */
  readonly chance: () => number;
  readonly background: Background;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly documents: () => Promise<DeviceDocuments>;
  readonly limits: SnapshotLimits;
}

export class SnapshotMaker {
  readonly #ports: SnapshotMakerPorts;
  readonly #store: Store;
  /** Documents of which none could be made; tried again by the next process. */
  readonly #refused = new Set<string>();
  #cancel: (() => void) | null = null;
  #closed = false;

  constructor(ports: SnapshotMakerPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  close(): void {
    this.#closed = true;
    this.#cancel?.();
  }

  /** Something happened: looks a while from now, unless that is planned already. */
  soon(): void {
    const { timers, chance, limits, background } = this.#ports;
    if (this.#closed || this.#cancel !== null) return;
    this.#cancel = timers.after(limits.quietMs, () => {
      this.#cancel = null;
      if (!this.#isAnyDue()) return;
      this.#cancel = timers.after(Math.floor(chance() * limits.spreadMs), () => {
        this.#cancel = null;
        background.add(() => this.makeSome());
      });
    });
  }

  /** Makes what is due and can be made now. */
  async makeSome(): Promise<void> {
    for (const { doc, space } of this.#due()) {
      const documents = await this.#ports.documents();
      // Another device may have been faster; the store was left meanwhile.
      if (this.#due().some((other) => equal(other.doc, doc))) this.#make(documents, space, doc);
    }
  }

  #isAnyDue(): boolean {
    const { entries, bytes } = this.#ports.limits;
    return this.#store.tails
      .long(entries, bytes)
      .some(({ doc }) => !this.#refused.has(toHex(doc)) && !this.#store.outgoingSnapshots.has(doc));
  }

  #due(): { readonly doc: Uint8Array; readonly space: Space }[] {
    const { shelf, desk, limits } = this.#ports;
    return this.#store.tails.long(limits.entries, limits.bytes).flatMap(({ doc, space: id }) => {
      const space = shelf.get(id);
      const isDue =
        space !== undefined &&
        // What it deflates would tell of secrets by its size.
        space.kind !== "vault" &&
        space.mayWrite &&
        desk.sessionOf(space)?.isCaughtUp(space) === true &&
        !this.#refused.has(toHex(doc)) &&
        this.#isComplete(doc);
      return isDue ? [{ doc, space }] : [];
    });
  }

  /** Everything of the document up to the cursor is here, and nothing of it is only here. */
  #isComplete(doc: Uint8Array): boolean {
    const { awaited, missingChanges, outbox, outgoingSnapshots, trash } = this.#store;
    return (
      !awaited.has(doc) &&
      !outbox.isWaiting(doc) &&
      !outgoingSnapshots.has(doc) &&
      !trash.isPurged(doc) &&
      missingChanges.countOf(doc) === 0
    );
  }

  #make(documents: DeviceDocuments, space: Space, doc: Uint8Array): void {
    try {
      const made = documents.save(doc);
      const changes = made.changes.flatMap((chunk) => {
        const parsed = parseChange(chunk);
        if (parsed.type === "failed") throw new Error(`a change in it is ${parsed.failure.type}`);
        return indexGeneses.has(toHex(parsed.change.hash)) ? [] : [parsed.change];
      });
      const heads = headsForSnapshot(this.#store, space, doc, changes, (actor, newest) =>
        this.#signed(space, doc, actor, newest),
      );
      if (heads === null) throw new Error("not all of its authors are known here");
      const content = encodeSnapshotContent({ heads, document: made.bytes });
      const { random, desk } = this.#ports;
      const { pos, chain } = space.cursor;
      const isLarge = content.length > mostInlineBytes;
      this.#store.outgoingSnapshots.put({
        doc,
        space: space.id,
        coversPos: pos,
        chain,
        omitted: this.#store.inbox.setAsideOf(doc),
        heads: made.heads.map((head) => parseHex(head) ?? new Uint8Array()),
        changes: [],
        content,
        blob: isLarge ? { id: random(blobIdBytes), key: random(blobKeyBytes) } : null,
      });
      this.#store.tails.summedUp(doc, space.id, content.length);
      desk.poke(space);
    } catch (error) {
      this.#refused.add(toHex(doc));
      this.#store.syncLog.add(
        "warning",
        `A note's history could not be summed up for the relay (${failureWords(error)}). It stays there as it is.`,
      );
    }
  }

  #signed(space: Space, doc: Uint8Array, actor: Uint8Array, newest: Change): SignedHead | null {
    const own = this.#store.documents.actor(doc, actor);
    const signer = own === null ? null : space.signerOf(doc, own);
    return own === null || signer === null
      ? null
      : signHead(space.ed, signer, doc, own.nonce, newest.seq, newest.hash);
  }
}

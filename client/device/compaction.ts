/**
 * Packing: a document's many small changes become one snapshot and a list of hashes, in idle time.
 *
 *   due → write: load, save, keep the bytes → prove: read them back, load, compare with the journal
 *       → let go: the journal forgets the bytes that the proved snapshot holds, in one transaction
 *
 * A crash anywhere leaves the journal as it was, at worst beside a snapshot nobody uses. What the relay
 * has not acknowledged is never let go, so a snapshot that is damaged later costs only a new download.
 */
import type * as AutomergeModule from "@automerge/automerge/slim";
import type { JournalledChange } from "#crdt-store/changes.ts";
import { parseChange, type Change } from "#crdt-store/chunks.ts";
import type { Store } from "#crdt-store/store.ts";
import { isDiskFull } from "#crdt-store/store-error.ts";
import { mustHex, toHex } from "#relay/protocol/bytes.ts";
import { chainStart } from "#relay/protocol/domain.ts";
import type { Clock, Timers } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { Background } from "./background.ts";
import { notSavable, type Culprits } from "./culprits.ts";
import type { DeviceDocuments } from "./documents.ts";
import { failureWords } from "./failure-words.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { Shelf } from "./shelf.ts";

/** When a document is packed. */
export interface PackingLimits {
  /** From so many changes since the last snapshot on, or … */
  readonly changes: number;
  /** … from so many bytes of them, but no fewer than twice what the snapshot takes. */
  readonly bytes: number;
  /** So long after the last change anywhere: a person who pauses may type on. */
  readonly quietMs: number;
}

export const defaultPackingLimits: PackingLimits = {
  changes: 500,
  bytes: 64 << 10,
  quietMs: 3_000,
};

export interface CompactionPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly background: Background;
  readonly documents: () => Promise<DeviceDocuments>;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly limits: PackingLimits;
  readonly culprits: Culprits;
}

/** A long document waits until it has grown by a tenth: packing costs as much as it is long. */
const growth = 0.1;
/** Above so many rows their bytes are not added up: the number alone decides. */
const mostRowsWeighed = 4;

/** One part of the work, which answers the next one; null when the document is done. */
type Step = (documents: DeviceDocuments) => Step | null;

export class Compaction {
  readonly #ports: CompactionPorts;
  readonly #store: Store;
  /** Documents that may be due, by their hex. */
  readonly #candidates = new Map<string, Uint8Array>();
  /** Those that could not be packed; tried again by the next process. */
  readonly #refused = new Set<string>();
  /** Those in which what keeps them from being packed was looked for. */
  readonly #looked = new Set<string>();
  #next: Step | null = null;
  #cancelSoon: (() => void) | null = null;
  #hasLooked = false;
  #closed = false;

  constructor(ports: CompactionPorts) {
    this.#ports = ports;
    this.#store = ports.store;
    // A snapshot that was being written may be gone, and its document is looked at again.
    ports.store.onRollback(() => (this.#next = null));
  }

  close(): void {
    this.#closed = true;
    this.#cancelSoon?.();
  }

  /** Packs what is due a while from now, in slices. Called again, the while begins anew. */
  soon(): void {
    this.#in(this.#ports.limits.quietMs);
  }

  /**
   * Packs what is due now, beginning nothing after `mostMs`: for a process that ends. "everything" looks at all
   * documents once, not only at those changed by this process.
   */
  async now(mostMs: number, scope: "everything" | "what-changed"): Promise<void> {
    const { clock } = this.#ports;
    if (scope === "what-changed") this.#hasLooked = true;
    const until = clock.now() + mostMs;
    for (let step = this.#due(); step !== null && clock.now() <= until; step = this.#due()) {
      this.#next = step(await this.#ports.documents());
    }
  }

  #in(ms: number): void {
    this.#cancelSoon?.();
    if (this.#closed) return;
    this.#cancelSoon = this.#ports.timers.after(ms, () => {
      this.#cancelSoon = null;
      this.#ports.background.add(() => this.#oneStep());
    });
  }

  async #oneStep(): Promise<void> {
    const step = this.#due();
    if (step === null) return;
    this.#next = step(await this.#ports.documents());
    // Something asked for later in the meantime goes first.
    if (this.#cancelSoon === null) this.#in(0);
  }

  #due(): Step | null {
    if (this.#next !== null) return this.#next;
    this.#lookAround();
    for (const [key, doc] of this.#candidates) {
      this.#candidates.delete(key);
      if (!this.#refused.has(key) && this.#isDue(doc))
        return (documents) => this.#write(documents, doc);
    }
    return null;
  }

  #lookAround(): void {
    const { changes } = this.#store;
    const { limits } = this.#ports;
    const found = [...changes.takeGrown(), ...changes.waitingPacks(limits.changes)];
    if (!this.#hasLooked) {
      found.push(...changes.bulkiest(limits.changes, limits.bytes));
    }
    this.#hasLooked = true;
    for (const doc of found) this.#candidates.set(toHex(doc), doc);
  }

  #isDue(doc: Uint8Array): boolean {
    const { changes, snapshots, outbox } = this.#store;
    const { limits } = this.#ports;
    const pack = changes.packOf(doc);
    const rows = changes.countOf(doc);
    const fresh = rows - (pack?.kept ?? 0);
    const whole = rows + (pack?.changes ?? 0);
    if (fresh >= Math.max(limits.changes, pack === null ? 0 : growth * whole)) return true;
    if (pack !== null && pack.waiting >= limits.changes && !outbox.isWaiting(doc)) return true;
    if (fresh <= 0 || rows > mostRowsWeighed * limits.changes) return false;
    const snapshotBytes = pack === null ? 0 : snapshots.sizeOf(doc, pack.snapshot);
    return changes.bytesOf(doc, pack?.through ?? 0) >= Math.max(limits.bytes, 2 * snapshotBytes);
  }

  #write(documents: DeviceDocuments, doc: Uint8Array): Step | null {
    const { automerge } = documents;
    return this.#attempt(doc, () => {
      const given = documents.givenOf(doc);
      const { applied, left } = this.#store.changes.applicable(doc, given);
      const loaded = documents.loadPacked(doc, applied);
      const heads = automerge.getHeads(loaded);
      const bytes = automerge.save(loaded);
      automerge.free(loaded);
      const key = this.#store.snapshots.putUnproved(doc, heads.map(mustHex), bytes);
      // What waits for dependencies is not in the snapshot and has to be read beside it.
      const firstLeft = left.reduce((first, { row }) => Math.min(first, row), Infinity);
      const lastApplied = applied.reduce((last, { row }) => Math.max(last, row), 0);
      const through = Math.min(lastApplied, firstLeft - 1);
      return (again) => this.#prove(again, doc, { key, heads, applied, through });
    });
  }

  #prove(documents: DeviceDocuments, doc: Uint8Array, written: Written): Step | null {
    return this.#attempt(doc, () => {
      const back = this.#store.snapshots.readBack(doc, written.key);
      if (back === null) throw new Error("the snapshot did not come back from the disk");
      const held = changesOf(documents.automerge, back.bytes, written.heads);
      const hashes = new Set(held.map(({ hash }) => toHex(hash)));
      const expected = [
        ...this.#store.changes.packedHashes(doc).map(toHex),
        ...written.applied.map(({ hash }) => toHex(hash)),
        ...documents.givenOf(doc),
      ];
      const isSame =
        hashes.size === new Set(expected).size && expected.every((hash) => hashes.has(hash));
      if (!isSame) throw new Error("the snapshot holds other changes than the journal");
      return (again) => this.#letGo(again, doc, written, hashes);
    });
  }

  #letGo(
    documents: DeviceDocuments,
    doc: Uint8Array,
    { key, through }: Written,
    proved: ReadonlySet<string>,
  ): Step | null {
    return this.#attempt(doc, () => {
      this.#store.transaction(() => {
        const given = documents.givenOf(doc);
        this.#store.changes.pack(doc, { snapshot: key, through, proved, given });
        this.#store.snapshots.adopt(doc, key);
      });
      return null;
    });
  }

  #attempt(doc: Uint8Array, act: () => Step | null): Step | null {
    if (this.#store.trash.isPurged(doc)) return null;
    try {
      return act();
    } catch (error) {
      // Not the document's fault: it is packed when there is room.
      if (isDiskFull(error)) throw error;
      this.#store.snapshots.discardUnproved(doc);
      if (!this.#looked.has(toHex(doc))) return (documents) => this.#findCulprit(documents, doc);
      this.#refused.add(toHex(doc));
      this.#store.syncLog.add(
        "warning",
        `A note's history could not be packed (${failureWords(error)}). It is kept as it is.`,
      );
      return null;
    }
  }

  /**
   * A change with which the document cannot be saved is set aside, if nobody has written anything on top of it yet; then the
   * document is packed without it.
   */
  #findCulprit(documents: DeviceDocuments, doc: Uint8Array): Step | null {
    this.#looked.add(toHex(doc));
    const { culprits } = this.#ports;
    return this.#attempt(doc, () => {
      const culprit = documents.firstUnsavable(doc);
      if (culprit === null || culprits.isBuiltUpon(doc, culprit.hash)) {
        this.#refused.add(toHex(doc));
        return null;
      }
      culprits.setAside(doc, [culprit], notSavable);
      // There may be another behind it.
      this.#looked.delete(toHex(doc));
      return (again) => this.#write(again, doc);
    });
  }

  /**
   * Makes rows again of what was let go and the relay may have lost, and has its log read again from the beginning: that
   * tells which of them it has.
   */
  async unpackMarked(): Promise<void> {
    const { changes, inbox, outbox } = this.#store;
    if (changes.toResend().length === 0) return;
    const documents = await this.#ports.documents();
    const spaces = new Set<Space>();
    this.#store.transaction(() => {
      for (const doc of changes.toResend()) {
        const space = this.#spaceOf(doc);
        if (documents.contentOf(doc).isWhole) this.#unpack(documents, doc);
        changes.unplace(doc);
        // Our own entries are to be read like anybody's, too.
        outbox.forgetRelayed(doc);
        if (space !== undefined) spaces.add(space);
      }
      for (const { id } of spaces) inbox.rewind(id, 0, chainStart(id));
    });
    for (const space of spaces) this.#ports.desk.readAgain(space);
  }

  /** Makes rows again of what was let go; in the caller's transaction. */
  #unpack(documents: DeviceDocuments, doc: Uint8Array): void {
    const pack = this.#store.changes.packOf(doc);
    const snapshot = pack === null ? null : this.#store.snapshots.get(doc, pack.snapshot);
    if (snapshot === null) return;
    const heads = snapshot.heads.map(toHex);
    const changes = changesOf(documents.automerge, snapshot.bytes, heads);
    this.#store.changes.unpack(doc, changes, this.#ports.clock.now());
  }

  /**
   * The snapshot that stood for a document's changes is damaged. They are at the relay, all of them:
   * it is asked for its log again, and until then the document stands where an older snapshot has it.
   */
  recover(doc: Uint8Array): void {
    const { changes, outbox, inbox, syncLog } = this.#store;
    const space = this.#spaceOf(doc);
    const lost = changes.packOf(doc)?.changes ?? 0;
    this.#store.transaction(() => {
      changes.forgetPack(doc);
      if (lost === 0 || space === undefined) return;
      outbox.forgetRelayed(doc);
      inbox.rewind(space.id, 0, chainStart(space.id));
      syncLog.add(
        "warning",
        "A stored note was damaged on this device. What you had not sent is kept, and the rest is fetched from the relay again.",
      );
    });
    if (lost > 0 && space !== undefined) this.#ports.desk.readAgain(space);
  }

  #spaceOf(doc: Uint8Array): Space | undefined {
    const document = this.#store.documents.get(doc);
    return document === null ? undefined : this.#ports.shelf.get(document.space);
  }
}

interface Written {
  readonly key: string;
  /** In hex. */
  readonly heads: readonly string[];
  readonly applied: readonly JournalledChange[];
  readonly through: number;
}

/** All changes in a saved document, each encoded anew and named by its own hash. */
function changesOf(
  automerge: typeof AutomergeModule,
  bytes: Uint8Array,
  heads: readonly string[],
): Change[] {
  const loaded = automerge.load(bytes);
  try {
    if (automerge.getHeads(loaded).toSorted().join() !== heads.toSorted().join()) {
      throw new Error("the snapshot has other heads than the document");
    }
    return automerge.getAllChanges(loaded).map((chunk) => {
      const parsed = parseChange(chunk);
      if (parsed.type === "failed") throw new Error(`a change in it is ${parsed.failure.type}`);
      return parsed.change;
    });
  } finally {
    automerge.free(loaded);
  }
}

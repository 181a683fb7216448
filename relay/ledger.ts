/**
 * The single writer of every space. Decisions on a space are made one after another on its working
 * state; its committed state, the only one anybody is told of, follows when the store says durable.
 *
 * ```
 * working   ──decide──▶ working'  ──decide──▶ working''      what the next decision builds on
 * committed ────────────────────▶ committed' ─────▶ …        what SUB, PULL and fan-out see
 * ```
 *
 * On a store that several nodes share, another one may have written in between: the store refuses
 * (`moved`), the space is read anew, and the decisions under way are made again in their order. What
 * a decision refuses is told only once the state it was made on is known to have been the newest.
 */
import { toHex } from "#relay/protocol/bytes.ts";
import { restoreSpace, writeOf, type Additions, type SpaceState } from "#relay/space.ts";
import {
  StoreError,
  type Place,
  type SpaceWrite,
  type Store,
  type StoredDocument,
} from "#relay/store/store.ts";

/** A space in memory. */
export interface OpenSpace {
  readonly spaceId: Uint8Array;
  /** Null while nothing is stored. */
  readonly committed: SpaceState | null;
  readonly working: SpaceState | null;
  /**
   * By id in hex, those that were asked for, as the working state leaves them; null for one without
   * an entry. A decision that adds to one sets it.
   */
  readonly documents: Map<string, StoredDocument | null>;
}

export interface Addition extends Additions {
  /** What the decision started from: a new space's opening state, or the working one. */
  readonly from: SpaceState;
  readonly to: SpaceState;
}

export interface Decided<T> {
  readonly outcome: T;
  /** Null if there is nothing to write. */
  readonly addition: Addition | null;
  /** Whether the outcome would be another if another node had written since. */
  readonly isDoubtful: boolean;
}

export interface LedgerPorts<By> {
  readonly store: Store;
  readonly now: () => number;
  readonly after: (ms: number, run: () => void) => () => void;
  /** From 0 up to, not including, 1. */
  readonly chance: () => number;
  /**
   * Told of each durable write of this node, in the order of its space's log; `by` is handed on as
   * it was given.
   */
  readonly onCommitted: (write: SpaceWrite, state: SpaceState, by: By) => void;
  /** Told of each stored space that was read: another node may have written in it. */
  readonly onRead: (spaceId: Uint8Array, state: SpaceState) => void;
}

/** Spaces kept in memory, ten documents counted as one; one with no decision under way may leave it. */
const maxOpenWeight = 20_000;
const loadsPerLook = 100;
/** Documents of one space that are remembered; more are forgotten together and asked for anew. */
const maxKnownDocuments = 50_000;
/** Whoever lost a race gets the next turn (store/postgres-schema.ts): more losses mean something else. */
const maxAttempts = 20;
const longestPauseMs = 64;

export class Ledger<By> {
  readonly #ports: LedgerPorts<By>;
  /** In order of use, the longest unused first. */
  readonly #slots = new Map<string, Slot<By>>();
  #loads = 0;

  constructor(ports: LedgerPorts<By>) {
    this.#ports = ports;
  }

  /**
   * The space, stored or not, as far as this node knows it, with what it has of these documents.
   * Rejects when the store does.
   */
  async open(spaceId: Uint8Array, docIds: readonly Uint8Array[] = []): Promise<OpenSpace> {
    for (;;) {
      const slot = this.#slotOf(spaceId);
      if (!slot.isReady) await slot.ready.promise;
      else if (slot.knows(docIds)) return slot;
      else await this.#know(slot, docIds);
    }
  }

  /** As `open`, with everything that any node had written before the call. */
  async openFresh(
    spaceIds: readonly Uint8Array[],
    docIds: readonly Uint8Array[] = [],
  ): Promise<readonly OpenSpace[]> {
    const { neighbours } = this.#ports.store;
    const held = spaceIds.filter((spaceId) => this.#slots.has(toHex(spaceId)));
    if (neighbours !== null && held.length > 0) {
      const revisions = await neighbours.revisionsOf(held);
      for (const [ix, spaceId] of held.entries()) this.#hear(spaceId, revisions[ix] ?? 0);
    }
    return Promise.all(spaceIds.map((spaceId) => this.open(spaceId, docIds)));
  }

  /**
   * Another node says that a space is at this revision: if it is wanted here, it is read anew, unless
   * it is known; if not, it is forgotten. Rejects when the store does.
   * @param isWanted whether somebody is subscribed to it
   */
  async heard(spaceId: Uint8Array, revision: number, isWanted: boolean): Promise<void> {
    const key = toHex(spaceId);
    const slot = this.#slots.get(key);
    const isOutdated = slot !== undefined && revision > revisionOf(slot.working);
    if (isOutdated && !isWanted && slot.isReady && slot.pending.length === 0) {
      this.#slots.delete(key);
      return;
    }
    this.#hear(spaceId, revision);
    if (isWanted) await this.open(spaceId);
  }

  /**
   * Decides on the working state, and the next decision at once on what comes of it; settled when what
   * the decision adds is durable, or when it adds nothing. Rejects with the store's error.
   * @param docIds documents the decision has to know of
   * @param decide called again, on the newer state, when another node has written meanwhile
   */
  decide<T>(
    spaceId: Uint8Array,
    docIds: readonly Uint8Array[],
    decide: (space: OpenSpace) => Decided<T>,
    by: By,
  ): Promise<T> {
    const slot = this.#slotOf(spaceId);
    const { promise, resolve, reject } = deferred<T>();
    let outcome: T;
    const pending: Pending<By> = {
      docIds,
      decide: (space) => {
        const decided = decide(space);
        ({ outcome } = decided);
        return decided;
      },
      answer: () => {
        resolve(outcome);
      },
      reject,
      answered: promise,
      by,
      attempts: 0,
      phase: "waiting",
    };
    slot.pending.push(pending);
    this.#makeAll(slot);
    return promise;
  }

  /** Where an entry stands, once what is being written is durable; null if it is not stored. */
  async placeOf(spaceId: Uint8Array, itemId: Uint8Array): Promise<Place | null> {
    await this.settledIn(spaceId);
    return this.#ports.store.positionOf(spaceId, itemId);
  }

  /** After the decisions under way in one space. Never rejects. */
  async settledIn(spaceId: Uint8Array): Promise<void> {
    const pending = this.#slots.get(toHex(spaceId))?.pending ?? [];
    await Promise.allSettled(pending.map(({ answered }) => answered));
  }

  /** After all decisions under way. Never rejects. */
  async settled(): Promise<void> {
    for (;;) {
      const pending = [...this.#slots.values()].flatMap((slot) => slot.pending);
      if (pending.length === 0) return;
      await Promise.allSettled(pending.map(({ answered }) => answered));
    }
  }

  #slotOf(spaceId: Uint8Array): Slot<By> {
    const key = toHex(spaceId);
    const known = this.#slots.get(key);
    const slot = known ?? new Slot<By>(spaceId);
    this.#slots.delete(key);
    this.#slots.set(key, slot);
    if (known === undefined) {
      void this.#read(slot);
      this.#makeRoom();
    }
    return slot;
  }

  /** Makes the decisions that wait, in order, until one has to know more. */
  #makeAll(slot: Slot<By>): void {
    for (const pending of slot.pending) {
      if (!slot.isReady) return;
      if (pending.phase !== "waiting") continue;
      if (!slot.knows(pending.docIds)) {
        this.#know(slot, pending.docIds).then(
          () => {
            this.#makeAll(slot);
          },
          (error: unknown) => {
            this.#take(slot, pending).reject(error);
            this.#makeAll(slot);
          },
        );
        return;
      }
      this.#make(slot, pending);
    }
  }

  #make(slot: Slot<By>, pending: Pending<By>): void {
    const { addition, isDoubtful } = pending.decide(slot);
    if (addition !== null) {
      this.#write(slot, pending, addition);
    } else {
      pending.phase = isDoubtful ? "doubtful" : "resting";
      this.#confirmSoon(slot);
    }
  }

  #write(slot: Slot<By>, pending: Pending<By>, addition: Addition): void {
    const { from, to, rows, certificates, counters, documents, snapshots, cards } = addition;
    const { blobs, forgotten } = addition;
    const added = { rows, certificates, counters, documents, snapshots, cards, blobs, forgotten };
    const { state, write } = writeOf(from, to, added, this.#ports.now());
    slot.working = state;
    slot.outstanding += 1;
    pending.phase = "writing";
    const written = this.#ports.store.append([write]).then(
      () => {
        slot.committed = state;
        this.#ports.onCommitted(write, state, pending.by);
        this.#take(slot, pending).answer();
      },
      (error: unknown) => {
        this.#writeFailed(slot, pending, error);
      },
    );
    slot.lastWritten = written.then(() => {
      slot.outstanding -= 1;
      if (!slot.isReady && slot.outstanding === 0) void this.#read(slot);
    });
  }

  #writeFailed(slot: Slot<By>, pending: Pending<By>, error: unknown): void {
    const hasMoved = error instanceof StoreError && error.failure === "moved";
    slot.unready();
    // What was built on a failed write has moved too, but not because of another node.
    if (!hasMoved) slot.failure ??= error;
    pending.attempts += 1;
    pending.phase = "waiting";
    if (slot.failure !== null) this.#take(slot, pending).reject(slot.failure);
    else if (pending.attempts >= maxAttempts) this.#take(slot, pending).reject(error);
  }

  async #read(slot: Slot<By>): Promise<void> {
    slot.heardRevision = 0;
    try {
      await this.#pause(Math.max(0, ...slot.pending.map(({ attempts }) => attempts)));
      const stored = await this.#ports.store.loadSpace(slot.spaceId);
      slot.committed = stored === null ? null : restoreSpace(stored);
      slot.working = slot.committed;
      slot.documents.clear();
      slot.generation += 1;
    } catch (error) {
      this.#readFailed(slot, error);
      return;
    }
    slot.failure = null;
    if (slot.committed !== null) this.#ports.onRead(slot.spaceId, slot.committed);
    if (slot.heardRevision > revisionOf(slot.committed)) {
      void this.#read(slot);
      return;
    }
    slot.isReady = true;
    slot.ready.resolve();
    for (const pending of slot.pending) pending.phase = "waiting";
    this.#makeAll(slot);
  }

  /**
   * Learns of the documents that are missing. Nobody writes of a document that it does not know, so
   * what the store says of one is not outdated.
   */
  async #know(slot: Slot<By>, docIds: readonly Uint8Array[]): Promise<void> {
    if (slot.outstanding === 0 && slot.documents.size > maxKnownDocuments) {
      slot.documents.clear();
      slot.generation += 1;
    }
    const { generation } = slot;
    const missing = docIds.filter((docId) => !slot.knows([docId]));
    const found = await this.#ports.store.readDocuments(slot.spaceId, missing);
    // What was asked before they began anew may be older than what is known since.
    if (slot.generation !== generation) return;
    const rows = new Map(found.map((document) => [toHex(document.docId), document]));
    for (const docId of missing) {
      const key = toHex(docId);
      // Somebody else may have asked, and written, meanwhile.
      if (!slot.documents.has(key)) slot.documents.set(key, rows.get(key) ?? null);
    }
  }

  #readFailed(slot: Slot<By>, error: unknown): void {
    const key = toHex(slot.spaceId);
    if (this.#slots.get(key) === slot) this.#slots.delete(key);
    slot.ready.reject(error);
    for (const pending of slot.pending.splice(0)) pending.reject(error);
  }

  /** Writers that meet again and again must not keep step. */
  async #pause(attempts: number): Promise<void> {
    if (attempts < 2) return;
    const ms = Math.ceil(this.#ports.chance() * Math.min(2 ** attempts, longestPauseMs));
    await new Promise<void>((resolve) => this.#ports.after(ms, resolve));
  }

  #confirmSoon(slot: Slot<By>): void {
    if (slot.isConfirming) return;
    slot.isConfirming = true;
    void this.#confirm(slot).finally(() => {
      slot.isConfirming = false;
      if (slot.isReady && slot.pending.some(isAdditionless)) this.#confirmSoon(slot);
    });
  }

  /**
   * Answers the decisions that add nothing once the state they were made on is durable and, if that
   * matters to them, was the newest of all nodes. If it is not, the space is read anew, which makes
   * them again.
   */
  async #confirm(slot: Slot<By>): Promise<void> {
    const asking = slot.pending.filter(isAdditionless);
    const { neighbours } = this.#ports.store;
    try {
      if (neighbours !== null && asking.some(({ phase }) => phase === "doubtful")) {
        const [revision = 0] = await neighbours.revisionsOf([slot.spaceId]);
        this.#hear(slot.spaceId, revision);
      }
      await slot.lastWritten;
      if (!slot.isReady) return;
      // Some may have been made again meanwhile, and write now.
      for (const pending of asking.filter(isAdditionless)) this.#take(slot, pending).answer();
    } catch (error) {
      for (const pending of asking.filter(isAdditionless)) this.#take(slot, pending).reject(error);
    }
  }

  #hear(spaceId: Uint8Array, revision: number): void {
    const slot = this.#slots.get(toHex(spaceId));
    if (slot === undefined) return;
    slot.heardRevision = Math.max(slot.heardRevision, revision);
    if (!slot.isReady || revision <= revisionOf(slot.working)) return;
    slot.unready();
    if (slot.outstanding === 0) void this.#read(slot);
  }

  #take(slot: Slot<By>, pending: Pending<By>): Pending<By> {
    const ix = slot.pending.indexOf(pending);
    if (ix >= 0) slot.pending.splice(ix, 1);
    return pending;
  }

  #makeRoom(): void {
    this.#loads += 1;
    // The sum is over all that are open.
    if (this.#loads % loadsPerLook !== 0) return;
    let weight = 0;
    for (const slot of this.#slots.values()) weight += slot.weight;
    for (const [key, slot] of this.#slots) {
      if (weight <= maxOpenWeight) return;
      // One that is being read or written stays: two writers must not meet.
      if (!slot.isReady || slot.pending.length > 0) continue;
      weight -= slot.weight;
      this.#slots.delete(key);
    }
  }
}

class Slot<By> implements OpenSpace {
  readonly spaceId: Uint8Array;
  committed: SpaceState | null = null;
  working: SpaceState | null = null;
  readonly documents = new Map<string, StoredDocument | null>();
  /** Decisions that have not been answered, in order. */
  readonly pending: Pending<By>[] = [];
  /** Writes on their way. */
  outstanding = 0;
  /** Settled when the writes so far are; never rejects. */
  lastWritten: Promise<void> = Promise.resolve();
  /** Whether the states may be built on; if not, they are read anew once nothing is on its way. */
  isReady = false;
  ready = quietDeferred();
  /** What took the writes on their way down. */
  failure: unknown = null;
  /** The highest that was heard since reading began. */
  heardRevision = 0;
  isConfirming = false;
  /** How often what is known of it, or of its documents, began anew. */
  generation = 0;

  constructor(spaceId: Uint8Array) {
    this.spaceId = spaceId;
  }

  get weight(): number {
    return 1 + this.documents.size / 10;
  }

  knows(docIds: readonly Uint8Array[]): boolean {
    return docIds.every((docId) => this.documents.has(toHex(docId)));
  }

  unready(): void {
    if (!this.isReady) return;
    this.isReady = false;
    this.ready = quietDeferred();
  }
}

interface Pending<By> {
  readonly docIds: readonly Uint8Array[];
  readonly decide: (space: OpenSpace) => Decided<unknown>;
  /** Settles it with the outcome of the last `decide`. */
  readonly answer: () => void;
  readonly reject: (error: unknown) => void;
  readonly answered: Promise<unknown>;
  readonly by: By;
  /** Lost to another node. */
  attempts: number;
  /** Decisions that add nothing rest on what was written, or, doubtful, on nobody having written. */
  phase: "waiting" | "writing" | "resting" | "doubtful";
}

function isAdditionless({ phase }: Pending<unknown>): boolean {
  return phase === "resting" || phase === "doubtful";
}

function revisionOf(state: SpaceState | null): number {
  return state?.revision ?? 0;
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<T>((onValue, onError) => {
    resolve = onValue;
    reject = onError;
  });
  return { promise, resolve, reject };
}

/** One whose rejection is nobody's fault if nobody waits. */
function quietDeferred(): Deferred<void> {
  const made = deferred<void>();
  made.promise.catch(() => undefined);
  return made;
}

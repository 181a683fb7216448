/**
 * The single writer of every space. Decisions on a space are made one after another on its working
 * state; its committed state, the only one anybody is told of, follows when the store says durable.
 * When a write fails, the working state built on it is thrown away and read anew from the store.
 *
 * ```
 * working   ──decide──▶ working'  ──decide──▶ working''      what the next decision builds on
 * committed ────────────────────▶ committed' ─────▶ …        what SUB, PULL and fan-out see
 * ```
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
export class OpenSpace {
  readonly spaceId: Uint8Array;
  /** Null while nothing is stored. */
  committed: SpaceState | null;
  working: SpaceState | null;
  /** Writes on their way. */
  outstanding = 0;
  /** Settled once every write so far is; never rejects. */
  settled: Promise<void> = Promise.resolve();
  isBroken = false;
  /** Documents that were asked for, as the working state leaves them; null for one without an entry. */
  readonly documents = new Map<string, StoredDocument | null>();
  /** Questions for documents on their way. */
  asking = 0;

  constructor(spaceId: Uint8Array, stored: SpaceState | null) {
    this.spaceId = spaceId;
    this.committed = stored;
    this.working = stored;
  }
}

export interface Addition extends Additions {
  readonly space: OpenSpace;
  /** What the decisions started from: a new space's opening state, or its working one. */
  readonly from: SpaceState;
  readonly to: SpaceState;
}

/** @param by whoever the caller says made the write; handed on as it is */
export type CommitListener<By> = (write: SpaceWrite, state: SpaceState, by: By) => void;

/** Spaces kept in memory, ten documents counted as one; one that has no write on its way may leave it. */
const maxOpenWeight = 20_000;
/** Documents of one space that are remembered; more are forgotten together and asked for anew. */
const maxKnownDocuments = 50_000;

function weightOf(space: OpenSpace | null): number {
  return 1 + (space?.documents.size ?? 0) / 10;
}

export class Ledger<By> {
  readonly #store: Store;
  readonly #onCommitted: CommitListener<By>;
  /** In order of use, the longest unused first. */
  readonly #slots = new Map<string, Slot>();
  readonly #busy = new Set<Promise<void>>();
  readonly #now: () => number;

  /** @param onCommitted told of each durable write, in the order of its space's log */
  constructor(store: Store, now: () => number, onCommitted: CommitListener<By>) {
    this.#store = store;
    this.#now = now;
    this.#onCommitted = onCommitted;
  }

  /** The space, stored or not. Rejects when the store does. */
  async open(spaceId: Uint8Array): Promise<OpenSpace> {
    const key = toHex(spaceId);
    for (;;) {
      const slot = this.#slots.get(key) ?? this.#load(spaceId, key);
      this.#slots.delete(key);
      this.#slots.set(key, slot);
      const space = await slot.opening;
      if (!space.isBroken) return space;
      // Only when all that was built on the failure has failed too does the store tell the truth.
      await space.settled;
      if (this.#slots.get(key) === slot) this.#slots.delete(key);
    }
  }

  /**
   * Writes the additions in one transaction; settled when they are durable. The working states
   * stand at once, so that the next decision builds on them.
   */
  async commit(additions: readonly Addition[], by: By): Promise<void> {
    if (additions.some(({ space }) => space.isBroken)) {
      throw new StoreError("failed", "an earlier write of this space failed");
    }
    const at = this.#now();
    const steps = additions.map(({ space, from, to, ...added }) => ({
      space,
      ...writeOf(from, to, added, at),
    }));
    for (const { space, state } of steps) {
      space.working = state;
      space.outstanding += 1;
    }
    const appended = this.#store.append(steps.map(({ write }) => write)).then(
      () => {
        for (const { space, state, write } of steps) {
          space.outstanding -= 1;
          space.committed = state;
          this.#onCommitted(write, state, by);
        }
      },
      (error: unknown) => {
        for (const { space } of steps) {
          space.outstanding -= 1;
          space.isBroken = true;
        }
        throw error;
      },
    );
    const quiet = appended.catch(() => undefined);
    this.#busy.add(quiet);
    void quiet.then(() => this.#busy.delete(quiet));
    for (const { space } of steps) space.settled = quiet;
    await appended;
  }

  /**
   * Sees to it that `space.documents` knows these. Nobody writes of a document that it does not know,
   * so what the store says of one is not outdated.
   */
  async know(space: OpenSpace, docIds: readonly Uint8Array[]): Promise<void> {
    const missing = docIds.filter((docId) => !space.documents.has(toHex(docId)));
    if (missing.length === 0) return;
    const isStill = space.outstanding === 0 && space.asking === 0;
    if (isStill && space.documents.size > maxKnownDocuments) space.documents.clear();
    space.asking += 1;
    const found = await this.#store.readDocuments(space.spaceId, missing).finally(() => {
      space.asking -= 1;
    });
    const rows = new Map(found.map((document) => [toHex(document.docId), document]));
    for (const docId of missing) {
      const key = toHex(docId);
      // Somebody else may have asked, and written, meanwhile.
      if (!space.documents.has(key)) space.documents.set(key, rows.get(key) ?? null);
    }
  }

  /** Where an entry stands, once what is being written is durable; null if it is not stored. */
  async placeOf(space: OpenSpace, itemId: Uint8Array): Promise<Place | null> {
    await space.settled;
    return this.#store.positionOf(space.spaceId, itemId);
  }

  /** After the writes on their way. */
  async settled(): Promise<void> {
    while (this.#busy.size > 0) await Promise.all(this.#busy);
  }

  #load(spaceId: Uint8Array, key: string): Slot {
    const slot: Slot = { space: null, opening: this.#read(spaceId) };
    slot.opening.then(
      (space) => {
        slot.space = space;
      },
      () => {
        if (this.#slots.get(key) === slot) this.#slots.delete(key);
      },
    );
    this.#makeRoom();
    return slot;
  }

  async #read(spaceId: Uint8Array): Promise<OpenSpace> {
    const stored = await this.#store.loadSpace(spaceId);
    return new OpenSpace(spaceId, stored === null ? null : restoreSpace(stored));
  }

  #makeRoom(): void {
    let weight = 0;
    for (const { space } of this.#slots.values()) weight += weightOf(space);
    for (const [key, { space }] of this.#slots) {
      if (weight < maxOpenWeight) return;
      // One that is being read or written stays: two writers must not meet.
      if (space === null || space.outstanding > 0) continue;
      weight -= weightOf(space);
      this.#slots.delete(key);
    }
  }
}

interface Slot {
  readonly opening: Promise<OpenSpace>;
  /** Null while it is being read. */
  space: OpenSpace | null;
}

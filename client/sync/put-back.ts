/**
 * Giving a relay back what it lost: it was wiped, restored from an old backup, is another one, or acknowledged what it
 * never stored (PROTOCOL §9). What stood in its log behind the last common position has no known place any more; the log
 * that is there now is read; what it lacks is sealed anew, others' changes under the heads that they signed.
 *
 * What a moved note came with is nobody's to sign: its snapshot is sent again (device/lost-pasts.ts).
 *
 *   noticed ─▶ read to the end ─▶ own changes, at once ─▶ 0–30 s later, what others wrote and is still missing ─▶ made good
 *
 * Where it stands is in the store, so that a restart goes on with it.
 */
import type { UnplacedChange } from "#crdt-store/changes.ts";
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { parseCertificate, roles, type SignedControl } from "#relay/protocol/control.ts";
import { chainStart } from "#relay/protocol/domain.ts";
import { maxMessageBytes } from "#relay/protocol/limits.ts";
import { roleOf, type Authority } from "#relay/protocol/authority.ts";
import { loadKeep } from "./keep.ts";
import type { Clock, Timers } from "./ports.ts";
import type { Space } from "./space.ts";

export interface PutBackPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  /** 0 ≤ x < 1. */
  readonly chance: () => number;
}

export interface PutBackListener {
  /** Whether all that the relay has of the space has been taken in, so that what is missing is missing there. */
  isCaughtUp(space: Space): boolean;
  /** Changes of this space wait to be sent. */
  poke(space: Space): void;
  /** Packs are marked, whose changes have to be rows again before it can be told what of them is missing. */
  unpack(): void;
  /** The relay lacks what a document came with, which no entry of changes can bring. False if nothing can be done. */
  lostPast(space: Space, doc: Uint8Array): boolean;
  /** Everything is there again. @param changes how many of them this device gave back */
  madeGood(changes: number): void;
}

/** Where the relay's log stands, as it answered a subscription that it refused. */
export interface ToldHead {
  readonly head: number;
  readonly chain: Uint8Array;
}

/** What others wrote is given back within this time at random: not every device is to send all of it. */
const longestDelayMs = 30_000;
/** How far below the end of both logs a common place is looked for, one after the other; then at the beginning. */
const stepsBack = [64, 2_048];

export class PutBack {
  readonly #ports: PutBackPorts;
  readonly #listener: PutBackListener;
  /** Tries to find the common place, by space in hex, since it was last found. */
  readonly #tries = new Map<string, number>();
  readonly #cancelLook = new Map<string, () => void>();

  constructor(ports: PutBackPorts, listener: PutBackListener) {
    this.#ports = ports;
    this.#listener = listener;
  }

  /** Whether something of the space may be missing at the relay and is not there yet. */
  isOpen(space: Space): boolean {
    return this.#ports.store.losses.of(space.id) !== null;
  }

  /** The relay's log is shorter or another: puts the cursor back towards where both are the same. */
  stepBack(space: Space, told: ToldHead): void {
    const { store } = this.#ports;
    store.transaction(() => {
      this.#open(space);
      const { pos, chain } = this.#commonPlace(space, told);
      store.inbox.rewind(space.id, pos, chain);
    });
  }

  /** The relay does not know the space at all. */
  wiped(space: Space): void {
    const { store } = this.#ports;
    store.transaction(() => {
      this.#open(space);
      store.spaces.unconfirmControl(space.id, 0);
      store.inbox.rewind(space.id, 0, chainStart(space.id));
      this.#unplace(space);
      space.reload();
    });
  }

  /** The relay's control log ends before records that it once had. */
  controlLost(space: Space, end: number): void {
    this.#ports.store.transaction(() => {
      this.#open(space);
      space.unconfirmAfter(end);
    });
  }

  /** The relay acknowledged what is not in its log. */
  lied(space: Space): void {
    const { store } = this.#ports;
    store.transaction(() => {
      this.#open(space);
      this.#unplace(space);
    });
  }

  /** The relay's log goes on from this device's cursor: what is beyond that is to be heard of again. */
  subscribed(space: Space): void {
    this.#tries.delete(space.hex);
    if (!this.isOpen(space)) return;
    this.#ports.store.transaction(() => this.#unplace(space));
  }

  /** All that the relay has was taken in, or something was acknowledged: looks whether anything is missing. */
  look(space: Space): void {
    const { store, clock, timers, chance } = this.#ports;
    const loss = store.losses.of(space.id);
    if (loss === null || !this.#listener.isCaughtUp(space) || this.#isUnpacking(space)) return;
    // What bodies that are still to be fetched bring is not missing.
    if (this.#isFetching(space)) return;
    const missing = space.mayWrite ? this.#missing(space) : [];
    const own = missing.filter(({ changes }) => changes.some(({ local }) => local));
    if (own.length > 0) {
      this.#giveBack(space, own, true);
      return;
    }
    const pasts = space.mayWrite ? this.#lostPasts(space) : [];
    const isDue = loss.due !== null && loss.due <= clock.now();
    const isGiven = isDue && pasts.filter((doc) => this.#listener.lostPast(space, doc)).length > 0;
    if (missing.length === 0 && (pasts.length === 0 || (isDue && !isGiven))) {
      if (store.outbox.depth(space.id) === 0 || !space.mayWrite) this.#close(space);
      return;
    }
    if (isDue) {
      if (missing.length > 0) this.#giveBack(space, missing, false);
      return;
    }
    const due = loss.due ?? clock.now() + Math.floor(chance() * longestDelayMs);
    if (loss.due === null) store.losses.setDue(space.id, due);
    if (this.#cancelLook.has(space.hex)) return;
    this.#cancelLook.set(
      space.hex,
      timers.after(Math.max(0, due - clock.now()), () => {
        this.#cancelLook.delete(space.hex);
        this.look(space);
      }),
    );
  }

  stop(): void {
    for (const cancel of this.#cancelLook.values()) cancel();
    this.#cancelLook.clear();
  }

  #open(space: Space): void {
    const { store, clock } = this.#ports;
    // While one loss is being seen to there can be another: what was given back is lost again, then.
    store.losses.open(space.id, clock.now());
    // Sealed entries tell how far this device had read: in a log that is no more.
    store.outbox.unsealAll(space.id);
    store.spaces.unpushCertificates(space.id);
  }

  #commonPlace(space: Space, { head, chain }: ToldHead): { pos: number; chain: Uint8Array } {
    const { inbox } = this.#ports.store;
    const { pos } = space.cursor;
    const tried = this.#tries.get(space.hex) ?? 0;
    this.#tries.set(space.hex, tried + 1);
    const own = inbox.chainAt(space.id, head);
    if (tried === 0 && head > 0 && head < pos && own !== null && equal(own, chain)) {
      return { pos: head, chain: own };
    }
    for (const step of stepsBack.slice(Math.max(0, tried - 1))) {
      const at = Math.min(pos, head) - step;
      const there = at > 0 ? inbox.chainAt(space.id, at) : null;
      if (there !== null) return { pos: at, chain: there };
    }
    return { pos: 0, chain: chainStart(space.id) };
  }

  #unplace(space: Space): void {
    const { store } = this.#ports;
    const { pos } = space.cursor;
    store.changes.unplaceAfter(space.id, pos);
    store.outbox.forgetRelayedAfter(space.id, pos);
    if (this.#isUnpacking(space)) this.#listener.unpack();
  }

  #isUnpacking(space: Space): boolean {
    const { changes, documents } = this.#ports.store;
    return changes.toResend().some((doc) => equal(documents.get(doc)?.space ?? noSpace, space.id));
  }

  #isFetching(space: Space): boolean {
    const { documents, awaited, changes } = this.#ports.store;
    const isOpening = loadKeep(this.#ports.store, space.id) === "on-opening";
    return (
      awaited.listing(space.id) !== null ||
      (!isOpening &&
        documents.ofSpace(space.id).some(({ doc }) => awaited.has(doc) && changes.knows(doc)))
    );
  }

  /** By document, what no entry in the relay's log has brought and this device could seal. */
  #missing(space: Space): readonly MissingOf[] {
    const { documents, changes } = this.#ports.store;
    return documents.ofSpace(space.id).flatMap(({ doc }) => {
      const found = changes
        .unplaced(doc)
        .filter(
          (change) => change.local || documents.nextHead(doc, change.actor, change.seq) !== null,
        );
      return found.length === 0 ? [] : [{ doc, changes: found }];
    });
  }

  /** Documents that came with a past, under nobody's signature, which no entry in the relay's log has brought. */
  #lostPasts(space: Space): readonly Uint8Array[] {
    const { store } = this.#ports;
    return store.documents
      .ofSpace(space.id)
      .map(({ doc }) => doc)
      .filter((doc) => hasUnplacedPast(store, doc));
  }

  #giveBack(space: Space, missing: readonly MissingOf[], onlyOwn: boolean): void {
    const { store } = this.#ports;
    store.transaction(() => {
      for (const { doc, changes } of missing) {
        const chosen = changes.filter(({ local }) => local || !onlyOwn);
        store.outbox.add(space.id, doc, upToHeads(store, doc, chosen));
        store.losses.addReturned(space.id, chosen.length);
      }
    });
    this.#listener.poke(space);
  }

  #close(space: Space): void {
    const { store } = this.#ports;
    this.#cancelLook.get(space.hex)?.();
    this.#cancelLook.delete(space.hex);
    const returned = store.transaction(() => {
      store.losses.close(space.id);
      return store.losses.settle();
    });
    if (returned !== null) this.#listener.madeGood(returned);
  }
}

const noSpace = new Uint8Array(0);

interface MissingOf {
  readonly doc: Uint8Array;
  readonly changes: readonly UnplacedChange[];
}

/** Whether no relay is known to have some of what a document came with, which stands under nobody's signature. */
export function hasUnplacedPast({ changes, documents }: Store, doc: Uint8Array): boolean {
  return changes
    .unplaced(doc)
    .some(
      ({ local, signer, actor, seq }) =>
        !local && signer === null && documents.nextHead(doc, actor, seq) === null,
    );
}

/**
 * The changes together with what stands between them and the next head that their author signed: an entry has to end there.
 * Of this device's own each can be signed anew.
 */
export function upToHeads(
  store: Store,
  doc: Uint8Array,
  changes: readonly Pick<UnplacedChange, "hash" | "actor" | "seq" | "local">[],
): readonly Uint8Array[] {
  const hashes = new Map<string, Uint8Array>();
  const reached = new Map<string, number>();
  for (const { hash, actor, seq, local } of changes) {
    hashes.set(toHex(hash), hash);
    const name = toHex(actor);
    if (local || seq <= (reached.get(name) ?? 0)) continue;
    const head = store.documents.nextHead(doc, actor, seq);
    if (head === null) continue;
    reached.set(name, head);
    for (const between of store.changes.ofActor(doc, actor, seq, head)) {
      hashes.set(toHex(between), between);
    }
  }
  return [...hashes.values()];
}

/** What one message takes of control records that wait, below its limit with room for its frame. */
const mostRecordBytes = maxMessageBytes - (64 << 10);

/**
 * The records to push next: as many as one message takes, and none that takes the last right of a capability whose
 * certificates the relay lacks. It would not take them any more then, and who comes later could not tell who wrote what.
 *
 * @param start what holds before the first record
 */
export function recordsToPush(
  start: Authority,
  records: readonly { readonly signed: SignedControl; readonly authority: Authority }[],
  unpushed: readonly Uint8Array[],
): readonly SignedControl[] {
  const waiting = unpushed.flatMap((bytes) => {
    const parsed = parseCertificate(bytes);
    return parsed.ok ? [parsed.value.capPub] : [];
  });
  const chosen: SignedControl[] = [];
  let before = start;
  let size = 0;
  for (const { signed, authority } of records) {
    const ends = waiting.some(
      (cap) => roleOf(before, cap) !== roles.none && roleOf(authority, cap) === roles.none,
    );
    size += signed.bytes.length + 4;
    if (ends || (chosen.length > 0 && size > mostRecordBytes)) break;
    chosen.push(signed);
    before = authority;
  }
  return chosen;
}

/**
 * Comparing one space's log, as the relay gives it to this device, with what other members say that they were given: in
 * their entries and in their signed beats (PROTOCOL §9). A relay that shows two of them different logs, or keeps newer
 * entries back from one, is found out as soon as a word of the other arrives by any way at all.
 */
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { chainTag } from "#relay/protocol/domain.ts";
import type { Frontier } from "#client/crypto/payload.ts";
import { digestOfHeads, maxDigests, type DocumentDigest } from "#client/crypto/presence-seal.ts";
import type { Clock, Timers } from "./ports.ts";
import type { Space } from "./space.ts";

export interface WitnessPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
}

export interface WitnessListener {
  /** Whether everything up to what the relay calls its end has been taken in. */
  isCaughtUp(): boolean;
  /** The relay has shown somebody another log, for the first time in this space. */
  forked(): void;
  /** The relay gives less, or something else, than another device of this person had read. */
  fellShort(): void;
  /** Others hold what the relay does not give, or no longer so. */
  doubtChanged(): void;
}

/** Others know of more than the relay gives to this device. */
export interface Doubt {
  /** Since when, ms since 1970. */
  readonly since: number;
  /** When another member was last known to have read what this device has; null if none ever was. */
  readonly lastConfirmedAt: number | null;
}

interface Claim {
  readonly devPub: Uint8Array;
  readonly frontier: Frontier;
  readonly at: number;
  readonly words: Uint8Array;
}

/** So long an honest relay may take to bring what somebody else has read already. */
export const toleranceMs = 15_000;

export class Witness {
  readonly #space: Space;
  readonly #ports: WitnessPorts;
  readonly #listener: WitnessListener;
  /** What others say of positions that this device has not reached, by device in hex. */
  readonly #claims = new Map<string, Claim>();
  /** Since when a document differs from a device's that has read just as far, by document in hex. */
  readonly #differing = new Map<string, number>();
  /** Since when the relay gives less than another device of this person had read. */
  #shortSince: number | null = null;
  #cancelCheck: (() => void) | null = null;
  #doubtSince: number | null = null;

  constructor(space: Space, ports: WitnessPorts, listener: WitnessListener) {
    this.#space = space;
    this.#ports = ports;
    this.#listener = listener;
  }

  get doubt(): Doubt | null {
    if (this.#doubtSince === null) return null;
    const seen = this.#ports.store.inbox.frontiers(this.#space.id).map(({ at }) => at);
    return {
      since: this.#doubtSince,
      lastConfirmedAt: seen.length === 0 ? null : Math.max(...seen),
    };
  }

  /**
   * Another device says how far it has read. What cannot be checked yet counts as far as this device has read itself, and is
   * compared when it gets there; a tag that differs from our chain counts for nothing.
   * @param words what said so, with its signature: an entry or a beat
   */
  heard(devPub: Uint8Array, frontier: Frontier, words: Uint8Array): void {
    const { store, clock } = this.#ports;
    const { pos } = this.#space.cursor;
    const key = toHex(devPub);
    if (frontier.pos > pos) {
      this.#claims.set(key, {
        devPub,
        frontier,
        at: this.#claims.get(key)?.at ?? clock.now(),
        words,
      });
      this.#checkLater();
    } else {
      this.#claims.delete(key);
      if (!this.#agrees(frontier, words)) return;
    }
    store.inbox.setFrontier(this.#space.id, devPub, Math.min(frontier.pos, pos));
    this.#judge();
  }

  /** Something has happened: looks whether there is all that another device of this person had read. */
  look(): void {
    const told = this.#ports.store.spaceWitnesses.of(this.#space.id);
    if (this.#shortSince !== null || (told !== null && !told.isMet)) this.#judge();
  }

  /** This device has read further. */
  advanced(): void {
    const { pos } = this.#space.cursor;
    for (const [key, claim] of this.#claims) {
      if (claim.frontier.pos > pos) continue;
      this.#claims.delete(key);
      if (this.#agrees(claim.frontier, claim.words)) {
        this.#ports.store.inbox.setFrontier(this.#space.id, claim.devPub, claim.frontier.pos);
      }
    }
    this.#judge();
  }

  /** The relay's log is another from here on, and what others said of the one before means nothing. */
  forget(): void {
    this.#claims.clear();
    this.#differing.clear();
    this.#shortSince = null;
    this.#judge();
  }

  stop(): void {
    this.#cancelCheck?.();
    this.#cancelCheck = null;
  }

  /** What this device tells of documents: those of which everything it has is with the relay and was taken in. */
  digests(docs: readonly Uint8Array[]): readonly DocumentDigest[] {
    const { changes, outbox, awaited } = this.#ports.store;
    const quarantined = this.#quarantined();
    return docs
      .filter((docId) => !outbox.isWaiting(docId) && !awaited.has(docId))
      .filter((docId) => !quarantined.has(toHex(docId)))
      .map((docId) => ({ docId, heads: changes.heads(docId) }))
      .filter(({ heads }) => heads.length > 0)
      .slice(0, maxDigests)
      .map(({ docId, heads }) => ({ docId, digest: digestOfHeads(docId, heads) }));
  }

  /** What a device that has read as far as this one holds: the same, unless something was kept from one of them. */
  compare(frontier: Frontier, digests: readonly DocumentDigest[]): void {
    const { clock, store } = this.#ports;
    const { frontier: own } = this.#space;
    if (frontier.pos !== own.pos || !equal(frontier.chainTag, own.chainTag)) return;
    const ours = new Map(
      this.digests(digests.map(({ docId }) => docId)).map(({ docId, digest }) => [
        toHex(docId),
        digest,
      ]),
    );
    for (const { docId, digest } of digests) {
      const key = toHex(docId);
      const mine = ours.get(key);
      if (mine !== undefined) store.metrics.count("divergence-checks");
      if (mine === undefined || equal(mine, digest)) this.#differing.delete(key);
      else if (!this.#differing.has(key)) this.#differing.set(key, clock.now());
    }
    if (this.#differing.size > 0) this.#checkLater();
    this.#judge();
  }

  #quarantined(): ReadonlySet<string> {
    const held = this.#ports.store.inbox.quarantinedByDocument();
    return new Set(held.map(({ doc }) => toHex(doc)));
  }

  #agrees({ pos, chainTag: told }: Frontier, words: Uint8Array): boolean {
    const { store } = this.#ports;
    const known = store.inbox.chainAt(this.#space.id, pos);
    if (known === null) return true;
    store.metrics.count("divergence-checks");
    if (equal(chainTag(known), told)) return true;
    store.metrics.count("divergences");
    if (store.evidence.add(this.#space.id, "fork", words)) this.#listener.forked();
    return false;
  }

  #checkLater(): void {
    if (this.#cancelCheck !== null) return;
    this.#cancelCheck = this.#ports.timers.after(toleranceMs, () => {
      this.#cancelCheck = null;
      this.#judge();
      const isOpen = this.#claims.size > 0 || this.#differing.size > 0 || this.#shortSince !== null;
      if (isOpen) this.#checkLater();
    });
  }

  /** Whether the log is shorter than another device of this person had read it, or another one. */
  #isShort(): boolean {
    const { store } = this.#ports;
    const { id, cursor } = this.#space;
    const told = store.spaceWitnesses.of(id);
    if (told === null || told.isMet) return false;
    // What comes later is on its way as long as the relay brings more.
    if (cursor.pos < told.pos) return this.#shortSince !== null || this.#listener.isCaughtUp();
    const there = store.inbox.chainAt(id, told.pos);
    if (there === null) return false;
    if (!equal(chainTag(there), told.chainTag)) return true;
    store.spaceWitnesses.meet(id);
    return false;
  }

  #judge(): void {
    const before = this.#doubtSince;
    if (!this.#isShort()) this.#shortSince = null;
    else if (this.#shortSince === null) {
      this.#shortSince = this.#ports.clock.now();
      this.#checkLater();
    }
    const since = [
      ...[...this.#claims.values()].map(({ at }) => at),
      ...this.#differing.values(),
      ...(this.#shortSince === null ? [] : [this.#shortSince]),
    ];
    const oldest = since.length === 0 ? null : Math.min(...since);
    const isOverdue = oldest !== null && this.#ports.clock.now() - oldest >= toleranceMs;
    // While the relay still brings more, nobody can say that it keeps anything back.
    if (!isOverdue) this.#doubtSince = null;
    else if (this.#listener.isCaughtUp()) this.#doubtSince ??= oldest;
    if (before === null && this.#doubtSince !== null) {
      this.#ports.store.metrics.count("divergences");
      if (this.#shortSince !== null) this.#listener.fellShort();
    }
    if ((before === null) !== (this.#doubtSince === null)) this.#listener.doubtChanged();
  }
}

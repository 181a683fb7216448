/**
 * Changes that others depend on and that the relay does not bring: asked of the members who are here, in signed beats, and
 * given by whoever holds them, as an ordinary entry under its authors' signed heads (PROTOCOL §9).
 */
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { maxWanted } from "#client/crypto/presence-seal.ts";
import type { Clock, Timers } from "./ports.ts";
import { upToHeads } from "./put-back.ts";
import type { Space } from "./space.ts";

export interface WantedPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  /** 0 ≤ x < 1. */
  readonly chance: () => number;
}

export interface WantedListener {
  /** Something is asked for from now on: a beat should say so. */
  ask(): void;
  /** Changes of the space wait to be sent. */
  poke(): void;
}

/** What is on its way by itself mostly comes within this time. */
const patienceMs = 5_000;
/** Whoever holds what somebody asks for sends it within this time at random, unless somebody else has. */
const longestDelayMs = 3_000;
/** The same change is given at most once in this time, however often it is asked for. */
const againMs = 60_000;

export class Wanted {
  readonly #space: Space;
  readonly #ports: WantedPorts;
  readonly #listener: WantedListener;
  /** When this device last saw to a change that somebody asked for, by its hash in hex. */
  readonly #givenAt = new Map<string, number>();
  #cancelAsk: (() => void) | null = null;

  constructor(space: Space, ports: WantedPorts, listener: WantedListener) {
    this.#space = space;
    this.#ports = ports;
    this.#listener = listener;
  }

  /** What to ask for now. */
  hashes(): readonly Uint8Array[] {
    const { store, clock } = this.#ports;
    const overdue = clock.now() - patienceMs;
    return store.missingChanges
      .inSpace(this.#space.id)
      .filter(({ doc, since }) => since <= overdue && !store.awaited.has(doc))
      .slice(0, maxWanted)
      .map(({ hash }) => hash);
  }

  /** Something has been taken in: if some of it waits for other changes, those are asked for in a while. */
  takenIn(): void {
    const { store, timers } = this.#ports;
    if (this.#cancelAsk !== null || store.missingChanges.inSpace(this.#space.id).length === 0)
      return;
    this.#cancelAsk = timers.after(patienceMs, () => {
      this.#cancelAsk = null;
      if (this.hashes().length > 0) this.#listener.ask();
    });
  }

  /** Somebody asks for these changes. */
  asked(hashes: readonly Uint8Array[]): void {
    const { store, clock, timers, chance } = this.#ports;
    if (!this.#space.mayWrite) return;
    const now = clock.now();
    for (const [key, at] of this.#givenAt) if (now - at > againMs) this.#givenAt.delete(key);
    for (const hash of hashes) {
      const found = store.changes.whereIs(hash);
      const key = toHex(hash);
      if (found === null || this.#givenAt.has(key) || !this.#isHere(found.doc)) continue;
      this.#givenAt.set(key, now);
      timers.after(Math.floor(chance() * longestDelayMs), () => this.#give(hash, found.pos));
    }
  }

  stop(): void {
    this.#cancelAsk?.();
    this.#cancelAsk = null;
  }

  /** A second look: who was faster has given it a new place. */
  #give(hash: Uint8Array, pos: number | null): void {
    const { store } = this.#ports;
    const found = store.changes.whereIs(hash);
    if (found === null || found.pos !== pos || !this.#space.mayWrite) return;
    store.outbox.add(this.#space.id, found.doc, upToHeads(store, found.doc, [{ ...found, hash }]));
    this.#listener.poke();
  }

  #isHere(doc: Uint8Array): boolean {
    const document = this.#ports.store.documents.get(doc);
    return document !== null && equal(document.space, this.#space.id);
  }
}

/**
 * Telling this person's other devices how far this one has read each notebook, in the vault, and learning the same from them
 * (PROTOCOL §9). Whether a relay shows less is judged where its log is read (sync/witness.ts).
 */
import type { SpaceWitness } from "#crdt-store/space-witnesses.ts";
import type { Store } from "#crdt-store/store.ts";
import type { Clock, Timers } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import { equal } from "#relay/protocol/bytes.ts";
import { chainTag } from "#relay/protocol/domain.ts";
import type { Background } from "./background.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { VaultIndex } from "./index-document.ts";
import type { Indices } from "./indices.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { Shelf } from "./shelf.ts";
import {
  isWorthTelling,
  packWitness,
  spaceOfWitness,
  unpackWitness,
  witnessKey,
} from "./space-witness.ts";

export interface RollbackWitnessesPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  /** 0 ≤ x < 1. */
  readonly chance: () => number;
  readonly background: Background;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly indices: Indices;
  readonly documents: () => Promise<DeviceDocuments>;
}

/** Who only looks in tells nothing; who stays looks again now and then. */
const firstLookMs = 60_000;
const lookEveryMs = 3_600_000;

export class RollbackWitnesses {
  readonly #ports: RollbackWitnessesPorts;
  #cancelLook: (() => void) | null = null;
  #closed = false;

  constructor(ports: RollbackWitnessesPorts) {
    this.#ports = ports;
  }

  /** Tells now and then what is worth telling; again is harmless. */
  begin(): void {
    if (this.#cancelLook !== null) return;
    // Not all devices at one moment: one of them tells it for all.
    this.#lookIn(firstLookMs + Math.floor(this.#ports.chance() * firstLookMs));
  }

  close(): void {
    this.#closed = true;
    this.#cancelLook?.();
  }

  /** What was told may not stand any more. */
  tellSoon(): void {
    const { background, documents, store } = this.#ports;
    background.add(async () => {
      const loaded = await documents();
      store.transaction(() => this.#tell(loaded));
    });
  }

  #lookIn(ms: number): void {
    if (this.#closed) return;
    this.#cancelLook = this.#ports.timers.after(ms, () => {
      this.tellSoon();
      this.#lookIn(lookEveryMs);
    });
  }

  /** What is worth it, in one change of the vault. */
  #tell(documents: DeviceDocuments): void {
    const { store, clock, shelf, indices } = this.#ports;
    if (!shelf.vault.mayWrite) return;
    const at = clock.now();
    const told = shelf.spaces().flatMap((space) => {
      const { pos, chain } = space.cursor;
      const own = { pos, chainTag: chainTag(chain), at };
      const known = store.spaceWitnesses.of(space.id);
      const isRestored = known?.isMet === true && !this.#stands(space, known);
      const isWorth = this.#isRead(space) && isWorthTelling(own, known, at, isRestored);
      return isWorth ? [{ space, own }] : [];
    });
    if (told.length === 0) return;
    for (const { space, own } of told) {
      store.spaceWitnesses.put({ space: space.id, ...own, isMet: true });
    }
    indices.vault.edit(documents, (index) => {
      for (const { space, own } of told) index[witnessKey(space.hex)] = packWitness(own);
    });
  }

  /** Whether the log still is as it was told. */
  #stands(space: Space, told: SpaceWitness): boolean {
    if (space.cursor.pos < told.pos) return false;
    const there = this.#ports.store.inbox.chainAt(space.id, told.pos);
    return there === null || equal(chainTag(there), told.chainTag);
  }

  /** Everything there is was taken in, and nothing is being given back. */
  #isRead(space: Space): boolean {
    const { store, desk } = this.#ports;
    return (
      space.kind !== "vault" &&
      desk.sessionOf(space)?.isCaughtUp(space) === true &&
      store.losses.of(space.id) === null
    );
  }
}

/** What the vault says of notebooks' logs is known here from now on; in the caller's transaction or one of its own. */
export function saveWitnesses(store: Store, vault: Readonly<VaultIndex>): void {
  const come = Object.entries(vault).flatMap(([key, packed]) => {
    const space = spaceOfWitness(key);
    const told = packed instanceof Uint8Array ? unpackWitness(packed) : null;
    if (space === null || told === null) return [];
    const known = store.spaceWitnesses.of(space);
    const isKnown =
      known !== null && known.pos === told.pos && equal(known.chainTag, told.chainTag);
    return isKnown ? [] : [{ space, ...told, isMet: false }];
  });
  if (come.length === 0) return;
  store.transaction(() => {
    for (const witness of come) store.spaceWitnesses.put(witness);
  });
}

/**
 * What those who manage a notebook need not think of: links that are used up or past their time are
 * ended, keys renewed when it is time or whoever made them has gone, and whoever was removed is removed
 * again where a relay has lost that. Any of several devices may do it: each waits for a random while and
 * looks again, so that mostly one does.
 */
import type { Store } from "#crdt-store/store.ts";
import { roleOf } from "#relay/protocol/authority.ts";
import { capabilityKinds, roles, type ControlRecord } from "#relay/protocol/control.ts";
import type { Lowering } from "#client/crypto/space-keys.ts";
import type { Clock, Timers } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import { backAgain } from "#client/sync/withdrawn.ts";
import type { RenewalDays } from "./api.ts";
import type { Background } from "./background.ts";
import type { DeviceDocuments } from "./documents.ts";
import {
  ownLinkKey,
  ownLinkPrefix,
  keyAgeKey,
  unpackDays,
  type VaultIndex,
} from "./index-document.ts";
import type { Indices } from "./indices.ts";
import { mayAdminister, type Membership } from "./membership.ts";
import { find, linkState } from "./people-rows.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { Shelf } from "./shelf.ts";

export interface KeyCarePorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  /** 0 ≤ x < 1. */
  readonly chance: () => number;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly indices: Indices;
  readonly membership: Membership;
  readonly background: Background;
  readonly documents: () => Promise<DeviceDocuments>;
}

const dayMs = 86_400_000;
/** Nothing but the clock tells that a link or a key has grown old. */
const lookEveryMs = 900_000;
const longestDelayMs = 30_000;
/** While the device is offline or has other things to do. */
const busyMs = 60_000;

export const renewalChoices: readonly RenewalDays[] = [7, 30, 90];

/** What is to be done about one notebook. */
interface Chore {
  readonly space: Space;
  readonly lowered: readonly Lowering[];
  /** What the log of this device says of it. */
  readonly told: string;
}

export class KeyCare {
  readonly #ports: KeyCarePorts;
  #delayed: (() => void) | null = null;
  #next: (() => void) | null = null;
  #isClosed = false;

  constructor(ports: KeyCarePorts) {
    this.#ports = ports;
  }

  /** Looks now, and from now on every quarter of an hour. */
  begin(): void {
    if (this.#isClosed) return;
    this.soon();
    this.#beginIn(lookEveryMs);
  }

  #beginIn(ms: number): void {
    this.#next?.();
    this.#next = this.#ports.timers.after(ms, () => this.begin());
  }

  /** Who has access has changed, or how often keys are renewed. */
  soon(): void {
    if (this.#isClosed || this.#delayed !== null) return;
    this.#ports.background.add(async () => {
      const isDue = (await this.#chores()).length > 0;
      if (isDue && this.#delayed === null && !this.#isClosed) this.#delay();
    });
  }

  #delay(): void {
    const { background, timers, chance } = this.#ports;
    this.#delayed = timers.after(chance() * longestDelayMs, () => {
      this.#delayed = null;
      background.add(() => this.#do());
    });
  }

  close(): void {
    this.#isClosed = true;
    this.#delayed?.();
    this.#next?.();
  }

  async #do(): Promise<void> {
    const { store, desk, membership } = this.#ports;
    // Others of this person's devices, or of those who manage it, may have been here meanwhile.
    for (const { space, lowered, told } of await this.#chores()) {
      if (!desk.isCurrent(space)) {
        this.#beginIn(busyMs);
        continue;
      }
      store.transaction(() => {
        membership.renewKeys(space, lowered);
        store.syncLog.add("info", told);
      });
      membership.send(space);
    }
  }

  async #chores(): Promise<readonly Chore[]> {
    const { store, shelf, indices, documents } = this.#ports;
    const loaded = await documents();
    const vault = indices.vault.read(loaded);
    this.#forgetDeadLinks(loaded, vault);
    return shelf.spaces().flatMap((space) => {
      const isOpen = space.kind === "notebook" && mayAdminister(space) && !space.authority.deleted;
      if (!isOpen || store.spaces.hasUnconfirmedControl(space.id)) return [];
      return this.#choreIn(space, renewalDaysIn(vault, space)) ?? [];
    });
  }

  #choreIn(space: Space, days: RenewalDays): Chore | null {
    const { store, clock } = this.#ports;
    const { authority } = space;
    const back = backAgain(store, space);
    if (back.length > 0) {
      const lowered = back.map((signPub) => ({ signPub, role: roles.none }));
      return { space, lowered, told: removedAgain };
    }
    const dead = deadLinks(space, clock.now());
    if (dead.length > 0) return { space, lowered: dead, told: linkEnded };
    // They know the keys that they made while they went, and may still be given what is sealed by them.
    const maker = lastRotation(space)?.signerPub;
    if (maker !== undefined && roleOf(authority, maker) === roles.none) {
      return { space, lowered: [], told: madeByOutsider };
    }
    const isOld = days !== null && clock.now() - (lastRenewalAt(space) ?? 0) >= days * dayMs;
    return isOld ? { space, lowered: [], told: keysRenewed } : null;
  }

  /** The secret of a link that has ended opens nothing: nobody need keep it. */
  #forgetDeadLinks(documents: DeviceDocuments, vault: Readonly<VaultIndex>): void {
    const { store, shelf, indices } = this.#ports;
    const dead = Object.keys(vault).flatMap((key) => {
      const id = key.startsWith(ownLinkPrefix) ? key.slice(ownLinkPrefix.length) : "";
      const isDead = shelf.spaces().some((space) => find(space, id)?.role === roles.none);
      return isDead ? [id] : [];
    });
    if (dead.length === 0) return;
    store.transaction(() =>
      indices.vault.edit(documents, (edited) => {
        for (const id of dead) delete edited[ownLinkKey(id)];
      }),
    );
  }
}

const removedAgain =
  "The relay had lost that somebody was removed from a notebook. This device has removed them again.";
const linkEnded = "A link that nobody can use any more was ended, and the notebook has new keys.";
const madeByOutsider =
  "The keys of a notebook were made by somebody who is not in it any more. It has new ones.";
const keysRenewed = "A notebook's keys were renewed, as its settings ask for.";

function deadLinks({ authority }: Space, now: number): readonly Lowering[] {
  return authority.capabilities.flatMap((capability) => {
    const isLink = capability.kind === capabilityKinds.link && capability.role !== roles.none;
    return isLink && linkState(capability, now) !== "live"
      ? [{ signPub: capability.signPub, role: roles.none }]
      : [];
  });
}

/** When the notebook got its present keys (ms since 1970), as whoever gave them says. */
export function lastRenewalAt(space: Space): number | null {
  return lastRotation(space)?.timeMs ?? null;
}

function lastRotation({ records }: Space): ControlRecord | undefined {
  return records.findLast(({ record }) => record.body.type === "rotate")?.record;
}

export function renewalDaysIn(vault: Readonly<VaultIndex>, { hex }: Space): RenewalDays {
  const packed = vault[keyAgeKey(hex)];
  const days = packed === undefined ? null : unpackDays(packed);
  return renewalChoices.find((choice) => choice === days) ?? null;
}

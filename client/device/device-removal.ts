/**
 * Taking a device out of the vault for good, and then out of everything the vault had let it into. What is under way is
 * kept here until it is done: the vault's key is renewed without the device first, so that it reads nothing that follows;
 * only under the new key do fresh secrets of the notebooks go into the vault, and renewal.ts sees to the rest.
 */
import type { Store } from "#crdt-store/store.ts";
import { roleOf, type Capability } from "#relay/protocol/authority.ts";
import { concat, equal, parseHex } from "#relay/protocol/bytes.ts";
import { capabilityKinds, roles } from "#relay/protocol/control.ts";
import type { Timers } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { RemovedDevice } from "./api.ts";
import type { Background } from "./background.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { Indices } from "./indices.ts";
import { mayAdminister, type Membership } from "./membership.ts";
import type { Progress } from "./progress.ts";
import { refuse } from "./refusal.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { Renewal } from "./renewal.ts";
import type { Shelf } from "./shelf.ts";

export interface DeviceRemovalPorts {
  readonly store: Store;
  readonly shelf: Shelf;
  readonly indices: Indices;
  readonly desk: RelayDesk;
  readonly membership: Membership;
  readonly renewal: Renewal;
  readonly progress: Progress;
  readonly background: Background;
  readonly timers: Timers;
  readonly documents: () => Promise<DeviceDocuments>;
}

/** Capabilities that are to be out of the vault before the notebooks are renewed, 32 bytes each. */
const planSetting = "device/removal";
/** What is not done by then goes on by itself. */
const waitForMs = 30_000;
const tryAgainAfterMs = 10_000;

export class DeviceRemoval {
  readonly #ports: DeviceRemovalPorts;
  readonly #store: Store;
  #isRenewing = false;
  #againDue: (() => void) | null = null;
  #closed = false;

  constructor(ports: DeviceRemovalPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /**
   * Needs the relay. Resolves when all is done, or after a while with what is done by then: the device is out of the
   * vault then. Refused with `offline` where it is not; it is tried on.
   */
  async remove(id: string): Promise<RemovedDevice> {
    const { shelf, desk } = this.#ports;
    const removed = mustOther(shelf.vault, id);
    await desk.visitOwn((relay) => relay.reach());
    if (removed.role === roles.none) return this.outcome();
    if (!mayAdminister(shelf.vault)) refuse("no-access", wasRemoved);
    this.#store.transaction(() => {
      this.expect([removed.signPub]);
      this.#renewVault();
    });
    this.#ports.membership.send(shelf.vault);
    return this.outcome();
  }

  /** Once these are out of the vault, the notebooks are to be renewed; in the caller's transaction. */
  expect(removed: readonly Uint8Array[]): void {
    this.#store.settings.put(planSetting, concat(...this.#expected(), ...removed));
  }

  /** What has come of it, when all is done or a while has passed. */
  async outcome(): Promise<RemovedDevice> {
    const { progress } = this.#ports;
    const settled = (): true | null =>
      !this.#isPlanned && this.#ports.renewal.state().underWay.length === 0 ? true : null;
    await progress.until(settled, waitForMs);
    if (this.#isPlanned) refuse("offline", notOutYet);
    return this.#ports.renewal.outcome();
  }

  /** Something has moved: does what can be done now. */
  moved(): void {
    if (this.#closed || !this.#isPlanned) return;
    const { desk, shelf } = this.#ports;
    const { vault } = shelf;
    if (this.#store.spaces.hasUnconfirmedControl(vault.id)) return;
    const isIn = this.#expected().some((cap) => roleOf(vault.authority, cap) > roles.none);
    if (isIn) this.#tryAgainLater();
    // What other devices have put into the vault is to be renewed as well.
    else if (desk.isCurrent(vault)) this.#renewNotebooks();
  }

  close(): void {
    this.#closed = true;
    this.#againDue?.();
  }

  get #isPlanned(): boolean {
    return this.#store.settings.get(planSetting) !== null;
  }

  #expected(): readonly Uint8Array[] {
    const packed = this.#store.settings.get(planSetting) ?? new Uint8Array();
    return Array.from({ length: packed.length / 32 }, (_, ix) =>
      packed.slice(32 * ix, 32 * ix + 32),
    );
  }

  /** Links into the vault end with it: the device may hold one. */
  #renewVault(): void {
    const { shelf, membership } = this.#ports;
    const { capabilities } = shelf.vault.authority;
    const links = capabilities.filter(({ kind }) => kind === capabilityKinds.link);
    const keys = [...this.#expected(), ...links.map(({ signPub }) => signPub)];
    membership.renewKeys(
      shelf.vault,
      keys.map((signPub) => ({ signPub, role: roles.none })),
    );
  }

  /** The relay did not take the record, or has lost it. */
  #tryAgainLater(): void {
    this.#againDue ??= this.#ports.timers.after(tryAgainAfterMs, () => {
      this.#againDue = null;
      const { shelf, membership } = this.#ports;
      if (this.#closed || !this.#isPlanned) return;
      if (!mayAdminister(shelf.vault)) {
        // Another device has removed this one first.
        this.#store.settings.remove(planSetting);
        return;
      }
      this.#store.transaction(() => this.#renewVault());
      membership.send(shelf.vault);
    });
  }

  #renewNotebooks(): void {
    if (this.#isRenewing) return;
    this.#isRenewing = true;
    const { background, documents, indices, renewal, shelf } = this.#ports;
    background.add(async () => {
      try {
        const loaded = await documents();
        // What the vault said last may not have been taken in yet.
        indices.reload(loaded, shelf.vault);
        this.#store.transaction(() => {
          renewal.begin(loaded, shelf.spaces().filter(isInUse));
          this.#store.settings.remove(planSetting);
        });
      } finally {
        this.#isRenewing = false;
      }
      renewal.moved();
    });
  }
}

const notOutYet =
  "The relay has not answered yet, so the device is not out yet. This goes on by itself as soon as the relay can be reached.";
const wasRemoved = "This device was removed from your devices, so it can remove no other.";

/** Refused where there is no such device, or none to be removed from here. */
function mustOther(vault: Space, id: string): Capability {
  const key = parseHex(id);
  const row = vault.authority.capabilities.find(
    ({ signPub, kind }) => key !== null && equal(signPub, key) && kind !== capabilityKinds.link,
  );
  if (row === undefined) refuse("bad-input", "You have no such device.");
  if (row.kind === capabilityKinds.recovery) {
    refuse("bad-input", "These are your 24 words. They stay, so that you can always come back.");
  }
  if (vault.held.some(({ sign }) => equal(sign.publicKey, row.signPub))) {
    refuse("bad-input", "This is the device you are using. Remove it from another one.");
  }
  return row;
}

/** Also one of which nothing but the vault's word has arrived yet. */
function isInUse(space: Space): boolean {
  return space.kind === "notebook" && (space.role > roles.none || space.records.length === 0);
}

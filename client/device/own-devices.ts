/** The devices of one person: who shares the vault, how they are called, when they were last here. */
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { capabilityKinds, roles } from "#relay/protocol/control.ts";
import { cleanName } from "#client/crypto/profile.ts";
import type { Clock } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { DeviceRow } from "./api.ts";
import type { Background } from "./background.ts";
import { deviceKey, packDevice, unpackDevice } from "./device-entry.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { DeviceEvents } from "./events.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { loadDeviceName, saveDeviceName } from "./identity.ts";
import type { Indices } from "./indices.ts";
import { refuse } from "./refusal.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { Shelf } from "./shelf.ts";

export interface OwnDevicesPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly shelf: Shelf;
  readonly indices: Indices;
  readonly desk: RelayDesk;
  readonly events: DeviceEvents;
  readonly background: Background;
  readonly documents: () => Promise<DeviceDocuments>;
  /** How the platform calls this device, until its owner says otherwise. */
  readonly deviceName: string;
}

const tellOnArrivalAfterMs = 60 * 60 * 1_000;
const tellWhileHereAfterMs = 24 * 60 * 60 * 1_000;

/**
 * Whether to tell that this device is here, `sinceMs` after it was told last. Each telling is an entry for every other
 * device: it is told on arriving, and then once a day.
 */
export function isNews(sinceMs: number, wasHere: boolean): boolean {
  return sinceMs >= (wasHere ? tellWhileHereAfterMs : tellOnArrivalAfterMs);
}

export class OwnDevices {
  readonly #ports: OwnDevicesPorts;
  #isHere = false;
  /** By vault in hex: who else was in it when its log was looked at last. */
  readonly #known = new Map<string, ReadonlySet<string>>();
  /** When this device last told that it is here; null before the vault was asked. */
  #toldAt: number | null = null;

  constructor(ports: OwnDevicesPorts) {
    this.#ports = ports;
  }

  /** This device first, then the others in the order they came. */
  async list(): Promise<readonly DeviceRow[]> {
    const { shelf, indices } = this.#ports;
    const documents = await this.#ports.documents();
    const { vault } = shelf;
    const own = vault.capability?.sign.publicKey;
    const rows = vault.authority.capabilities
      .filter(({ kind, role }) => kind !== capabilityKinds.link && role !== roles.none)
      .map(({ signPub, kind }) => {
        const packed = indices.vault.read(documents)[deviceKey(toHex(signPub))];
        const entry = packed === undefined ? null : unpackDevice(packed);
        return {
          id: toHex(signPub),
          name: entry?.name ?? "",
          self: own !== undefined && equal(signPub, own),
          addedAt: admittedAt(vault, signPub),
          lastSeenAt: entry?.lastSeenAt ?? null,
          fingerprint: fingerprintOf(signPub),
          kind: kind === capabilityKinds.recovery ? ("words" as const) : ("device" as const),
        };
      });
    return rows.toSorted((a, b) => Number(b.self) - Number(a.self));
  }

  async setName(typed: string): Promise<void> {
    const name = cleanName(typed);
    if (name === "") refuse("bad-input", "A name needs at least one visible character.");
    const documents = await this.#ports.documents();
    this.#ports.store.transaction(() => {
      saveDeviceName(this.#ports.store, name);
      this.#tell(documents, name);
    });
  }

  /** The vault has a word on this device, also after its access to it was renewed; in the caller's transaction. */
  introduce(documents: DeviceDocuments): void {
    const told = this.#toldBefore(documents);
    if (told === null) this.#tell(documents, this.#name());
    else this.#toldAt = told;
  }

  /** The vault's log may have moved: whoever is new there can read everything, and its owner hears of it. */
  logMoved(): void {
    const { shelf, events } = this.#ports;
    const { vault } = shelf;
    const before = this.#known.get(vault.hex);
    const devices = vault.authority.capabilities.filter(
      ({ kind, role, signPub }) =>
        role !== roles.none &&
        kind !== capabilityKinds.link &&
        !vault.held.some(({ sign }) => equal(sign.publicKey, signPub)),
    );
    const now = new Set(devices.map(({ signPub }) => toHex(signPub)));
    this.#known.set(vault.hex, now);
    if (before === undefined || [...now].every((id) => before.has(id))) return;
    events.emit({ type: "notice", text: newDevice });
    events.notify("devices");
  }

  /** Something has moved: tells the others that this device is here, where that is news. */
  moved(): void {
    const { desk, clock, background, store } = this.#ports;
    const wasHere = this.#isHere;
    this.#isHere = desk.own?.connected === true;
    if (!this.#isHere || this.#toldAt === null) return;
    if (!isNews(clock.now() - this.#toldAt, wasHere)) return;
    // Once: what follows moves things, too.
    this.#toldAt = clock.now();
    background.add(async () => {
      const documents = await this.#ports.documents();
      store.transaction(() => this.#tell(documents, this.#name()));
    });
  }

  #name(): string {
    const { store, deviceName } = this.#ports;
    return loadDeviceName(store) ?? cleanName(deviceName);
  }

  #toldBefore(documents: DeviceDocuments): number | null {
    const { shelf, indices } = this.#ports;
    const { capability } = shelf.vault;
    if (capability === null) return null;
    const packed = indices.vault.read(documents)[deviceKey(toHex(capability.sign.publicKey))];
    return packed === undefined ? null : (unpackDevice(packed)?.lastSeenAt ?? null);
  }

  #tell(documents: DeviceDocuments, name: string): void {
    const { shelf, indices, clock, events } = this.#ports;
    const { capability, mayWrite } = shelf.vault;
    if (capability === null || !mayWrite) return;
    const lastSeenAt = clock.now();
    this.#toldAt = lastSeenAt;
    indices.vault.edit(documents, (vault) => {
      vault[deviceKey(toHex(capability.sign.publicKey))] = packDevice({ name, lastSeenAt });
    });
    events.notify("devices");
  }
}

const newDevice =
  "A new device of yours can read and write your notes now. If it is not yours, remove it from your devices at once.";

/** When a capability came into the vault, by the clock of whoever let it in; 0 where that is not known here. */
function admittedAt({ records }: Space, signPub: Uint8Array): number {
  const admitted = records.find(
    ({ record: { body } }) =>
      (body.type === "grant" || body.type === "join") && equal(body.signPub, signPub),
  );
  return admitted?.record.timeMs ?? 0;
}

/** What makes this installation itself, in its store: secrets, the way to the vault, the words. */
import type { Store } from "#crdt-store/store.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { concat } from "#relay/protocol/bytes.ts";
import type { DeviceIdentity } from "#client/sync/space.ts";

const names = {
  secret: "device/secret",
  incarnation: "device/incarnation",
  former: "device/former-incarnations",
  vault: "device/vault",
  words: "device/words",
  backupKey: "device/backup-key",
  relay: "device/relay",
  displayName: "device/name",
  deviceName: "device/own-name",
  colour: "device/colour",
} as const;

/** The identity, or null on a device that has none yet. */
export function loadIdentity(
  store: Store,
): (DeviceIdentity & { readonly vault: Uint8Array }) | null {
  const secret = store.settings.get(names.secret);
  const incarnation = store.settings.get(names.incarnation);
  const vault = store.settings.get(names.vault);
  if (secret === null && incarnation === null && vault === null) {
    if (store.spaces.list().length > 0) throw damagedIdentity();
    return null;
  }
  if (secret?.length !== 32 || incarnation?.length !== 16 || vault?.length !== 32) {
    throw damagedIdentity();
  }
  return { secret, incarnation, former: loadFormer(store), vault };
}

/** Without this a damaged device would take itself for a new one, and its notes would seem gone. */
export function damagedIdentity(): StoreError {
  return new StoreError(
    "corrupt",
    "What makes this device yours is damaged. Its notes are still in its files: copy them, then restore a backup, or join again from another device or with your 24 words.",
  );
}

/** 16 bytes each, the oldest first. */
function loadFormer(store: Store): readonly Uint8Array[] {
  const packed = store.settings.get(names.former) ?? new Uint8Array();
  return Array.from({ length: packed.length / 16 }, (_, ix) => packed.slice(16 * ix, 16 * ix + 16));
}

export function saveIdentity(store: Store, identity: DeviceIdentity, vault: Uint8Array): void {
  store.settings.put(names.secret, identity.secret);
  store.settings.put(names.incarnation, identity.incarnation);
  if (identity.former.length > 0) store.settings.put(names.former, concat(...identity.former));
  store.settings.put(names.vault, vault);
}

/** The entropy of the words while their owner has not said that they are safe elsewhere. */
export function loadEntropy(store: Store): Uint8Array | null {
  return store.settings.get(names.words);
}

export function saveEntropy(store: Store, entropy: Uint8Array): void {
  store.settings.put(names.words, entropy);
}

export function destroyEntropy(store: Store): void {
  store.settings.remove(names.words);
}

/** What seals this person's backups, kept from the words so that they are not needed for it; null if it never was. */
export function loadBackupKey(store: Store): Uint8Array | null {
  return store.settings.get(names.backupKey);
}

export function saveBackupKey(store: Store, key: Uint8Array): void {
  store.settings.put(names.backupKey, key);
}

export function loadRelay(store: Store): string | null {
  const bytes = store.settings.get(names.relay);
  return bytes === null ? null : new TextDecoder().decode(bytes);
}

export function saveRelay(store: Store, url: string): void {
  store.settings.put(names.relay, new TextEncoder().encode(url));
}

/** What the person calls themselves, "" until they said so. */
export function loadDisplayName(store: Store): string {
  const bytes = store.settings.get(names.displayName);
  return bytes === null ? "" : new TextDecoder().decode(bytes);
}

export function saveDisplayName(store: Store, name: string): void {
  store.settings.put(names.displayName, new TextEncoder().encode(name));
}

/** How its owner calls this device; null until they said so. */
export function loadDeviceName(store: Store): string | null {
  const bytes = store.settings.get(names.deviceName);
  return bytes === null ? null : new TextDecoder().decode(bytes);
}

export function saveDeviceName(store: Store, name: string): void {
  store.settings.put(names.deviceName, new TextEncoder().encode(name));
}

/** The hue the person chose, 0 to 7; null until they chose one. */
export function loadPersonColour(store: Store): number | null {
  return store.settings.get(names.colour)?.[0] ?? null;
}

export function savePersonColour(store: Store, colour: number): void {
  store.settings.put(names.colour, new Uint8Array([colour]));
}

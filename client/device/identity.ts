/** What makes this installation itself, in its store: secrets, the way to the vault, the words. */
import type { Store } from "#crdt-store/store.ts";
import type { DeviceIdentity } from "#client/sync/space.ts";

const names = {
  secret: "device/secret",
  incarnation: "device/incarnation",
  vault: "device/vault",
  words: "device/words",
  relay: "device/relay",
  displayName: "device/name",
} as const;

/** The identity, or null on a device that has none yet. */
export function loadIdentity(
  store: Store,
): (DeviceIdentity & { readonly vault: Uint8Array }) | null {
  const secret = store.settings.get(names.secret);
  const incarnation = store.settings.get(names.incarnation);
  const vault = store.settings.get(names.vault);
  return secret === null || incarnation === null || vault === null
    ? null
    : { secret, incarnation, vault };
}

export function saveIdentity(store: Store, identity: DeviceIdentity, vault: Uint8Array): void {
  store.settings.put(names.secret, identity.secret);
  store.settings.put(names.incarnation, identity.incarnation);
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

/** Whether this person has chosen that nothing is synchronised until they say otherwise. */
import type { Store } from "#crdt-store/store.ts";

const setting = "device/work-offline";

export function isWorkingOffline(store: Store): boolean {
  return store.settings.get(setting) !== null;
}

export function saveWorkOffline(store: Store, offline: boolean): void {
  if (offline) store.settings.put(setting, Uint8Array.of(1));
  else store.settings.remove(setting);
}

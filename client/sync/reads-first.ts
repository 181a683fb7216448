/**
 * A store that has met a copy of itself reads what the other wrote before it sends anything: of two changes under one name the
 * others believe the first, so its own have to have another name before they leave.
 */
import type { Store } from "#crdt-store/store.ts";

const setting = "sync/reads-first";

export function readsFirst(store: Store): boolean {
  return store.settings.get(setting) !== null;
}

export function readFirstFromNowOn(store: Store): void {
  store.settings.put(setting, Uint8Array.of(1));
}

/** Which relay was met at an address: its key and the id of its store. */
import type { Store } from "#crdt-store/store.ts";
import { concat, equal } from "#relay/protocol/bytes.ts";

const keyBytes = 32;

/** The key that the relay at this address proved last, null before the first time. */
export function loadPinnedKey(store: Store, relay: string): Uint8Array | null {
  return store.settings.get(nameOf(relay))?.slice(0, keyBytes) ?? null;
}

/** Remembers it; "another" if a different one was met there before. */
export function pinRelay(
  store: Store,
  relay: string,
  met: { readonly relayPub: Uint8Array; readonly storeId: Uint8Array },
): "first" | "same" | "another" {
  const pin = concat(met.relayPub, met.storeId);
  const before = store.settings.get(nameOf(relay));
  if (before !== null && equal(before, pin)) return "same";
  store.settings.put(nameOf(relay), pin);
  return before === null ? "first" : "another";
}

/** Whether one and the same relay was met at both addresses. */
export function hasSamePin(store: Store, a: string, b: string): boolean {
  const pin = store.settings.get(nameOf(a));
  const other = store.settings.get(nameOf(b));
  return pin !== null && other !== null && equal(pin, other);
}

function nameOf(relay: string): string {
  return `relay-pin/${relay}`;
}

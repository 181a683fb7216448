/** When the relay at an address last acknowledged something of this device. */
import type { Store } from "#crdt-store/store.ts";

/** Milliseconds since 1970, null before the first. */
export function loadLastAck(store: Store, relay: string): number | null {
  const bytes = store.settings.get(nameOf(relay));
  return bytes === null ? null : Number(new TextDecoder().decode(bytes));
}

/** In the transaction that takes the acknowledgement in. */
export function saveLastAck(store: Store, relay: string, at: number): void {
  store.settings.put(nameOf(relay), new TextEncoder().encode(String(at)));
}

function nameOf(relay: string): string {
  return `relay-ack/${relay}`;
}

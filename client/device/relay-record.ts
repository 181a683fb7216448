/** What this device remembers of its relay, for when it cannot be asked. */
import type { Store } from "#crdt-store/store.ts";
import type { RelayAbout, RelayStored } from "./api.ts";

export interface RelayRecord {
  readonly about: RelayAbout | null;
  /** When it was told; null if it never was. */
  readonly aboutAt: number | null;
  readonly stored: RelayStored | null;
}

const nothing: RelayRecord = { about: null, aboutAt: null, stored: null };

/** @param relay ws:// or wss:// */
export function loadRelayRecord(store: Store, relay: string): RelayRecord {
  const bytes = store.settings.get(nameOf(relay));
  // Written by this class of program alone, and covered by the seal of the store.
  return bytes === null ? nothing : (JSON.parse(new TextDecoder().decode(bytes)) as RelayRecord);
}

export function saveRelayRecord(store: Store, relay: string, record: RelayRecord): void {
  store.settings.put(nameOf(relay), new TextEncoder().encode(JSON.stringify(record)));
}

function nameOf(relay: string): string {
  return `relay-about/${relay}`;
}

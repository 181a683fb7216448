/** How much of a space this device holds: a choice per notebook and device. */
import type { Store } from "#crdt-store/store.ts";
import { toHex, utf8 } from "#relay/protocol/bytes.ts";

/** `recent`: what was changed within 90 days; `on-opening`: what somebody opened here. What is here stays up to date. */
export type Keep = "everything" | "recent" | "on-opening";

const recentMs = 90 * 24 * 60 * 60 * 1000;

export function loadKeep(store: Store, space: Uint8Array): Keep {
  const bytes = store.settings.get(nameOf(space));
  const text = bytes === null ? "" : new TextDecoder().decode(bytes);
  return text === "recent" || text === "on-opening" ? text : "everything";
}

export function saveKeep(store: Store, space: Uint8Array, keep: Keep): void {
  store.settings.put(nameOf(space), utf8(keep));
}

/** Whether a document that is not here is to be fetched without anybody opening it. */
export function isKept(store: Store, keep: Keep, doc: Uint8Array, now: number): boolean {
  if (keep === "everything") return true;
  if (keep === "on-opening") return store.pins.has(doc);
  const row = store.notes.get(doc);
  return store.pins.has(doc) || (row !== null && row.updatedAt >= now - recentMs);
}

function nameOf(space: Uint8Array): string {
  return `device/keep/${toHex(space)}`;
}

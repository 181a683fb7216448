/** Taking a saved document apart, in this thread: where nothing stands between it and what was sealed by others. */
import { parseHex } from "#relay/protocol/bytes.ts";
import type { OpenDocument, OpenedDocument } from "#client/sync/snapshots.ts";
import type { Automerge } from "./index-document.ts";

export function openInProcess(automerge: () => Promise<Automerge>): OpenDocument {
  return async (document) => {
    try {
      return takeApart(await automerge(), document);
    } catch {
      return null; // Automerge refuses or panics: it is no document
    }
  };
}

/** Throws if Automerge cannot read it. */
export function takeApart(automerge: Automerge, document: Uint8Array): OpenedDocument {
  const loaded = automerge.load(document);
  try {
    const heads = automerge.getHeads(loaded).map((head) => parseHex(head) ?? new Uint8Array());
    return { heads, changes: automerge.getAllChanges(loaded) };
  } finally {
    automerge.free(loaded);
  }
}

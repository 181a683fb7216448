/** Taking a saved document apart. */
import { parseHex } from "#relay/protocol/bytes.ts";
import type { OpenedDocument } from "#client/sync/snapshots.ts";
import type { Automerge } from "./index-document.ts";

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

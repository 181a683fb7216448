/** One change to an index document, journalled. */
import type * as AutomergeModule from "@automerge/automerge/slim";
import type { Store } from "#crdt-store/store.ts";
import { parseHex } from "#relay/protocol/bytes.ts";
import type { Clock } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { DeviceDocuments } from "./documents.ts";

type Doc<T> = AutomergeModule.Doc<T>;

/** The document after it; in the caller's transaction. */
export function editedIndex<T>(
  { store, clock }: { readonly store: Store; readonly clock: Clock },
  documents: DeviceDocuments,
  space: Space,
  before: Doc<T>,
  change: (doc: T) => void,
): Doc<T> {
  const { automerge } = documents;
  store.documents.add({ doc: space.indexId, space: space.id, kind: "index", origin: null });
  const actor = parseHex(automerge.getActorId(before));
  const isOurs = actor !== null && store.documents.actor(space.indexId, actor) !== null;
  const based = isOurs
    ? before
    : automerge.clone(before, { actor: documents.newActor(space, space.indexId, "device") });
  const time = Math.floor(clock.now() / 1000);
  const after = automerge.change(based, { time }, change);
  documents.record(space, space.indexId, based, after);
  return after;
}

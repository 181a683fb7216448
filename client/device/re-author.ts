/**
 * What two copies of one device wrote under one name, of which the others believe only what came first: this copy's
 * changes, which nobody has seen yet, are made again under names of its own (PROTOCOL §4). The edits are the same, operation by
 * operation; only who made them, and hence their hashes, are new.
 */
import type { JournalledChange } from "#crdt-store/changes.ts";
import { parseChange, topologicalOrder, type Change } from "#crdt-store/chunks.ts";
import type { Store } from "#crdt-store/store.ts";
import { equal, mustHex, toHex } from "#relay/protocol/bytes.ts";
import type { Clock } from "#client/sync/ports.ts";
import type { Collision } from "#client/sync/receiver.ts";
import type { Space } from "#client/sync/space.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { Automerge } from "./index-document.ts";

const session = "re-authored";

/** Also what was written on top of them. In the caller's transaction; drafts follow. Throws if a change cannot be made again. */
export function reAuthor(
  ports: { readonly store: Store; readonly clock: Clock; readonly documents: DeviceDocuments },
  space: Space,
  { doc, actor, seq }: Collision,
): void {
  const { store, clock, documents } = ports;
  const { automerge } = documents;
  const colliding = affectedBy(store.changes.ofDocument(doc), actor, seq);
  const renamed = new Map<string, { readonly actor: string; readonly since: Change }>();
  const hashes = new Map<string, string>();
  const made: Change[] = [];
  for (const change of colliding) {
    const name = toHex(change.actor);
    const known = renamed.get(name) ?? {
      actor: documents.newActor(space, doc, session),
      since: change,
    };
    renamed.set(name, known);
    const again = madeAgain(automerge, change, renamed, hashes);
    hashes.set(toHex(change.hash), toHex(again.hash));
    made.push(again);
  }
  store.outbox.unsealAll(space.id);
  for (const { hash } of colliding) store.changes.take(doc, hash);
  store.changes.insert(
    made.map((change) => ({
      ...change,
      doc,
      opCount: 0,
      space: space.id,
      pos: null,
      signer: space.device.publicKey,
      local: true,
      at: clock.now(),
    })),
  );
  store.outbox.add(
    space.id,
    doc,
    made.map(({ hash }) => hash),
  );
  for (const draft of store.drafts.of(doc)) {
    const heads = draft.heads.map((head) => mustHex(hashes.get(toHex(head)) ?? toHex(head)));
    store.drafts.put({ ...draft, heads });
  }
}

/** The changes of the actor from `seq` on, and whatever that nobody else has depends on them; dependencies first. */
function affectedBy(
  rows: readonly JournalledChange[],
  actor: Uint8Array,
  seq: number,
): readonly JournalledChange[] {
  const affected = new Set<string>();
  return topologicalOrder(rows).filter((change) => {
    const isIts = equal(change.actor, actor) && change.seq >= seq;
    const isOnTop = change.deps.some((dep) => affected.has(toHex(dep)));
    if (!(isIts || isOnTop) || !change.local || change.pos !== null) return false;
    affected.add(toHex(change.hash));
    return true;
  });
}

function madeAgain(
  automerge: Automerge,
  change: Change,
  renamed: ReadonlyMap<string, { readonly actor: string; readonly since: Change }>,
  hashes: ReadonlyMap<string, string>,
): Change {
  const decoded = automerge.decodeChange(change.bytes);
  const own = renamed.get(decoded.actor);
  if (own === undefined) throw new Error("a change is made again under no name");
  const rename = (id: string): string => {
    const [counter = "", name = ""] = id.split("@");
    const other = renamed.get(name);
    return other !== undefined && Number(counter) >= other.since.startOp
      ? `${counter}@${other.actor}`
      : id;
  };
  const encoded = automerge.encodeChange({
    ...decoded,
    actor: own.actor,
    seq: change.seq - own.since.seq + 1,
    deps: decoded.deps.map((dep) => hashes.get(dep) ?? dep),
    ops: decoded.ops.map((op) => renamedOp(op, rename)),
  });
  const parsed = parseChange(encoded);
  if (parsed.type === "failed") throw new Error(`a change made again is ${parsed.failure.type}`);
  return parsed.change;
}

/** Operations name others by a counter and an actor, and so do the objects and elements they are about. */
function renamedOp<T extends object>(op: T, rename: (id: string) => string): T {
  const named = { ...op } as T & Partial<Record<"obj" | "elemId", string>> & { pred?: string[] };
  for (const field of ["obj", "elemId"] as const) {
    const id = named[field];
    if (id !== undefined) Object.assign(named, { [field]: rename(id) });
  }
  return { ...named, ...(named.pred === undefined ? {} : { pred: named.pred.map(rename) }) };
}

/**
 * What this device wrote in a document after somebody had copied it into another space, brought into the copy: as the
 * difference it made, at the place in the copy that corresponds to where it was made. What others have written in the copy
 * since stays as it is.
 */
import type * as AutomergeModule from "@automerge/automerge/slim";
import { parseChange, type Change } from "#crdt-store/chunks.ts";
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { splicesBetween } from "#client/notes/text-diff.ts";
import type { Space } from "#client/sync/space.ts";
import type { FieldSplice, NoteDocument } from "./api.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { Arrival } from "./index-document.ts";

export interface Carried {
  /** To be freed by the caller. */
  readonly doc: AutomergeModule.Doc<NoteDocument>;
  readonly changes: readonly Uint8Array[];
}

/**
 * In the caller's transaction. Null where there is nothing to bring; "waiting" where the text that it was made on has not
 * arrived, there or here.
 * @param arrival where the copy is, and which of its heads stand for which of the original's
 * @param whose what this device wrote, or, as long as nobody else knows the copy, what anybody did
 */
export function carryOver(
  store: Store,
  documents: DeviceDocuments,
  original: Uint8Array,
  next: Space,
  arrival: Arrival,
  whose: "own" | "everybody",
): Carried | "waiting" | null {
  const known = store.homes.carried(original) ?? arrival;
  const beyond = store.changes.beyond(original, known.old);
  const brought = beyond.filter(({ local }) => local || whose === "everybody");
  if (brought.length === 0) return null;
  const isHere =
    documents.holds(original, known.old.map(toHex)) &&
    documents.holds(arrival.doc, known.now.map(toHex));
  if (!isHere) return "waiting";
  const old = headsAfter(known.old, brought);
  const edits = editsBetween(documents, original, known.old, old);
  const made =
    edits.length === 0 ? null : documents.spliceAt(next, arrival.doc, known.now.map(toHex), edits);
  const now = made === null ? known.now : lastOf(made.changes);
  store.homes.setCarried(original, { old, now });
  return made;
}

/** The heads of what stood at `before`, with these changes on top. */
export function headsAfter(
  before: readonly Uint8Array[],
  changes: readonly Pick<Change, "hash" | "deps">[],
): readonly Uint8Array[] {
  const inherited = new Set(changes.flatMap(({ deps }) => deps.map(toHex)));
  return [...before, ...changes.map(({ hash }) => hash)].filter(
    (hash) => !inherited.has(toHex(hash)),
  );
}

function editsBetween(
  documents: DeviceDocuments,
  original: Uint8Array,
  before: readonly Uint8Array[],
  after: readonly Uint8Array[],
): readonly FieldSplice[] {
  const { automerge } = documents;
  const doc = documents.load<NoteDocument>(original);
  const then = textOf(automerge.view(doc, before.map(toHex)));
  const now = textOf(automerge.view(doc, after.map(toHex)));
  automerge.free(doc);
  return (["title", "body"] as const).flatMap((field) =>
    splicesBetween(then[field], now[field]).map((splice) => ({ field, ...splice })),
  );
}

function textOf({ title, body }: Partial<NoteDocument>): { title: string; body: string } {
  return {
    title: typeof title === "string" ? title : "",
    body: typeof body === "string" ? body : "",
  };
}

function lastOf(changes: readonly Uint8Array[]): readonly Uint8Array[] {
  const last = changes.at(-1);
  if (last === undefined) throw new Error("an edit made no change");
  const parsed = parseChange(last);
  if (parsed.type === "failed") throw new Error(`a change of our own is ${parsed.failure.type}`);
  return [parsed.change.hash];
}

/**
 * How a notebook is arranged, brought into its new home: what it is called, its colour, which notes lie in the trash or went
 * to another notebook.
 */
import type { NoteRow as StoredNote } from "#crdt-store/notes-index.ts";
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import type { Space } from "#client/sync/space.ts";
import { headsAfter } from "./carry-over.ts";
import type { DeviceDocuments } from "./documents.ts";
import { textOf, type Arrival } from "./index-document.ts";
import type { Indices } from "./indices.ts";

/** The new one just as the old one is; in the caller's transaction. */
export function arrangeAlike(
  documents: DeviceDocuments,
  indices: Indices,
  space: Space,
  next: Space,
  notes: readonly { readonly row: StoredNote; readonly arrival: Arrival }[],
): void {
  const old = indices.read(documents, space);
  const now = indices.read(documents, next);
  if (textOf(old.name) !== textOf(now.name))
    indices.nameNotebook(documents, next, textOf(old.name));
  const places = notes.map(({ row, arrival }) => [toHex(row.doc), toHex(arrival.doc)] as const);
  indices.edit(documents, next, (index) => {
    setTo(index, "colour", old.colour);
    setTo(index, "single", old.single);
    for (const [from, to] of places) {
      setTo(index.trash, to, old.trash[from]);
      setTo(index.moved, to, old.moved[from]);
    }
  });
  indices.project(next);
}

/** What this device alone has arranged in the old one since the new one is known. */
export function carryArrangement(
  store: Store,
  documents: DeviceDocuments,
  indices: Indices,
  space: Space,
  next: Space,
): void {
  const arrivals = indices.arrivals(documents, next);
  const began = arrivals.get(toHex(space.indexId));
  if (began === undefined) return;
  const { old: before } = store.homes.carried(space.indexId) ?? began;
  const own = store.changes.beyond(space.indexId, before).filter(({ local }) => local);
  if (own.length === 0 || !documents.holds(space.indexId, before.map(toHex))) return;
  const after = headsAfter(before, own);
  const { automerge } = documents;
  const index = indices.read(documents, space);
  const then = automerge.view(index, before.map(toHex));
  const now = automerge.view(index, after.map(toHex));
  store.transaction(() => {
    store.homes.setCarried(space.indexId, { old: after, now: [] });
    if (textOf(then.name) !== textOf(now.name))
      indices.nameNotebook(documents, next, textOf(now.name));
    indices.edit(documents, next, (target) => {
      if (!isSame(then.colour, now.colour)) setTo(target, "colour", now.colour);
      for (const [from, { doc }] of arrivals) {
        for (const map of ["trash", "moved"] as const) {
          if (!isSame(then[map][from], now[map][from])) {
            setTo(target[map], toHex(doc), now[map][from]);
          }
        }
      }
    });
    indices.project(next);
  });
}

/** Writes only what is not so already. */
function setTo<K extends string>(
  map: { [key in K]?: Uint8Array },
  key: K,
  value: Uint8Array | undefined,
): void {
  const held: Uint8Array | undefined = map[key];
  if (isSame(held, value)) return;
  if (value === undefined) delete map[key];
  else map[key] = value;
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equal(a, b);
}

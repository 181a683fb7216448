/**
 * Reads from the store the next slice of what may be forgotten in a space; retention.ts says what
 * that is. A slice is small enough that nobody has to wait for it, and moves things on: asked again
 * after it has been forgotten, there is less.
 */
import { equal } from "#relay/protocol/bytes.ts";
import type { Limits } from "#relay/protocol/limits.ts";
import {
  covers,
  deadlinesOf,
  decidersOf,
  goesWith,
  isGone,
  type Expired,
} from "#relay/retention.ts";
import type { SpaceState } from "#relay/space.ts";
import type { BlobRow, DocumentRow, KeptBody, SnapshotRow, Store } from "#relay/store/store.ts";

const rowsPerSlice = 500;
const documentsPerSlice = 64;

/** Null when nothing is left to forget. */
export async function nextExpired(
  store: Store,
  spaceId: Uint8Array,
  state: SpaceState,
  now: number,
  limits: Limits,
): Promise<Expired | null> {
  if (isGone(state.deletedAt, now)) return expiredOfGone(store, spaceId, state);
  const due = await store.readDue(spaceId, deadlinesOf(state, now, limits), documentsPerSlice);
  const deciders = decidersOf(due.snapshots);
  if (deciders.length > 0) return expiredOfCovered(store, spaceId, deciders);
  if (due.drops.length > 0) return expiredOfDropped(store, spaceId, due.drops);
  if (due.blobs.length > 0) return { blobs: due.blobs };
  return due.stubs.length > 0 ? { stubs: due.stubs } : null;
}

/** What snapshots stand for, and the blobs of snapshots that are themselves stood for. */
async function expiredOfCovered(
  store: Store,
  spaceId: Uint8Array,
  deciders: readonly SnapshotRow[],
): Promise<Expired> {
  const bodies: KeptBody[] = [];
  const blobs: BlobRow[] = [];
  const swept: NonNullable<Expired["swept"]>[number][] = [];
  for (const decider of deciders) {
    const { docId, coversPos } = decider;
    const found = await readAll(store, spaceId, docId, coversPos, (body) => covers(decider, body));
    bodies.push(...found.bodies);
    blobs.push(...(await blobsOfSnapshots(store, spaceId, docId, found.bodies)));
    if (found.isWhole) swept.push({ docId, sweptPos: decider.pos });
    if (bodies.length >= rowsPerSlice) break;
  }
  return { bodies, blobs, swept };
}

/** What documents that were dropped held below their DROP. */
async function expiredOfDropped(
  store: Store,
  spaceId: Uint8Array,
  drops: readonly DocumentRow[],
): Promise<Expired> {
  const bodies: KeptBody[] = [];
  const blobs: BlobRow[] = [];
  const swept: NonNullable<Expired["swept"]>[number][] = [];
  for (const document of drops) {
    const { docId, dropPos } = document;
    const found = await readAll(store, spaceId, docId, dropPos, (body) => goesWith(document, body));
    bodies.push(...found.bodies);
    if (found.isWhole) {
      swept.push({ docId, sweptPos: dropPos });
      const ofDocument = await store.readBlobsOf(spaceId, docId);
      blobs.push(...ofDocument.filter(({ pos }) => pos < dropPos));
    }
    if (bodies.length >= rowsPerSlice) break;
  }
  return { bodies, blobs, swept, cards: swept.map(({ docId }) => docId) };
}

/** A space that nobody can restore: everything but its control log. */
async function expiredOfGone(
  store: Store,
  spaceId: Uint8Array,
  { head }: SpaceState,
): Promise<Expired | null> {
  const bodies = await store.readBodies(spaceId, null, 0, head, rowsPerSlice);
  if (bodies.length > 0) return { bodies };
  const blobs = await store.readBlobsOf(spaceId, null);
  if (blobs.length > 0) return { blobs };
  const listed = await store.listDocuments(spaceId, new Uint8Array(16), rowsPerSlice);
  return listed.length > 0 ? { documents: listed.map(({ docId }) => docId) } : null;
}

/** Bodies of a document that may go, a slice of them; whole if there are no more. */
async function readAll(
  store: Store,
  spaceId: Uint8Array,
  docId: Uint8Array,
  upTo: number,
  mayGo: (body: KeptBody) => boolean,
): Promise<{ readonly bodies: readonly KeptBody[]; readonly isWhole: boolean }> {
  const bodies: KeptBody[] = [];
  let after = 0;
  while (bodies.length < rowsPerSlice) {
    const page = await store.readBodies(spaceId, docId, after, upTo, rowsPerSlice);
    bodies.push(...page.filter(mayGo));
    const last = page.at(-1);
    if (last === undefined || page.length < rowsPerSlice) return { bodies, isWhole: true };
    after = last.pos;
  }
  return { bodies, isWhole: false };
}

async function blobsOfSnapshots(
  store: Store,
  spaceId: Uint8Array,
  docId: Uint8Array,
  bodies: readonly KeptBody[],
): Promise<readonly BlobRow[]> {
  const snapshots = await store.readSnapshots(spaceId, docId);
  const going = new Set(bodies.map(({ pos }) => pos));
  const chunksOf = (isGoing: boolean) =>
    snapshots.filter(({ pos, chunks }) => chunks.length > 0 && going.has(pos) === isGoing);
  const leaving = chunksOf(true);
  if (leaving.length === 0) return [];
  const staying = chunksOf(false);
  const blobs = await store.readBlobsOf(spaceId, docId);
  return blobs.filter(
    (blob) =>
      leaving.some((snapshot) => areSame(snapshot.chunks, blob.chunks)) &&
      !staying.some((snapshot) => areSame(snapshot.chunks, blob.chunks)),
  );
}

function areSame(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return a.length === b.length && a.every((hash, ix) => equal(hash, b[ix] ?? new Uint8Array(0)));
}

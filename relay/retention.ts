/**
 * What a relay may forget, and when (docs/protocol.md, KEEP). Pure: what the store holds and the time
 * go in, a decision comes out. A snapshot deletes nothing by itself, so one bad writer cannot make
 * the relay lose what it has not been given time to be noticed for.
 */
import { equal, parseHex, toHex } from "#relay/protocol/bytes.ts";
import { entryKinds } from "#relay/protocol/entry.ts";
import type { Limits } from "#relay/protocol/limits.ts";
import { countedBytesOf, undoDeleteMs, type SpaceState } from "#relay/space.ts";
import type {
  BlobRow,
  CounterRow,
  Deadlines,
  DocumentRow,
  Forgotten,
  KeptBody,
  SnapshotRow,
  StoredDocument,
} from "#relay/store/store.ts";

const dayMs = 24 * 60 * 60 * 1000;
const graceMs = 30 * dayMs;
/** Of snapshots in a space that is half full. */
const shortGraceMs = 7 * dayMs;
const stubsMs = 90 * dayMs;
/** Longer than anybody takes to resume. */
const unfinishedBlobMs = 7 * dayMs;

export function deadlinesOf(state: SpaceState, now: number, limits: Limits): Deadlines {
  const isHalfFull = state.countedBytes * 2 >= limits.spaceBytes;
  return { ...anyDeadlines(now), snapshots: now - (isHalfFull ? shortGraceMs : graceMs) };
}

/** The latest there can be for a space of which nothing is known. */
export function anyDeadlines(now: number): Deadlines {
  return {
    snapshots: now - shortGraceMs,
    drops: now - graceMs,
    stubs: now - stubsMs,
    droppedBlobs: now - graceMs,
    unfinishedBlobs: now - unfinishedBlobMs,
  };
}

/** Whether a space was deleted so long ago that nobody can restore it. */
export function isGone(deletedAt: number | null, now: number): boolean {
  return deletedAt !== null && now - deletedAt > undoDeleteMs;
}

/** Of each document's snapshots that are old enough the second newest: what it covers may go. */
export function decidersOf(due: readonly SnapshotRow[]): readonly SnapshotRow[] {
  const byDocument = new Map<string, SnapshotRow[]>();
  for (const snapshot of due) {
    const key = toHex(snapshot.docId);
    byDocument.set(key, [...(byDocument.get(key) ?? []), snapshot]);
  }
  return [...byDocument.values()].flatMap((snapshots) => {
    const second = snapshots.toSorted((a, b) => b.pos - a.pos)[1];
    return second === undefined ? [] : [second];
  });
}

/** Whether the snapshot stands for this entry. Kinds this relay does not know are nobody's to cover. */
export function covers(snapshot: SnapshotRow, body: KeptBody): boolean {
  return (
    equal(body.docId, snapshot.docId) &&
    body.pos <= snapshot.coversPos &&
    (body.entryKind === entryKinds.changes || body.entryKind === entryKinds.snapshot) &&
    !snapshot.omitted.some((itemId) => equal(itemId, body.itemId))
  );
}

/** Whether this entry goes with its document. The DROPs stay, so that every device hears of them. */
export function goesWith(document: DocumentRow, body: KeptBody): boolean {
  return body.pos < document.dropPos && body.entryKind !== entryKinds.drop;
}

/** Things that may go, as the store holds them. */
export interface Expired {
  readonly bodies?: readonly KeptBody[];
  readonly stubs?: readonly number[];
  readonly blobs?: readonly BlobRow[];
  /** Documents of which the card goes. */
  readonly cards?: readonly Uint8Array[];
  /** Documents without any trace; their bodies have gone before. */
  readonly documents?: readonly Uint8Array[];
  /** Documents of which nothing is left to forget down to this position. */
  readonly swept?: readonly { readonly docId: Uint8Array; readonly sweptPos: number }[];
}

/** The documents that have to be known to forget these. */
export function documentsIn({
  bodies = [],
  cards = [],
  documents = [],
  swept = [],
}: Expired): readonly Uint8Array[] {
  const docIds = [...bodies, ...swept].map(({ docId }) => docId);
  const all = [...docIds, ...cards, ...documents];
  return [...new Map(all.map((docId) => [toHex(docId), docId])).values()];
}

/**
 * The state without them, and what is to be written.
 * @param known the documents these belong to, by id in hex
 */
export function forget(
  state: SpaceState,
  known: ReadonlyMap<string, StoredDocument | null>,
  expired: Expired,
): {
  readonly to: SpaceState;
  readonly counters: readonly CounterRow[];
  readonly documents: readonly StoredDocument[];
  readonly forgotten: Forgotten;
} {
  const { bodies = [], stubs = [], blobs = [], cards = [], documents = [] } = expired;
  const freed = new Map<string, number>();
  const free = (devPub: Uint8Array, bytes: number) => {
    freed.set(toHex(devPub), (freed.get(toHex(devPub)) ?? 0) + bytes);
  };
  for (const { devPub, size } of bodies) free(devPub, countedBytesOf(size));
  for (const { devPub, size } of blobs) free(devPub, size);
  const ofCards = [...cards, ...documents].map((docId) => {
    const card = known.get(toHex(docId))?.card ?? null;
    return card === null ? 0 : countedBytesOf(card.size);
  });
  const { devices, counters } = withoutBytes(state, freed);
  return {
    to: {
      ...state,
      devices,
      base: Math.max(state.base, 1 + Math.max(0, ...stubs)),
      countedBytes: state.countedBytes - sum([...freed.values(), ...ofCards]),
    },
    counters,
    documents: changedDocuments(known, expired),
    forgotten: {
      bodies: bodies.map(({ pos }) => pos),
      stubs,
      cards,
      documents,
      blobs: blobs.map(({ blobId }) => blobId),
    },
  };
}

function changedDocuments(
  known: ReadonlyMap<string, StoredDocument | null>,
  { bodies = [], cards = [], swept = [] }: Expired,
): readonly StoredDocument[] {
  const changed = new Map<string, StoredDocument>();
  const change = (docId: Uint8Array, by: (before: StoredDocument) => StoredDocument) => {
    const before = changed.get(toHex(docId)) ?? known.get(toHex(docId));
    if (before !== undefined && before !== null) changed.set(toHex(docId), by(before));
  };
  for (const { docId, pos, size } of bodies) {
    change(docId, (before) => ({
      ...before,
      countedBytes: before.countedBytes - countedBytesOf(size),
      snapshotPos: before.snapshotPos === pos ? 0 : before.snapshotPos,
    }));
  }
  for (const docId of cards) change(docId, (before) => ({ ...before, card: null }));
  for (const { docId, sweptPos } of swept) change(docId, (before) => ({ ...before, sweptPos }));
  return [...changed.values()];
}

function withoutBytes(
  state: SpaceState,
  freed: ReadonlyMap<string, number>,
): { readonly devices: SpaceState["devices"]; readonly counters: readonly CounterRow[] } {
  const devices = new Map(state.devices);
  const counters = [...freed].flatMap(([key, bytes]): readonly CounterRow[] => {
    const device = devices.get(key);
    const devPub = parseHex(key);
    if (device === undefined || devPub === null) return [];
    const countedBytes = Math.max(0, device.countedBytes - bytes);
    devices.set(key, { ...device, countedBytes });
    return [{ devPub, ctr: device.lastCtr, countedBytes, at: device.usedAt }];
  });
  return { devices, counters };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, value) => total + value, 0);
}

/** Turning waiting changes into sealed entries: few entries of many changes, each under the limit. */
import { parseChanges, topologicalOrder, type Change } from "#crdt-store/chunks.ts";
import type { SealedEntry } from "#crdt-store/outbox.ts";
import type { Store } from "#crdt-store/store.ts";
import { concat, equal, toHex } from "#relay/protocol/bytes.ts";
import { entryKinds, nonceBytes, parseEntry } from "#relay/protocol/entry.ts";
import { signHead, type SignedHead } from "#client/crypto/authorship.ts";
import { noExt, sealEntry } from "#client/crypto/entry-seal.ts";
import { encodePayload } from "#client/crypto/payload.ts";
import type { Random } from "./ports.ts";
import { sealSnapshots } from "./snapshots.ts";
import type { Space } from "./space.ts";

/** Room for header, heads, padding (12 %) and signature beside the changes themselves. */
const shareForChanges = 0.75;
/** What waits after a long time offline is read from the store in pieces: a push takes the first megabyte of it. */
const sealedAtOnce = 32;

/**
 * Seals what waits in a space, oldest first, and commits the sealed bytes with their counters
 * before anybody sends them.
 * @param entryBytes the relay's limit for one entry
 * @param mostEntries stop after so many; the rest waits for the next call
 */
export function sealWaiting(
  store: Store,
  space: Space,
  random: Random,
  entryBytes: number,
  mostEntries: number,
): void {
  const key = space.currentKey;
  if (key === null) return;
  store.transaction(() => {
    sealSnapshots(store, space, random);
    let made = 0;
    for (const { doc, hashes } of store.outbox.pending(space.id)) {
      if (store.outgoingSnapshots.blocks(doc)) continue;
      for (const group of groupsOf(
        signedRuns(store, space, doc, changesOf(store, doc, hashes)),
        entryBytes * shareForChanges,
      )) {
        if (made >= mostEntries) return;
        made += 1;
        sealGroup(store, space, random, key, doc, group);
      }
    }
  });
}

/**
 * The next entries to push, oldest first, up to `mostEntries` and `mostBytes`. A damaged one is taken back: what was in
 * it is sealed anew with the next call of {@link sealWaiting}.
 */
export function nextBatch(
  store: Store,
  space: Space,
  mostEntries: number,
  mostBytes: number,
): { readonly batch: readonly SealedEntry[]; readonly tookBack: boolean } {
  const batch: SealedEntry[] = [];
  let size = 0;
  let tookBack = false;
  for (let after = 0; ;) {
    const rows = store.outbox.sealedAfter(space.id, after, sealedAtOnce);
    for (const row of rows) {
      if (batch.length >= mostEntries || size + row.bytes.length > mostBytes) {
        return { batch, tookBack };
      }
      if (isWhole(row)) {
        batch.push(row);
        size += row.bytes.length + 4;
      } else if (store.outbox.unseal(space.id, row.entryId)) tookBack = true;
      after = row.ctr;
    }
    if (rows.length < sealedAtOnce) break;
  }
  return { batch, tookBack };
}

function isWhole({ bytes, ctr, entryId }: SealedEntry): boolean {
  const parsed = parseEntry(bytes, bytes.length);
  return parsed.ok && parsed.value.ctr === ctr && equal(parsed.value.entryId, entryId);
}

/** What each follows goes before it: what was packed stands in the journal behind what came later. */
function changesOf(
  store: Store,
  doc: Uint8Array,
  hashes: readonly Uint8Array[],
): readonly Change[] {
  const changes = store.changes.some(doc, hashes).flatMap((row) => {
    const parsed = parseChanges(row.bytes);
    if (parsed.type === "failed") throw new Error("the journal returned a damaged change");
    return parsed.changes;
  });
  return topologicalOrder(changes);
}

/**
 * The changes in runs that must not be cut: one of this device's own by itself, since it can sign each; another's up to one
 * whose signed head is held. What nobody vouches for, or a note's first change without its origin, would be refused by
 * everybody: it is set aside.
 */
function signedRuns(
  store: Store,
  space: Space,
  doc: Uint8Array,
  changes: readonly Change[],
): readonly (readonly Change[])[] {
  const hasOrigin = equal(doc, space.indexId) || space.originOf(doc) !== null;
  const isOwn = new Map<string, boolean>();
  const runs: Change[][] = [];
  const openByActor = new Map<string, Change[]>();
  for (const change of changes) {
    if (change.deps.length === 0 && !hasOrigin) {
      setAside(store, space, doc, change);
      continue;
    }
    const actor = toHex(change.actor);
    const run = openByActor.get(actor) ?? [];
    if (run.length === 0) runs.push(run);
    run.push(change);
    const own = isOwn.get(actor) ?? isOurs(store, space, doc, change.actor);
    isOwn.set(actor, own);
    const isSigned = own || store.documents.headOf(doc, change.actor, change.seq) !== null;
    if (isSigned) openByActor.delete(actor);
    else openByActor.set(actor, run);
  }
  const unsigned = new Set<readonly Change[]>(openByActor.values());
  for (const change of [...unsigned].flat()) setAside(store, space, doc, change);
  return runs.filter((run) => !unsigned.has(run));
}

function isOurs(store: Store, space: Space, doc: Uint8Array, actor: Uint8Array): boolean {
  const own = store.documents.actor(doc, actor);
  return own !== null && space.signerOf(doc, own) !== null;
}

function setAside(store: Store, space: Space, doc: Uint8Array, change: Change): void {
  store.outbox.drop(doc, change.hash);
  store.inbox.quarantine({
    space: space.id,
    pos: null,
    doc,
    entryId: null,
    reason: "author-unknown-here",
    bytes: change.bytes,
    signer: null,
  });
}

/**
 * Entries are also cut where one would leave out a change of an author between two: nobody takes such an entry, and the
 * relay may have that one change and have lost those around it.
 */
function groupsOf(
  runs: readonly (readonly Change[])[],
  mostBytes: number,
): readonly (readonly Change[])[] {
  const groups: Change[][] = [];
  let size = 0;
  let lastSeqs = new Map<string, number>();
  for (const run of runs) {
    const runSize = run.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const group = groups.at(-1);
    const [first] = run;
    const last = first === undefined ? undefined : lastSeqs.get(toHex(first.actor));
    const follows = last === undefined || first?.seq === last + 1;
    if (group === undefined || size + runSize > mostBytes || !follows) {
      groups.push([...run]);
      size = runSize;
      lastSeqs = new Map();
    } else {
      group.push(...run);
      size += runSize;
    }
    for (const { actor, seq } of run) lastSeqs.set(toHex(actor), seq);
  }
  return groups;
}

function sealGroup(
  store: Store,
  space: Space,
  random: Random,
  key: { readonly epoch: number; readonly key: Uint8Array },
  doc: Uint8Array,
  changes: readonly Change[],
): void {
  const isRoot = changes.some((change) => change.deps.length === 0);
  const payload = {
    frontier: space.frontier,
    origin: isRoot ? space.originOf(doc) : null,
    heads: headsOf(store, space, doc, changes),
    data: concat(...changes.map((change) => change.bytes)),
  };
  const ctr = store.outbox.nextCounter(space.id);
  const header = {
    kind: entryKinds.changes,
    flags: 0,
    spaceId: space.id,
    docId: doc,
    epoch: key.epoch,
    devPub: space.device.publicKey,
    ctr,
    nonce: random(nonceBytes),
  };
  // The vault holds secrets: its entries' sizes must say nothing about their content.
  const plaintext = encodePayload(payload, space.kind !== "vault");
  const { bytes, entryId } = sealEntry(space.ed, space.device, header, noExt, key.key, plaintext);
  store.outbox.seal({
    space: space.id,
    ctr,
    entryId,
    doc,
    bytes,
    hashes: changes.map((change) => change.hash),
  });
}

/** The newest change of each actor, signed: by us for our own, verbatim for another device's. */
function headsOf(
  store: Store,
  space: Space,
  doc: Uint8Array,
  changes: readonly Change[],
): readonly SignedHead[] {
  const newest = new Map<string, Change>();
  for (const change of changes) {
    const actor = toHex(change.actor);
    const before = newest.get(actor);
    if (before === undefined || before.seq < change.seq) newest.set(actor, change);
  }
  return [...newest.values()].map((change) => {
    const own = store.documents.actor(doc, change.actor);
    const signer = own === null ? null : space.signerOf(doc, own);
    if (own !== null && signer !== null)
      return signHead(space.ed, signer, doc, own.nonce, change.seq, change.hash);
    const theirs = store.documents.headOf(doc, change.actor, change.seq);
    if (theirs === null) throw new Error("a change is sealed that nobody has signed");
    return {
      actorNonce: theirs.nonce,
      devPub: theirs.dev,
      seq: theirs.seq,
      hash: theirs.hash,
      signature: theirs.sig,
    };
  });
}

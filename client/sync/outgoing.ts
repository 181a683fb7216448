/** Turning waiting changes into sealed entries: few entries of many changes, each under the limit. */
import { parseChanges, type Change } from "#crdt-store/chunks.ts";
import type { Store } from "#crdt-store/store.ts";
import { concat, toHex } from "#relay/protocol/bytes.ts";
import { entryKinds, nonceBytes } from "#relay/protocol/entry.ts";
import { signHead, type SignedHead } from "#client/crypto/authorship.ts";
import { sealEntry } from "#client/crypto/entry-seal.ts";
import { encodePayload } from "#client/crypto/payload.ts";
import type { Random } from "./ports.ts";
import type { Space } from "./space.ts";

/** Room for header, heads, padding (12 %) and signature beside the changes themselves. */
const shareForChanges = 0.75;

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
    let made = 0;
    for (const { doc, hashes } of store.outbox.pending(space.id)) {
      for (const group of groupBySize(
        changesOf(store, doc, hashes),
        entryBytes * shareForChanges,
      )) {
        if (made >= mostEntries) return;
        made += 1;
        sealGroup(store, space, random, key, doc, group);
      }
    }
  });
}

function changesOf(
  store: Store,
  doc: Uint8Array,
  hashes: readonly Uint8Array[],
): readonly Change[] {
  return store.changes.some(doc, hashes).flatMap((row) => {
    const parsed = parseChanges(row.bytes);
    if (parsed.type === "failed") throw new Error("the journal returned a damaged change");
    return parsed.changes;
  });
}

function groupBySize(
  changes: readonly Change[],
  mostBytes: number,
): readonly (readonly Change[])[] {
  const groups: Change[][] = [];
  let size = 0;
  for (const change of changes) {
    const group = groups.at(-1);
    if (group === undefined || size + change.bytes.length > mostBytes) {
      groups.push([change]);
      size = change.bytes.length;
    } else {
      group.push(change);
      size += change.bytes.length;
    }
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
  const { bytes, entryId } = sealEntry(space.ed, space.device, header, key.key, plaintext);
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
    if (theirs === null) throw new Error("a change waits to be sent that nobody has signed");
    return {
      actorNonce: theirs.nonce,
      devPub: theirs.dev,
      seq: theirs.seq,
      hash: theirs.hash,
      signature: theirs.sig,
    };
  });
}

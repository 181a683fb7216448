/**
 * Snapshots at the relay (PROTOCOL §7): sealing what was made, judging what came, and comparing what this device holds with
 * what another device's snapshot says it stands for. They save bandwidth and are never authority: a document is what its
 * changes make, each of them vouched for.
 */
import type { JournalledChange } from "#crdt-store/changes.ts";
import { parseChange, type Change } from "#crdt-store/chunks.ts";
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { entryKinds, nonceBytes, type Entry } from "#relay/protocol/entry.ts";
import { encodeCover, parseCover, type Cover } from "#relay/protocol/snapshot.ts";
import {
  actorOf,
  isHeadGenuine,
  isOriginGenuine,
  type Origin,
  type SignedHead,
} from "#client/crypto/authorship.ts";
import { blobContentOf } from "#client/crypto/blob.ts";
import { sealEntry } from "#client/crypto/entry-seal.ts";
import { encodeSnapshot, parseSnapshot, type SnapshotPayload } from "#client/crypto/snapshot.ts";
import { openEnvelope, type IntakeKnowledge } from "./intake.ts";
import type { Random } from "./ports.ts";
import type { Space } from "./space.ts";

/** Larger contents go into a blob. */
export const mostInlineBytes = 32 << 10;

/** Seals what is ready, in the caller's transaction or one of its own. */
export function sealSnapshots(store: Store, space: Space, random: Random): void {
  const key = space.currentKey;
  if (key === null) return;
  store.transaction(() => {
    for (const made of store.outgoingSnapshots.toSeal(space.id)) {
      const { doc, coversPos, chain, omitted, content, blob } = made;
      const name = blob === null ? null : { blobId: blob.id, key: blob.key, size: content.length };
      const chunks = name === null ? [] : blobContentOf(name, content).chunks;
      const plaintext = encodeSnapshot({
        frontier: space.frontier,
        origin: space.originOf(doc),
        documentHeads: made.heads,
        content: name ?? content,
      });
      const header = {
        kind: entryKinds.snapshot,
        flags: 0,
        spaceId: space.id,
        docId: doc,
        epoch: key.epoch,
        devPub: space.device.publicKey,
        ctr: store.outbox.nextCounter(space.id),
        nonce: random(nonceBytes),
      };
      const ext = encodeCover({ coversPos, chain, omitted, chunks });
      const sealed = sealEntry(space.ed, space.device, header, ext, key.key, plaintext);
      const { ctr } = header;
      store.outbox.seal({ space: space.id, ctr, doc, hashes: made.changes, ...sealed });
      store.outgoingSnapshots.sealed(doc, sealed.entryId);
    }
  });
}

export type JudgedSnapshot =
  | { readonly type: "snapshot"; readonly cover: Cover; readonly payload: SnapshotPayload }
  | { readonly type: "unknown-author" }
  | { readonly type: "bad"; readonly why: string };

/** A snapshot's entry: its author's right, its seal, its shape. What it holds is not opened. */
export function judgeSnapshot(
  entry: Entry,
  pos: number,
  knowledge: IntakeKnowledge,
): JudgedSnapshot {
  const envelope = openEnvelope(entry, pos, knowledge);
  if (envelope.type === "bad" && envelope.curable === true) return { type: "unknown-author" };
  if (envelope.type !== "opened") return envelope;
  const cover = parseCover(entry.ext);
  if (!cover.ok || cover.value.coversPos >= pos) return bad("it covers what is no part of the log");
  const payload = parseSnapshot(envelope.plaintext);
  if (!payload.ok) return bad(`its content is malformed: ${payload.error}`);
  const { origin } = payload.value;
  if (origin !== null && !isOriginGenuine(knowledge.ed, entry.spaceId, entry.docId, origin)) {
    return bad("its document's origin is forged");
  }
  return { type: "snapshot", cover: cover.value, payload: payload.value };
}

/** A document taken apart. */
export interface OpenedDocument {
  readonly heads: readonly Uint8Array[];
  /** Every change in it, as a chunk, dependencies first. */
  readonly changes: readonly Uint8Array[];
}

/**
 * Takes a document apart where it can be stopped: what is in it was sealed by a member, who may be malicious. `harmful`: it
 * cannot be read, takes too long or needs too much. `later`: it could not be tried.
 */
export type OpenDocument = (document: Uint8Array) => Promise<OpenedDocument | "harmful" | "later">;

export interface VouchedDocument {
  readonly type: "vouched";
  /** The signer of each is null where the origin alone vouches for it. */
  readonly changes: readonly (Change & { readonly signer: Uint8Array | null })[];
}

/**
 * Whether the document is what the entry declares and every change in it is vouched for: its heads are the declared ones; each
 * actor's changes follow one another up to a signed head; what needs no head lies at or below the origin's.
 *
 * @param given changes (hex) that a document of this kind begins with everywhere
 */
export function vouchForDocument(
  docId: Uint8Array,
  opened: OpenedDocument,
  declared: readonly Uint8Array[],
  heads: readonly SignedHead[],
  origin: Origin | null,
  given: ReadonlySet<string>,
  knowledge: Pick<IntakeKnowledge, "ed" | "capabilitiesOf">,
):
  | VouchedDocument
  | { readonly type: "unknown-author" }
  | { readonly type: "bad"; readonly why: string } {
  if (hexSet(opened.heads) !== hexSet(declared)) return bad("it has other heads than it declares");
  const changes: Change[] = [];
  for (const chunk of opened.changes) {
    const parsed = parseChange(chunk);
    if (parsed.type === "failed") return bad(`a change in it is damaged: ${parsed.failure.type}`);
    const isGiven = given.size > 0 && given.has(toHex(parsed.change.hash));
    if (!isGiven) changes.push(parsed.change);
  }
  const signed = new Map<string, SignedHead>();
  for (const head of heads) {
    if (!isHeadGenuine(knowledge.ed, docId, head)) return bad("a change in it is signed falsely");
    if (knowledge.capabilitiesOf(head.devPub).length === 0) return { type: "unknown-author" };
    signed.set(toHex(actorOf(docId, head.devPub, head.actorNonce)), head);
  }
  const copied = copiedOf(changes, origin?.heads ?? []);
  const last = new Map<string, Change>();
  const vouched: (Change & { readonly signer: Uint8Array | null })[] = [];
  for (const change of changes) {
    const actor = toHex(change.actor);
    const isCopied = copied.size > 0 && copied.has(toHex(change.hash));
    if (change.deps.length === 0 && !isCopied) {
      return bad("it would give its document a second beginning");
    }
    const head = signed.get(actor);
    vouched.push({ ...change, signer: head?.devPub ?? null });
    if (head === undefined) {
      if (isCopied) continue;
      return bad("a change in it has no signed author");
    }
    const before = last.get(actor);
    if (change.seq !== (before?.seq ?? 0) + 1) return bad("an author's changes in it have a hole");
    if (before !== undefined && !change.deps.some((dep) => equal(dep, before.hash))) {
      return bad("a change in it does not follow its author's last");
    }
    last.set(actor, change);
  }
  for (const [actor, head] of signed) {
    const newest = last.get(actor);
    if (newest?.seq !== head.seq || !equal(newest.hash, head.hash)) {
      return bad("a signed head in it is not its author's last change");
    }
  }
  return { type: "vouched", changes: vouched };
}

/** Hashes (hex) of the changes at or below the heads that a document began with. */
export function copiedOf(
  changes: readonly Pick<Change, "hash" | "deps">[],
  originHeads: readonly Uint8Array[],
): ReadonlySet<string> {
  const found = new Set<string>();
  // Most documents began with nothing, and some have hundreds of thousands of changes.
  if (originHeads.length === 0) return found;
  const depsOf = new Map(changes.map(({ hash, deps }) => [toHex(hash), deps]));
  const open = originHeads.map(toHex);
  for (let hash = open.pop(); hash !== undefined; hash = open.pop()) {
    const deps = depsOf.get(hash);
    if (deps === undefined || found.has(hash)) continue;
    found.add(hash);
    open.push(...deps.map(toHex));
  }
  return found;
}

/**
 * What this device holds of a document and a snapshot does not stand for, though it says that it covers the entries that
 * brought it: the relay will forget those. What lies below a head that is not known here counts as not covered.
 *
 * @param heads those that the snapshot declares
 */
export function uncovered(
  store: Store,
  docId: Uint8Array,
  { coversPos }: Pick<Cover, "coversPos">,
  heads: readonly Uint8Array[],
): readonly JournalledChange[] {
  const rows = store.changes.ofDocument(docId);
  const byHash = new Map(rows.map((row) => [toHex(row.hash), row]));
  const reached = new Set<string>();
  const open = heads.map(toHex);
  for (let hash = open.pop(); hash !== undefined; hash = open.pop()) {
    if (reached.has(hash)) continue;
    reached.add(hash);
    open.push(...(byHash.get(hash)?.deps.map(toHex) ?? []));
  }
  return rows.filter(
    ({ pos, hash }) => pos !== null && pos <= coversPos && !reached.has(toHex(hash)),
  );
}

/** The newest change of each actor, as its head was signed; null if one that needs a head has none here. */
export function headsForSnapshot(
  store: Store,
  space: Space,
  docId: Uint8Array,
  changes: readonly Change[],
  sign: (actor: Uint8Array, newest: Change) => SignedHead | null,
): readonly SignedHead[] | null {
  const copied = copiedOf(changes, space.originOf(docId)?.heads ?? []);
  const newest = new Map<string, Change>();
  for (const change of changes) {
    const actor = toHex(change.actor);
    if ((newest.get(actor)?.seq ?? 0) < change.seq) newest.set(actor, change);
  }
  const heads: SignedHead[] = [];
  for (const change of newest.values()) {
    const theirs = store.documents.headOf(docId, change.actor, change.seq);
    const head =
      sign(change.actor, change) ??
      (theirs === null
        ? null
        : {
            actorNonce: theirs.nonce,
            devPub: theirs.dev,
            seq: theirs.seq,
            hash: theirs.hash,
            signature: theirs.sig,
          });
    if (head !== null) heads.push(head);
    else if (!copied.has(toHex(change.hash))) return null;
  }
  return heads;
}

function hexSet(hashes: readonly Uint8Array[]): string {
  return hashes.map(toHex).toSorted().join();
}

function bad(why: string): { readonly type: "bad"; readonly why: string } {
  return { type: "bad", why };
}

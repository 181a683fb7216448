/**
 * Judging an entry from the relay before anything of it is kept: rights, signature, seal, and what
 * is inside, down to each Automerge change (PROTOCOL §6). Pure: the same entry and the same
 * knowledge give the same verdict on every device.
 */
import { measureChange, parseChanges, type Change } from "#crdt-store/chunks.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { mayWrite, type Authority } from "#relay/protocol/authority.ts";
import { entryKinds, entryMessage, type Entry } from "#relay/protocol/entry.ts";
import {
  actorOf,
  isHeadGenuine,
  isOriginGenuine,
  type Origin,
  type SignedHead,
} from "#client/crypto/authorship.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { openEntry } from "#client/crypto/entry-seal.ts";
import { parsePayload, type Frontier } from "#client/crypto/payload.ts";

/** A change that a signed head vouches for, with the device that vouches. */
export interface VouchedChange extends Change {
  readonly signer: Uint8Array;
  readonly operations: number;
  /** Rows of its longest column: what it unrolls to. */
  readonly rows: number;
}

export type Verdict =
  | {
      readonly type: "good";
      readonly changes: readonly VouchedChange[];
      readonly heads: readonly SignedHead[];
      readonly origin: Origin | null;
      readonly frontier: Frontier;
    }
  /** A later version's kind: kept at the relay, skipped here with a notice. */
  | { readonly type: "unknown-kind" }
  /** The control log may know more than this device: fetch it and judge again. */
  | { readonly type: "unknown-author" }
  /** `curable`: unless the control log knows more, as for an author who is not known. */
  | { readonly type: "bad"; readonly why: string; readonly curable?: true };

export interface IntakeKnowledge {
  readonly ed: Ed25519;
  readonly authority: Authority;
  /** Capabilities that certified a device in this space. Anybody can certify any device. */
  capabilitiesOf(devPub: Uint8Array): readonly Uint8Array[];
  /** Epoch key, or null. */
  keyOf(epoch: number): Uint8Array | null;
  /** The origin already known for a document, or null. */
  originOf(docId: Uint8Array): Origin | null;
}

/** Why an entry is set aside that may be taken once more is known of its author. */
export const unknownAuthor = "its author is not known here";
export const notAWriter = "its author may not write here";

/** Rows one entry's changes may unroll to: 123 bytes of run lengths can claim a million operations. */
export const maxRowsPerEntry = 500_000;

export type Envelope =
  | { readonly type: "opened"; readonly plaintext: Uint8Array }
  | { readonly type: "unknown-author" }
  | Extract<Verdict, { readonly type: "bad" }>;

/** Whether an entry's author may write where it stands; null if so. */
function judgeAuthor(
  entry: Entry,
  pos: number,
  knowledge: IntakeKnowledge,
): Exclude<Envelope, { readonly type: "opened" }> | null {
  const { authority, ed } = knowledge;
  if (!equal(entry.spaceId, authority.spaceId)) return bad("it belongs to another space");
  const capabilities = knowledge.capabilitiesOf(entry.devPub);
  if (capabilities.length === 0 || entry.epoch > authority.epoch) return { type: "unknown-author" };
  // One that may write is enough (RIGHT-1): a certificate by somebody else takes no right away.
  if (!capabilities.some((capability) => mayWrite(authority, capability, entry.epoch, pos))) {
    // Somebody whose access was renewed has another certificate, which may not be here yet.
    return { ...bad(notAWriter), curable: true };
  }
  if (!ed.verify(entry.devPub, entryMessage(entry.entryId), entry.signature)) {
    return bad("it is not signed by its author");
  }
  return null;
}

function openSealed(entry: Entry, knowledge: IntakeKnowledge): Envelope {
  const key = knowledge.keyOf(entry.epoch);
  if (key === null) return { type: "unknown-author" };
  const plaintext = openEntry(entry, key);
  return plaintext === null
    ? bad("it cannot be opened with the key of its time")
    : { type: "opened", plaintext };
}

/** What is sealed in an entry whose author may write where it stands. */
export function openEnvelope(entry: Entry, pos: number, knowledge: IntakeKnowledge): Envelope {
  return judgeAuthor(entry, pos, knowledge) ?? openSealed(entry, knowledge);
}

export function judgeEntry(entry: Entry, pos: number, knowledge: IntakeKnowledge): Verdict {
  const objection = judgeAuthor(entry, pos, knowledge);
  if (objection !== null) return objection;
  if (entry.kind !== entryKinds.changes) return { type: "unknown-kind" };
  const envelope = openSealed(entry, knowledge);
  if (envelope.type !== "opened") return envelope;
  const payload = parsePayload(envelope.plaintext);
  if (!payload.ok) return bad(`its content is malformed: ${payload.error}`);
  const { heads, origin, frontier, data } = payload.value;

  if (origin !== null && !isOriginGenuine(knowledge.ed, entry.spaceId, entry.docId, origin)) {
    return bad("its document's origin is forged");
  }
  const parsed = parseChanges(data);
  if (parsed.type === "failed") return bad(`a change in it is damaged: ${parsed.failure.type}`);
  const vouched = vouchFor(entry.docId, parsed.changes, heads, origin, knowledge);
  if (vouched.type !== "vouched") return vouched;
  return { type: "good", changes: vouched.changes, heads, origin, frontier };
}

type Vouched =
  | { readonly type: "vouched"; readonly changes: readonly VouchedChange[] }
  | { readonly type: "unknown-author" }
  | { readonly type: "bad"; readonly why: string };

/**
 * Each actor's changes follow one another and end at that actor's signed head; each names its
 * predecessor among its dependencies (Automerge 3.5 always writes that and panics on one that does
 * not); a change without dependencies is the document's root and stands in its origin.
 */
function vouchFor(
  docId: Uint8Array,
  changes: readonly Change[],
  heads: readonly SignedHead[],
  entryOrigin: Origin | null,
  knowledge: IntakeKnowledge,
): Vouched {
  const headByActor = new Map<string, SignedHead>();
  for (const head of heads) {
    if (!isHeadGenuine(knowledge.ed, docId, head)) return bad("a change in it is signed falsely");
    if (knowledge.capabilitiesOf(head.devPub).length === 0) return { type: "unknown-author" };
    headByActor.set(toHex(actorOf(docId, head.devPub, head.actorNonce)), head);
  }
  const origin = entryOrigin ?? knowledge.originOf(docId);
  const last = new Map<string, Change>();
  const vouched: VouchedChange[] = [];
  let rows = 0;
  for (const change of changes) {
    const actor = toHex(change.actor);
    const head = headByActor.get(actor);
    if (head === undefined) return bad("a change in it has no signed author");
    const before = last.get(actor);
    if (before !== undefined && change.seq !== before.seq + 1) {
      return bad("an author's changes in it have a hole");
    }
    if (before !== undefined && !change.deps.some((dep) => equal(dep, before.hash))) {
      return bad("a change in it does not follow its author's last");
    }
    if (change.deps.length === 0 && !isRoot(change.hash, origin)) {
      return bad("it would give its document a second beginning");
    }
    const size = measureChange(change);
    if (size === undefined) return bad("a change in it is malformed");
    rows += size.rows;
    if (rows > maxRowsPerEntry) return bad("it claims more work than one entry may");
    last.set(actor, change);
    vouched.push({ ...change, signer: head.devPub, ...size });
  }
  for (const [actor, head] of headByActor) {
    const newest = last.get(actor);
    if (newest === undefined || newest.seq !== head.seq || !equal(newest.hash, head.hash)) {
      return bad("a signed head in it is not its author's last change");
    }
  }
  return { type: "vouched", changes: vouched };
}

/** The first change of an index document is the same everywhere and never sent. */
function isRoot(hash: Uint8Array, origin: Origin | null): boolean {
  return origin?.heads.some((head) => equal(head, hash)) ?? false;
}

function bad(why: string): { readonly type: "bad"; readonly why: string } {
  return { type: "bad", why };
}

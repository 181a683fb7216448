/**
 * What a device does to its store, one transaction after the other. A step follows from its number, its attempt and what
 * the store holds, so that the same steps make the same store somewhere else.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import type { Store } from "#crdt-store/store.ts";
import { Chance } from "#tests/support/sim-chance.ts";
import { syntheticChange } from "#tests/support/synthetic-change.ts";

export interface Step {
  /** From 1, one higher than the last one that was acknowledged. */
  readonly number: number;
  /** Which try at this number: another try does something else. */
  readonly attempt: number;
}

const space = named("space", 32);
const relaySpace = named("another space", 32);
const docs = [named("first", 16), named("second", 16), named("third", 16)] as const;
const actor = named("actor", 16);
const stranger = named("stranger", 16);
const marker = "step";

/** Performs a step in one transaction that also notes which step it was. */
export function performStep(store: Store, seed: string, step: Step): void {
  const chance = new Chance(`${seed}/${step.number}/${step.attempt}`);
  store.transaction(() => {
    store.settings.put(marker, Uint8Array.of(step.number >> 8, step.number, step.attempt));
    pickWork(chance)(store, chance);
  });
}

/** The last step that the store has in full; number 0 in a store without any. */
export function lastStep(store: Store): Step {
  const noted = store.settings.get(marker);
  if (noted === null) return { number: 0, attempt: 0 };
  const [high = 0, low = 0, attempt = 0] = noted;
  return { number: high * 256 + low, attempt };
}

type Work = (store: Store, chance: Chance) => void;

function pickWork(chance: Chance): Work {
  const works: readonly (readonly [share: number, work: Work])[] = [
    [38, write],
    [10, typeDraft],
    [10, seal],
    [8, acknowledge],
    [2, unseal],
    [10, receive],
    [8, compact],
    [4, setAside],
    [4, describeNote],
    [2, keepAccess],
    [2, forgetAndRemember],
    [2, purge],
  ];
  let left = chance.below(100);
  for (const [share, work] of works) {
    if (left < share) return work;
    left -= share;
  }
  return write;
}

/** Own changes, their outbox rows, and the draft they replace. */
function write(store: Store, chance: Chance): void {
  const doc = pickDoc(chance);
  const hashes = journalChanges(store, chance, doc, actor, null);
  store.outbox.add(space, doc, hashes);
  store.drafts.remove(doc, "tab");
}

function typeDraft(store: Store, chance: Chance): void {
  const doc = pickDoc(chance);
  store.drafts.put({
    doc,
    session: "tab",
    actor,
    heads: store.changes.heads(doc),
    edits: "x".repeat(chance.below(2_000)),
    at: 1,
  });
}

function seal(store: Store, chance: Chance): void {
  const [waiting] = store.outbox.pending(space);
  if (waiting === undefined) return write(store, chance);
  const ctr = store.outbox.nextCounter(space);
  store.outbox.seal({
    space,
    ctr,
    entryId: named(`entry ${ctr}`, 32),
    doc: waiting.doc,
    bytes: chance.bytes(200 + chance.below(6_000)),
    hashes: waiting.hashes,
  });
}

function acknowledge(store: Store, chance: Chance): void {
  const [entry] = store.outbox.sealed(space);
  if (entry === undefined) return seal(store, chance);
  store.outbox.acknowledge(space, entry.entryId, (store.outbox.lastRelayed(entry.doc) ?? 0) + 1);
}

function unseal(store: Store, chance: Chance): void {
  const entry = store.outbox.sealed(space).at(-1);
  if (entry === undefined) return seal(store, chance);
  store.outbox.unseal(space, entry.entryId);
}

/** Remote changes, the signed head over them, and the cursor. */
function receive(store: Store, chance: Chance): void {
  const doc = pickDoc(chance);
  const pos = (store.inbox.cursor(relaySpace)?.pos ?? 0) + 1;
  const hashes = journalChanges(store, chance, doc, stranger, pos);
  const hash = hashes.at(-1) ?? named("nothing", 32);
  const seq = store.changes.lastSeq(doc, stranger);
  store.documents.addHead(doc, {
    actor: stranger,
    seq,
    hash,
    nonce: chance.bytes(16),
    dev: chance.bytes(32),
    sig: chance.bytes(64),
  });
  store.inbox.advance(relaySpace, pos, sha256(hash));
}

/** A snapshot in place of the one before: what is deleted is overwritten with zeros. */
function compact(store: Store, chance: Chance): void {
  const doc = pickDoc(chance);
  const before = store.snapshots.latest(doc);
  const bytes = chance.bytes(1_000 + chance.below(30_000));
  const key = Buffer.from(sha256(bytes)).toString("hex");
  store.snapshots.put(doc, { key, heads: store.changes.heads(doc), bytes });
  if (before !== null) store.snapshots.remove(doc, before.key);
  if (chance.happens(0.5)) store.snapshots.confirm(doc, key);
}

function setAside(store: Store, chance: Chance): void {
  store.inbox.quarantine({
    space,
    pos: null,
    doc: pickDoc(chance),
    entryId: null,
    reason: "damaged-row",
    bytes: chance.bytes(chance.below(5_000)),
    signer: null,
  });
  store.syncLog.add("warning", `one entry of ${chance.below(1_000)} bytes was set aside`);
}

function describeNote(store: Store, chance: Chance): void {
  store.notes.upsert({
    doc: pickDoc(chance),
    space,
    title: `a title of ${chance.below(100)} words`,
    preview: "word ".repeat(chance.below(60)),
    tags: [],
    createdAt: 1,
    updatedAt: chance.below(1_000),
    trashedAt: null,
    movedTo: null,
    listed: true,
    stale: chance.happens(0.5),
  });
}

function keepAccess(store: Store, chance: Chance): void {
  const seq = (store.spaces.controlHead(space)?.seq ?? 0) + 1;
  const record = chance.bytes(400);
  store.spaces.addControl(space, seq, record, null, sha256(record));
  store.spaces.putKey(space, chance.bytes(32), seq, chance.bytes(32));
  store.spaces.addCertificate(space, chance.bytes(32), chance.bytes(32), chance.bytes(160));
}

function forgetAndRemember(store: Store, chance: Chance): void {
  const key = ["values", String(chance.below(4))];
  if (store.keyValues.get(key) === undefined) store.keyValues.put(key, chance.bytes(9_000));
  else store.keyValues.remove(key);
}

/**
 * A document goes for good. The change after it has the highest number of a row: the twin, which is never opened anew,
 * would not give again what the store may.
 */
function purge(store: Store, chance: Chance): void {
  store.purge(pickDoc(chance), space);
  write(store, chance);
}

function journalChanges(
  store: Store,
  chance: Chance,
  doc: Uint8Array,
  author: Uint8Array,
  pos: number | null,
): readonly Uint8Array[] {
  const first = store.changes.lastSeq(doc, author) + 1;
  let deps = store.changes.heads(doc);
  const changes = Array.from({ length: 1 + chance.below(3) }, (_, index) => {
    const filling = chance.bytes(100 + chance.below(chance.happens(0.2) ? 9_000 : 600));
    const change = syntheticChange({ actor: author, seq: first + index, deps, filling });
    deps = [change.hash];
    return change;
  });
  return store.changes.insert(
    changes.map((change) => ({
      ...change,
      doc,
      opCount: 1,
      space,
      pos,
      signer: pos === null ? null : named("signer", 32),
      local: pos === null,
      at: 1,
    })),
  );
}

function pickDoc(chance: Chance): Uint8Array {
  return chance.pick(docs) ?? docs[0];
}

function named(name: string, length: number): Uint8Array {
  return sha256(new TextEncoder().encode(name)).slice(0, length);
}

/**
 * Examines what a device has stored and says in words what is well and what is not. It looks at a store and
 * Automerge alone, so it serves every face of a device. Damaged rows it meets are moved to quarantine, as
 * anybody does who reads them: to change nothing, examine a store on files that keep nothing.
 */
import type * as AutomergeModule from "@automerge/automerge/slim";
import { documentIdToText } from "#crdt-store/document-id.ts";
import type { StoreAudit } from "#crdt-store/store-audit.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { parseEntry } from "#relay/protocol/entry.ts";
import { maxMessageBytes } from "#relay/protocol/limits.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { Space, type DeviceIdentity } from "#client/sync/space.ts";
import type { Random } from "#client/sync/ports.ts";
import { DeviceDocuments } from "./documents.ts";
import { failureWords } from "./failure-words.ts";
import { loadIdentity } from "./identity.ts";
import { notebookIndexGenesis, vaultIndexGenesis, type Automerge } from "./index-document.ts";
import { quarantineWords } from "./report-words.ts";

export interface Finding {
  /** `well`: nothing to say. `note`: worth knowing, and in order. `trouble`: something to be done. */
  readonly level: "well" | "note" | "trouble";
  /** A stable name of what was looked at. */
  readonly check: string;
  /** A sentence. */
  readonly text: string;
  /** What to do; null where nothing has to be. */
  readonly remedy: string | null;
}

export interface DoctorPorts {
  readonly store: Store;
  readonly automerge: Automerge;
  readonly ed: Ed25519;
  readonly random: Random;
}

export function well(check: string, text: string): Finding {
  return { level: "well", check, text, remedy: null };
}

export function trouble(check: string, text: string, remedy: string): Finding {
  return { level: "trouble", check, text, remedy };
}

function note(check: string, text: string): Finding {
  return { level: "note", check, text, remedy: null };
}

/** What to do when the notes themselves have suffered. */
export const startElsewhere = "Keep this copy, and restore a backup or your words in another home.";
const requeue =
  "Back this home up and restore the backup in another home: what waits is queued anew there.";

/** Everything in order of weight: the database, the device, its spaces, its documents, what waits. */
export function* examineStore(ports: DoctorPorts): Generator<Finding> {
  const { store } = ports;
  yield* part("database", () => examineDatabase(store));
  const identity = loadIdentity(store);
  if (identity === null) {
    yield note("identity", "This device has no identity yet.");
    return;
  }
  yield* part("spaces", () => examineSpaces(ports, identity));
  yield* part("documents", () => examineDocuments(ports, identity.vault));
  yield* part("outbox", () => examineOutbox(store, store.audit()));
  yield* part("quarantine", () => examineQuarantine(store));
  yield* part("sizes", () => measure(store, store.audit()));
}

/** A part that cannot be read is one finding; the others are examined all the same. */
function* part(check: string, examine: () => Iterable<Finding>): Generator<Finding> {
  try {
    yield* examine();
  } catch (error) {
    const words =
      error instanceof StoreError ? "the database is damaged there" : failureWords(error);
    yield trouble(check, `A part could not be read: ${words}.`, startElsewhere);
  }
}

function* examineDatabase(store: Store): Generator<Finding> {
  try {
    store.checkIntegrity();
    yield well("database", "The database is sound.");
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    yield trouble("database", "The database is damaged.", startElsewhere);
  }
}

function* examineSpaces(ports: DoctorPorts, identity: Identity): Generator<Finding> {
  const { store, ed } = ports;
  const rows = store.spaces.list();
  const offChain = new Set(store.audit().cursorOffChain.map(toHex));
  if (!rows.some(({ id }) => equal(id, identity.vault))) {
    yield trouble("vault", "The vault of this device is missing.", startElsewhere);
  }
  let troubles = 0;
  for (const { id, kind, genesis, capSecret, state } of rows) {
    const capability = capSecret === null ? null : capabilityFrom(ed, capSecret);
    const space = new Space({ store, ed, identity }, id, genesis, capability);
    const name = kind === "vault" ? "the vault" : `the notebook ${space.hex.slice(0, 8)}`;
    const wrong = [
      space.records.length < store.spaces.control(id).length &&
        `The record of who may open ${name} is damaged from its entry ${space.records.length + 1} on.`,
      state === "active" && space.currentKey === null && `The key of ${name} is missing.`,
      offChain.has(space.hex) && `The place reached in the log of ${name} does not fit its chain.`,
    ].filter((sentence) => sentence !== false);
    troubles += wrong.length;
    for (const sentence of wrong) yield trouble("spaces", sentence, startElsewhere);
    if (state === "ended") yield note("spaces", `Access to ${name} has ended; what came is kept.`);
  }
  if (troubles === 0) {
    yield well(
      "spaces",
      `Keys, members and logs of ${counted(rows.length, "space")} are in order.`,
    );
  }
}

type Identity = DeviceIdentity & { readonly vault: Uint8Array };

function* examineDocuments(ports: DoctorPorts, vault: Uint8Array): Generator<Finding> {
  const { store } = ports;
  const docs = store.changes.documents();
  const asideBefore = store.inbox.quarantinedByDocument();
  let troubles = 0;
  for (const doc of docs) {
    for (const finding of part("documents", () => examineDocument(ports, vault, doc))) {
      if (finding.level === "trouble") troubles += 1;
      yield finding;
    }
  }
  for (const doc of store.audit().packsCutShort) {
    troubles += 1;
    const text = `${nameOf(store, doc)} does not know all changes that its snapshot holds.`;
    yield trouble("documents", text, startElsewhere);
  }
  // Whoever reads a damaged change sets it aside.
  for (const { doc, entries } of store.inbox.quarantinedByDocument()) {
    const damaged = entries - (asideBefore.find((row) => equal(row.doc, doc))?.entries ?? 0);
    if (damaged === 0) continue;
    troubles += 1;
    const text = `${nameOf(store, doc)} has ${counted(damaged, "damaged change")}.`;
    yield trouble("journal", text, startElsewhere);
  }
  if (troubles === 0) {
    yield well("documents", `All ${counted(docs.length, "document")} can be opened, whole.`);
  }
}

function* examineDocument(
  ports: DoctorPorts,
  vault: Uint8Array,
  doc: Uint8Array,
): Generator<Finding> {
  const { store, automerge, random } = ports;
  const stored = store.documents.get(doc);
  const name = stored?.kind === "index" ? "A list of notes" : `The note ${documentIdToText(doc)}`;
  if (stored === null) {
    yield trouble("documents", `${name} belongs to no notebook.`, startElsewhere);
  }
  const start = startOf(automerge, stored, vault);
  const known = new Set(automerge.getHeads(start));
  const awaited = store.changes.awaited(doc).filter((hash) => !known.has(toHex(hash)));
  if (awaited.length > 0) {
    yield note("documents", `${name} waits for ${counted(awaited.length, "change")} of others.`);
  }
  let isPackDamaged = false;
  const damaged = (): void => {
    isPackDamaged = true;
  };
  const documents = new DeviceDocuments(
    { store, random, clock: store, damaged, culprits: null },
    automerge,
  );
  try {
    const loaded = documents.load<unknown>(doc, start);
    const heads = automerge.getHeads(loaded);
    automerge.free(loaded);
    if (isPackDamaged) {
      const text = `${name} has a damaged snapshot, and the relay holds what was in it.`;
      yield trouble("documents", text, "Run sync: what is missing is fetched again.");
    } else if (awaited.length === 0 && !sameHeads(heads, store.changes.heads(doc))) {
      const text = `${name} opens to another version than its journal has.`;
      yield trouble("documents", text, startElsewhere);
    }
  } catch (error) {
    yield trouble("documents", `${name} cannot be opened: ${failureWords(error)}.`, startElsewhere);
  }
  yield* examineSnapshots(ports, doc, name);
}

function nameOf(store: Store, doc: Uint8Array): string {
  const isIndex = store.documents.get(doc)?.kind === "index";
  return isIndex ? "A list of notes" : `The note ${documentIdToText(doc)}`;
}

/** What the documents of a kind begin with on every device. */
function startOf(
  automerge: Automerge,
  stored: ReturnType<Store["documents"]["get"]>,
  vault: Uint8Array,
): AutomergeModule.Doc<unknown> {
  if (stored?.kind !== "index") return automerge.init();
  return equal(stored.space, vault)
    ? vaultIndexGenesis(automerge)
    : notebookIndexGenesis(automerge);
}

function* examineSnapshots(
  { store, automerge }: DoctorPorts,
  doc: Uint8Array,
  name: string,
): Generator<Finding> {
  for (const key of store.snapshots.keys(doc)) {
    const snapshot = store.snapshots.get(doc, key);
    // What a document needs was looked at above; any other costs time, and nothing else.
    if (snapshot === null) {
      yield note("snapshots", `${name} has a damaged snapshot, which is not used.`);
      continue;
    }
    try {
      const loaded = automerge.load(snapshot.bytes);
      const heads = automerge.getHeads(loaded);
      automerge.free(loaded);
      if (sameHeads(heads, snapshot.heads)) continue;
      yield trouble("snapshots", `${name} has a snapshot of another version.`, startElsewhere);
    } catch {
      yield trouble("snapshots", `${name} has a snapshot that cannot be opened.`, startElsewhere);
    }
  }
}

function* examineOutbox(store: Store, audit: StoreAudit): Generator<Finding> {
  const findings = [...outboxTroubles(store, audit)];
  yield* findings;
  const depth = store.outbox.depth();
  const text =
    depth === 0
      ? "Nothing waits to be sent."
      : `${counted(depth, "change")} ${depth === 1 ? "waits" : "wait"} to be sent.`;
  if (findings.length === 0) yield well("outbox", text);
}

function* outboxTroubles(store: Store, audit: StoreAudit): Generator<Finding> {
  const sum = (counts: StoreAudit["unqueued"]): number =>
    counts.reduce((total, { changes }) => total + changes, 0);
  const unqueued = sum(audit.unqueued);
  if (unqueued > 0) {
    const text = `${counted(unqueued, "change")} written here would never be sent.`;
    yield trouble("outbox", text, requeue);
  }
  const inNoEntry = sum(audit.inNoEntry);
  if (inNoEntry > 0) {
    const text = `${counted(inNoEntry, "change")} said to be on the way would never arrive.`;
    yield trouble("outbox", text, requeue);
  }
  const notWaiting = sum(audit.notWaiting);
  if (notWaiting > 0) {
    const text = `${counted(notWaiting, "change")} on the way would not be counted as waiting.`;
    yield trouble("outbox", text, requeue);
  }
  if (audit.counterBehind.length > 0) {
    yield trouble("outbox", "A number of an entry may be given twice.", requeue);
  }
  for (const { id } of store.spaces.list()) {
    for (const { bytes, entryId } of store.outbox.sealed(id)) {
      const parsed = parseEntry(bytes, maxMessageBytes);
      if (parsed.ok && equal(parsed.value.entryId, entryId)) continue;
      yield trouble("outbox", "A sealed entry that waits to be sent is damaged.", requeue);
    }
  }
}

function* examineQuarantine(store: Store): Generator<Finding> {
  const byReason = new Map<string, number>();
  for (const { reason } of store.inbox.quarantined()) {
    byReason.set(reason, (byReason.get(reason) ?? 0) + 1);
  }
  for (const [reason, count] of byReason) {
    const words = reason.startsWith("damaged-")
      ? "it was damaged on this disk"
      : quarantineWords(reason);
    yield note("quarantine", `${counted(count, "change")} could not be applied: ${words}.`);
  }
  if (byReason.size === 0) yield well("quarantine", "Nothing was set aside.");
}

function* measure(store: Store, audit: StoreAudit): Generator<Finding> {
  const notes = store.notes.list().length;
  yield well(
    "sizes",
    `${counted(notes, "note")}; ${counted(audit.packedChanges, "packed change")} and ${audit.changes} of ${sizeText(audit.changeBytes)}; ${counted(audit.snapshots, "snapshot")} of ${sizeText(audit.snapshotBytes)}.`,
  );
}

function sameHeads(heads: readonly string[], known: readonly Uint8Array[]): boolean {
  const wanted = new Set(known.map(toHex));
  return heads.length === wanted.size && heads.every((head) => wanted.has(head));
}

function sizeText(bytes: number): string {
  return bytes < 2 ** 20
    ? `${Math.ceil(bytes / 2 ** 10)} KiB`
    : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

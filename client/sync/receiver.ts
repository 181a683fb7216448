/**
 * Taking in one item of a space's log: what the relay sent is parsed, judged (intake.ts) and journalled,
 * or set aside. In the caller's transaction, which also moves the cursor.
 */
import type { NewChange } from "#crdt-store/changes.ts";
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { parseControl } from "#relay/protocol/control.ts";
import {
  entryKinds,
  entryMessage,
  parseEntry,
  parseStub,
  type Entry,
} from "#relay/protocol/entry.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import { maxMessageBytes } from "#relay/protocol/limits.ts";
import type { Cover } from "#relay/protocol/snapshot.ts";
import type { Data } from "#relay/protocol/messages.ts";
import type { Change } from "#crdt-store/chunks.ts";
import { actorOf, originBytes, type Origin, type SignedHead } from "#client/crypto/authorship.ts";
import type { Frontier } from "#client/crypto/payload.ts";
import { indexGeneses } from "./index-geneses.ts";
import {
  judgeEntry,
  notAWriter,
  unknownAuthor,
  type Verdict,
  type VouchedChange,
} from "./intake.ts";
import { judgeSnapshot, type VouchedDocument } from "./snapshots.ts";
import { loadKeep } from "./keep.ts";
import type { Clock } from "./ports.ts";
import { hasUnplacedPast } from "./put-back.ts";
import type { DisplacedRecord, Space } from "./space.ts";

export type LogItem = Data["items"][number];

/** What an item added; its ids make the next link of the chain. */
/** A change with whoever vouches for it: nobody where its document's origin does. */
type Arrived = Change & { readonly signer: Uint8Array | null; readonly operations: number };

export interface ReceiverPorts {
  readonly store: Store;
  readonly clock: Clock;
  /** Changes from which on a document that comes as a snapshot stays one. */
  readonly longHistory: number;
}

export interface TakenIn {
  readonly docId: Uint8Array;
  readonly entryId: Uint8Array;
  /** Change chunks that are new here. */
  readonly changes: readonly Uint8Array[];
  /** Members, roles or keys may have changed. */
  readonly control: boolean;
}

/** An actor's place that two changes claim. */
export interface Collision {
  readonly doc: Uint8Array;
  readonly actor: Uint8Array;
  readonly seq: number;
}

/** Somebody else goes on with a copy of this store. Nothing more can be taken in before that is seen to. */
export interface Twin {
  readonly type: "twin";
  /** What this device wrote under the same name as the other; null if only their keys are the same. */
  readonly collision: Collision | null;
}

export interface ReceiverListener {
  /** The relay has one of our entries. */
  acknowledged(): void;
  displaced(space: Space, records: readonly DisplacedRecord[]): void;
  /** In the transaction: a body passed by that is not here. */
  leftOut(space: Space, docId: Uint8Array): void;
  /** Changes that were set aside are what others built upon. */
  builtUpon(docId: Uint8Array, hashes: readonly Uint8Array[]): void;
  /** In the same transaction: which of these new ones (hashes in hex) nobody is to be told of yet. */
  judge(docId: Uint8Array, changes: readonly VouchedChange[]): ReadonlySet<string>;
  /** What an entry's sender says it had read, in these bytes. */
  frontier(space: Space, devPub: Uint8Array, frontier: Frontier, words: Uint8Array): void;
  /** In the transaction: another device says that its snapshot stands for what this device holds, too. */
  snapshotPassed(space: Space, docId: Uint8Array, cover: Cover, heads: readonly Uint8Array[]): void;
  log(level: "info" | "warning" | "error", text: string): void;
}

const curableReasons = [unknownAuthor, notAWriter];

export class Receiver {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #listener: ReceiverListener;

  readonly #longHistory: number;

  constructor({ store, clock, longHistory }: ReceiverPorts, listener: ReceiverListener) {
    this.#store = store;
    this.#clock = clock;
    this.#longHistory = longHistory;
    this.#listener = listener;
  }

  /**
   * @param secondChance the control log was fetched since this item came: who is unknown now stays unknown
   * @returns "broken" for what no honest relay sends, "withheld" where it keeps back who has access now
   */
  takeIn(
    space: Space,
    item: LogItem,
    secondChance: boolean,
  ): TakenIn | "broken" | "unknown-author" | Twin | "withheld" {
    switch (item.kind) {
      case "control": {
        const parsed = parseControl(item.bytes);
        if (!parsed.ok) return "broken";
        this.absorb(space, [item], [], "read");
        return { docId: noDocument, entryId: parsed.value.hash, changes: [], control: true };
      }
      case "stub": {
        const parsed = parseStub(item.bytes);
        if (!parsed.ok) return "broken";
        const { docId, entryId } = parsed.value;
        this.#noteTail(space, parsed.value, parsed.value.size);
        if (this.#store.outbox.acknowledge(space.id, entryId, item.pos)) {
          this.#listener.acknowledged();
        } else this.#leaveOut(space, parsed.value, item.pos);
        return { docId, entryId, changes: [], control: false };
      }
      case "entry": {
        const parsed = parseEntry(item.bytes, maxMessageBytes);
        return parsed.ok
          ? this.#takeInEntry(space, parsed.value, item.pos, secondChance)
          : "broken";
      }
    }
  }

  #takeInEntry(
    space: Space,
    entry: Entry,
    pos: number,
    secondChance: boolean,
  ): TakenIn | "unknown-author" | Twin | "withheld" {
    const { docId, entryId } = entry;
    const nothing = { docId, entryId, changes: [], control: false };
    this.#noteTail(space, entry, entry.bytes.length);
    // Our own entry, acknowledged on a connection that broke before the answer came.
    if (
      equal(entry.devPub, space.device.publicKey) &&
      this.#store.outbox.acknowledge(space.id, entryId, pos)
    ) {
      this.#listener.acknowledged();
      return nothing;
    }
    if (this.#isTwins(space, entry)) return { type: "twin", collision: null };
    // Deleted here for ever; the relay has it, should another device put it back.
    if (this.#store.trash.isPurged(docId)) return nothing;
    if (this.#isLeftOut(space, docId)) {
      this.#leaveOut(space, entry, pos);
      return nothing;
    }
    if (entry.kind === entryKinds.snapshot) {
      return this.#passSnapshot(space, entry, pos, secondChance);
    }
    return this.#judge(space, entry, pos, secondChance);
  }

  /** Written with this device's key, and not here: this store is a copy, or there is a copy of it. */
  #isTwins(space: Space, { devPub, ctr, entryId }: Entry): boolean {
    const { outbox } = this.#store;
    return (
      equal(devPub, space.device.publicKey) &&
      (ctr > outbox.lastCounter(space.id) || outbox.hasAnotherAt(space.id, ctr, entryId))
    );
  }

  /** What this device wrote under a name that its twin has used, too, and that nobody has seen yet. */
  #collision(docId: Uint8Array, verdict: Extract<Verdict, { type: "good" }>): Collision | null {
    const { changes } = this.#store;
    for (const { actor, seq, hash } of verdict.changes) {
      const mine = changes
        .byActorSeq(docId, actor, seq)
        .find((held) => !equal(held, hash) && changes.isUnseen(docId, held));
      if (mine !== undefined) return { doc: docId, actor, seq };
    }
    return null;
  }

  /** Control records and certificates, and ours anew on top of what others wrote in their place, at once. */
  absorb(
    space: Space,
    records: Parameters<Space["absorb"]>[0],
    certificates: readonly Uint8Array[],
    how: "read" | "told" = "told",
  ): void {
    this.#store.transaction(() => {
      const { displaced } = space.absorb(records, certificates, how);
      if (displaced.length > 0) this.#listener.displaced(space, displaced);
      if (certificates.length > 0) this.#meet(space);
    });
  }

  /**
   * Whoever was not known when their entry passed by may be known now: a relay that lost something can have told of them too
   * late. The entry is fetched, and judged again as it comes.
   */
  #meet(space: Space): void {
    for (const { pos, bytes } of this.#store.inbox.setAsideFor(space.id, curableReasons)) {
      const parsed = parseEntry(bytes, maxMessageBytes);
      if (!parsed.ok || pos === null) continue;
      const verdict = judgeEntry(parsed.value, pos, space);
      if (verdict.type === "good") this.#leaveOut(space, parsed.value, pos);
    }
  }

  /**
   * A body that was left out and is fetched now.
   *
   * @returns the changes in it that are new here
   */
  takeInBody(
    space: Space,
    docId: Uint8Array,
    item: LogItem,
    secondChance: boolean,
  ): readonly Uint8Array[] | "unknown-author" | Twin {
    const parsed = item.kind === "entry" ? parseEntry(item.bytes, maxMessageBytes) : null;
    if (parsed?.ok !== true || !equal(parsed.value.docId, docId)) return [];
    const entry = parsed.value;
    const known = this.#store.awaited.at(docId, item.pos)?.entryId ?? null;
    if (known !== null && !equal(known, entry.entryId)) {
      this.#setAside(space, entry, item.pos, "it is not what its place in the log says");
      return [];
    }
    const taken = this.#judge(space, entry, item.pos, secondChance);
    // Its place in the log is passed already: nothing is gained by waiting there.
    if (taken === "withheld") {
      this.#setAside(space, entry, item.pos, unknownAuthor);
      this.#store.awaited.arrived(docId, item.pos);
      return [];
    }
    if (taken === "unknown-author" || "type" in taken) return taken;
    this.#store.awaited.arrived(docId, item.pos);
    return taken.changes;
  }

  /**
   * The changes of a snapshot that was opened and vouched for; in the caller's transaction. A long history of which nothing is
   * here yet stays in the snapshot: thousands of rows would take minutes to write, and to apply one after the other.
   *
   * @returns those that are new here and have rows
   */
  takeInSnapshot(
    space: Space,
    docId: Uint8Array,
    pos: number,
    snapshot: {
      readonly cover: Cover;
      readonly origin: Origin | null;
      readonly heads: readonly SignedHead[];
      readonly changes: VouchedDocument["changes"];
      readonly document: Uint8Array;
      readonly documentHeads: readonly Uint8Array[];
    },
  ): readonly Uint8Array[] {
    const { documents, changes, tails, missingChanges, awaited } = this.#store;
    const { cover, origin } = snapshot;
    documents.add({
      doc: docId,
      space: space.id,
      origin: origin === null ? null : originBytes(origin),
      kind: equal(docId, space.indexId) ? "index" : "note",
    });
    for (const head of snapshot.heads) {
      documents.addHead(docId, {
        actor: actorOf(docId, head.devPub, head.actorNonce),
        seq: head.seq,
        hash: head.hash,
        nonce: head.actorNonce,
        dev: head.devPub,
        sig: head.signature,
      });
    }
    // Few have written the thousands of changes.
    const ours = new Map<string, boolean>();
    const isOurs = (actor: Uint8Array): boolean => {
      const key = toHex(actor);
      const isKnown = ours.get(key) ?? documents.actor(docId, actor) !== null;
      ours.set(key, isKnown);
      return isKnown;
    };
    const come = snapshot.changes.map((change) =>
      this.#rowOf(space, docId, pos, { ...change, operations: 0 }, isOurs(change.actor)),
    );
    awaited.covered(docId, cover.coversPos, cover.omitted);
    awaited.arrived(docId, pos);
    tails.weighed(docId, snapshot.document.length);
    const isFirst = !changes.knows(docId) && missingChanges.countOf(docId) === 0;
    if (isFirst && come.length >= this.#longHistory) {
      const { document, documentHeads } = snapshot;
      const key = this.#store.snapshots.putUnproved(docId, documentHeads, document);
      changes.takeInPacked(docId, key, come, pos);
      this.#store.snapshots.adopt(docId, key);
      return [];
    }
    const added = new Set(changes.insert(come).map(toHex));
    this.#noteAwaited(docId, snapshot.changes);
    return snapshot.changes.filter(({ hash }) => added.has(toHex(hash))).map(({ bytes }) => bytes);
  }

  /** Sets an entry aside that was fetched and is not what it should be. */
  setAside(space: Space, entry: Entry, pos: number, reason: string): void {
    this.#setAside(space, entry, pos, reason);
    this.#store.awaited.arrived(entry.docId, pos);
  }

  /**
   * Whether a body that passes by is not taken: something of its document that stands before it is missing, or the
   * document is not kept here. It is fetched with the rest then.
   */
  #isLeftOut(space: Space, docId: Uint8Array): boolean {
    const { awaited, changes } = this.#store;
    if (awaited.has(docId) || awaited.listing(space.id) !== null) return true;
    const isOpening = loadKeep(this.#store, space.id) === "on-opening";
    return isOpening && !equal(docId, space.indexId) && !changes.knows(docId);
  }

  #leaveOut(
    space: Space,
    { docId, kind, entryId }: Pick<Entry, "docId" | "kind" | "entryId">,
    pos: number,
  ): void {
    if (kind !== entryKinds.changes && kind !== entryKinds.snapshot) return;
    if (this.#store.trash.isPurged(docId)) return;
    this.#store.awaited.add({ doc: docId, space: space.id, pos, entryId, listed: false });
    this.#listener.leftOut(space, docId);
  }

  /** What the relay holds of a document behind its newest snapshot. */
  #noteTail(space: Space, { docId, kind }: Pick<Entry, "docId" | "kind">, bytes: number): void {
    const { tails } = this.#store;
    if (kind === entryKinds.changes) tails.grew(docId, space.id, bytes);
    else if (kind === entryKinds.snapshot) tails.summedUp(docId, space.id, bytes);
  }

  /**
   * Another device made a snapshot of a document. Whoever holds the document needs nothing of it, but looks whether it
   * stands for all that it says; of one that begins with it, it is fetched.
   */
  #passSnapshot(
    space: Space,
    entry: Entry,
    pos: number,
    secondChance: boolean,
  ): TakenIn | "unknown-author" {
    const { docId, entryId } = entry;
    const nothing = { docId, entryId, changes: [], control: false };
    const { changes, missingChanges } = this.#store;
    const isNeeded = !changes.knows(docId) || missingChanges.countOf(docId) > 0;
    // A relay that had lost what the document came with is given it back by this, or is not: it is looked at.
    if (isNeeded || hasUnplacedPast(this.#store, docId)) {
      this.#leaveOut(space, entry, pos);
      return nothing;
    }
    const judged = judgeSnapshot(entry, pos, space);
    if (judged.type === "unknown-author" && !secondChance) return "unknown-author";
    if (judged.type === "snapshot") {
      this.#listener.snapshotPassed(space, docId, judged.cover, judged.payload.documentHeads);
    } else {
      const why = judged.type === "bad" ? judged.why : unknownAuthor;
      this.#setAside(space, entry, pos, why);
    }
    return nothing;
  }

  #judge(
    space: Space,
    entry: Entry,
    pos: number,
    secondChance: boolean,
  ): TakenIn | "unknown-author" | Twin | "withheld" {
    const { docId, entryId } = entry;
    const nothing = { docId, entryId, changes: [], control: false };
    const verdict = judgeEntry(entry, pos, space);
    switch (verdict.type) {
      case "good": {
        const collision = this.#collision(docId, verdict);
        if (collision !== null) return { type: "twin", collision };
        const objection = this.#objectionTo(space, entry, verdict);
        if (objection === null) {
          this.#store.inbox.takeBack(space.id, entryId);
          return { ...nothing, changes: this.#journal(space, entry, pos, verdict) };
        }
        this.#setAside(space, entry, pos, objection);
        return nothing;
      }
      case "unknown-kind":
        this.#listener.log(
          "info",
          "A newer version of Sealeaf wrote something that this version cannot show. Update to see it.",
        );
        return nothing;
      case "unknown-author":
        if (!secondChance) return "unknown-author";
        if (isOfLaterEpoch(space, entry)) {
          this.#noteWithheld(space);
          return "withheld";
        }
        this.#setAside(space, entry, pos, unknownAuthor);
        return nothing;
      case "bad":
        if (verdict.curable === true && !secondChance) return "unknown-author";
        this.#setAside(space, entry, pos, verdict.why);
        return nothing;
    }
  }

  /** Somebody writes under a key that the control log, asked for just now, does not have. */
  #noteWithheld(space: Space): void {
    if (!space.noteLaterEpoch()) return;
    this.#listener.log(
      "warning",
      "The relay keeps back who has access to a notebook now. Nothing more is sent there until it tells; it is kept here.",
    );
  }

  /** What only this device's memory can hold against a good entry, null if nothing. */
  #objectionTo(
    space: Space,
    { docId, bytes }: Entry,
    verdict: Extract<Verdict, { type: "good" }>,
  ): string | null {
    const document = this.#store.documents.get(docId);
    if (document !== null && !equal(document.space, space.id)) {
      return "its document belongs to another notebook";
    }
    const twice = verdict.changes.some((change) =>
      this.#store.changes
        .byActorSeq(docId, change.actor, change.seq)
        .some((held) => !equal(held, change.hash)),
    );
    if (!twice) return null;
    this.#store.evidence.add(space.id, "two-changes", bytes);
    return "its author has written two different things at one place";
  }

  /** @returns the change chunks that are new here */
  #journal(
    space: Space,
    entry: Entry,
    pos: number,
    verdict: Extract<Verdict, { type: "good" }>,
  ): readonly Uint8Array[] {
    const { documents, changes } = this.#store;
    const { docId } = entry;
    documents.add({
      doc: docId,
      space: space.id,
      origin: verdict.origin === null ? null : originBytes(verdict.origin),
      kind: equal(docId, space.indexId) ? "index" : "note",
    });
    for (const head of verdict.heads) {
      const newest = verdict.changes.find((change) => equal(change.hash, head.hash));
      if (newest === undefined) continue;
      documents.addHead(docId, {
        actor: newest.actor,
        seq: head.seq,
        hash: head.hash,
        nonce: head.actorNonce,
        dev: head.devPub,
        sig: head.signature,
      });
    }
    const refused = (hash: Uint8Array): boolean => this.#store.refused.has(docId, hash);
    this.#listener.builtUpon(docId, verdict.changes.flatMap(({ deps }) => deps).filter(refused));
    const added = changes.insert(
      verdict.changes
        .filter(({ hash }) => !refused(hash))
        .map((change) =>
          // Ours, where this device had lost it.
          this.#rowOf(space, docId, pos, change, documents.actor(docId, change.actor) !== null),
        ),
    );
    // Those we had before (our own, sent again by another hand) are at the relay now too.
    const hashes = verdict.changes.map((change) => change.hash);
    changes.setPosition(docId, hashes, pos);
    // Nobody has read what stands behind their own entry: such a word is of a log that the relay has lost since.
    if (verdict.frontier.pos < pos) {
      this.#listener.frontier(space, entry.devPub, verdict.frontier, entry.bytes);
    }
    this.#noteAwaited(docId, verdict.changes);
    const isNew = new Set(added.map(toHex));
    const fresh = verdict.changes.filter((change) => isNew.has(toHex(change.hash)));
    const waiting = this.#listener.judge(docId, fresh);
    return fresh.filter(({ hash }) => !waiting.has(toHex(hash))).map(({ bytes }) => bytes);
  }

  #rowOf(
    { id }: Space,
    doc: Uint8Array,
    pos: number,
    { hash, actor, seq, deps, bytes, operations, signer }: Arrived,
    local: boolean,
  ): NewChange {
    const at = this.#clock.now();
    const opCount = operations;
    return { doc, hash, actor, seq, deps, bytes, opCount, space: id, pos, signer, local, at };
  }

  /** What these changes depend on and has not come, and what of that they are. */
  #noteAwaited(docId: Uint8Array, come: readonly Change[]): void {
    const { changes, missingChanges } = this.#store;
    const here = new Set(come.map(({ hash }) => toHex(hash)));
    const outside = new Map(
      come
        .flatMap(({ deps }) => deps)
        .filter(
          (dep) =>
            !here.has(toHex(dep)) &&
            !indexGeneses.has(toHex(dep)) &&
            !this.#store.refused.has(docId, dep),
        )
        .map((dep) => [toHex(dep), dep]),
    );
    missingChanges.arrived(
      docId,
      come.map(({ hash }) => hash),
    );
    missingChanges.add(docId, changes.missing(docId, [...outside.values()]));
  }

  #setAside(space: Space, entry: Entry, pos: number, reason: string): void {
    // Read again, it is the same entry.
    if (this.#store.inbox.isQuarantined(space.id, entry.entryId)) return;
    this.#store.inbox.quarantine({
      space: space.id,
      pos,
      doc: entry.docId,
      entryId: entry.entryId,
      reason,
      bytes: entry.bytes,
      signer: entry.devPub,
    });
    this.#listener.log("warning", `One change could not be applied and is kept aside: ${reason}.`);
  }
}

/** Whether a member has signed that there is a later epoch than the log has. */
function isOfLaterEpoch(space: Space, { epoch, devPub, entryId, signature }: Entry): boolean {
  return (
    epoch > space.authority.epoch &&
    space.capabilitiesOf(devPub).length > 0 &&
    space.ed.verify(devPub, entryMessage(entryId), signature)
  );
}

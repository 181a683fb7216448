/**
 * Fetching what the relay holds and this device does not: the list of a space's documents with their cards, then
 * documents, those first that somebody waits for (docs/decisions/first-contact.md).
 *
 *   first contact, or below the base ─▶ adopt the head ─▶ LIST ─▶ awaited bodies ─▶ PULL_DOC, one after another
 *
 * What is missing stands in the store and nowhere else, so a process that ends loses nothing but the answer it waited
 * for. What arrives is taken in in slices: typing goes first.
 */
import type { Store } from "#crdt-store/store.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { entryKinds, parseEntry, type Entry } from "#relay/protocol/entry.ts";
import { maxMessageBytes } from "#relay/protocol/limits.ts";
import { refusalClass } from "#relay/protocol/errors.ts";
import type { Listed, Message } from "#relay/protocol/messages.ts";
import { openCard } from "./cards.ts";
import { unknownAuthor } from "./intake.ts";
import { isKept, loadKeep } from "./keep.ts";
import type { Clock, Timers } from "./ports.ts";
import type { LogItem, Receiver, Twin } from "./receiver.ts";
import type { ReadSnapshot } from "./snapshot-reader.ts";
import type { Space } from "./space.ts";
import type { Card } from "#client/crypto/card.ts";

export interface FetcherPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly receiver: Receiver;
  /** Opens a snapshot's entry that stands at `pos`. */
  readonly readSnapshot: (
    space: Space,
    handle: number,
    entry: Entry,
    pos: number,
  ) => Promise<ReadSnapshot>;
  /** Asks the relay; parts are what comes before the answer. */
  readonly ask: (
    message: Message,
    reply: (message: Message | null) => void,
    part?: (message: Message) => void,
  ) => void;
  /** Bytes of an answer were taken in. */
  readonly credit: (message: Message) => void;
  /** A space of which nothing was read is on the way to its log: another list will have to be read. */
  readonly inFirstContact: () => boolean;
  /** Runs what a timer sets in motion, as the connection's own messages are run. */
  readonly attempt: (act: () => void) => void;
}

export interface FetcherListener {
  /** In the transaction that journals changes of this document. */
  journalled(space: Space, docId: Uint8Array, isNews: boolean): void;
  changes(space: Space, docId: Uint8Array, changes: readonly Uint8Array[]): void;
  /** A list said this of a note that is not here; in a transaction. */
  listed(space: Space, docId: Uint8Array, card: Card): void;
  /** More or less is missing than before. */
  moved(): void;
  members(space: Space): void;
  /** What was fetched claims a place that this device wrote at. */
  twin(space: Space, twin: Twin): void;
  log(level: "info" | "warning" | "error", text: string): void;
}

/** One PULL_DOC and what came of it that is not taken in yet. */
interface Pull {
  readonly docId: Uint8Array;
  readonly items: LogItem[];
  /** How it ended; undefined while it goes on. */
  end: Message | null | undefined;
  /** The control log was fetched since: who is unknown now stays unknown. */
  secondChance: boolean;
  asking: boolean;
  /** The snapshot in front of the items, once it was opened. */
  read: ReadSnapshot | null;
  /** Ids in hex of snapshots that are not what they should be. */
  readonly spoilt: Set<string>;
  /** What it stands for cannot be had on this connection. */
  isPutOff: boolean;
  /** Reads the whole log for the document: a snapshot was spoilt. */
  readonly isThorough: boolean;
  /** The first position that the log has not reached here: from there on it comes by itself. */
  ahead: number;
}

interface Run {
  readonly space: Space;
  readonly handle: number;
  /** Documents to be fetched, the most urgent first; null when that has to be asked anew. */
  queue: Uint8Array[] | null;
  readonly pulls: Map<string, Pull>;
  /** What was asked for on this connection and did not come. */
  readonly failed: Set<string>;
  /** The relay's list of the space is being read; not where it would not give one on this connection. */
  isListing: boolean;
}

const mostPulls = 16;
/** A slice of taking in, one commit, ends after so long: a person who types waits for one at most. */
const sliceMs = 24;
const againMs = 2_000;

export class Fetcher {
  readonly #ports: FetcherPorts;
  readonly #listener: FetcherListener;
  readonly #store: Store;
  readonly #runs = new Map<string, Run>();
  /** Documents somebody waits for, by their hex. */
  readonly #wanted = new Map<string, Uint8Array>();
  #cancelSlice: (() => void) | null = null;
  #paused = false;
  #total = 0;

  constructor(ports: FetcherPorts, listener: FetcherListener) {
    this.#ports = ports;
    this.#listener = listener;
    this.#store = ports.store;
  }

  /** The space's log is being read, under this handle. */
  opened(space: Space, handle: number): void {
    const run: Run = {
      space,
      handle,
      queue: null,
      pulls: new Map(),
      failed: new Set<string>(),
      isListing: this.#store.awaited.listing(space.id) !== null,
    };
    this.#runs.set(space.hex, run);
    if (run.isListing) this.#list(run);
    else this.#pump();
  }

  /** The handle is not good any more; nothing asked under it is answered. */
  closed(space: Space): void {
    const wasListing = this.#runs.get(space.hex)?.isListing ?? false;
    this.#runs.delete(space.hex);
    if (wasListing) this.#pump();
  }

  disconnected(): void {
    this.#runs.clear();
    this.#cancelSlice?.();
    this.#cancelSlice = null;
  }

  /** What is missing of a space, or wanted of it, is not what it was. */
  moved(space: Space): void {
    const run = this.#runs.get(space.hex);
    if (run !== undefined) run.queue = null;
    this.#pump();
  }

  /** A space is on the way to its log no more: whoever waited for its list goes on. */
  waitNoMore(): void {
    this.#pump();
  }

  /** Somebody waits for a document: it goes first. */
  want(space: Space, docId: Uint8Array): void {
    this.#wanted.set(toHex(docId), docId);
    this.#runs.get(space.hex)?.failed.delete(toHex(docId));
    this.moved(space);
  }

  /** Whether a document was asked for on this connection, and has not been taken in whole. */
  isPulling(space: Space, docId: Uint8Array): boolean {
    return this.#runs.get(space.hex)?.pulls.has(toHex(docId)) ?? false;
  }

  /** Nothing more is to be fetched on this connection. */
  get idle(): boolean {
    return [...this.#runs.values()].every(
      (run) => !run.isListing && run.pulls.size === 0 && this.#queueOf(run).length === 0,
    );
  }

  /** Whether everything of a space that this device keeps is here, as far as the relay's list goes. */
  hasAll(space: Space): boolean {
    const run = this.#runs.get(space.hex);
    if (run === undefined) return false;
    const isListed = this.#store.awaited.listing(space.id) === null;
    return isListed && run.pulls.size === 0 && this.#queueOf(run).length === 0;
  }

  /** Documents fetched since there last was nothing to fetch, of so many; null when there is nothing. */
  get progress(): { readonly done: number; readonly total: number } | null {
    const left = [...this.#runs.values()].reduce(
      (sum, run) => sum + this.#queueOf(run).length + run.pulls.size,
      0,
    );
    if (left === 0) this.#total = 0;
    this.#total = Math.max(this.#total, left);
    return left === 0 ? null : { done: this.#total - left, total: this.#total };
  }

  #isCurrent(run: Run): boolean {
    return this.#runs.get(run.space.hex) === run;
  }

  // ── the list ──────────────────────────────────────────────────────────────────────────────────

  #list(run: Run): void {
    const { awaited } = this.#store;
    const listing = awaited.listing(run.space.id);
    if (listing === null) return;
    const afterDocId = listing.after ?? new Uint8Array(16);
    this.#ports.ask({ type: "list", handle: run.handle, afterDocId }, (reply) => {
      if (!this.#isCurrent(run) || reply === null) return;
      if (reply.type === "listed") {
        this.#ports.credit(reply);
        this.#takeInList(run, reply);
        run.isListing = reply.more;
        if (reply.more) this.#list(run);
        else this.moved(run.space);
        this.#listener.moved();
      } else if (isForNow(reply)) this.#later(reply, () => this.#list(run));
      else {
        run.isListing = false;
        this.#pump();
      }
    });
  }

  #takeInList(run: Run, { documents, more }: Listed): void {
    const { space } = run;
    const { awaited, changes, trash, cards, tails } = this.#store;
    const heldUpTo = awaited.listing(space.id)?.heldUpTo ?? 0;
    this.#store.transaction(() => {
      for (const { docId, lastPos, dropPos, card, ...counted } of documents) {
        const tail = {
          entries: counted.tailEntries,
          bytes: counted.tailBytes,
          snapshotBytes: counted.snapshotSize,
        };
        if (trash.isPurged(docId) || dropPos === lastPos) continue;
        const opened = card.length === 0 ? null : openCard(space, docId, card);
        tails.set({ doc: docId, space: space.id, ...tail });
        if (opened !== null) cards.keeps(docId, opened.pos);
        if (lastPos <= heldUpTo) continue;
        awaited.add({ doc: docId, space: space.id, pos: lastPos, entryId: null, listed: true });
        if (opened !== null && !changes.knows(docId)) {
          this.#listener.listed(space, docId, opened.card);
        }
      }
      awaited.listed(space.id, more ? (documents.at(-1)?.docId ?? null) : null);
    });
  }

  // ── documents ─────────────────────────────────────────────────────────────────────────────────

  /** What is to be fetched of a space and is not being fetched. */
  #queueOf(run: Run): Uint8Array[] {
    run.queue ??= this.#findQueue(run);
    return run.queue;
  }

  #findQueue({ space, pulls, failed }: Run): Uint8Array[] {
    const { awaited, changes } = this.#store;
    const now = this.#ports.clock.now();
    const keep = loadKeep(this.#store, space.id);
    const found = awaited.documents(space.id, space.indexId).filter((doc) => {
      const key = toHex(doc);
      if (pulls.has(key) || failed.has(key)) return false;
      const isHere = equal(doc, space.indexId) || changes.knows(doc);
      return isHere || this.#wanted.has(key) || isKept(this.#store, keep, doc, now);
    });
    const isWanted = (doc: Uint8Array): boolean => this.#wanted.has(toHex(doc));
    return [...found.filter(isWanted), ...found.filter((doc) => !isWanted(doc))];
  }

  #pump(): void {
    if (this.#paused) return;
    for (const run of this.#runs.values()) {
      const queue = this.#queueOf(run);
      for (let [docId] = queue; docId !== undefined; [docId] = queue) {
        if (!this.#wanted.has(toHex(docId)) && !this.#isNext(run, docId)) break;
        queue.shift();
        this.#pull(run, docId);
      }
    }
    this.#listener.moved();
  }

  /**
   * What nobody waits for comes in this order: the lists of all spaces, which a person looks at first; the indices, since
   * that of the vault names more spaces; the notes, many at once.
   */
  #isNext({ space }: Run, docId: Uint8Array): boolean {
    const runs = [...this.#runs.values()];
    if (runs.some(({ isListing }) => isListing) || this.#ports.inFirstContact()) return false;
    if (this.#pullsUnderWay() >= mostPulls) return false;
    return equal(docId, space.indexId) || !runs.some((run) => this.#lacksIndex(run));
  }

  /** The index is not here as far as it could be had on this connection. */
  #lacksIndex(run: Run): boolean {
    const { indexId } = run.space;
    // Behind what is wanted it stands first.
    const first = this.#queueOf(run).find((docId) => !this.#wanted.has(toHex(docId)));
    return run.pulls.has(toHex(indexId)) || (first !== undefined && equal(first, indexId));
  }

  #pullsUnderWay(): number {
    return [...this.#runs.values()].reduce((sum, { pulls }) => sum + pulls.size, 0);
  }

  #pull(run: Run, docId: Uint8Array): void {
    const { handle } = run;
    const after = this.#heldUpTo(docId);
    const message = { type: "pullDocument" as const, handle, docId, after, byteBudget: 0 };
    this.#ask(run, newPull(docId, false, new Set()), message);
  }

  /** What a spoilt snapshot stands for is still in the log, for as long as the relay keeps it. */
  #pullThoroughly(run: Run, { docId, spoilt }: Pull): void {
    const upTo = run.space.cursor.pos;
    const message = { type: "pull" as const, handle: run.handle, after: 0, upTo };
    this.#ask(run, newPull(docId, true, spoilt), message);
  }

  #ask(run: Run, pull: Pull, message: Message): void {
    run.pulls.set(toHex(pull.docId), pull);
    this.#ports.ask(
      message,
      (reply) => {
        pull.end = reply;
        if (this.#isCurrent(run)) this.#sliceSoon();
      },
      (part) => {
        this.#ports.credit(part);
        if (part.type !== "data" || !this.#isCurrent(run)) return;
        const { items } = part;
        pull.items.push(...(pull.isThorough ? items.filter((item) => isOf(item, pull)) : items));
        this.#sliceSoon();
      },
    );
  }

  /** Everything of a document at or below this position is here, as far as the log was seen. */
  #heldUpTo(docId: Uint8Array): number {
    const missing = this.#store.awaited.of(docId);
    const [first] = missing;
    return first === undefined || missing.some(({ listed }) => listed) ? 0 : first.pos - 1;
  }

  // ── taking in ─────────────────────────────────────────────────────────────────────────────────

  #sliceSoon(): void {
    this.#cancelSlice ??= this.#ports.timers.after(0, () => {
      this.#cancelSlice = null;
      this.#ports.attempt(() => this.#slice());
    });
  }

  #slice(): void {
    const { clock } = this.#ports;
    const until = clock.now() + sliceMs;
    const fresh: { space: Space; docId: Uint8Array; changes: readonly Uint8Array[] }[] = [];
    const strangers: { run: Run; pull: Pull }[] = [];
    const ready = [...this.#runs.values()].flatMap((run) =>
      [...run.pulls.values()].map((pull) => ({ run, pull })),
    );
    ready.sort((a, b) => Number(this.#isWanted(b.pull)) - Number(this.#isWanted(a.pull)));
    this.#store.transaction(() => {
      for (const { run, pull } of ready) {
        if (pull.asking) continue;
        const isNews = this.#store.changes.knows(pull.docId);
        const taken = this.#takeIn(run, pull, until);
        // What stays in its snapshot has no rows.
        const isBegun = !isNews && this.#store.changes.knows(pull.docId);
        if (taken.changes.length > 0 || isBegun) {
          this.#listener.journalled(run.space, pull.docId, isNews);
          fresh.push({ space: run.space, docId: pull.docId, changes: taken.changes });
        }
        if (taken.stranger) strangers.push({ run, pull });
        if (clock.now() >= until) break;
      }
    });
    for (const { space, docId, changes } of fresh) this.#listener.changes(space, docId, changes);
    for (const { run, pull } of strangers) this.#meet(run, pull);
    for (const { run, pull } of ready) this.#finish(run, pull);
    if (ready.some(({ pull }) => !pull.asking && pull.items.length > 0)) this.#sliceSoon();
    this.#pump();
  }

  #isWanted({ docId }: Pull): boolean {
    return this.#wanted.has(toHex(docId));
  }

  #takeIn(
    run: Run,
    pull: Pull,
    until: number,
  ): { readonly changes: readonly Uint8Array[]; readonly stranger: boolean } {
    const { space } = run;
    const changes: Uint8Array[] = [];
    const { pos: readUpTo } = space.cursor;
    while (pull.items.length > 0 && this.#ports.clock.now() < until) {
      const [item] = pull.items;
      if (item === undefined) break;
      const snapshot = snapshotIn(item, pull);
      if (item.pos > readUpTo) pull.ahead = Math.min(pull.ahead, item.pos);
      else if (snapshot !== null) {
        if (pull.read === null) this.#read(run, pull, snapshot, item.pos);
        if (pull.read === null) break;
        const taken = this.#takeInSnapshot(run, pull, snapshot, item.pos, pull.read);
        if (taken === "unknown-author") return { changes, stranger: true };
        changes.push(...taken);
      } else {
        const taken = this.#ports.receiver.takeInBody(space, pull.docId, item, pull.secondChance);
        if (taken === "unknown-author") return { changes, stranger: true };
        if ("type" in taken) {
          // Not in the transaction this is in: the connection is given up for it.
          this.#ports.timers.after(0, () => this.#listener.twin(space, taken));
          break;
        }
        changes.push(...taken);
      }
      pull.items.shift();
    }
    return { changes, stranger: false };
  }

  #read(run: Run, pull: Pull, entry: Entry, pos: number): void {
    const { readSnapshot, attempt } = this.#ports;
    pull.asking = true;
    const opened = (read: ReadSnapshot): void => {
      if (!this.#isCurrent(run)) return;
      pull.asking = false;
      pull.read = read;
      this.#sliceSoon();
    };
    readSnapshot(run.space, run.handle, entry, pos)
      .then(opened)
      .catch((error: unknown) =>
        attempt(() => {
          throw error;
        }),
      );
  }

  #takeInSnapshot(
    run: Run,
    pull: Pull,
    entry: Entry,
    pos: number,
    read: ReadSnapshot,
  ): readonly Uint8Array[] | "unknown-author" {
    const { receiver } = this.#ports;
    pull.read = null;
    switch (read.type) {
      case "read":
        return receiver.takeInSnapshot(run.space, pull.docId, pos, read);
      case "later":
        // Without its snapshot nothing of the document is complete.
        pull.items.length = 0;
        pull.isPutOff = true;
        return [];
      case "unknown-author":
        if (!pull.secondChance) return read.type;
        this.#spoil(run, pull, entry, pos, unknownAuthor);
        return [];
      case "bad":
        this.#spoil(run, pull, entry, pos, read.why);
        return [];
    }
  }

  #spoil(run: Run, pull: Pull, entry: Entry, pos: number, why: string): void {
    this.#ports.receiver.setAside(run.space, entry, pos, why);
    pull.spoilt.add(toHex(entry.entryId));
  }

  /** Its author is certified by now, or a newer key is there: the control log is asked once. */
  #meet(run: Run, pull: Pull): void {
    const { space } = run;
    pull.asking = true;
    const question = {
      type: "controlGet" as const,
      spaceId: space.id,
      fromSeq: space.confirmedSeq + 1,
    };
    this.#ports.ask(question, (reply) => {
      if (!this.#isCurrent(run) || reply === null) return;
      if (reply.type === "controlData") {
        this.#ports.receiver.absorb(space, reply.records, reply.certificates);
        this.#listener.members(space);
        this.moved(space);
      }
      pull.asking = false;
      pull.secondChance = true;
      this.#sliceSoon();
    });
  }

  #finish(run: Run, pull: Pull): void {
    const { end, docId } = pull;
    if (end === undefined || end === null || pull.items.length > 0 || pull.asking) return;
    const key = toHex(docId);
    run.pulls.delete(key);
    if (pull.isPutOff) this.#missing(run, key);
    else if (end.type === "caughtUp" && pull.spoilt.size > 0 && !pull.isThorough) {
      this.#pullThoroughly(run, pull);
    } else if (end.type === "caughtUp") {
      // What was not sent up to here is covered by what was, or gone.
      this.#store.awaited.arrivedUpTo(docId, Math.min(end.head, pull.ahead - 1));
      this.#wanted.delete(key);
      if (!this.#store.awaited.has(docId)) return;
      // More of it has come meanwhile; a relay that lists what it does not send is not asked in circles.
      if (end.head > 0 && this.#store.awaited.of(docId).some(({ listed }) => !listed)) {
        run.queue = null;
      } else this.#missing(run, key);
    } else if (isForNow(end)) {
      run.queue = null;
      this.#later(end, () => this.#pump());
    } else this.#missing(run, key);
  }

  #missing(run: Run, key: string): void {
    run.failed.add(key);
    this.#listener.log(
      "warning",
      "The relay lists a note that it did not send. It is asked for again with the next connection.",
    );
  }

  /** The relay asked to slow down. */
  #later(refusal: Message, act: () => void): void {
    this.#paused = true;
    const wait = refusal.type === "error" ? Math.max(refusal.retryAfterMs, againMs / 10) : againMs;
    this.#ports.timers.after(wait, () => {
      this.#paused = false;
      this.#ports.attempt(act);
    });
  }
}

function isForNow(message: Message): boolean {
  return message.type === "error" && refusalClass(message.code) === "retry";
}

function newPull(docId: Uint8Array, isThorough: boolean, spoilt: Set<string>): Pull {
  return {
    docId,
    items: [],
    end: undefined,
    secondChance: false,
    asking: false,
    read: null,
    spoilt,
    isPutOff: false,
    isThorough,
    ahead: Infinity,
  };
}

/** An item of this document that was not found spoilt. */
function isOf(item: LogItem, { docId, spoilt }: Pull): boolean {
  if (item.kind !== "entry") return false;
  const entry = parseEntry(item.bytes, maxMessageBytes);
  return entry.ok && equal(entry.value.docId, docId) && !spoilt.has(toHex(entry.value.entryId));
}

function snapshotIn(item: LogItem, { docId }: Pull): Entry | null {
  const entry = item.kind === "entry" ? parseEntry(item.bytes, maxMessageBytes) : null;
  const isOne = entry?.ok === true && entry.value.kind === entryKinds.snapshot;
  return isOne && equal(entry.value.docId, docId) ? entry.value : null;
}

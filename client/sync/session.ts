/**
 * Drives the pure machine of every space over one connection to a relay: performs what state.ts decides,
 * and tells the device what happened.
 */
import type { SealedEntry } from "#crdt-store/outbox.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { indexOfCapability, roleOf } from "#relay/protocol/authority.ts";
import { parseControl, roles } from "#relay/protocol/control.ts";
import { chainNext, chainTag } from "#relay/protocol/domain.ts";
import { refusalClass, refusals } from "#relay/protocol/errors.ts";
import { maxMessageBytes, maxPushEntries } from "#relay/protocol/limits.ts";
import { encodeMessage, type Message } from "#relay/protocol/messages.ts";
import type { Card } from "#client/crypto/card.ts";
import { Acknowledged } from "./acknowledged.ts";
import { uploadBlob, type BlobPorts } from "./blobs.ts";
import { CardMaker } from "./cards.ts";
import { CoverWatch } from "./cover-watch.ts";
import { Fetcher } from "./fetcher.ts";
import type { VouchedChange } from "./intake.ts";
import { loadLastAck, saveLastAck } from "./last-ack.ts";
import { SessionMeasures } from "./measures.ts";
import { nextBatch, sealWaiting } from "./outgoing.ts";
import { PresenceExchange, type CursorContent } from "./presence-exchange.ts";
import type { Peer } from "./presence.ts";
import { PutBack, recordsToPush, type ToldHead } from "./put-back.ts";
import { readsFirst } from "./reads-first.ts";
import { Receiver, type LogItem, type Twin } from "./receiver.ts";
import { refusalWords } from "./refusal-words.ts";
import { RelayLink, type Admission, type LinkPorts } from "./relay-link.ts";
import type { DisplacedRecord, Space } from "./space.ts";
import { readSnapshot, type SnapshotReaderPorts } from "./snapshot-reader.ts";
import { storedBytes } from "./stored-bytes.ts";
import {
  offlineSpace,
  stepSpace,
  type SpaceEffect,
  type SpaceEvent,
  type SpaceState,
} from "./state.ts";
import { Wanted } from "./wanted.ts";
import { isRightLostAgain } from "./withdrawn.ts";
import { Witness, type Doubt } from "./witness.ts";

export type SessionPorts = LinkPorts & Pick<SnapshotReaderPorts, "openDocument">;

export interface SessionListener {
  /** Connected, disconnected, acknowledged, caught up: anything a status line may tell. */
  progress(): void;
  /**
   * In the transaction that journals changes of this document: what must be kept together with them.
   *
   * @param isNews they were written just now, as far as this device can tell
   */
  journalled(space: Space, docId: Uint8Array, isNews: boolean): void;
  /**
   * In the transaction that journals them: what others made is judged by what it would cost to apply.
   *
   * @returns hashes in hex of those that wait until they were tried
   */
  judge(docId: Uint8Array, changes: readonly VouchedChange[]): ReadonlySet<string>;
  /** Change chunks that are new here, already journalled. */
  changes(space: Space, docId: Uint8Array, changes: readonly Uint8Array[]): void;
  /** In a transaction: what the relay's list says of a note that is not here. */
  listed(space: Space, docId: Uint8Array, card: Card): void;
  /** More or less is missing here than before. */
  fetching(): void;
  /** Members, roles or keys of a space are not what they were. */
  members(space: Space): void;
  presence(space: Space): void;
  ended(space: Space): void;
  /** An administrator's rotation has a key for us that is not the one it commits to. */
  miskeyed(space: Space): void;
  /** Records of ours that others overtook: to be written anew on top of the log. */
  displaced(space: Space, records: readonly DisplacedRecord[]): void;
  /** Packs are marked to become rows again: the relay may have lost some of them. */
  unpack(): void;
  /** Changes of a document that were set aside are what others built upon; in the transaction that takes those in. */
  builtUpon(docId: Uint8Array, hashes: readonly Uint8Array[]): void;
  /** A relay that lost its log does not take back a JOIN whose link has expired since: an administrator has to vouch for it. */
  unvouched(space: Space): void;
  /** A copy of this store is at work beside it: nothing more of the space is taken in before that is seen to. */
  twin(space: Space, twin: Twin): void;
  /** The relay has shown others another log of the space: told once of each. */
  forked(space: Space): void;
  /** A relay lacks what a document came with, which only a snapshot can bring. False if nothing can be done. */
  lostPast(space: Space, doc: Uint8Array): boolean;
  /** What a relay had lost is there again. @param changes how many of them this device gave back */
  madeGood(changes: number): void;
  log(level: "info" | "warning" | "error", text: string): void;
}

/** A request could not be answered: no connection, or it broke before the answer. */
export class Unanswered extends Error {}

interface SpaceRun {
  readonly space: Space;
  readonly presence: PresenceExchange;
  readonly witness: Witness;
  readonly wanted: Wanted;
  state: SpaceState;
  handle: number | null;
  /** Where the relay says that its log stands, as it refused or took the last subscription. */
  told: ToldHead;
  /** Received, not taken in: the control log is on its way. */
  held: LogItem[];
  /** Up to here unknown authors have had their second chance. */
  judgedAgainUpTo: number;
  /** While stuck: cancels the next try. */
  retryDue: (() => void) | null;
  /** Tries since the space was last caught up. */
  retries: number;
  /** A snapshot's blob is on its way. */
  uploading: boolean;
  /** Since when the log does not have this person any more, without a word that they were removed; null while it does. */
  outSince: number | null;
  /** Cancels the end of their access. */
  doubtDue: (() => void) | null;
}

const nothingTold: ToldHead = { head: 0, chain: new Uint8Array(32) };
/** DATA taken in before the relay is told to send more. */
const creditEveryBytes = 1 << 20;
/** What one PUSH may weigh, below the message limit with room for its frame. */
const mostPushBytes = maxMessageBytes - (64 << 10);
/** How long a relay is called inconsistent after it was last found to be. */
const inconsistentMs = 86_400_000;
/** After a refusal that will pass, the next try. */
const pushAgainMs = 5_000;
/** So long an administrator has to let in again whom a relay's loss has put out. */
const letInAgainMs = 60_000;
/** A stuck space is tried again after so long, each time twice as long, at most every five minutes. */
const firstStuckMs = 10_000;
const longestStuckMs = 300_000;

export class SyncSession {
  readonly #ports: SessionPorts;
  readonly #listener: SessionListener;
  readonly #link: RelayLink;
  readonly #receiver: Receiver;
  readonly #acks: Acknowledged;
  readonly #putBack: PutBack;
  readonly #measures: SessionMeasures;
  readonly #fetcher: Fetcher;
  readonly #cards: CardMaker;
  readonly #covers: CoverWatch;
  readonly #runs = new Map<string, SpaceRun>();
  readonly #runByHandle = new Map<number, SpaceRun>();
  readonly #presenceSession: Uint8Array;
  /** Spaces of which something passed by that is not here. */
  readonly #leftOut = new Set<Space>();
  /** Spaces, in hex, whose control log this connection has told from its first record to its last. */
  readonly #placesTold = new Set<string>();
  #uncredited = 0;
  #lastAckAt: number | null;
  #refusedCode: number | null = null;
  /** Shown to the others in beats. */
  displayName = "";

  constructor(url: string, ports: SessionPorts, listener: SessionListener) {
    this.#ports = ports;
    this.#listener = listener;
    this.#presenceSession = ports.random(8);
    this.#measures = new SessionMeasures(ports);
    this.#lastAckAt = loadLastAck(ports.store, url);
    this.#link = new RelayLink(url, ports, {
      connected: () => {
        this.#measures.connected();
        this.#toAll({ type: "connected" });
      },
      disconnected: () => this.#disconnected(),
      unasked: (message, size) => this.#unasked(message, size),
      moved: () => listener.progress(),
      log: (level, text) => listener.log(level, text),
    });
    this.#acks = new Acknowledged(ports.store);
    this.#putBack = new PutBack(ports, {
      isCaughtUp: (space) => this.isCaughtUp(space),
      poke: (space) => this.poke(space),
      unpack: () => listener.unpack(),
      lostPast: (space, doc) => listener.lostPast(space, doc),
      madeGood: (changes) => listener.madeGood(changes),
    });
    this.#receiver = new Receiver(ports.store, ports.clock, {
      acknowledged: () => this.#acknowledged(),
      displaced: (space, records) => listener.displaced(space, records),
      leftOut: (space) => this.#leftOut.add(space),
      builtUpon: (docId, hashes) => listener.builtUpon(docId, hashes),
      judge: (docId, changes) => listener.judge(docId, changes),
      frontier: (space, devPub, frontier, words) =>
        this.#runs.get(space.hex)?.witness.heard(devPub, frontier, words),
      snapshotPassed: (...passed) => this.#covers.passed(...passed),
      log: (level, text) => listener.log(level, text),
    });
    this.#fetcher = new Fetcher(
      {
        store: ports.store,
        clock: ports.clock,
        timers: ports.timers,
        receiver: this.#receiver,
        readSnapshot: (...entry) => readSnapshot({ ...ports, ...this.#blobPorts() }, ...entry),
        ask: (message, reply, part) => this.#link.ask(message, reply, part),
        credit: (message) => this.#credit(encodeMessage(0, message).length),
        attempt: (act) => this.#link.attempt(act),
      },
      { ...listener, moved: () => listener.fetching() },
    );
    this.#covers = new CoverWatch({
      ...ports,
      poke: (space) => this.poke(space),
      log: (level, text) => listener.log(level, text),
    });
    this.#cards = new CardMaker({
      store: ports.store,
      clock: ports.clock,
      timers: ports.timers,
      random: ports.random,
      quiet: (hex) => this.#quietSpace(hex),
      ask: (message, reply) => this.#link.ask(message, reply),
      sent: () => listener.progress(),
    });
  }

  get url(): string {
    return this.#link.url;
  }

  get connected(): boolean {
    return this.#link.connected;
  }

  /** Tried at least once since the last connection and not succeeded. */
  get failing(): boolean {
    return this.#link.failing;
  }

  /** Why the last attempt failed, in words, null when it did not. */
  get lastFailure(): string | null {
    return this.#link.lastFailure;
  }

  get lastAckAt(): number | null {
    return this.#lastAckAt;
  }

  /** Wire code of the last refused push, null once a push has gone through. */
  get refusedCode(): number | null {
    return this.#link.accessRefusal ?? this.#refusedCode;
  }

  /** Everything there is has been taken in and everything here has been acknowledged. */
  get upToDate(): boolean {
    if (!this.connected || !this.#fetcher.idle) return false;
    return [...this.#runs.values()].every(
      ({ state, space }) =>
        state.phase === "ended" ||
        state.phase === "closed" ||
        (state.phase === "live" &&
          state.caughtUp &&
          !state.holding &&
          !state.pushing &&
          !this.#putBack.isOpen(space) &&
          (!space.maySend || !this.#ports.store.outbox.isBusy(space.id))),
    );
  }

  /** What is being fetched that was not here; null when nothing is. */
  get fetching(): { readonly done: number; readonly total: number } | null {
    return this.#fetcher.progress;
  }

  /** Somebody waits for a document that is not here: it goes first. */
  want(space: Space, docId: Uint8Array): void {
    this.#fetcher.want(space, docId);
  }

  /** More or less of a space is to be held here than before. */
  keepMoved(space: Space): void {
    this.#fetcher.moved(space);
  }

  /** Sends the cards that are due without waiting for a pause; whether there were none. */
  sendCards(): boolean {
    return this.#cards.sendAll();
  }

  /** Spaces that cannot go on in this connection. */
  get stuck(): readonly Space[] {
    return [...this.#runs.values()].flatMap(({ state, space }) =>
      state.phase === "stuck" ? [space] : [],
    );
  }

  /** Whether the relay was found to show others another log within the last day. */
  get inconsistent(): boolean {
    const at = this.#ports.store.evidence.lastAt("fork");
    return at !== null && this.#ports.clock.now() - at < inconsistentMs;
  }

  /** Of the spaces of which others have more than the relay gives to this device. */
  get doubts(): readonly { readonly space: Space; readonly doubt: Doubt }[] {
    return [...this.#runs.values()].flatMap(({ space, witness }) => {
      const { doubt } = witness;
      return doubt === null ? [] : [{ space, doubt }];
    });
  }

  /** The relay this connection reached; null without one. */
  get relayPub(): Uint8Array | null {
    return this.#link.relayPub;
  }

  /** Whether the relay can list all spaces to which there is access: soon, or not before something changes. */
  get listing(): "ready" | "soon" | "not-now" {
    if (this.stuck.length > 0 || this.#link.idle) return "not-now";
    const runs = [...this.#runs.values()].filter(({ state }) => state.phase !== "ended");
    return this.connected && runs.every(({ handle }) => handle !== null) ? "ready" : "soon";
  }

  /** What the relay holds of the spaces, in bytes; null if it did not list them all. */
  storedBytes(): Promise<number | null> {
    const handles = [...this.#runs.values()].flatMap(({ handle }) => handle ?? []);
    return storedBytes(handles, {
      ask: (message) =>
        new Promise((resolve) => {
          if (this.connected) this.#link.ask(message, resolve);
          else resolve(null);
        }),
      credit: (bytes) => this.#credit(bytes),
    });
  }

  get isOpenToAll(): boolean {
    return this.#link.isOpenToAll;
  }

  /** Redeems an invitation, or (null) shows a key that has come since; then goes on with what was refused. */
  authenticate(token: Uint8Array | null): Promise<Admission> {
    return new Promise((resolve) => {
      this.#link.authenticate(token, (admission) => {
        if (admission === "admitted") {
          this.#refusedCode = null;
          this.#toAll({ type: "retry" });
          this.#listener.progress();
        }
        resolve(admission);
      });
    });
  }

  start(): void {
    for (const { space } of this.#runs.values()) this.#covers.resume(space);
    this.#link.happened({ type: "start" });
  }

  stop(): void {
    for (const run of this.#runs.values()) {
      run.presence.leave();
      run.witness.stop();
      run.wanted.stop();
      run.doubtDue?.();
    }
    this.#putBack.stop();
    this.#covers.stop();
    this.#link.happened({ type: "stop" });
  }

  setOnline(online: boolean): void {
    this.#link.happened({ type: "network", online });
  }

  setVisible(visible: boolean): void {
    this.#link.happened({ type: "visible", visible });
  }

  /** Synchronises a space from now on. Adding it again is harmless. */
  add(space: Space): void {
    if (this.#runs.has(space.hex)) return;
    const run: SpaceRun = {
      space,
      presence: this.#exchange(space),
      witness: this.#witnessOf(space),
      wanted: this.#wantedOf(space),
      state: offlineSpace,
      handle: null,
      told: nothingTold,
      held: [],
      judgedAgainUpTo: 0,
      retryDue: null,
      retries: 0,
      uploading: false,
      outSince: null,
      doubtDue: null,
    };
    this.#runs.set(space.hex, run);
    this.#covers.resume(space);
    if (this.connected) this.#link.attempt(() => this.#spaceEvent(run, { type: "connected" }));
  }

  /** Synchronises a space no longer. */
  remove(space: Space): void {
    const run = this.#runs.get(space.hex);
    if (run === undefined) return;
    run.presence.leave();
    run.presence.close();
    this.#unsubscribe(run);
    run.retryDue?.();
    run.doubtDue?.();
    this.#runs.delete(space.hex);
  }

  /** Everything there is of this space has been taken in. */
  isCurrent(space: Space): boolean {
    return this.isCaughtUp(space) && this.#fetcher.hasAll(space);
  }

  /** Access to this space is another than before: begins with it anew, also where it had ended. */
  restart(space: Space): void {
    const run = this.#runs.get(space.hex);
    if (run === undefined) return;
    this.#unsubscribe(run);
    run.held = [];
    run.state = offlineSpace;
    if (this.connected) this.#link.attempt(() => this.#spaceEvent(run, { type: "connected" }));
  }

  /** Changes or control records of this space wait to be sent. */
  poke(space: Space): void {
    const run = this.#runs.get(space.hex);
    if (run === undefined || !this.connected) return;
    this.#link.attempt(() => {
      if (this.#work(run).controlQueued) this.#spaceEvent(run, { type: "control-queued" });
      this.#spaceEvent(run, { type: "changes-waiting" });
      this.#uploadSnapshots(run);
    });
  }

  /** The space's cursor was set back: what follows it is asked for again. */
  readAgain(space: Space): void {
    const run = this.#runs.get(space.hex);
    if (run === undefined || !this.connected) return;
    run.held = [];
    this.#unsubscribe(run);
    this.#link.attempt(() => this.#spaceEvent(run, { type: "cursor-moved" }));
  }

  /**
   * Seals what waits in the caller's transaction, if it would be sent at once: an edit then costs one
   * flush of the disk before it leaves, not two.
   */
  sealAhead(space: Space): void {
    const run = this.#runs.get(space.hex);
    if (run?.state.phase !== "live" || run.state.pushing || !space.maySend) return;
    const { store, random } = this.#ports;
    sealWaiting(store, space, random, this.#link.limits.entryBytes, maxPushEntries);
  }

  /** One question outside the spaces' own path (joining, restoring). Rejects with {@link Unanswered}. */
  request(message: Message): Promise<Message> {
    return new Promise((resolve, reject) => {
      if (!this.connected) {
        reject(new Unanswered(this.lastFailure ?? "not connected"));
        return;
      }
      this.#link.ask(message, (reply) => {
        if (reply === null) reject(new Unanswered("the connection broke"));
        else {
          // Such questions begin with the first record.
          const isWhole = reply.type === "controlData" && !reply.more;
          if (isWhole && message.type === "controlGet")
            this.#placesTold.add(toHex(message.spaceId));
          resolve(reply);
        }
      });
    });
  }

  peers(space: Space): readonly Peer[] {
    return this.#runs.get(space.hex)?.presence.peers() ?? [];
  }

  presentName(space: Space, devPub: Uint8Array): string | null {
    return this.#runs.get(space.hex)?.presence.nameOf(devPub) ?? null;
  }

  /** Tells the others where a caret of this device stands, and whoever arrives later. Best effort. */
  tellCursor(space: Space, session: Uint8Array, content: CursorContent): void {
    this.#runs.get(space.hex)?.presence.tellCursor(session, content);
  }

  #exchange(space: Space): PresenceExchange {
    const { ed, clock, timers, random } = this.#ports;
    const run = (): SpaceRun | undefined => this.#runs.get(space.hex);
    return new PresenceExchange(
      space,
      {
        ed,
        clock,
        timers,
        random,
        session: this.#presenceSession,
        displayName: () => this.displayName,
        say: (docs) => ({
          digests: run()?.witness.digests([space.indexId, ...docs]) ?? [],
          wanted: run()?.wanted.hashes() ?? [],
        }),
      },
      {
        send: (sealed) => {
          const handle = run()?.handle ?? null;
          if (handle !== null) this.#link.tell({ type: "presence", handle, sealed });
        },
        changed: () => this.#listener.presence(space),
        beat: (devPub, beat, bytes) => {
          const { witness, wanted } = run() ?? {};
          witness?.heard(devPub, beat.frontier, bytes);
          witness?.compare(beat.frontier, beat.digests);
          wanted?.asked(beat.wanted);
          this.#listener.progress();
        },
        stranger: () => this.#meetStranger(space),
      },
    );
  }

  #witnessOf(space: Space): Witness {
    return new Witness(space, this.#ports, {
      isCaughtUp: () => this.isCaughtUp(space),
      forked: () => this.#listener.forked(space),
      fellShort: () =>
        this.#listener.log(
          "warning",
          "The relay shows less of a notebook than another device of yours had read there. What is missing comes back when a device that has it is online.",
        ),
      doubtChanged: () => this.#doubtChanged(space),
    });
  }

  #wantedOf(space: Space): Wanted {
    return new Wanted(space, this.#ports, {
      ask: () => this.#runs.get(space.hex)?.presence.frontierMoved(),
      poke: () => this.poke(space),
    });
  }

  #doubtChanged(space: Space): void {
    const doubt = this.#runs.get(space.hex)?.witness.doubt ?? null;
    this.#listener.log(
      doubt === null ? "info" : "warning",
      doubt === null
        ? "What others have of a notebook has come."
        : "Others have newer changes of a notebook than the relay gives to this device.",
    );
    this.#listener.progress();
  }

  /** Somebody has joined whose certificate is not here yet: fetch it, then ask who is here. */
  #meetStranger(space: Space): void {
    const question = {
      type: "controlGet" as const,
      spaceId: space.id,
      fromSeq: space.confirmedSeq + 1,
    };
    this.#link.ask(question, (reply) => {
      if (reply?.type !== "controlData" || reply.more) return;
      this.#receiver.absorb(space, reply.records, reply.certificates);
      this.#listener.members(space);
      const run = this.#runs.get(space.hex);
      if (run?.state.subscribed === true) run.presence.open();
    });
  }

  // ── what comes unasked ────────────────────────────────────────────────────────────────────────

  #toAll(event: SpaceEvent): void {
    for (const run of this.#runs.values()) this.#spaceEvent(run, event);
  }

  #disconnected(): void {
    this.#measures.disconnected();
    this.#runByHandle.clear();
    this.#fetcher.disconnected();
    this.#cards.stop();
    for (const run of this.#runs.values()) run.uploading = false;
    this.#uncredited = 0;
    this.#placesTold.clear();
    this.#toAll({ type: "disconnected" });
  }

  #unasked(message: Message, size: number): void {
    switch (message.type) {
      case "data": {
        const run = this.#runByHandle.get(message.handle);
        this.#credit(size);
        if (run === undefined) return;
        run.held.push(...message.items);
        this.#takeIn(run);
        return;
      }
      case "caughtUp": {
        this.#cards.moved();
        const run = this.#runByHandle.get(message.handle);
        if (run === undefined) return;
        const { pos, chain } = run.space.cursor;
        const fits = pos === message.head && equal(chain, message.chain);
        // What is held here is judged when it is taken in.
        this.#spaceEvent(run, { type: fits || run.held.length > 0 ? "caught-up" : "log-broken" });
        if (readsFirst(this.#ports.store)) this.poke(run.space);
        return;
      }
      case "rekey": {
        const run = this.#runByHandle.get(message.handle);
        if (run === undefined) return;
        this.#runByHandle.delete(message.handle);
        run.handle = null;
        this.#fetcher.closed(run.space);
        this.#spaceEvent(run, { type: "rekeyed" });
        return;
      }
      case "presence":
        this.#runByHandle.get(message.handle)?.presence.receive(message.sealed);
        return;
      case "error":
        this.#listener.log(
          "warning",
          `The relay refused something: ${refusalWords(message.code)}.`,
        );
        return;
      default:
        return; // answers to questions of an earlier connection, and pongs: heard is enough
    }
  }

  /** In the transaction that takes it in. */
  #acknowledged(): void {
    const { store, clock } = this.#ports;
    this.#lastAckAt = clock.now();
    saveLastAck(store, this.url, this.#lastAckAt);
  }

  #credit(size: number): void {
    this.#uncredited += size;
    if (this.#uncredited < Math.min(creditEveryBytes, this.#link.limits.windowBytes / 4)) return;
    this.#link.tell({ type: "credit", bytes: this.#uncredited });
    this.#uncredited = 0;
  }

  // ── one space ─────────────────────────────────────────────────────────────────────────────────

  #work(run: SpaceRun): Parameters<typeof stepSpace>[2] {
    const { spaces, outbox, inbox } = this.#ports.store;
    return {
      controlQueued: spaces.hasUnconfirmedControl(run.space.id),
      certificateQueued: spaces.hasUnpushedCertificate(run.space.id),
      certificatesFirst: this.#putBack.isOpen(run.space) && isBlockedByCertificates(run.space),
      givingBack: this.#putBack.isOpen(run.space),
      changesWaiting: outbox.hasWork(run.space.id),
      mayWrite:
        run.space.maySend &&
        (run.state.caughtUp || !readsFirst(this.#ports.store)) &&
        !isRightLostAgain(this.#ports.store, run.space.authority),
      logHeld: run.space.records.length > 0,
      firstContact: inbox.cursor(run.space.id) === null,
      placesTold: this.#placesTold.has(run.space.hex),
    };
  }

  #spaceEvent(run: SpaceRun, event: SpaceEvent): void {
    // An answer that comes after the space was removed.
    if (this.#runs.get(run.space.hex) !== run) return;
    if (event.type === "disconnected") {
      run.handle = null;
      run.held = [];
      run.presence.close();
    }
    const step = stepSpace(run.state, event, this.#work(run));
    run.state = step.state;
    this.#retryWhileStuck(run);
    for (const effect of step.effects) this.#spaceEffect(run, effect);
    if (event.type === "subscribed" && run.state.subscribed) {
      run.presence.open();
      this.#uploadSnapshots(run);
    }
    this.#putBack.look(run.space);
    run.witness.look();
    if (run.state.caughtUp) this.#measures.pullEnded(run.space.hex);
    this.#measures.progressed(() => this.upToDate);
    this.#listener.progress();
  }

  #retryWhileStuck(run: SpaceRun): void {
    const { chance, timers } = this.#ports;
    if (run.state.caughtUp) run.retries = 0;
    if (run.state.phase !== "stuck" && run.state.phase !== "closed") {
      run.retryDue?.();
      run.retryDue = null;
    } else if (run.retryDue === null) {
      const ceiling = Math.min(longestStuckMs, firstStuckMs * 2 ** Math.min(run.retries, 10));
      run.retries += 1;
      run.retryDue = timers.after(Math.floor(ceiling * (0.5 + chance() / 2)), () => {
        run.retryDue = null;
        this.#link.attempt(() => this.#spaceEvent(run, { type: "retry" }));
      });
    }
  }

  #spaceEffect(run: SpaceRun, effect: SpaceEffect): void {
    switch (effect.type) {
      case "push-control":
        this.#pushControl(run);
        break;
      case "drop-control": {
        const dropped = run.space.dropUnconfirmed();
        this.#listener.log(
          "error",
          `The relay refused a change of access (${refusalWords(effect.status)}). ${dropped.length} were taken back.`,
        );
        this.#listener.members(run.space);
        break;
      }
      case "put-certificate":
        this.#putCertificate(run);
        break;
      case "get-control":
        // From the newest that both have, to see whether they still agree on that.
        this.#getControl(run, effect.whole === true ? 1 : Math.max(1, run.space.confirmedSeq));
        break;
      case "subscribe":
        this.#subscribe(run);
        break;
      case "step-back":
        this.#acks.forget(run.space.id);
        run.witness.forget();
        this.#putBack.stepBack(run.space, run.told);
        this.#hearNoMore(run);
        break;
      case "hear-no-more":
        this.#hearNoMore(run);
        break;
      case "adopt-head":
        this.#adoptHead(run);
        break;
      case "put-back":
        this.#acks.forget(run.space.id);
        run.witness.forget();
        this.#putBack.wiped(run.space);
        break;
      case "resume-intake":
        run.judgedAgainUpTo = run.held.at(-1)?.pos ?? 0;
        this.#takeIn(run);
        break;
      case "push":
        this.#push(run);
        break;
      case "report-ended":
        this.#listener.ended(run.space);
        break;
    }
  }

  #pushControl(run: SpaceRun): void {
    const { space } = run;
    const { start, waiting } = space.unconfirmed;
    const unpushed = this.#putBack.isOpen(space) ? space.unpushedCertificates() : [];
    const records = recordsToPush(start, waiting, unpushed).map(({ bytes }) => bytes);
    this.#link.ask({ type: "controlPush", genesis: space.genesis, records }, (reply) => {
      if (reply?.type !== "controlAck") {
        if (reply === null) return;
        this.#accessAnswered(errorCode(reply));
        const status = errorCode(reply);
        this.#spaceEvent(run, { type: "control-acked", status, told: false });
        return;
      }
      this.#receiver.absorb(space, reply.records, []);
      if (reply.status === 0 && start.ctrlSeq === 0) this.#placesTold.add(space.hex);
      const isUnvouched = reply.status === refusals.LINK_SPENT.code && this.#putBack.isOpen(space);
      if (isUnvouched) this.#listener.unvouched(space);
      this.#listener.members(space);
      this.#accessAnswered(reply.status);
      const told = reply.records.length > 0;
      this.#spaceEvent(run, { type: "control-acked", status: reply.status, told });
    });
  }

  /** A new space is refused to whom the relay has not invited: a person has to know. */
  #accessAnswered(status: number): void {
    const { code } = refusals.AUTH_REQUIRED;
    if (status === code) this.#refusedCode = code;
    else if (status === 0 && this.#refusedCode === code) this.#refusedCode = null;
  }

  #putCertificate(run: SpaceRun): void {
    const { store } = this.#ports;
    const { start, waiting: records } = run.space.unconfirmed;
    // Whom a record lets in that waits, too, the relay does not know yet: what ends others' rights may stand before it.
    const isKnown = (cap: Uint8Array): boolean =>
      records.length === 0 || indexOfCapability(start, cap) !== null;
    const waiting = store.spaces
      .certificates(run.space.id)
      .filter(({ pushed, cap }) => !pushed && isKnown(cap));
    const [first] = waiting;
    if (first === undefined) {
      this.#spaceEvent(run, { type: "certificate-acked", status: 0 });
      return;
    }
    this.#link.ask({ type: "certPut", certificate: first.bytes }, (reply) => {
      if (reply === null) return;
      const status = reply.type === "certAck" ? reply.status : errorCode(reply);
      // What a capability may not certify any more, somebody else's or a former one of ours, is not to be insisted on.
      const inUse = run.space.capability?.sign.publicKey;
      const isOurs = inUse !== undefined && equal(first.cap, inUse);
      // Of one whose record is on its way the relay will know.
      const isAwaited =
        status === refusals.NOT_A_WRITER.code &&
        roleOf(run.space.authority, first.cap) > roles.none;
      const isOwn = isOurs && equal(first.dev, run.space.device.publicKey);
      const isGivenUp = status !== 0 && !isOwn && !isAwaited;
      if (status === 0 || (isGivenUp && refusalClass(status) !== "retry")) {
        store.spaces.markCertificatePushed(run.space.id, first.dev, first.cap);
        if (waiting.length > 1) {
          this.#putCertificate(run);
          return;
        }
        this.#spaceEvent(run, { type: "certificate-acked", status: 0 });
        return;
      }
      this.#spaceEvent(run, { type: "certificate-acked", status });
    });
  }

  /** @param isWhole from the first record on, to be compared with what is held here */
  #getControl(run: SpaceRun, fromSeq: number, isWhole = fromSeq === 1): void {
    const { space } = run;
    this.#link.ask({ type: "controlGet", spaceId: space.id, fromSeq }, (reply) => {
      if (reply === null) return;
      if (reply.type !== "controlData") {
        const isLost = errorCode(reply) === refusals.NO_SPACE.code;
        // What was deleted long ago has been forgotten there, and is not brought back by who was only away.
        const isOver = isLost && space.authority.deleted;
        this.#spaceEvent(
          run,
          isLost
            ? { type: "control-received", found: isOver, keyed: !isOver }
            : { type: "control-refused" },
        );
        return;
      }
      const { confirmedSeq } = space;
      const told = reply.records.flatMap(({ bytes }) => {
        const parsed = parseControl(bytes);
        return parsed.ok ? [parsed.value.record.ctrlSeq] : [];
      });
      this.#receiver.absorb(space, reply.records, reply.certificates);
      const end = told.at(-1) ?? fromSeq - 1;
      const next = (isWhole ? end : space.confirmedSeq) + 1;
      if (reply.more && next > fromSeq) {
        this.#getControl(run, next, isWhole);
        return;
      }
      if (!isWhole && fromSeq === confirmedSeq && !space.agreesAt(fromSeq, reply.records)) {
        // Its log is shorter, or another: read from the beginning it tells which.
        this.#getControl(run, 1);
        return;
      }
      if (isWhole) this.#placesTold.add(space.hex);
      if (isWhole && end < space.confirmedSeq) this.#putBack.controlLost(space, end);
      this.#listener.members(space);
      this.#doubtAccess(run);
      this.#spaceEvent(run, this.#accessIn(run));
    });
  }

  /** What the control log of a space, read to its end, means for this device. */
  #accessIn({ space, outSince }: SpaceRun): SpaceEvent {
    const { isMiskeyed, authority, role } = space;
    if (isMiskeyed) {
      this.#listener.miskeyed(space);
      return { type: "control-refused" };
    }
    if (authority.deleted && role !== roles.none) return { type: "control-closed" };
    // Whoever ended their own access knows the key, having made it.
    const mayComeBack = outSince !== null && this.#ports.clock.now() - outSince < letInAgainMs;
    // Without a key there is nothing to read meanwhile.
    if (mayComeBack && space.readToken === null) return { type: "control-refused" };
    return { type: "control-received", found: true, keyed: role !== roles.none || mayComeBack };
  }

  #subscribe(run: SpaceRun): void {
    const { space } = run;
    const token = space.readToken;
    if (token === null) {
      this.#spaceEvent(run, { type: "subscribed", status: refusals.NO_SPACE.code });
      return;
    }
    const { pos, chain } = space.cursor;
    // What stands behind the cursor may be another log than was read there before.
    run.judgedAgainUpTo = 0;
    const isFirst = this.#work(run).firstContact;
    const wanted = {
      spaceId: space.id,
      readToken: token,
      // Beyond any head: the relay answers where its log stands, and sends nothing.
      cursor: isFirst ? Number.MAX_SAFE_INTEGER : pos,
      chainTag: chainTag(chain),
      ctrlSeq: space.authority.ctrlSeq,
      mode: "live" as const,
    };
    this.#measures.pullBegan(space.hex);
    this.#link.ask({ type: "subscribe", spaces: [wanted] }, (reply) => {
      if (reply === null) return;
      const result = reply.type === "subscribed" ? reply.results[0] : undefined;
      const status = result?.status ?? errorCode(reply);
      run.told = result ?? nothingTold;
      if (result !== undefined && status === 0) {
        run.handle = result.handle;
        this.#runByHandle.set(result.handle, run);
        this.#judgeHead(run, result);
        this.#fetcher.opened(space, result.handle);
      }
      this.#spaceEvent(run, { type: "subscribed", status });
    });
  }

  /** The relay's log goes on from our cursor. Whether it is all that we know of is another matter. */
  #judgeHead(
    { space }: SpaceRun,
    result: { readonly head: number; readonly ctrlSeq: number },
  ): void {
    if (this.#acks.isBeyond(space.id, result.head)) {
      this.#acks.forget(space.id);
      this.#putBack.lied(space);
    } else this.#putBack.subscribed(space);
    // A relay put back to an older state lacks records that it once had: they go there again.
    if (result.ctrlSeq < space.confirmedSeq) space.unconfirmAfter(result.ctrlSeq);
    // A record made between our asking for them and our adopting the head stands below the cursor: it never comes by itself.
    else if (result.ctrlSeq > space.confirmedSeq) this.#meetStranger(space);
  }

  /** Everything there is of this space has been seen here. */
  isCaughtUp(space: Space): boolean {
    const state = this.#runs.get(space.hex)?.state;
    return this.connected && state?.phase === "live" && state.caughtUp && !state.holding;
  }

  /** What the connection still brings of the space is passed over. */
  #hearNoMore(run: SpaceRun): void {
    run.held = [];
    this.#unsubscribe(run);
  }

  /**
   * Reading begins at the head that the relay showed. Where entries lie below it that are not held here, its list tells
   * of which documents.
   */
  #adoptHead({ space, told }: SpaceRun): void {
    const { inbox, awaited } = this.#ports.store;
    this.#ports.store.transaction(() => {
      const heldUpTo = inbox.cursor(space.id)?.pos ?? 0;
      // A log of nothing but records has no documents.
      if (told.head > space.confirmedSeq) awaited.beginListing(space.id, heldUpTo);
      inbox.rewind(space.id, told.head, told.chain);
    });
  }

  /** The space, if it is being read here and nothing waits to be sent in it. */
  #quietSpace(hex: string): Space | null {
    const run = this.#runs.get(hex);
    if (run?.state.phase !== "live" || !run.state.caughtUp || run.state.pushing) return null;
    return this.#ports.store.outbox.depth(run.space.id) === 0 ? run.space : null;
  }

  /** The blobs of snapshots go before their entries, one after another. */
  #uploadSnapshots(run: SpaceRun): void {
    const { space } = run;
    const { store, timers } = this.#ports;
    const [next] = store.outgoingSnapshots.toUpload(space.id);
    if (next?.blob == null || run.uploading || run.handle === null || !space.mayWrite) return;
    run.uploading = true;
    const { doc, content } = next;
    const name = { blobId: next.blob.id, key: next.blob.key, size: content.length };
    void uploadBlob(this.#blobPorts(), space, doc, name, content).then((status) =>
      this.#link.attempt(() => {
        run.uploading = false;
        if (status === null) return;
        if (status === 0) {
          store.outgoingSnapshots.uploaded(doc);
          this.poke(space);
        } else if (refusalClass(status) === "final" && next.changes.length === 0) {
          store.outgoingSnapshots.remove(doc);
        } else timers.after(pushAgainMs, () => this.#uploadSnapshots(run));
      }),
    );
  }

  #blobPorts(): BlobPorts {
    return {
      store: this.#ports.store,
      ask: (message) => new Promise((resolve) => this.#link.ask(message, resolve)),
      stream: (message, parts, part) =>
        new Promise((resolve) => {
          let left = parts;
          this.#link.ask(message, resolve, (come) => {
            this.#credit(encodeMessage(0, come).length);
            part(come);
            left -= 1;
            if (left === 0) resolve(null);
            return left === 0;
          });
        }),
    };
  }

  #unsubscribe(run: SpaceRun): void {
    this.#fetcher.closed(run.space);
    if (run.handle === null) return;
    this.#runByHandle.delete(run.handle);
    this.#link.tell({ type: "unsubscribe", handles: [run.handle] });
    run.handle = null;
  }

  #push(run: SpaceRun): void {
    const { store, random } = this.#ports;
    const { space } = run;
    const seal = (): void =>
      sealWaiting(store, space, random, this.#link.limits.entryBytes, maxPushEntries);
    const next = () => nextBatch(store, space, maxPushEntries, mostPushBytes);
    seal();
    let { batch, tookBack } = next();
    if (batch.length === 0 && tookBack) {
      seal();
      ({ batch, tookBack } = next());
    }
    if (batch.length === 0) {
      this.#spaceEvent(run, { type: "push-acked", staleEpoch: false, refused: true });
      return;
    }
    const answered = this.#measures.pushBegan();
    this.#link.ask({ type: "push", entries: batch.map((row) => row.bytes) }, (reply) => {
      if (reply === null) return;
      answered();
      if (reply.type === "error") this.#pushRefused(run, reply.code, reply.retryAfterMs);
      else if (reply.type !== "pushAck") this.#pushRefused(run, errorCode(reply), 0);
      else this.#pushAnswered(run, batch, reply.results);
    });
  }

  #pushAnswered(
    run: SpaceRun,
    batch: readonly SealedEntry[],
    results: readonly { readonly status: number; readonly pos: number; readonly lastCtr: number }[],
  ): void {
    const { store } = this.#ports;
    const { space } = run;
    let staleEpoch = false;
    let isTwin = false;
    let refused: number | null = null;
    store.transaction(() => {
      for (const [ix, row] of batch.entries()) {
        const result = results[ix];
        if (result === undefined) continue;
        if (result.status === 0) {
          this.#measures.acknowledged(row);
          store.outbox.acknowledge(space.id, row.entryId, result.pos);
          this.#acks.add(space.id, result.pos, row.entryId);
          this.#acknowledged();
        } else if (
          result.status === refusals.STALE_EPOCH.code ||
          result.status === refusals.NOT_A_WRITER.code
        ) {
          this.#measures.refused(result.status);
          // A relay that was put back may lack the certificate: nothing in its log tells.
          if (result.status === refusals.NOT_A_WRITER.code) {
            store.spaces.unpushCertificatesOf(space.id, space.device.publicKey);
          }
          store.outbox.unseal(space.id, row.entryId);
          staleEpoch = true;
        } else if (result.status === refusals.CTR_REPLAY.code) {
          this.#measures.refused(result.status);
          if (result.lastCtr > store.outbox.lastCounter(space.id)) isTwin = true;
          store.outbox.raiseCounter(space.id, result.lastCtr);
          store.outbox.unseal(space.id, row.entryId);
        } else if (row.hashes.length === 0 && refusalClass(result.status) !== "retry") {
          // A snapshot that the relay does not want is no loss.
          store.outbox.unseal(space.id, row.entryId);
          store.outgoingSnapshots.remove(row.doc);
        } else refused = result.status;
      }
      store.metrics.saveAlong();
    });
    this.#cards.moved();
    if (isTwin) this.#listener.twin(space, { type: "twin", collision: null });
    if (refused === null) {
      this.#refusedCode = null;
      this.#spaceEvent(run, { type: "push-acked", staleEpoch, refused: false });
    } else this.#pushRefused(run, refused, 0);
  }

  #pushRefused(run: SpaceRun, code: number, retryAfterMs: number): void {
    this.#measures.refused(code);
    // Being asked to slow down is no state a person needs to know: it is still sending.
    if (code !== refusals.RATE.code) {
      this.#refusedCode = code;
      this.#listener.log(
        "warning",
        `The relay did not take an entry: ${refusalWords(code)}. It is kept here.`,
      );
    }
    this.#spaceEvent(run, { type: "push-acked", staleEpoch: false, refused: true });
    if (refusalClass(code) === "retry") {
      this.#ports.timers.after(retryAfterMs > 0 ? retryAfterMs : pushAgainMs, () =>
        this.poke(run.space),
      );
    }
  }

  // ── what the relay sends ──────────────────────────────────────────────────────────────────────

  /** Takes in what is held, in order, one transaction for all of it; then tells. */
  #takeIn(run: SpaceRun): void {
    if (run.state.holding) return;
    const items = run.held;
    run.held = [];
    const fresh = new Map<string, { docId: Uint8Array; changes: Uint8Array[] }>();
    let trouble: SpaceEvent | null = null;
    let membersChanged = false;
    let twin: Twin | null = null;
    this.#ports.store.transaction(() => {
      for (const [ix, item] of items.entries()) {
        const cursor = run.space.cursor;
        if (item.pos <= cursor.pos) continue;
        const secondChance = item.pos <= run.judgedAgainUpTo;
        const outcome =
          item.pos === cursor.pos + 1
            ? this.#receiver.takeIn(run.space, item, secondChance)
            : "broken";
        if (outcome === "broken") {
          trouble = { type: "log-broken" };
          return;
        }
        if (outcome === "withheld") {
          run.held = [];
          trouble = { type: "epoch-withheld" };
          return;
        }
        if (outcome === "unknown-author") {
          run.held = items.slice(ix);
          trouble = { type: "author-unknown" };
          return;
        }
        if ("type" in outcome) {
          twin = outcome;
          return;
        }
        if (outcome.control) membersChanged = true;
        if (outcome.changes.length > 0) {
          const key = toHex(outcome.docId);
          const known = fresh.get(key) ?? { docId: outcome.docId, changes: [] };
          if (!fresh.has(key)) this.#listener.journalled(run.space, outcome.docId, true);
          known.changes.push(...outcome.changes);
          fresh.set(key, known);
        }
        if (!this.#acks.agrees(run.space.id, item.pos, outcome.entryId)) {
          // Ours was acknowledged for this place: from here on nothing that was said of the log counts.
          this.#acks.forget(run.space.id);
          this.#putBack.lied(run.space);
          this.#hearNoMore(run);
          trouble = { type: "cursor-moved" };
          return;
        }
        this.#ports.store.inbox.advance(
          run.space.id,
          item.pos,
          chainNext(item.pos, cursor.chain, outcome.docId, outcome.entryId),
        );
      }
    });
    for (const { docId, changes } of fresh.values())
      this.#listener.changes(run.space, docId, changes);
    if (membersChanged) this.#controlTakenIn(run);
    for (const space of this.#leftOut) this.#fetcher.moved(space);
    this.#leftOut.clear();
    if (items.length > 0) {
      run.witness.advanced();
      run.wanted.takenIn();
      run.presence.frontierMoved();
    }
    if (twin !== null) this.#listener.twin(run.space, twin);
    if (trouble !== null) this.#inTrouble(run, trouble);
    else this.#listener.progress();
  }

  /**
   * A relay that lost its log may have another record where this person was let in, and no rotation says so. An administrator
   * may let them in again meanwhile; else access has ended.
   */
  #doubtAccess(run: SpaceRun): void {
    const { clock, timers } = this.#ports;
    if (!isPutOut(run.space)) {
      run.outSince = null;
      return;
    }
    run.outSince ??= clock.now();
    run.doubtDue ??= timers.after(letInAgainMs, () => {
      run.doubtDue = null;
      if (!isPutOut(run.space) || !run.state.subscribed) return;
      this.#unsubscribe(run);
      this.#link.attempt(() => this.#spaceEvent(run, { type: "rekeyed" }));
    });
  }

  #inTrouble(run: SpaceRun, trouble: SpaceEvent): void {
    if (trouble.type === "epoch-withheld") this.#unsubscribe(run);
    this.#spaceEvent(run, trouble);
  }

  /** Members, roles or keys have changed, and with them perhaps what was to be written here. */
  #controlTakenIn(run: SpaceRun): void {
    this.#listener.members(run.space);
    this.#doubtAccess(run);
    if (this.#work(run).controlQueued) this.#spaceEvent(run, { type: "control-queued" });
    this.#spaceEvent(run, { type: "changes-waiting" });
  }
}

/** Whether the log neither has this person nor says that they were removed. */
function isPutOut({ capability, authority }: Space): boolean {
  return capability !== null && indexOfCapability(authority, capability.sign.publicKey) === null;
}

/** Whether the first record that waits would end a right by which a certificate that waits, too, is given. */
function isBlockedByCertificates(space: Space): boolean {
  const { start, waiting } = space.unconfirmed;
  return (
    waiting.length > 0 && recordsToPush(start, waiting, space.unpushedCertificates()).length === 0
  );
}

function errorCode(message: Message): number {
  return message.type === "error" ? message.code : refusals.INTERNAL.code;
}

/**
 * Drives the pure machine of every space over one connection to a relay: performs what state.ts decides,
 * and tells the device what happened.
 */
import { equal } from "#relay/protocol/bytes.ts";
import { maxPushEntries } from "#relay/protocol/limits.ts";
import { encodeMessage, type Message } from "#relay/protocol/messages.ts";
import { Acknowledged } from "./acknowledged.ts";
import { type BlobPorts } from "./blobs.ts";
import { CardMaker } from "./cards.ts";
import { CoverWatch } from "./cover-watch.ts";
import { Fetcher } from "./fetcher.ts";
import { loadLastAck, saveLastAck } from "./last-ack.ts";
import { SessionMeasures } from "./measures.ts";
import { sealWaiting } from "./outgoing.ts";
import { PresenceExchange, type CursorContent } from "./presence-exchange.ts";
import type { Peer } from "./presence.ts";
import { PutBack, recordsToPush } from "./put-back.ts";
import { readsFirst } from "./reads-first.ts";
import { Receiver } from "./receiver.ts";
import { refusalWords } from "./refusal-words.ts";
import { RelayLink, type Admission } from "./relay-link.ts";
import type { Space } from "./space.ts";
import { readSnapshot } from "./snapshot-reader.ts";
import { ControlExchange } from "./control-exchange.ts";
import { LogIntake } from "./log-intake.ts";
import { Pusher } from "./pusher.ts";
import type { SessionListener, SessionPorts } from "./session-listener.ts";
import { nothingTold, type SpaceRun } from "./space-run.ts";
import { Subscriptions } from "./subscriptions.ts";
import { storedBytes } from "./stored-bytes.ts";
import { isOnTheWay, offlineSpace, stepSpace, type SpaceEffect, type SpaceEvent } from "./state.ts";
import { Wanted } from "./wanted.ts";
import { isWithheld } from "./withdrawn.ts";
import { Witness, type Doubt } from "./witness.ts";

/** A request could not be answered: no connection, or it broke before the answer. */
export class Unanswered extends Error {}

/** DATA taken in before the relay is told to send more. */
const creditEveryBytes = 1 << 20;
/** How long a relay is called inconsistent after it was last found to be. */
const inconsistentMs = 86_400_000;
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
  readonly #control: ControlExchange;
  readonly #subscriptions: Subscriptions;
  readonly #pusher: Pusher;
  readonly #intake: LogIntake;
  readonly #runs = new Map<string, SpaceRun>();
  readonly #presenceSession: Uint8Array;
  /** Spaces of which something passed by that is not here. */
  readonly #leftOut = new Set<Space>();
  #uncredited = 0;
  #lastAckAt: number | null;
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
    this.#receiver = new Receiver(ports, {
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
        inFirstContact: () => [...this.#runs.values()].some((run) => this.#isBeingMet(run)),
        attempt: (act) => this.#link.attempt(act),
      },
      { ...listener, moved: () => this.#fetched() },
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
    const core = {
      ports,
      listener,
      link: this.#link,
      receiver: this.#receiver,
      putBack: this.#putBack,
      measures: this.#measures,
      acks: this.#acks,
      event: (run: SpaceRun, event: SpaceEvent) => this.#spaceEvent(run, event),
      unsubscribe: (run: SpaceRun) => this.#subscriptions.unsubscribe(run),
      hearNoMore: (run: SpaceRun) => this.#subscriptions.hearNoMore(run),
      poke: (space: Space) => this.poke(space),
      runOf: (space: Space) => this.#runs.get(space.hex),
      fetchLeftOut: () => {
        for (const space of this.#leftOut) this.#fetcher.moved(space);
        this.#leftOut.clear();
      },
    };
    this.#pusher = new Pusher({
      ...core,
      acknowledged: () => this.#acknowledged(),
      settled: () => this.#cards.moved(),
      blobPorts: () => this.#blobPorts(),
    });
    this.#control = new ControlExchange({
      ...core,
      accessAnswered: (status) => this.#pusher.accessAnswered(status),
    });
    this.#subscriptions = new Subscriptions({
      ...core,
      fetcher: this.#fetcher,
      meetStranger: (space) => this.#control.meetStranger(space),
    });
    this.#intake = new LogIntake({
      ...core,
      doubtAccess: (run) => this.#control.doubtAccess(run),
    });
  }

  get url(): string {
    return this.#link.url;
  }

  get connected(): boolean {
    return this.#link.connected;
  }

  /** Not connected yet, and it is being tried right now. */
  get connecting(): boolean {
    return !this.connected && !this.#link.idle;
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
    return this.#link.accessRefusal ?? this.#pusher.refusedCode;
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

  /** Whether a document was asked for, and has not been taken in whole. */
  isFetching(space: Space, docId: Uint8Array): boolean {
    return this.#fetcher.isPulling(space, docId);
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

  /** Spaces to which nothing is sent until somebody who manages them, not this person, removes somebody again. */
  get withheld(): readonly Space[] {
    const { store } = this.#ports;
    return [...this.#runs.values()].flatMap(({ space }) =>
      space.maySend && space.administrator === null && isWithheld(store, space) ? [space] : [],
    );
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
          this.#pusher.admitted();
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
    this.#subscriptions.unsubscribe(run);
    run.retryDue?.();
    run.doubtDue?.();
    this.#runs.delete(space.hex);
    this.#fetcher.waitNoMore();
  }

  /** Everything there is of this space has been taken in. */
  isCurrent(space: Space): boolean {
    return this.isCaughtUp(space) && this.#fetcher.hasAll(space);
  }

  /** Access to this space is another than before: begins with it anew, also where it had ended. */
  restart(space: Space): void {
    const run = this.#runs.get(space.hex);
    if (run === undefined) return;
    this.#subscriptions.unsubscribe(run);
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
      this.#pusher.uploadSnapshots(run);
    });
  }

  /** The space's cursor was set back: what follows it is asked for again. */
  readAgain(space: Space): void {
    const run = this.#runs.get(space.hex);
    if (run === undefined || !this.connected) return;
    run.held = [];
    this.#subscriptions.unsubscribe(run);
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
          if (isWhole && message.type === "controlGet") this.#control.placesTold(message.spaceId);
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
        stranger: () => this.#control.meetStranger(space),
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

  // ── what comes unasked ────────────────────────────────────────────────────────────────────────

  #toAll(event: SpaceEvent): void {
    for (const run of this.#runs.values()) this.#spaceEvent(run, event);
  }

  #disconnected(): void {
    this.#measures.disconnected();
    this.#subscriptions.disconnected();
    this.#fetcher.disconnected();
    this.#cards.stop();
    for (const run of this.#runs.values()) run.uploading = false;
    this.#uncredited = 0;
    this.#control.disconnected();
    this.#toAll({ type: "disconnected" });
  }

  #unasked(message: Message, size: number): void {
    switch (message.type) {
      case "data": {
        const run = this.#subscriptions.runOf(message.handle);
        this.#credit(size);
        if (run === undefined) return;
        run.held.push(...message.items);
        this.#intake.takeIn(run);
        return;
      }
      case "caughtUp": {
        this.#cards.moved();
        const run = this.#subscriptions.runOf(message.handle);
        if (run === undefined) return;
        const { pos, chain } = run.space.cursor;
        const fits = pos === message.head && equal(chain, message.chain);
        // What is held here is judged when it is taken in.
        this.#spaceEvent(run, { type: fits || run.held.length > 0 ? "caught-up" : "log-broken" });
        if (readsFirst(this.#ports.store)) this.poke(run.space);
        return;
      }
      case "rekey": {
        const run = this.#subscriptions.runOf(message.handle);
        if (run === undefined) return;
        this.#subscriptions.ended(run);
        this.#spaceEvent(run, { type: "rekeyed" });
        return;
      }
      case "presence":
        this.#subscriptions.runOf(message.handle)?.presence.receive(message.sealed);
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

  /** What is missing at a relay that lost something is known once everything it has was fetched. */
  #fetched(): void {
    for (const { space } of this.#runs.values()) this.#putBack.look(space);
    this.#listener.fetching();
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
        !isWithheld(this.#ports.store, run.space),
      logHeld: run.space.records.length > 0,
      firstContact: inbox.cursor(run.space.id) === null,
      placesTold: this.#control.hasToldPlaces(run.space),
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
    const wasOnTheWay = isOnTheWay(run.state);
    run.state = step.state;
    this.#retryWhileStuck(run);
    for (const effect of step.effects) this.#spaceEffect(run, effect);
    if (wasOnTheWay && !isOnTheWay(run.state)) this.#fetcher.waitNoMore();
    if (event.type === "subscribed" && run.state.subscribed) {
      run.presence.open();
      this.#pusher.uploadSnapshots(run);
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
        this.#control.push(run);
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
        this.#control.putCertificate(run);
        break;
      case "get-control":
        // From the newest that both have, to see whether they still agree on that.
        this.#control.get(run, effect.whole === true ? 1 : Math.max(1, run.space.confirmedSeq));
        break;
      case "subscribe":
        this.#subscriptions.subscribe(run);
        break;
      case "step-back":
        this.#acks.forget(run.space.id);
        run.witness.forget();
        this.#putBack.stepBack(run.space, run.told);
        this.#subscriptions.hearNoMore(run);
        break;
      case "hear-no-more":
        this.#subscriptions.hearNoMore(run);
        break;
      case "adopt-head":
        this.#subscriptions.adoptHead(run);
        break;
      case "put-back":
        this.#acks.forget(run.space.id);
        run.witness.forget();
        this.#putBack.wiped(run.space);
        break;
      case "resume-intake":
        run.judgedAgainUpTo = run.held.at(-1)?.pos ?? 0;
        this.#intake.takeIn(run);
        break;
      case "push":
        this.#pusher.push(run);
        break;
      case "report-ended":
        this.#listener.ended(run.space);
        break;
    }
  }

  /** Everything there is of this space has been seen here. */
  isCaughtUp(space: Space): boolean {
    const state = this.#runs.get(space.hex)?.state;
    return this.connected && state?.phase === "live" && state.caughtUp && !state.holding;
  }

  /** Nothing of its log was read here yet, and it will be soon. */
  #isBeingMet({ state, space }: SpaceRun): boolean {
    return isOnTheWay(state) && this.#ports.store.inbox.cursor(space.id) === null;
  }

  /** The space, if it is being read here and nothing waits to be sent in it. */
  #quietSpace(hex: string): Space | null {
    const run = this.#runs.get(hex);
    if (run?.state.phase !== "live" || !run.state.caughtUp || run.state.pushing) return null;
    return this.#ports.store.outbox.depth(run.space.id) === 0 ? run.space : null;
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

  // ── what the relay sends ──────────────────────────────────────────────────────────────────────
}

/** Whether the first record that waits would end a right by which a certificate that waits, too, is given. */
function isBlockedByCertificates(space: Space): boolean {
  const { start, waiting } = space.unconfirmed;
  return (
    waiting.length > 0 && recordsToPush(start, waiting, space.unpushedCertificates()).length === 0
  );
}

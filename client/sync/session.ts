/**
 * Drives the pure machines over one connection to a relay: performs what state.ts and connection.ts
 * decide, journals what intake.ts believes, and tells the device what happened.
 */
import type { Store } from "#crdt-store/store.ts";
import { concat, equal, toHex } from "#relay/protocol/bytes.ts";
import { chainNext, chainStart, chainTag, inDomain } from "#relay/protocol/domain.ts";
import { parseEntry, parseStub, type Entry } from "#relay/protocol/entry.ts";
import { refusalClass, refusals } from "#relay/protocol/errors.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import { parseControl, type SignedControl } from "#relay/protocol/control.ts";
import {
  defaultLimits,
  maxMessageBytes,
  maxPresenceBytes,
  maxPushEntries,
  protocolVersion,
  type Limits,
} from "#relay/protocol/limits.ts";
import {
  encodeHelloBody,
  encodeMessage,
  encodeWelcomeBody,
  parseMessage,
  type Data,
  type Hello,
  type Message,
  type Welcome,
} from "#relay/protocol/messages.ts";
import { originBytes } from "#client/crypto/authorship.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { aeadNonceBytes } from "#client/crypto/aead.ts";
import {
  openPresence,
  parseSealedPresence,
  sealPresence,
  type PresenceContent,
} from "#client/crypto/presence-seal.ts";
import {
  connectionDeadline,
  restingConnection,
  stepConnection,
  type ConnectionEffect,
  type ConnectionEvent,
  type ConnectionState,
} from "./connection.ts";
import { judgeEntry, type Verdict } from "./intake.ts";
import { sealWaiting } from "./outgoing.ts";
import type { Clock, Dial, Random, Timers, Wire } from "./ports.ts";
import { beatEveryMs, beatGapMs, PresenceRoom, type Peer } from "./presence.ts";
import { refusalWords } from "./refusal-words.ts";
import type { Space } from "./space.ts";
import {
  offlineSpace,
  stepSpace,
  type SpaceEffect,
  type SpaceEvent,
  type SpaceState,
} from "./state.ts";

export interface SessionPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** 0 ≤ x < 1, for jitter. */
  readonly chance: () => number;
  readonly dial: Dial;
}

export interface SessionListener {
  /** Connected, disconnected, acknowledged, caught up: anything a status line may tell. */
  progress(): void;
  /** In the transaction that journals changes of this document: what must be kept together with them. */
  journalled(space: Space, docId: Uint8Array): void;
  /** Change chunks that are new here, already journalled. */
  changes(space: Space, docId: Uint8Array, changes: readonly Uint8Array[]): void;
  /** Members, roles or keys of a space are not what they were. */
  members(space: Space): void;
  presence(space: Space): void;
  ended(space: Space): void;
  /** Records of ours that others overtook: to be written anew on top of the log. */
  displaced(space: Space, records: readonly SignedControl[]): void;
  /** The relay has lost this space: give it everything back. */
  putBack(space: Space): void;
  log(level: "info" | "warning" | "error", text: string): void;
}

/** A request could not be answered: no connection, or it broke before the answer. */
export class Unanswered extends Error {}

interface SpaceRun {
  readonly space: Space;
  readonly room: PresenceRoom;
  state: SpaceState;
  handle: number | null;
  /** Received, not taken in: the control log is on its way. */
  held: Data["items"][number][];
  /** Up to here unknown authors have had their second chance. */
  judgedAgainUpTo: number;
  lastBeatAt: number;
  /** When a device without a certificate here was last heard. */
  strangerAt: number;
  beatDue: (() => void) | null;
  /** While stuck: cancels the next try. */
  retryDue: (() => void) | null;
  /** Tries since the space was last caught up. */
  retries: number;
  presenceSeq: number;
  /** Where carets of this device stand, by presence session in hex: told anew with every beat. */
  readonly cursors: Map<
    string,
    { readonly session: Uint8Array; readonly content: PresenceContent }
  >;
}

type Reply = (message: Message | null) => void;

/** DATA taken in before the relay is told to send more. */
const creditEveryBytes = 1 << 20;
/** What one PUSH may weigh, below the message limit with room for its frame. */
const mostPushBytes = maxMessageBytes - (64 << 10);
/** Unknown devices cause at most one look at the control log in this time. */
const strangerGapMs = 2_000;
/** After a refusal that will pass, the next try. */
const pushAgainMs = 5_000;
/** A stuck space is tried again after so long, each time twice as long, at most every five minutes. */
const firstStuckMs = 10_000;
const longestStuckMs = 300_000;

export class SyncSession {
  readonly url: string;
  readonly #ports: SessionPorts;
  readonly #listener: SessionListener;
  #connection: ConnectionState;
  #cancelTick: (() => void) | null = null;
  #wire: Wire | null = null;
  #hello: Hello | null = null;
  #limits: Limits = defaultLimits;
  #nextReqId = 1;
  #replies = new Map<number, Reply>();
  #runs = new Map<string, SpaceRun>();
  #runByHandle = new Map<number, SpaceRun>();
  #uncredited = 0;
  #presenceSession: Uint8Array;
  #lastAckAt: number | null = null;
  #lastFailure: string | null = null;
  #refusedCode: number | null = null;

  constructor(url: string, ports: SessionPorts, listener: SessionListener) {
    this.url = url;
    this.#ports = ports;
    this.#listener = listener;
    this.#connection = restingConnection(ports.clock.now());
    this.#presenceSession = ports.random(8);
  }

  get connected(): boolean {
    return this.#connection.phase === "open";
  }

  /** Tried at least once since the last connection and not succeeded. */
  get failing(): boolean {
    return !this.connected && this.#connection.failures > 0;
  }

  get lastAckAt(): number | null {
    return this.#lastAckAt;
  }

  /** Why the last attempt failed, in words, null when it did not. */
  get lastFailure(): string | null {
    return this.#lastFailure;
  }

  /** Wire code of the last refused push, null once a push has gone through. */
  get refusedCode(): number | null {
    return this.#refusedCode;
  }

  /** Everything there is has been taken in and everything here has been acknowledged. */
  get upToDate(): boolean {
    if (!this.connected) return false;
    return [...this.#runs.values()].every(
      ({ state, space }) =>
        state.phase === "ended" ||
        (state.phase === "live" &&
          state.caughtUp &&
          !state.holding &&
          !state.pushing &&
          (!space.mayWrite || this.#ports.store.outbox.depth(space.id) === 0)),
    );
  }

  /** Spaces that cannot go on in this connection. */
  get stuck(): readonly Space[] {
    return [...this.#runs.values()].flatMap(({ state, space }) =>
      state.phase === "stuck" ? [space] : [],
    );
  }

  start(): void {
    this.#connectionEvent({ type: "start" });
  }

  stop(): void {
    for (const run of this.#runs.values()) this.#sendPresence(run, { type: "leave" });
    this.#connectionEvent({ type: "stop" });
  }

  setOnline(online: boolean): void {
    this.#connectionEvent({ type: "network", online });
  }

  setVisible(visible: boolean): void {
    this.#connectionEvent({ type: "visible", visible });
  }

  /** Synchronises a space from now on. Adding it again is harmless. */
  add(space: Space): void {
    if (this.#runs.has(space.hex)) return;
    const run: SpaceRun = {
      space,
      room: new PresenceRoom(),
      state: offlineSpace,
      handle: null,
      held: [],
      judgedAgainUpTo: 0,
      lastBeatAt: 0,
      strangerAt: 0,
      beatDue: null,
      retryDue: null,
      retries: 0,
      presenceSeq: 0,
      cursors: new Map(),
    };
    this.#runs.set(space.hex, run);
    if (this.connected) this.#spaceEvent(run, { type: "connected" });
  }

  /** Changes or control records of this space wait to be sent. */
  poke(space: Space): void {
    const run = this.#runs.get(space.hex);
    if (run === undefined || !this.connected) return;
    if (this.#work(run).controlQueued) this.#spaceEvent(run, { type: "control-queued" });
    this.#spaceEvent(run, { type: "changes-waiting" });
  }

  /**
   * Seals what waits in the caller's transaction, if it would be sent at once: an edit then costs one
   * flush of the disk before it leaves, not two.
   */
  sealAhead(space: Space): void {
    const run = this.#runs.get(space.hex);
    if (run?.state.phase !== "live" || run.state.pushing || !space.mayWrite) return;
    const { store, random } = this.#ports;
    sealWaiting(store, space, random, this.#limits.entryBytes, maxPushEntries);
  }

  /** One question outside the spaces' own path (joining, restoring). Rejects with {@link Unanswered}. */
  request(message: Message): Promise<Message> {
    return new Promise((resolve, reject) => {
      if (!this.connected) {
        reject(new Unanswered(this.#lastFailure ?? "not connected"));
        return;
      }
      this.#send(message, (reply) => {
        if (reply === null) reject(new Unanswered("the connection broke"));
        else resolve(reply);
      });
    });
  }

  peers(space: Space): readonly Peer[] {
    return this.#runs.get(space.hex)?.room.peers() ?? [];
  }

  presentName(space: Space, devPub: Uint8Array): string | null {
    return this.#runs.get(space.hex)?.room.nameOf(devPub) ?? null;
  }

  /** @param name shown to the others in beats */
  displayName = "";

  /** Tells the others where a caret of this device stands, and whoever arrives later. Best effort. */
  tellCursor(
    space: Space,
    session: Uint8Array,
    content: Extract<PresenceContent, { type: "cursor" }>,
  ): void {
    const run = this.#runs.get(space.hex);
    if (run === undefined) return;
    const key = toHex(session);
    if (content.cursor === null && !run.cursors.delete(key)) return;
    if (content.cursor !== null) run.cursors.set(key, { session, content });
    if (run.room.anybody) this.#sendPresence(run, content, session);
  }

  // ── the connection ────────────────────────────────────────────────────────────────────────────

  #connectionEvent(event: ConnectionEvent): void {
    const { clock, chance, timers } = this.#ports;
    const step = stepConnection(this.#connection, event, clock.now(), chance());
    this.#connection = step.state;
    for (const effect of step.effects) this.#connectionEffect(effect);
    this.#cancelTick?.();
    const deadline = connectionDeadline(this.#connection);
    this.#cancelTick =
      deadline === null
        ? null
        : timers.after(Math.max(0, deadline - clock.now()), () =>
            this.#connectionEvent({ type: "tick" }),
          );
    if (step.effects.length > 0) this.#listener.progress();
  }

  #connectionEffect(effect: ConnectionEffect): void {
    switch (effect.type) {
      case "dial":
        this.#dial();
        break;
      case "greet":
        this.#greet();
        break;
      case "ping":
        this.#sendRaw(0, { type: "ping", token: this.#ports.random(8) });
        break;
      case "hang-up":
        this.#dropWire();
        break;
      case "connected":
        this.#lastFailure = null;
        for (const run of this.#runs.values()) this.#spaceEvent(run, { type: "connected" });
        break;
      case "disconnected":
        for (const run of this.#runs.values()) this.#spaceEvent(run, { type: "disconnected" });
        break;
    }
  }

  #dial(): void {
    this.#dropWire();
    let wire: Wire | null = null;
    const isCurrent = (): boolean => wire !== null && wire === this.#wire;
    wire = this.#ports.dial(this.url, {
      opened: () => {
        if (isCurrent()) this.#connectionEvent({ type: "opened" });
      },
      received: (bytes) => {
        if (isCurrent()) this.#received(bytes);
      },
      closed: () => {
        if (!isCurrent()) return;
        this.#lastFailure ??= "the relay cannot be reached";
        this.#dropWire();
        this.#connectionEvent({ type: "closed", retryAfterMs: 0 });
      },
    });
    this.#wire = wire;
  }

  #greet(): void {
    this.#hello = {
      type: "hello",
      version: protocolVersion,
      nonce: this.#ports.random(16),
      origin: this.url,
    };
    this.#send(this.#hello, (reply) => this.#welcomed(reply));
  }

  #welcomed(reply: Message | null): void {
    if (reply === null) return;
    if (reply.type !== "welcome" || !this.#isWelcomeGenuine(reply)) {
      this.#fail("what answers at this address is not a Sealeaf relay");
      return;
    }
    this.#limits = reply.limits;
    this.#pinRelay(reply);
    this.#connectionEvent({ type: "welcomed" });
  }

  #isWelcomeGenuine(welcome: Welcome): boolean {
    if (this.#hello === null || welcome.version !== protocolVersion) return false;
    const transcript = concat(encodeHelloBody(this.#hello), encodeWelcomeBody(welcome));
    return this.#ports.ed.verify(
      welcome.relayPub,
      inDomain("welcome", transcript),
      welcome.signature,
    );
  }

  /** Key and store id are remembered per address: another one is another, perhaps empty, relay. */
  #pinRelay(welcome: Welcome): void {
    const { settings } = this.#ports.store;
    const name = `relay-pin/${this.url}`;
    const pin = concat(welcome.relayPub, welcome.storeId);
    const before = settings.get(name);
    if (before !== null && equal(before, pin)) return;
    settings.put(name, pin);
    if (before !== null) {
      this.#listener.log(
        "warning",
        "The relay at this address is not the one it was. Nothing is lost: this device gives it what it lacks.",
      );
    }
  }

  #fail(why: string): void {
    this.#lastFailure = why;
    this.#listener.log("error", `Relay: ${why}.`);
    this.#dropWire();
    this.#connectionEvent({ type: "closed", retryAfterMs: 0 });
  }

  #dropWire(): void {
    const wire = this.#wire;
    this.#wire = null;
    wire?.close();
    this.#runByHandle.clear();
    this.#uncredited = 0;
    const replies = [...this.#replies.values()];
    this.#replies.clear();
    for (const reply of replies) reply(null);
  }

  #sendRaw(reqId: number, message: Message): void {
    this.#wire?.send(encodeMessage(reqId, message));
  }

  #send(message: Message, reply: Reply): void {
    const reqId = this.#nextReqId;
    this.#nextReqId = reqId === 0xffff_ffff ? 1 : reqId + 1;
    this.#replies.set(reqId, reply);
    this.#sendRaw(reqId, message);
  }

  #received(bytes: Uint8Array): void {
    this.#connectionEvent({ type: "heard" });
    const parsed = parseMessage(bytes);
    if (!parsed.ok) {
      this.#fail("what answers at this address does not speak like a Sealeaf relay");
      return;
    }
    const { reqId, message } = parsed.value;
    const reply = reqId === 0 ? undefined : this.#replies.get(reqId);
    if (reply !== undefined && message.type !== "data") {
      this.#replies.delete(reqId);
      reply(message);
      return;
    }
    this.#unasked(message, bytes.length);
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
        const run = this.#runByHandle.get(message.handle);
        if (run === undefined) return;
        const { pos, chain } = run.space.cursor;
        if (run.held.length === 0 && (pos !== message.head || !equal(chain, message.chain))) {
          this.#spaceEvent(run, { type: "log-broken" });
        } else this.#spaceEvent(run, { type: "caught-up" });
        return;
      }
      case "rekey": {
        const run = this.#runByHandle.get(message.handle);
        if (run === undefined) return;
        this.#runByHandle.delete(message.handle);
        run.handle = null;
        this.#spaceEvent(run, { type: "rekeyed" });
        return;
      }
      case "presence": {
        const run = this.#runByHandle.get(message.handle);
        if (run !== undefined) this.#receivePresence(run, message.sealed);
        return;
      }
      case "goaway":
        this.#lastFailure = refusalWords(message.code);
        this.#dropWire();
        this.#connectionEvent({ type: "closed", retryAfterMs: message.retryAfterMs });
        return;
      case "error":
        this.#listener.log(
          "warning",
          `The relay refused something: ${refusalWords(message.code)}.`,
        );
        return;
      case "ping":
        this.#sendRaw(0, { type: "pong", token: message.token });
        return;
      default:
        return; // answers to questions of an earlier connection, and pongs: heard is enough
    }
  }

  #credit(size: number): void {
    this.#uncredited += size;
    if (this.#uncredited < Math.min(creditEveryBytes, this.#limits.windowBytes / 4)) return;
    this.#sendRaw(0, { type: "credit", bytes: this.#uncredited });
    this.#uncredited = 0;
  }

  // ── one space ─────────────────────────────────────────────────────────────────────────────────

  #work(run: SpaceRun): Parameters<typeof stepSpace>[2] {
    const { spaces, outbox } = this.#ports.store;
    return {
      controlQueued: spaces.control(run.space.id).some((row) => row.pos === null),
      certificateQueued: spaces.certificates(run.space.id).some((row) => !row.pushed),
      changesWaiting: outbox.depth(run.space.id) > 0,
      mayWrite: run.space.mayWrite,
      logHeld: run.space.records.length > 0,
    };
  }

  #spaceEvent(run: SpaceRun, event: SpaceEvent): void {
    if (event.type === "disconnected") {
      run.handle = null;
      run.held = [];
      run.beatDue?.();
      run.beatDue = null;
      run.room.clear();
      this.#listener.presence(run.space);
    }
    const step = stepSpace(run.state, event, this.#work(run));
    run.state = step.state;
    this.#retryWhileStuck(run);
    for (const effect of step.effects) this.#spaceEffect(run, effect);
    if (event.type === "subscribed" && run.state.subscribed) this.#beat(run, true);
    this.#listener.progress();
  }

  #retryWhileStuck(run: SpaceRun): void {
    const { chance, timers } = this.#ports;
    if (run.state.caughtUp) run.retries = 0;
    if (run.state.phase !== "stuck") {
      run.retryDue?.();
      run.retryDue = null;
    } else if (run.retryDue === null) {
      const ceiling = Math.min(longestStuckMs, firstStuckMs * 2 ** Math.min(run.retries, 10));
      run.retries += 1;
      run.retryDue = timers.after(Math.floor(ceiling * (0.5 + chance() / 2)), () => {
        run.retryDue = null;
        this.#spaceEvent(run, { type: "retry" });
      });
    }
  }

  #spaceEffect(run: SpaceRun, effect: SpaceEffect): void {
    const { store } = this.#ports;
    switch (effect.type) {
      case "push-control":
        this.#pushControl(run);
        break;
      case "rebase-control":
        break; // the missing records came with the refusal and are taken in by #pushControl
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
        this.#getControl(run, run.space.confirmedSeq + 1);
        break;
      case "subscribe":
        this.#subscribe(run);
        break;
      case "rewind":
        store.inbox.rewind(run.space.id, 0, chainStart(run.space.id));
        run.held = [];
        this.#unsubscribe(run);
        break;
      case "put-back":
        this.#listener.putBack(run.space);
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
    const records = this.#ports.store.spaces
      .control(space.id)
      .filter((row) => row.pos === null)
      .map((row) => row.bytes);
    this.#send({ type: "controlPush", genesis: space.genesis, records }, (reply) => {
      if (reply?.type !== "controlAck") {
        if (reply !== null)
          this.#spaceEvent(run, { type: "control-acked", status: errorCode(reply) });
        return;
      }
      const { displaced } = space.absorb(reply.records, []);
      if (displaced.length > 0) this.#listener.displaced(space, displaced);
      this.#listener.members(space);
      this.#spaceEvent(run, { type: "control-acked", status: reply.status });
    });
  }

  #putCertificate(run: SpaceRun): void {
    const { store } = this.#ports;
    const waiting = store.spaces.certificates(run.space.id).filter((row) => !row.pushed);
    const [first] = waiting;
    if (first === undefined) {
      this.#spaceEvent(run, { type: "certificate-acked", status: 0 });
      return;
    }
    this.#send({ type: "certPut", certificate: first.bytes }, (reply) => {
      if (reply === null) return;
      const status = reply.type === "certAck" ? reply.status : errorCode(reply);
      if (status === 0) {
        store.spaces.markCertificatePushed(run.space.id, first.dev, first.cap);
        if (waiting.length > 1) {
          this.#putCertificate(run);
          return;
        }
      }
      this.#spaceEvent(run, { type: "certificate-acked", status });
    });
  }

  #getControl(run: SpaceRun, fromSeq: number): void {
    const { space } = run;
    this.#send({ type: "controlGet", spaceId: space.id, fromSeq }, (reply) => {
      if (reply === null) return;
      if (reply.type !== "controlData") {
        const lost = errorCode(reply) === refusals.NO_SPACE.code;
        if (lost) this.#spaceEvent(run, { type: "control-received", found: false, keyed: true });
        else this.#spaceEvent(run, { type: "disconnected" });
        return;
      }
      const { displaced } = space.absorb(reply.records, reply.certificates);
      if (displaced.length > 0) this.#listener.displaced(space, displaced);
      const next = space.confirmedSeq + 1;
      if (reply.more && next > fromSeq) {
        this.#getControl(run, next);
        return;
      }
      this.#listener.members(space);
      const keyed = space.currentKey !== null && !space.authority.deleted;
      this.#spaceEvent(run, { type: "control-received", found: true, keyed });
    });
  }

  #subscribe(run: SpaceRun): void {
    const { space } = run;
    const token = space.readToken;
    if (token === null) {
      this.#spaceEvent(run, { type: "subscribed", status: refusals.NO_SPACE.code });
      return;
    }
    const { pos, chain } = space.cursor;
    const wanted = {
      spaceId: space.id,
      readToken: token,
      cursor: pos,
      chainTag: chainTag(chain),
      ctrlSeq: space.authority.ctrlSeq,
      mode: "live" as const,
    };
    this.#send({ type: "subscribe", spaces: [wanted] }, (reply) => {
      if (reply === null) return;
      const result = reply.type === "subscribed" ? reply.results[0] : undefined;
      const status = result?.status ?? errorCode(reply);
      if (result !== undefined && status === 0) {
        run.handle = result.handle;
        this.#runByHandle.set(result.handle, run);
      }
      this.#spaceEvent(run, { type: "subscribed", status });
    });
  }

  #unsubscribe(run: SpaceRun): void {
    if (run.handle === null) return;
    this.#runByHandle.delete(run.handle);
    this.#sendRaw(0, { type: "unsubscribe", handles: [run.handle] });
    run.handle = null;
  }

  #push(run: SpaceRun): void {
    const { store, random } = this.#ports;
    const { space } = run;
    sealWaiting(store, space, random, this.#limits.entryBytes, maxPushEntries);
    const batch: { readonly entryId: Uint8Array; readonly bytes: Uint8Array }[] = [];
    let size = 0;
    for (const row of store.outbox.sealed(space.id)) {
      if (batch.length >= maxPushEntries || size + row.bytes.length > mostPushBytes) break;
      batch.push(row);
      size += row.bytes.length + 4;
    }
    if (batch.length === 0) {
      this.#spaceEvent(run, { type: "push-acked", staleEpoch: false, refused: true });
      return;
    }
    this.#send({ type: "push", entries: batch.map((row) => row.bytes) }, (reply) => {
      if (reply === null) return;
      if (reply.type === "error") this.#pushRefused(run, reply.code, reply.retryAfterMs);
      else if (reply.type !== "pushAck") this.#pushRefused(run, errorCode(reply), 0);
      else this.#pushAnswered(run, batch, reply.results);
    });
  }

  #pushAnswered(
    run: SpaceRun,
    batch: readonly { readonly entryId: Uint8Array }[],
    results: readonly { readonly status: number; readonly pos: number; readonly lastCtr: number }[],
  ): void {
    const { store, clock } = this.#ports;
    const { space } = run;
    let staleEpoch = false;
    let refused: number | null = null;
    store.transaction(() => {
      for (const [ix, row] of batch.entries()) {
        const result = results[ix];
        if (result === undefined) continue;
        if (result.status === 0) {
          store.outbox.acknowledge(space.id, row.entryId, result.pos);
          this.#lastAckAt = clock.now();
        } else if (
          result.status === refusals.STALE_EPOCH.code ||
          result.status === refusals.NOT_A_WRITER.code
        ) {
          store.outbox.unseal(space.id, row.entryId);
          staleEpoch = true;
        } else if (result.status === refusals.CTR_REPLAY.code) {
          store.outbox.raiseCounter(space.id, result.lastCtr);
          store.outbox.unseal(space.id, row.entryId);
        } else refused = result.status;
      }
    });
    if (refused === null) {
      this.#refusedCode = null;
      this.#spaceEvent(run, { type: "push-acked", staleEpoch, refused: false });
    } else this.#pushRefused(run, refused, 0);
  }

  #pushRefused(run: SpaceRun, code: number, retryAfterMs: number): void {
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
    this.#ports.store.transaction(() => {
      for (const [ix, item] of items.entries()) {
        const cursor = run.space.cursor;
        if (item.pos <= cursor.pos) continue;
        const outcome = item.pos === cursor.pos + 1 ? this.#takeInItem(run, item) : "broken";
        if (outcome === "broken") {
          trouble = { type: "log-broken" };
          return;
        }
        if (outcome === "unknown-author") {
          run.held = items.slice(ix);
          trouble = { type: "author-unknown" };
          return;
        }
        if (outcome.control) membersChanged = true;
        this.#ports.store.inbox.advance(
          run.space.id,
          item.pos,
          chainNext(item.pos, cursor.chain, outcome.docId, outcome.entryId),
        );
        if (outcome.changes.length === 0) continue;
        const key = toHex(outcome.docId);
        const known = fresh.get(key) ?? { docId: outcome.docId, changes: [] };
        if (!fresh.has(key)) this.#listener.journalled(run.space, outcome.docId);
        known.changes.push(...outcome.changes);
        fresh.set(key, known);
      }
    });
    for (const { docId, changes } of fresh.values())
      this.#listener.changes(run.space, docId, changes);
    if (membersChanged) this.#listener.members(run.space);
    if (items.length > 0 && run.room.anybody) this.#beat(run, false);
    if (trouble !== null) this.#spaceEvent(run, trouble);
    else this.#listener.progress();
  }

  #takeInItem(run: SpaceRun, item: Data["items"][number]): TakenIn | "broken" | "unknown-author" {
    const { space } = run;
    switch (item.kind) {
      case "control": {
        const parsed = parseControl(item.bytes);
        if (!parsed.ok) return "broken";
        const { displaced } = space.absorb([item], []);
        if (displaced.length > 0) this.#listener.displaced(space, displaced);
        return { docId: noDocument, entryId: parsed.value.hash, changes: [], control: true };
      }
      case "stub": {
        const parsed = parseStub(item.bytes);
        if (!parsed.ok) return "broken";
        if (this.#ports.store.outbox.acknowledge(space.id, parsed.value.entryId, item.pos)) {
          this.#lastAckAt = this.#ports.clock.now();
        }
        return { ...parsed.value, changes: [], control: false };
      }
      case "entry": {
        const parsed = parseEntry(item.bytes, maxMessageBytes);
        if (!parsed.ok) return "broken";
        return this.#takeInEntry(run, parsed.value, item.pos);
      }
    }
  }

  #takeInEntry(run: SpaceRun, entry: Entry, pos: number): TakenIn | "unknown-author" {
    const { store } = this.#ports;
    const { space } = run;
    const nothing = { docId: entry.docId, entryId: entry.entryId, changes: [], control: false };
    // Our own entry, acknowledged on a connection that broke before the answer came.
    if (equal(entry.devPub, space.device.publicKey)) {
      if (store.outbox.acknowledge(space.id, entry.entryId, pos)) return nothing;
    }
    const verdict = judgeEntry(entry, pos, space);
    switch (verdict.type) {
      case "good":
        return this.#journal(run, entry, pos, verdict);
      case "unknown-kind":
        this.#listener.log(
          "info",
          "A newer version of Sealeaf wrote something that this version cannot show. Update to see it.",
        );
        return nothing;
      case "unknown-author":
        if (pos > run.judgedAgainUpTo) return "unknown-author";
        this.#quarantine(run, entry, pos, "its author is not known here");
        return nothing;
      case "bad":
        this.#quarantine(run, entry, pos, verdict.why);
        return nothing;
    }
  }

  #journal(
    run: SpaceRun,
    entry: Entry,
    pos: number,
    verdict: Extract<Verdict, { type: "good" }>,
  ): TakenIn {
    const { store } = this.#ports;
    const { space } = run;
    const { docId, entryId } = entry;
    const nothing = { docId, entryId, changes: [], control: false };
    const document = store.documents.get(docId);
    if (document !== null && !equal(document.space, space.id)) {
      this.#quarantine(run, entry, pos, "its document belongs to another notebook");
      return nothing;
    }
    const twice = verdict.changes.some((change) => {
      const held = store.changes.byActorSeq(docId, change.actor, change.seq);
      return held.some((other) => !equal(other.hash, change.hash));
    });
    if (twice) {
      this.#quarantine(run, entry, pos, "its author has written two different things at one place");
      return nothing;
    }
    store.documents.add({
      doc: docId,
      space: space.id,
      origin: verdict.origin === null ? (document?.origin ?? null) : originBytes(verdict.origin),
      kind: equal(docId, space.indexId) ? "index" : "note",
    });
    for (const head of verdict.heads) {
      const newest = verdict.changes.findLast((change) => equal(change.hash, head.hash));
      if (newest === undefined) continue;
      store.documents.addHead(docId, {
        actor: newest.actor,
        seq: head.seq,
        hash: head.hash,
        nonce: head.actorNonce,
        dev: head.devPub,
        sig: head.signature,
      });
    }
    const isNew = new Set(
      store.changes
        .insert(
          verdict.changes.map((change) => ({
            doc: docId,
            hash: change.hash,
            actor: change.actor,
            seq: change.seq,
            deps: change.deps,
            bytes: change.bytes,
            opCount: change.operations,
            space: space.id,
            pos,
            signer: change.signer,
            local: false,
            at: this.#ports.clock.now(),
          })),
        )
        .map(toHex),
    );
    store.changes.setPosition(
      docId,
      verdict.changes.map((change) => change.hash),
      pos,
    );
    store.inbox.setFrontier(space.id, entry.devPub, verdict.frontier.pos);
    return {
      ...nothing,
      changes: verdict.changes
        .filter((change) => isNew.has(toHex(change.hash)))
        .map((change) => change.bytes),
    };
  }

  #quarantine(run: SpaceRun, entry: Entry, pos: number, reason: string): void {
    this.#ports.store.inbox.quarantine({
      space: run.space.id,
      pos,
      doc: entry.docId,
      entryId: entry.entryId,
      reason,
      bytes: entry.bytes,
      signer: entry.devPub,
    });
    this.#listener.log("warning", `One change could not be applied and is kept aside: ${reason}.`);
  }

  // ── presence ──────────────────────────────────────────────────────────────────────────────────

  #receivePresence(run: SpaceRun, bytes: Uint8Array): void {
    const { clock, ed, store } = this.#ports;
    const { space, room } = run;
    const parsed = parseSealedPresence(bytes);
    if (!parsed.ok) return;
    const key = space.keyOf(parsed.value.epoch);
    if (key === null || space.capabilitiesOf(parsed.value.devPub).length === 0) {
      this.#meetStranger(run);
      return;
    }
    const content = openPresence(ed, space.id, key, parsed.value);
    if (content === null) return;
    const changed = room.receive(parsed.value, content, clock.now());
    if (content.type === "beat") {
      if (content.frontier.pos > space.cursor.pos + 1_000_000_000) return;
      store.inbox.setFrontier(space.id, parsed.value.devPub, content.frontier.pos);
      if (content.arriving) this.#beat(run, false);
      else this.#keepBeating(run);
      this.#listener.progress();
    }
    if (changed) this.#listener.presence(space);
  }

  /** Somebody has joined whose certificate is not here yet: fetch it, then ask who is here. */
  #meetStranger(run: SpaceRun): void {
    const { clock } = this.#ports;
    const { space } = run;
    if (clock.now() - run.strangerAt < strangerGapMs) return;
    run.strangerAt = clock.now();
    this.#send(
      { type: "controlGet", spaceId: space.id, fromSeq: space.confirmedSeq + 1 },
      (reply) => {
        if (reply?.type !== "controlData" || reply.more) return;
        space.absorb(reply.records, reply.certificates);
        this.#listener.members(space);
        this.#beat(run, true);
      },
    );
  }

  /** Says "I am here, and have read to here", at most once per {@link beatGapMs}. */
  #beat(run: SpaceRun, arriving: boolean): void {
    const { clock, timers } = this.#ports;
    const wait = arriving ? 0 : run.lastBeatAt + beatGapMs - clock.now();
    if (wait > 0) {
      run.beatDue?.();
      run.beatDue = timers.after(wait, () => this.#beat(run, false));
      return;
    }
    run.beatDue?.();
    run.beatDue = null;
    run.lastBeatAt = clock.now();
    this.#sendPresence(run, {
      type: "beat",
      name: this.displayName,
      frontier: run.space.frontier,
      arriving,
    });
    for (const { session, content } of run.cursors.values())
      this.#sendPresence(run, content, session);
    this.#keepBeating(run);
  }

  #keepBeating(run: SpaceRun): void {
    if (run.beatDue !== null) return;
    const { clock, timers } = this.#ports;
    run.beatDue = timers.after(beatEveryMs, () => {
      run.beatDue = null;
      if (run.room.expire(clock.now())) this.#listener.presence(run.space);
      if (run.room.anybody) this.#beat(run, false);
    });
  }

  #sendPresence(run: SpaceRun, content: PresenceContent, session?: Uint8Array): void {
    const { ed, random } = this.#ports;
    const { space } = run;
    const key = space.currentKey;
    if (run.handle === null || key === null || space.capability === null) return;
    run.presenceSeq += 1;
    const sealed = sealPresence(
      ed,
      space.device,
      space.id,
      key.key,
      {
        epoch: key.epoch,
        devPub: space.device.publicKey,
        session: session ?? this.#presenceSession,
        seq: run.presenceSeq,
      },
      random(aeadNonceBytes),
      content,
    );
    if (sealed.length <= maxPresenceBytes)
      this.#sendRaw(0, { type: "presence", handle: run.handle, sealed });
  }
}

interface TakenIn {
  readonly docId: Uint8Array;
  readonly entryId: Uint8Array;
  readonly changes: readonly Uint8Array[];
  readonly control: boolean;
}

function errorCode(message: Message): number {
  return message.type === "error" ? message.code : refusals.INTERNAL.code;
}

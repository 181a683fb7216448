/**
 * The relay without a network: connections come in as sockets that can send and close, time, chance,
 * storage and signatures as ports. The server (server.ts) and the simulations run this same class.
 */
import { concat, equal, toHex } from "#relay/protocol/bytes.ts";
import { chainTag, inDomain, sha256Of } from "#relay/protocol/domain.ts";
import { refusals, type RefusalName } from "#relay/protocol/errors.ts";
import { protocolVersion, type Limits } from "#relay/protocol/limits.ts";
import {
  encodeHelloBody,
  encodeMessage,
  encodeWelcomeBody,
  sessionNonceBytes,
  type Auth,
  type BlobPut,
  type Hello,
  type Message,
  type Subscribe,
  type Subscribed,
} from "#relay/protocol/messages.ts";
import type { AccessControl } from "#relay/access.ts";
import { BlobIntake } from "#relay/blob-intake.ts";
import {
  blobErrand,
  documentErrand,
  listErrand,
  pullErrand,
  type Errand,
  type ErrandPlace,
} from "#relay/errands.ts";
import { Hub, maxSubscriptionsPerConnection, type Outlet } from "#relay/hub.ts";
import { Intake, type Verify } from "#relay/intake.ts";
import { Ledger } from "#relay/ledger.ts";
import { Nodes } from "#relay/nodes.ts";
import { Session, type Request, type Step } from "#relay/session.ts";
import type { SpaceState } from "#relay/space.ts";
import type { Neighbours, Store } from "#relay/store/store.ts";
import { Sweeper } from "#relay/sweeper.ts";

/** One client's connection, as the network gives it. */
export interface RelaySocket {
  send(frame: Uint8Array): void;
  /** Codes: 1012 when the relay stops, 4000 + the refusal's code otherwise. */
  close(code: number, reason: string): void;
  /** Bytes accepted by `send` that the network has not taken yet. */
  buffered(): number;
  /** The host the client dialled, as its request says; null if unknown. */
  readonly host: string | null;
}

/** What the network tells the relay about a connection. */
export interface RelayConnection {
  receive(frame: Uint8Array): void;
  receiveText(): void;
  closed(): void;
}

export interface RelayIdentity {
  readonly relayPub: Uint8Array;
  readonly storeId: Uint8Array;
  sign(message: Uint8Array): Promise<Uint8Array>;
}

/** Numbers only: no id, key or address can get into a log by it. */
export type Log = (
  level: "debug" | "info" | "warn" | "error",
  event: string,
  numbers?: Readonly<Record<string, number>>,
) => void;

export interface RelayPorts {
  readonly store: Store;
  readonly clock: { now(): number };
  /** `after` answers a function that cancels. */
  readonly timers: { after(ms: number, run: () => void): () => void };
  random(bytes: number): Uint8Array;
  readonly verify: Verify;
  readonly identity: RelayIdentity;
  readonly access: AccessControl;
  readonly limits: Limits;
  readonly log: Log;
  /** Whether the relay answers to the origin a client says it dialled. */
  acceptsOrigin(dialled: string, host: string | null): boolean;
}

/** A client that was not heard for so long is gone: it sends a PING every 25 s. */
const silenceMs = 90_000;
const lookEveryMs = 30_000;
/** Whatever is in it, a connection whose sending buffer grows beyond this is cut. */
const maxBufferedBytes = 12 << 20;
/** A drained relay asks its clients to spread over so long. */
const comeBackWithinMs = 10_000;
const closeForRestart = 1012;
/** Beside 3,000 certificates in one message. */
const controlPageBytes = 480 << 10;

export class Relay {
  readonly #ports: RelayPorts;
  readonly #hub: Hub;
  readonly #ledger: Ledger<Outlet | null>;
  readonly #intake: Intake<Outlet | null>;
  readonly #blobs: BlobIntake<Outlet | null>;
  readonly #connections = new Set<Connection>();
  readonly #nodes: Nodes | null;
  readonly #sweeper: Sweeper<Outlet | null>;
  #cancelLook: () => void;
  #isStopping = false;

  constructor(ports: RelayPorts) {
    this.#ports = ports;
    const { store, verify, limits } = ports;
    const now = () => ports.clock.now();
    this.#hub = new Hub({
      store,
      after: (ms, run) => ports.timers.after(ms, run),
      fail: (error) => {
        ports.log("error", errorEvent("reading the log failed", error));
      },
      freshen: async (spaceId) => {
        if (store.neighbours !== null) await this.#ledger.openFresh([spaceId]);
      },
    });
    this.#ledger = new Ledger({
      store,
      now,
      after: (ms, run) => ports.timers.after(ms, run),
      chance: () => chanceOf(ports.random(2)),
      onCommitted: (write, state, by) => {
        this.#hub.committed(write.spaceId, write.rows, state, by);
      },
      onRead: (spaceId, state) => {
        this.#hub.advanced(spaceId, state);
      },
    });
    this.#intake = new Intake({
      store,
      ledger: this.#ledger,
      verify,
      limits,
      gate: ports.access,
      now,
    });
    this.#blobs = new BlobIntake({
      store,
      ledger: this.#ledger,
      verify,
      limits,
      gate: ports.access,
      now,
    });
    this.#sweeper = new Sweeper<Outlet | null>({
      store,
      ledger: this.#ledger,
      by: null,
      limits,
      now,
      after: (ms, run) => ports.timers.after(ms, run),
      report: (swept) => {
        ports.log("info", "forgot what was due", { ...swept });
      },
      fail: (error) => {
        ports.log("error", errorEvent("forgetting what was due failed", error));
      },
    });
    this.#cancelLook = ports.timers.after(lookEveryMs, () => {
      this.#endSilent();
    });
    this.#nodes = store.neighbours === null ? null : this.#meet(store.neighbours);
  }

  get connectionCount(): number {
    return this.#connections.size;
  }

  get subscriptionCount(): number {
    return this.#hub.subscriptionCount;
  }

  /** Spaces somebody is subscribed to. */
  get spaceCount(): number {
    return this.#hub.spaceCount;
  }

  connect(socket: RelaySocket): RelayConnection {
    const connection = new Connection(
      {
        ...this.#ports,
        hub: this.#hub,
        ledger: this.#ledger,
        intake: this.#intake,
        blobs: this.#blobs,
      },
      socket,
      () => this.#connections.delete(connection),
    );
    if (this.#isStopping) connection.sayGoodbye(0);
    else this.#connections.add(connection);
    return connection;
  }

  /**
   * Takes nothing more in, lets what is on its way become durable and answered, says goodbye and
   * closes every connection. The store stays open: it belongs to whoever gave it.
   */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelLook();
    this.#nodes?.stop();
    const connections = [...this.#connections];
    await Promise.all(connections.map((connection) => connection.finishWork()));
    await this.#sweeper.stop();
    await this.#ledger.settled();
    for (const connection of connections) {
      const chance = chanceOf(this.#ports.random(2));
      connection.sayGoodbye(Math.floor(chance * comeBackWithinMs));
    }
  }

  #meet(neighbours: Neighbours): Nodes {
    const { timers, log } = this.#ports;
    return new Nodes({
      neighbours,
      heard: (spaceId, revision) => {
        const isWanted = this.#hub.topicState(toHex(spaceId)) !== null;
        this.#ledger.heard(spaceId, revision, isWanted).catch((error: unknown) => {
          log("warn", errorEvent("reading what another node wrote failed", error));
        });
      },
      topics: () => this.#hub.topics(),
      presence: (spaceKey, epoch, sealed) => {
        this.#hub.presenceFromAfar(spaceKey, epoch, sealed);
      },
      after: (ms, run) => timers.after(ms, run),
      chance: () => chanceOf(this.#ports.random(2)),
      fail: (error) => {
        log("warn", errorEvent("asking what other nodes wrote failed", error));
      },
    });
  }

  #endSilent(): void {
    const now = this.#ports.clock.now();
    for (const connection of this.#connections) connection.closeIfSilent(now);
    this.#cancelLook = this.#ports.timers.after(lookEveryMs, () => {
      this.#endSilent();
    });
  }
}

interface ConnectionPorts extends RelayPorts {
  readonly hub: Hub;
  readonly ledger: Ledger<Outlet | null>;
  readonly intake: Intake<Outlet | null>;
  readonly blobs: BlobIntake<Outlet | null>;
}

class Connection implements RelayConnection {
  readonly #ports: ConnectionPorts;
  readonly #socket: RelaySocket;
  readonly #session: Session;
  readonly #outlet: Outlet;
  readonly #onClosed: () => void;
  readonly #cancelHandshake: () => void;
  /** Settled when the writes received so far have been decided, in their order. */
  #decided: Promise<void> = Promise.resolve();
  /** Settled when all requests but pushes received so far have taken effect. */
  #ordered: Promise<void> = Promise.resolve();
  readonly #work = new Set<Promise<void>>();
  /** Bodies of HELLO and WELCOME: what AUTH signs. Null before WELCOME. */
  #transcript: Uint8Array | null = null;
  /** The access key this connection has shown. */
  #accessPub: Uint8Array | null = null;
  #isFinishing = false;
  #isClosed = false;

  constructor(ports: ConnectionPorts, socket: RelaySocket, onClosed: () => void) {
    this.#ports = ports;
    this.#socket = socket;
    this.#onClosed = onClosed;
    this.#session = new Session(ports.limits, ports.clock.now());
    this.#outlet = ports.hub.connect(this.#session, {
      send: (frame) => {
        this.#sendFrame(frame);
      },
      buffered: () => socket.buffered(),
      end: (refusal) => {
        this.#goAway(refusal, 1000);
      },
    });
    this.#cancelHandshake = ports.timers.after(ports.limits.handshakeMs, () => {
      if (this.#session.isGreeting) this.#refuse(0, "HANDSHAKE_REQUIRED", 0, "too slow", true);
    });
  }

  receive(frame: Uint8Array): void {
    if (this.#isClosed || this.#isFinishing) return;
    this.#take(this.#session.receive(frame, this.#ports.clock.now()));
  }

  receiveText(): void {
    if (this.#isClosed || this.#isFinishing) return;
    this.#take(this.#session.receiveText());
  }

  closed(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#session.close();
    this.#cancelHandshake();
    this.#outlet.close();
    this.#onClosed();
  }

  closeIfSilent(now: number): void {
    if (now - this.#session.lastHeard > silenceMs) this.#goAway("SLOW_CONSUMER", 0);
  }

  async finishWork(): Promise<void> {
    this.#isFinishing = true;
    while (this.#work.size > 0) await Promise.all(this.#work);
  }

  sayGoodbye(retryAfterMs: number): void {
    if (this.#isClosed) return;
    this.#send(0, { type: "goaway", code: refusals.SHUTTING_DOWN.code, retryAfterMs });
    this.#end(closeForRestart, "the relay restarts");
  }

  #take(step: Step): void {
    switch (step.type) {
      case "greet":
        void this.#run(step.reqId, () => this.#greet(step.reqId, step.hello));
        break;
      case "serve":
        this.#serve(step.reqId, step.request);
        break;
      case "refuse":
        this.#refuse(step.reqId, step.refusal, step.retryAfterMs, step.detail, step.closes);
        break;
      case "ignore":
        break;
    }
  }

  async #greet(reqId: number, hello: Hello): Promise<void> {
    this.#cancelHandshake();
    if (!this.#ports.acceptsOrigin(hello.origin, this.#socket.host)) {
      this.#refuse(
        reqId,
        "AUTH_FAILED",
        0,
        "this relay does not answer to the address dialled",
        true,
      );
      return;
    }
    const { identity, limits, access } = this.#ports;
    const welcome = {
      version: protocolVersion,
      relayPub: identity.relayPub,
      storeId: identity.storeId,
      nonce: this.#ports.random(sessionNonceBytes),
      access: access.code,
      limits,
    };
    const transcript = concat(encodeHelloBody(hello), encodeWelcomeBody(welcome));
    const signature = await identity.sign(inDomain("welcome", transcript));
    // Nobody shows a key to an open relay, and there may be thousands of connections.
    if (access.access.mode !== "open") this.#transcript = transcript;
    this.#send(reqId, { type: "welcome", ...welcome, signature });
  }

  /** Requests that follow AUTH on the heels are judged without it: clients wait for AUTH_OK. */
  #mayAsk({ type }: Request): boolean {
    if (type === "auth" || type === "ping" || this.#accessPub !== null) return true;
    const { mode, guests } = this.#ports.access.access;
    return mode === "open" || guests;
  }

  async #authenticate(reqId: number, auth: Auth): Promise<void> {
    const { access } = this.#ports;
    if (access.access.mode === "open" || this.#transcript === null) {
      this.#refuse(reqId, "BAD_FRAME", 0, "AUTH is not for now, or not for an open relay", true);
      return;
    }
    const refusal = await access.admit(auth, this.#transcript);
    if (refusal === null) {
      this.#accessPub = auth.accessPub;
      this.#send(reqId, { type: "authOk" });
      return;
    }
    if (refusal === "AUTH_FAILED") this.#session.wrongSignature();
    this.#refuse(reqId, refusal, 0, "this access key is not admitted", false);
  }

  #serve(reqId: number, request: Request): void {
    if (!this.#mayAsk(request)) {
      if (request.type === "push") this.#session.pushDone(request.entries);
      this.#refuse(reqId, "AUTH_REQUIRED", 0, "this relay serves no guests", false);
      return;
    }
    switch (request.type) {
      case "auth":
        this.#inOrder(reqId, () => this.#authenticate(reqId, request));
        break;
      case "push":
        this.#push(reqId, request.entries);
        break;
      case "controlPush":
        this.#inOrder(reqId, async () => {
          const { genesis, records } = request;
          const { intake } = this.#ports;
          this.#send(
            reqId,
            await intake.pushControls(genesis, records, this.#outlet, this.#accessPub),
          );
        });
        break;
      case "certPut":
        this.#inOrder(reqId, async () => {
          const status = await this.#ports.intake.putCertificate(request.certificate, this.#outlet);
          this.#send(reqId, { type: "certAck", status });
        });
        break;
      case "controlGet":
        this.#inOrder(reqId, () => this.#sendControls(reqId, request.spaceId, request.fromSeq));
        break;
      case "subscribe":
        this.#inOrder(reqId, () => this.#subscribe(reqId, request));
        break;
      case "unsubscribe":
        this.#inOrder(reqId, () => {
          for (const handle of request.handles) this.#outlet.unsubscribe(handle);
          return Promise.resolve();
        });
        break;
      case "pull":
        this.#answer(reqId, request.handle, (place, state) => {
          // Below the base there are holes.
          const after = Math.max(request.after, state.base - 1);
          return pullErrand(place, after, Math.min(request.upTo, state.head));
        });
        break;
      case "pullDocument":
        this.#answer(reqId, request.handle, (place) =>
          documentErrand(place, request.docId, request.after, request.byteBudget),
        );
        break;
      case "list":
        this.#answer(reqId, request.handle, (place) => listErrand(place, request.afterDocId));
        break;
      case "blobGet":
        this.#answer(reqId, request.handle, (place) =>
          blobErrand(place, request.blobId, request.from, request.from + request.count),
        );
        break;
      case "blobInit":
        this.#inOrder(reqId, async () => {
          this.#send(reqId, await this.#ports.blobs.announce(request.statement, this.#outlet));
        });
        break;
      case "blobDrop":
        this.#inOrder(reqId, async () => {
          const status = await this.#ports.blobs.drop(request.statement, this.#outlet);
          this.#send(reqId, { type: "blobAck", status });
        });
        break;
      case "blobPut":
        this.#putChunk(reqId, request);
        break;
      case "credit":
        this.#outlet.credit(request.bytes);
        break;
      case "presence":
        this.#outlet.tell(request.handle, request.sealed);
        break;
      case "ping":
        this.#send(reqId, { type: "pong", token: request.token });
        break;
    }
  }

  /**
   * Signatures of several pushes are verified side by side; they are admitted in the order they came,
   * since a device's counters rise. Neither overtakes a control record sent before.
   */
  #push(reqId: number, entries: readonly Uint8Array[]): void {
    const { intake } = this.#ports;
    const prepared = this.#ordered.then(() =>
      intake.prepare(entries, () => {
        this.#session.wrongSignature();
      }),
    );
    const before = this.#decided;
    let onDecided = () => {};
    const decided = new Promise<void>((resolve) => {
      onDecided = resolve;
    });
    this.#decided = before.then(() => decided);
    void this.#run(reqId, async () => {
      try {
        const ready = await prepared;
        await before;
        const results = await intake.admit(ready, this.#outlet, onDecided);
        this.#send(reqId, { type: "pushAck", results });
      } finally {
        onDecided();
        this.#session.pushDone(entries);
      }
    });
  }

  /** Chunks come after what was asked before, and go to the disk side by side. */
  #putChunk(reqId: number, request: BlobPut): void {
    const before = this.#ordered;
    void this.#run(reqId, async () => {
      try {
        await before;
        const status = await this.#ports.blobs.put(request);
        this.#send(reqId, { type: "blobAck", status });
      } finally {
        this.#session.pushDone([request.chunk]);
      }
    });
  }

  /** Answers page by page what is asked under a subscription: that is where the right to read is. */
  #answer(
    reqId: number,
    handle: number,
    errandFor: (place: ErrandPlace, state: SpaceState) => Errand,
  ): void {
    const space = this.#outlet.spaceOf(handle);
    if (space === null) {
      this.#refuse(reqId, "NO_SPACE", 0, "no such subscription", false);
    } else if (space.state.authority.deleted) {
      this.#refuse(reqId, "SPACE_DELETED", 0, "the space is deleted", false);
    } else if (!this.#outlet.hasRoomForErrand) {
      this.#refuse(reqId, "TOO_MANY", 1000, "too much is asked for at once", false);
    } else {
      const { store } = this.#ports;
      const place = { store, spaceId: space.spaceId, handle, reqId };
      this.#outlet.run(handle, errandFor(place, space.state));
    }
  }

  /** One after another with all other requests, after the pushes sent before. */
  #inOrder(reqId: number, work: () => Promise<void>): void {
    const before = Promise.all([this.#ordered, this.#decided]);
    const done = this.#run(reqId, async () => {
      await before;
      await work();
    });
    this.#ordered = done;
    this.#decided = done;
  }

  /** Runs work of a request; what it throws becomes an answer. The promise never rejects. */
  #run(reqId: number, work: () => Promise<void>): Promise<void> {
    const running = work().catch((error: unknown) => {
      this.#ports.log("error", errorEvent("a request failed", error));
      this.#refuse(reqId, "INTERNAL", 1000, "the relay failed; nothing was stored", false);
    });
    this.#work.add(running);
    void running.then(() => this.#work.delete(running));
    return running;
  }

  async #sendControls(reqId: number, spaceId: Uint8Array, fromSeq: number): Promise<void> {
    const [space] = await this.#ports.ledger.openFresh([spaceId]);
    const state = space?.committed ?? null;
    if (state === null) {
      this.#refuse(reqId, "NO_SPACE", 0, "no such space", false);
      return;
    }
    const from = Math.max(1, fromSeq);
    const records = await this.#ports.store.readControls(spaceId, from, controlPageBytes);
    const more = from + records.length <= state.controls.length;
    const certificates = more ? [] : await this.#ports.store.readCertificates(spaceId);
    this.#send(reqId, { type: "controlData", genesis: state.genesis, more, records, certificates });
  }

  async #subscribe(reqId: number, { spaces }: Subscribe): Promise<void> {
    const opened = await this.#ports.ledger.openFresh(spaces.map(({ spaceId }) => spaceId));
    const refused = await Promise.all(
      spaces.map((asked, ix) => this.#refuseSubscription(asked, opened[ix]?.committed ?? null)),
    );
    if (this.#isClosed) return;
    const handles: number[] = [];
    const results = spaces.map((space, ix): Subscribed["results"][number] => {
      // Others may have written, even a rotation, while the store was asked.
      const state = opened[ix]?.committed ?? null;
      const refusal = refused[ix] ?? null;
      if (state === null || !opensWith(state, space.readToken)) {
        return subscriptionRefused("NO_SPACE", null);
      }
      if (refusal !== null) return subscriptionRefused(refusal, state);
      if (this.#outlet.subscriptionCount >= maxSubscriptionsPerConnection) {
        return subscriptionRefused("TOO_MANY", null);
      }
      const handle = this.#outlet.subscribe(state, space);
      handles.push(handle);
      return { status: 0, handle, ...placeOf(state) };
    });
    this.#send(reqId, { type: "subscribed", results });
    this.#outlet.start(handles);
  }

  async #refuseSubscription(
    asked: Subscribe["spaces"][number],
    state: SpaceState | null,
  ): Promise<RefusalName | null> {
    // The same answer after the same work: who has no token learns not even that the space exists.
    if (state === null || !opensWith(state, asked.readToken)) {
      sha256Of(asked.readToken);
      return "NO_SPACE";
    }
    if (state.authority.deleted) return "SPACE_DELETED";
    if (asked.cursor < state.base && state.base > 1) return "BELOW_BASE";
    if (asked.cursor > state.head) return "CURSOR_AHEAD";
    const chain =
      asked.cursor === state.head
        ? state.chain
        : await this.#ports.store.chainAt(asked.spaceId, asked.cursor);
    if (asked.cursor > 0 && (chain === null || !equal(chainTag(chain), asked.chainTag))) {
      return "CHAIN_MISMATCH";
    }
    return null;
  }

  #refuse(
    reqId: number,
    refusal: RefusalName,
    retryAfterMs: number,
    detail: string,
    closes: boolean,
  ): void {
    const { code } = refusals[refusal];
    this.#send(reqId, { type: "error", code, retryAfterMs, detail: detail.slice(0, 120) });
    if (closes) this.#end(4000 + code, refusal);
  }

  #goAway(refusal: RefusalName, retryAfterMs: number): void {
    const { code } = refusals[refusal];
    this.#send(0, { type: "goaway", code, retryAfterMs });
    this.#end(4000 + code, refusal);
  }

  #send(reqId: number, message: Message): void {
    this.#sendFrame(encodeMessage(reqId, message));
  }

  #sendFrame(frame: Uint8Array): void {
    if (this.#isClosed) return;
    if (this.#socket.buffered() > maxBufferedBytes) {
      this.#end(4000 + refusals.SLOW_CONSUMER.code, "SLOW_CONSUMER");
      return;
    }
    this.#socket.send(frame);
  }

  #end(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.closed();
    this.#socket.close(code, reason);
  }
}

/** From 0 up to, not including, 1. */
function chanceOf([high = 0, low = 0]: Uint8Array): number {
  return (high * 256 + low) / 65_536;
}

function opensWith(state: SpaceState, readToken: Uint8Array): boolean {
  const { readTokenHash } = state.authority;
  return readTokenHash !== null && equal(readTokenHash, sha256Of(readToken));
}

function placeOf(state: SpaceState): {
  head: number;
  chain: Uint8Array;
  ctrlSeq: number;
  base: number;
} {
  return {
    head: state.head,
    chain: state.chain,
    ctrlSeq: state.authority.ctrlSeq,
    base: state.base,
  };
}

function subscriptionRefused(
  refusal: RefusalName,
  state: SpaceState | null,
): Subscribed["results"][number] {
  const nowhere = { head: 0, chain: new Uint8Array(32), ctrlSeq: 0, base: 0 };
  const place = state === null ? nowhere : placeOf(state);
  return { status: refusals[refusal].code, handle: 0, ...place };
}

/** What happened, without what was in it: messages of errors may hold values. */
function errorEvent(what: string, error: unknown): string {
  return error instanceof Error ? `${what}: ${error.name}` : what;
}

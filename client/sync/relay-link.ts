/**
 * One connection to a relay: dials, greets, checks who answers, keeps it alive, and matches answers to
 * questions. What the messages mean for spaces is the session's affair.
 */
import type { Store } from "#crdt-store/store.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { concat } from "#relay/protocol/bytes.ts";
import { accessOf } from "#relay/protocol/access.ts";
import { inDomain } from "#relay/protocol/domain.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { defaultLimits, protocolVersion, type Limits } from "#relay/protocol/limits.ts";
import {
  encodeHelloBody,
  encodeMessage,
  encodeWelcomeBody,
  parseMessage,
  type Hello,
  type Message,
  type Welcome,
} from "#relay/protocol/messages.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import {
  connectionDeadline,
  restingConnection,
  stepConnection,
  type ConnectionEffect,
  type ConnectionEvent,
  type ConnectionState,
} from "./connection.ts";
import { failureOf } from "./measures.ts";
import type { Clock, Dial, Random, Timers, Wire } from "./ports.ts";
import { refusalWords } from "./refusal-words.ts";
import { authFor } from "./relay-access.ts";
import { pinRelay } from "./relay-pin.ts";

export interface LinkPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** 0 ≤ x < 1, for jitter. */
  readonly chance: () => number;
  readonly dial: Dial;
}

export interface LinkListener {
  connected(): void;
  disconnected(): void;
  /** What no question asked for. @param size of the message in bytes */
  unasked(message: Message, size: number): void;
  /** The state of the connection is not what it was. */
  moved(): void;
  log(level: "info" | "warning" | "error", text: string): void;
}

/** How AUTH ended: admitted, refused with this code, or there was nothing to show or nobody to ask. */
export type Admission = "admitted" | "none" | number;

/** Gets the answer, or null when the connection broke before it. */
export type Reply = (message: Message | null) => void;

/** Gets what comes before the answer; true after the last of an answer that consists of parts alone. */
export type Part = (message: Message) => boolean | void;

interface Question {
  readonly reply: Reply;
  readonly part: Part | null;
}

export class RelayLink {
  readonly url: string;
  readonly #ports: LinkPorts;
  readonly #listener: LinkListener;
  #connection: ConnectionState;
  #cancelTick: (() => void) | null = null;
  #wire: Wire | null = null;
  #hello: Hello | null = null;
  #limits: Limits = defaultLimits;
  #nextReqId = 1;
  readonly #questions = new Map<number, Question>();
  #lastFailure: string | null = null;
  /** Of this connection; null before it is welcome. */
  #welcome: Welcome | null = null;
  #accessRefusal: number | null = null;

  constructor(url: string, ports: LinkPorts, listener: LinkListener) {
    this.url = url;
    this.#ports = ports;
    this.#listener = listener;
    this.#connection = restingConnection(ports.clock.now());
  }

  get connected(): boolean {
    return this.#connection.phase === "open";
  }

  /** Nothing is under way to connect. */
  get idle(): boolean {
    return this.#connection.phase === "waiting" || this.#connection.phase === "resting";
  }

  /** Tried at least once since the last connection and not succeeded. */
  get failing(): boolean {
    return !this.connected && this.#connection.failures > 0;
  }

  /** Why the last attempt failed, in words, null when it did not. */
  get lastFailure(): string | null {
    return this.#lastFailure;
  }

  /** The relay this connection reached; null before it has shown its key. */
  get relayPub(): Uint8Array | null {
    return this.#welcome?.relayPub ?? null;
  }

  /** Whether anybody may make spaces at this relay. */
  get isOpenToAll(): boolean {
    return this.#welcome !== null && accessOf(this.#welcome.access)?.mode === "open";
  }

  /** The code with which this relay refuses all that this device asks, as it has no access; else null. */
  get accessRefusal(): number | null {
    return this.#accessRefusal;
  }

  /** Shows the access key to a relay that is not open; with a token that of an invitation. */
  authenticate(token: Uint8Array | null, done: (admission: Admission) => void): void {
    const welcome = this.#welcome;
    const auth =
      welcome === null || this.#hello === null
        ? null
        : authFor(this.#ports, welcome.relayPub, transcriptOf(this.#hello, welcome), token);
    if (welcome === null || auth === null) {
      done("none");
      return;
    }
    this.ask(auth, (reply) => {
      if (reply === null) return done("none");
      const isAdmitted = reply.type === "authOk";
      if (isAdmitted) this.#accessRefusal = null;
      done(isAdmitted ? "admitted" : reply.type === "error" ? reply.code : refusals.INTERNAL.code);
    });
  }

  /** As the relay told them; the defaults before. */
  get limits(): Limits {
    return this.#limits;
  }

  /** Tells the machine of connection.ts what happened, and does what it decides. */
  happened(event: ConnectionEvent): void {
    const { clock, chance, timers } = this.#ports;
    const before = this.#connection.phase;
    const step = stepConnection(this.#connection, event, clock.now(), chance());
    this.#connection = step.state;
    if (event.type === "tick" && step.state.phase === "waiting" && before !== "waiting") {
      this.#lastFailure = "the relay does not answer";
    }
    const failure = failureOf(before, step.state.phase, event.type);
    if (failure !== null) this.#ports.store.metrics.count(`retry/${failure}`);
    for (const effect of step.effects) this.#perform(effect);
    this.#cancelTick?.();
    const deadline = connectionDeadline(this.#connection);
    this.#cancelTick =
      deadline === null
        ? null
        : timers.after(Math.max(0, deadline - clock.now()), () =>
            this.attempt(() => this.happened({ type: "tick" })),
          );
    if (step.effects.length > 0 || before !== this.#connection.phase) this.#listener.moved();
  }

  /**
   * Runs what a message, a timer or the device sets in motion. Where the store fails in the middle of it, what
   * memory holds may no longer be what is stored: the connection is given up, and the next one, after a pause as
   * for any other failure, begins again from what is stored. Nothing was acknowledged or passed over meanwhile.
   */
  attempt(act: () => void): void {
    try {
      act();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#lastFailure = "this device cannot write what is exchanged";
      // Nothing more is heard from here on; what follows reads the store, which may be inside a transaction that failed.
      this.#dropWire();
      this.#ports.timers.after(0, () => this.happened({ type: "closed", retryAfterMs: 0 }));
    }
  }

  /** A message that wants no answer. Lost without a connection. */
  tell(message: Message): void {
    this.#wire?.send(encodeMessage(0, message));
  }

  ask(message: Message, reply: Reply, part: Part | null = null): void {
    const reqId = this.#nextReqId;
    this.#nextReqId = reqId === 0xffff_ffff ? 1 : reqId + 1;
    this.#questions.set(reqId, { reply, part });
    this.#wire?.send(encodeMessage(reqId, message));
  }

  #perform(effect: ConnectionEffect): void {
    switch (effect.type) {
      case "dial":
        this.#dial();
        break;
      case "greet":
        this.#greet();
        break;
      case "ping":
        this.tell({ type: "ping", token: this.#ports.random(8) });
        break;
      case "hang-up":
        this.#dropWire();
        break;
      case "connected":
        this.#lastFailure = null;
        this.#listener.connected();
        break;
      case "disconnected":
        this.#listener.disconnected();
        break;
    }
  }

  #dial(): void {
    this.#dropWire();
    let wire: Wire | null = null;
    const isCurrent = (): boolean => wire !== null && wire === this.#wire;
    wire = this.#ports.dial(this.url, {
      opened: () => {
        if (isCurrent()) this.happened({ type: "opened" });
      },
      received: (bytes) => {
        if (isCurrent()) this.attempt(() => this.#received(bytes));
      },
      closed: () => {
        if (!isCurrent()) return;
        this.#lastFailure = this.connected
          ? "the connection to the relay broke"
          : "the relay cannot be reached";
        this.#dropWire();
        this.happened({ type: "closed", retryAfterMs: 0 });
      },
    });
    this.#wire = wire;
  }

  #greet(): void {
    const { random } = this.#ports;
    this.#hello = { type: "hello", version: protocolVersion, nonce: random(16), origin: this.url };
    this.ask(this.#hello, (reply) => this.#welcomed(reply));
  }

  #welcomed(reply: Message | null): void {
    if (reply === null) return;
    if (reply.type === "error") {
      this.#fail(refusalWords(reply.code));
      return;
    }
    if (reply.type !== "welcome" || !this.#isGenuine(reply)) {
      this.#fail("what answers at this address is not a Sealeaf relay");
      return;
    }
    this.#limits = reply.limits;
    this.#pin(reply);
    this.#welcome = reply;
    if (this.isOpenToAll) {
      this.happened({ type: "welcomed" });
      return;
    }
    // A later relay's way in is treated as an invitation: who is no guest there will be told.
    const guests = accessOf(reply.access)?.guests ?? true;
    this.authenticate(null, (admission) => {
      const isOut = admission !== "admitted" && !guests;
      this.#accessRefusal = isOut ? refusals.AUTH_REQUIRED.code : null;
      if (this.#welcome === reply) this.happened({ type: "welcomed" });
    });
  }

  #isGenuine(welcome: Welcome): boolean {
    if (this.#hello === null || welcome.version !== protocolVersion) return false;
    const message = inDomain("welcome", transcriptOf(this.#hello, welcome));
    return this.#ports.ed.verify(welcome.relayPub, message, welcome.signature);
  }

  /** Key and store id are remembered per address: another one is another, perhaps empty, relay. */
  #pin(welcome: Welcome): void {
    if (pinRelay(this.#ports.store, this.url, welcome) === "another") {
      this.#listener.log(
        "warning",
        "The relay at this address is not the one it was. Nothing is lost: this device gives it what it lacks.",
      );
    }
  }

  #received(bytes: Uint8Array): void {
    this.happened({ type: "heard" });
    const parsed = parseMessage(bytes);
    if (!parsed.ok) {
      this.#fail("what answers at this address does not speak like a Sealeaf relay");
      return;
    }
    const { reqId, message } = parsed.value;
    const question = reqId === 0 ? undefined : this.#questions.get(reqId);
    if (question !== undefined && (message.type === "data" || message.type === "blobData")) {
      if (question.part?.(message) === true) this.#questions.delete(reqId);
    } else if (question !== undefined) {
      this.#questions.delete(reqId);
      question.reply(message);
    } else if (message.type === "ping") this.tell({ type: "pong", token: message.token });
    else if (message.type === "goaway") {
      this.#lastFailure = refusalWords(message.code);
      this.#dropWire();
      this.happened({ type: "closed", retryAfterMs: message.retryAfterMs });
    } else this.#listener.unasked(message, bytes.length);
  }

  #fail(why: string): void {
    this.#lastFailure = why;
    this.#listener.log("error", `Relay: ${why}.`);
    this.#dropWire();
    this.happened({ type: "closed", retryAfterMs: 0 });
  }

  #dropWire(): void {
    const wire = this.#wire;
    this.#wire = null;
    this.#welcome = null;
    wire?.close();
    const questions = [...this.#questions.values()];
    this.#questions.clear();
    for (const { reply } of questions) reply(null);
  }
}

function transcriptOf(hello: Hello, welcome: Welcome): Uint8Array {
  return concat(encodeHelloBody(hello), encodeWelcomeBody(welcome));
}

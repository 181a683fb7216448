/**
 * One connection as a state machine: what a frame means now, whether it is allowed, and what may be
 * sent. It performs nothing; the clock is passed in (docs/protocol.md, SES, LIM and ERR).
 */
import type { RefusalName } from "#relay/protocol/errors.ts";
import {
  maxMessageBytes,
  maxPresenceBytes,
  protocolVersion,
  type Limits,
} from "#relay/protocol/limits.ts";
import {
  isKnownType,
  messageHeaderBytes,
  messageTypes,
  parseMessage,
  type Hello,
  type Message,
} from "#relay/protocol/messages.ts";
import { RateBucket } from "#relay/rate-bucket.ts";

type RequestType =
  | "auth"
  | "subscribe"
  | "unsubscribe"
  | "pull"
  | "pullDocument"
  | "list"
  | "credit"
  | "push"
  | "controlGet"
  | "controlPush"
  | "certPut"
  | "presence"
  | "blobInit"
  | "blobPut"
  | "blobGet"
  | "blobDrop"
  | "ping";

/** What a client may ask once it is welcome. */
export type Request = Extract<Message, { type: RequestType }>;

export type Step =
  | { readonly type: "greet"; readonly reqId: number; readonly hello: Hello }
  | { readonly type: "serve"; readonly reqId: number; readonly request: Request }
  | { readonly type: "ignore" }
  | {
      readonly type: "refuse";
      readonly reqId: number;
      readonly refusal: RefusalName;
      readonly retryAfterMs: number;
      readonly detail: string;
      /** Whether the connection ends with this answer. */
      readonly closes: boolean;
    };

/** Unacknowledged bytes of PUSH that one connection may keep in the relay's memory. */
const maxPushBytesInWork = 16 << 20;
/** Other requests cost a relay less than entries: four of them for the price of one. */
const requestsPerEntry = 4;
/** What an entry with a wrong signature costs beyond the one already paid. */
const wrongSignatureCost = 9;

export class Session {
  readonly #limits: Limits;
  readonly #entries: RateBucket;
  readonly #requests: RateBucket;
  readonly #presence: RateBucket;
  #phase: "greeting" | "open" | "closed" = "greeting";
  #uncredited = 0;
  #pushBytes = 0;
  #lastHeard: number;

  constructor(limits: Limits, now: number) {
    this.#limits = limits;
    this.#lastHeard = now;
    this.#entries = new RateBucket(limits.entriesPerSecond, limits.entryBurst);
    this.#requests = new RateBucket(
      limits.entriesPerSecond * requestsPerEntry,
      limits.entryBurst * requestsPerEntry,
    );
    this.#presence = new RateBucket(limits.presencePerSecond, limits.presencePerSecond);
  }

  get isGreeting(): boolean {
    return this.#phase === "greeting";
  }

  get isClosed(): boolean {
    return this.#phase === "closed";
  }

  /** When the client was last heard, on the caller's clock. */
  get lastHeard(): number {
    return this.#lastHeard;
  }

  /** DATA on its way that the client has not credited yet. */
  get uncredited(): number {
    return this.#uncredited;
  }

  close(): void {
    this.#phase = "closed";
  }

  /** A text frame: the protocol has none. */
  receiveText(): Step {
    return this.#end(0, this.isGreeting ? "HANDSHAKE_REQUIRED" : "BAD_FRAME", "a text frame");
  }

  receive(frame: Uint8Array, now: number): Step {
    if (this.#phase === "closed") return { type: "ignore" };
    this.#lastHeard = now;
    if (frame.length > maxMessageBytes) return this.#end(0, "FRAME_TOO_BIG", "above 1 MiB");
    const parsed = parseMessage(frame);
    const reqId = reqIdOf(frame);
    if (this.#phase === "greeting") {
      if (!parsed.ok || parsed.value.message.type !== "hello") {
        return this.#end(reqId, "HANDSHAKE_REQUIRED", "the first message is a HELLO");
      }
      return this.#greet(reqId, parsed.value.message);
    }
    if (!parsed.ok) return this.#malformed(frame, reqId, parsed.error, now);
    return this.#admit(reqId, parsed.value.message, frame.length, now);
  }

  /** Whether `bytes` more of DATA fit in the window; a single page always fits an empty one. */
  maySend(bytes: number): boolean {
    return this.#uncredited === 0 || this.#uncredited + bytes <= this.#limits.windowBytes;
  }

  dataSent(bytes: number): void {
    this.#uncredited += bytes;
  }

  /** Credit beyond what is on its way counts for nothing. */
  credited(bytes: number): void {
    this.#uncredited = Math.max(0, this.#uncredited - bytes);
  }

  /** What a PUSH or BLOB_PUT brought is stored or refused. */
  pushDone(pushed: readonly Uint8Array[]): void {
    this.#pushBytes -= sizeOf(pushed);
  }

  wrongSignature(): void {
    this.#entries.charge(wrongSignatureCost);
  }

  #greet(reqId: number, hello: Hello): Step {
    if (hello.version !== protocolVersion) {
      return this.#end(
        reqId,
        "UNSUPPORTED_VERSION",
        `this relay speaks ${protocolVersion} to ${protocolVersion}`,
      );
    }
    this.#phase = "open";
    return { type: "greet", reqId, hello };
  }

  #malformed(frame: Uint8Array, reqId: number, error: string, now: number): Step {
    const type = frame[0];
    if (type !== undefined && frame.length >= messageHeaderBytes && !isKnownType(type)) {
      // A client one version ahead goes on without what this relay does not know.
      return (
        this.#limited(this.#requests, 1, reqId, now) ??
        this.#refuse(reqId, "UNKNOWN_TYPE", 0, "unknown message type")
      );
    }
    if (type === messageTypes.presence && frame.length > messageHeaderBytes + maxPresenceBytes) {
      return this.#end(reqId, "BAD_FRAME", "presence above 2 KiB");
    }
    return this.#end(reqId, "BAD_FRAME", error);
  }

  #admit(reqId: number, message: Message, frameBytes: number, now: number): Step {
    switch (message.type) {
      case "push":
      case "blobPut": {
        const pushed = message.type === "push" ? message.entries : [message.chunk];
        const bytes = sizeOf(pushed);
        if (this.#pushBytes > 0 && this.#pushBytes + bytes > maxPushBytesInWork) {
          return this.#refuse(reqId, "RATE", 1000, "too much is waiting to be stored");
        }
        const limited = this.#limited(this.#entries, pushed.length, reqId, now);
        if (limited !== null) return limited;
        this.#pushBytes += bytes;
        return { type: "serve", reqId, request: message };
      }
      case "presence":
        if (this.#presence.take(1, now) > 0) return { type: "ignore" };
        return { type: "serve", reqId, request: message };
      case "credit":
        return { type: "serve", reqId, request: message };
      case "auth":
      case "unsubscribe":
      case "pull":
      case "pullDocument":
      case "list":
      case "blobInit":
      case "blobGet":
      case "blobDrop":
      case "controlGet":
      case "controlPush":
      case "certPut":
      case "subscribe":
      case "ping": {
        const cost = 1 + Math.floor(frameBytes / 4096);
        return (
          this.#limited(this.#requests, cost, reqId, now) ?? {
            type: "serve",
            reqId,
            request: message,
          }
        );
      }
      case "hello":
      case "welcome":
      case "authOk":
      case "subscribed":
      case "data":
      case "caughtUp":
      case "rekey":
      case "listed":
      case "blobHave":
      case "blobAck":
      case "blobData":
      case "pushAck":
      case "controlData":
      case "controlAck":
      case "certAck":
      case "pong":
      case "goaway":
      case "error":
        return this.#end(reqId, "BAD_FRAME", `${message.type} is not for an open relay`);
    }
  }

  #limited(bucket: RateBucket, cost: number, reqId: number, now: number): Step | null {
    const waitMs = bucket.take(cost, now);
    return waitMs === 0 ? null : this.#refuse(reqId, "RATE", waitMs, "slower, please");
  }

  #refuse(reqId: number, refusal: RefusalName, retryAfterMs: number, detail: string): Step {
    return { type: "refuse", reqId, refusal, retryAfterMs, detail, closes: false };
  }

  #end(reqId: number, refusal: RefusalName, detail: string): Step {
    this.#phase = "closed";
    return { type: "refuse", reqId, refusal, retryAfterMs: 0, detail, closes: true };
  }
}

function reqIdOf(frame: Uint8Array): number {
  if (frame.length < messageHeaderBytes) return 0;
  return new DataView(frame.buffer, frame.byteOffset, frame.byteLength).getUint32(1);
}

function sizeOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}

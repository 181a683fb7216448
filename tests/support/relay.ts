/** A whole relay on loopback with its real store, and clients that speak raw frames to it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";
import { runRelay } from "#relay/compose.ts";
import { chainStart, chainTag } from "#relay/protocol/domain.ts";
import { readConfig, type Config } from "#relay/config/config.ts";
import type { SettingName } from "#relay/config/settings.ts";
import { maxMessageBytes, subprotocol, type Limits } from "#relay/protocol/limits.ts";
import {
  encodeMessage,
  parseMessage,
  type Framed,
  type Message,
  type Subscribed,
  type SubscriptionMode,
} from "#relay/protocol/messages.ts";
import type { TestDevice, TestSpace } from "#tests/support/space-identities.ts";

export interface TestRelay {
  /** `ws://127.0.0.1:port/v1` */
  readonly url: string;
  readonly httpUrl: string;
  readonly port: number;
  readonly metricsPort: number | null;
  /** Of the first invitation, where one was made. */
  readonly firstInvite: Uint8Array | null;
  readonly dir: string;
  /** What it logged, as text. */
  readonly log: string[];
  /** Resolves when it logs these words, at once where it has. */
  logged(words: string): Promise<void>;
  /** Stops it; its directory goes too unless it was given. */
  stop(): Promise<void>;
}

export interface TestRelayOptions {
  /** Kept after `stop`, to start another relay on it. */
  readonly dir?: string;
  readonly port?: number;
  readonly limits?: Partial<Limits>;
  /** By name, as flags. */
  readonly settings?: Partial<Record<SettingName, string>>;
  readonly clientDir?: string;
  /** A built worker to run the store in; in this thread without. */
  readonly workerUrl?: URL;
}

export async function startTestRelay(options: TestRelayOptions = {}): Promise<TestRelay> {
  const dir = options.dir ?? mkdtempSync(join(tmpdir(), "sealeaf-relay-"));
  const log: string[] = [];
  const listeners = new Set<() => void>();
  const running = await runRelay({
    config: configFor(dir, options),
    workerUrl: options.workerUrl ?? null,
    clientDir: options.clientDir ?? join(dir, "no-client"),
    version: "0.0.0-test",
    log: (level, event, numbers) => {
      if (level !== "debug") log.push(JSON.stringify({ level, event, ...numbers }));
      for (const listener of listeners) listener();
    },
  });
  const { port } = running;
  return {
    url: `ws://127.0.0.1:${port}/v1`,
    httpUrl: `http://127.0.0.1:${port}`,
    port,
    metricsPort: running.metricsPort,
    firstInvite: running.firstInvite,
    dir,
    log,
    logged: (words) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (!log.some((line) => line.includes(words))) return;
          listeners.delete(look);
          resolve();
        };
        listeners.add(look);
        look();
      }),
    async stop() {
      await running.stop();
      if (options.dir === undefined) rmSync(dir, { recursive: true, force: true });
    },
  };
}

function configFor(dir: string, options: TestRelayOptions): Config {
  const result = readConfig({
    environment: {},
    // A test's disk may be as full as it likes.
    flags: { data: dir, port: String(options.port ?? 0), "keep-free": "0", ...options.settings },
  });
  if (!result.ok) throw new Error(result.mistakes.join("\n"));
  const { config } = result;
  return { ...config, limits: { ...config.limits, ...options.limits } };
}

type MessageOf<Type extends Message["type"]> = Extract<Message, { type: Type }>;

interface Waiting {
  readonly wants: (framed: Framed) => boolean;
  readonly resolve: (framed: Framed | null) => void;
}

/** A client that sends what it is told and keeps what comes until somebody asks for it. */
export class RawClient {
  readonly socket: WebSocket;
  readonly url: string;
  /** Messages nobody has asked for yet, in order. */
  inbox: Framed[] = [];
  /** Settles with the close code. */
  readonly closed: Promise<number>;
  #waiting: Waiting[] = [];
  #nextReqId = 1;
  #isClosed = false;

  /** @param socket on its way to that address */
  constructor(url: string, socket: WebSocket) {
    this.url = url;
    this.socket = socket;
    this.closed = new Promise((resolve) => {
      socket.on("close", (code) => {
        this.#isClosed = true;
        for (const { resolve: answer } of this.#waiting) answer(null);
        this.#waiting = [];
        resolve(code);
      });
    });
    socket.on("error", () => undefined);
    socket.on("message", (data: Buffer) => {
      const parsed = parseMessage(new Uint8Array(data));
      if (!parsed.ok) throw new Error(`the relay sent what does not parse: ${parsed.error}`);
      const framed = parsed.value;
      const ix = this.#waiting.findIndex(({ wants }) => wants(framed));
      const [waiting] = ix < 0 ? [] : this.#waiting.splice(ix, 1);
      if (waiting === undefined) this.inbox.push(framed);
      else waiting.resolve(framed);
    });
  }

  /** A connection that has not said anything. Rejects if the relay refuses the upgrade. */
  static async dial(url: string): Promise<RawClient> {
    const socket = new WebSocket(url, subprotocol);
    const client = new RawClient(url, socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    return client;
  }

  /** A connection that has been welcomed. */
  static async connect(url: string): Promise<RawClient> {
    const client = await RawClient.dial(url);
    await client.hello();
    return client;
  }

  async hello(): Promise<MessageOf<"welcome">> {
    const nonce = new Uint8Array(16).fill(7);
    return this.ask({ type: "hello", version: 1, nonce, origin: this.url }, "welcome");
  }

  sendBytes(bytes: Uint8Array | string): void {
    this.socket.send(bytes);
  }

  /** Sends and answers the request's id. */
  send(message: Message): number {
    const reqId = this.#nextReqId;
    this.#nextReqId += 1;
    this.sendBytes(encodeMessage(reqId, message));
    return reqId;
  }

  /** The answer of this type; throws if it is another, or an error. */
  async ask<Type extends Message["type"]>(message: Message, type: Type): Promise<MessageOf<Type>> {
    const isPull = message.type === "pull" || message.type === "pullDocument";
    const answer = await this.answerTo(this.send(message), isPull);
    if (answer.type !== type) throw new Error(`${JSON.stringify(answer)} instead of ${type}`);
    return answer as MessageOf<Type>; // its discriminant was just compared
  }

  /** Whatever answers a request. */
  async answerTo(reqId: number, isPull = false): Promise<Message> {
    return (
      await this.#next(
        (framed) => framed.reqId === reqId && !(isPull && framed.message.type === "data"),
      )
    ).message;
  }

  /** The next message of this type, come or coming. */
  async next<Type extends Message["type"]>(type: Type): Promise<MessageOf<Type>> {
    const { message } = await this.#next((framed) => framed.message.type === type);
    return message as MessageOf<Type>; // that is what was waited for
  }

  /** Everything that came until the relay has answered all that was sent: a PING goes after it. */
  async settle(): Promise<Message[]> {
    await this.ask({ type: "ping", token: new Uint8Array(8) }, "pong");
    const seen = this.inbox.map(({ message }) => message);
    this.inbox = [];
    return seen;
  }

  async createSpace(space: TestSpace): Promise<MessageOf<"controlAck">> {
    const { genesis, recordBytes: records } = space;
    return this.ask({ type: "controlPush", genesis, records }, "controlAck");
  }

  async certify(device: TestDevice): Promise<number> {
    const { certificate } = device;
    return (await this.ask({ type: "certPut", certificate }, "certAck")).status;
  }

  async push(...entries: readonly Uint8Array[]): Promise<MessageOf<"pushAck">["results"]> {
    return (await this.ask({ type: "push", entries }, "pushAck")).results;
  }

  async subscribe(
    space: TestSpace,
    options: {
      readonly readToken?: Uint8Array;
      readonly cursor?: number;
      readonly chain?: Uint8Array;
      readonly mode?: SubscriptionMode;
    } = {},
  ): Promise<Subscribed["results"][number]> {
    const { results } = await this.ask(
      {
        type: "subscribe",
        spaces: [
          {
            spaceId: space.spaceId,
            readToken: options.readToken ?? space.readToken,
            cursor: options.cursor ?? 0,
            chainTag: chainTag(options.chain ?? chainStart(space.spaceId)),
            ctrlSeq: 0,
            mode: options.mode ?? "live",
          },
        ],
      },
      "subscribed",
    );
    const [result] = results;
    if (result === undefined) throw new Error("an answer for each space asked for");
    return result;
  }

  /** All documents of a space, in as many pages as it takes. */
  async list(handle: number): Promise<MessageOf<"listed">["documents"][number][]> {
    const documents: MessageOf<"listed">["documents"][number][] = [];
    for (;;) {
      const afterDocId = documents.at(-1)?.docId ?? new Uint8Array(16);
      const page = await this.ask({ type: "list", handle, afterDocId }, "listed");
      documents.push(...page.documents);
      this.send({ type: "credit", bytes: maxMessageBytes });
      if (!page.more) return documents;
    }
  }

  async announce(statement: Uint8Array): Promise<MessageOf<"blobHave">> {
    return this.ask({ type: "blobInit", statement }, "blobHave");
  }

  async putChunk(
    space: TestSpace,
    blobId: Uint8Array,
    index: number,
    chunk: Uint8Array,
  ): Promise<number> {
    const { spaceId } = space;
    return (await this.ask({ type: "blobPut", spaceId, blobId, index, chunk }, "blobAck")).status;
  }

  async close(): Promise<void> {
    this.socket.close();
    await this.closed;
  }

  async #next(wants: (framed: Framed) => boolean): Promise<Framed> {
    const ix = this.inbox.findIndex(wants);
    const [found] = ix < 0 ? [] : this.inbox.splice(ix, 1);
    if (found !== undefined) return found;
    if (this.#isClosed) throw new Error("the connection is closed");
    const framed = await new Promise<Framed | null>((resolve) => {
      this.#waiting.push({ wants, resolve });
    });
    if (framed === null) throw new Error("the connection closed before that came");
    return framed;
  }
}

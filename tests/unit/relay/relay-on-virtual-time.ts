/** A relay on a clock that only moves when told, with sockets that keep what they are sent. */
import { ed25519 } from "@noble/curves/ed25519.js";
import { defaultLimits, type Limits } from "#relay/protocol/limits.ts";
import {
  encodeMessage,
  parseMessage,
  type Framed,
  type Message,
} from "#relay/protocol/messages.ts";
import { openAccess } from "#tests/support/open-access.ts";
import { Relay, type RelayConnection } from "#relay/relay.ts";
import { MemoryRelayStore } from "#tests/support/memory-relay-store.ts";
import { bytesNamed, type TestDevice, type TestSpace } from "#tests/support/space-identities.ts";
import { chainStart, chainTag } from "#relay/protocol/domain.ts";

interface Timer {
  readonly at: number;
  readonly run: () => void;
}

export class VirtualTime {
  now = 1_000_000;
  readonly #timers = new Set<Timer>();

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.now + ms, run };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Runs what falls due in order, letting promises settle between. */
  async advance(ms: number): Promise<void> {
    const end = this.now + ms;
    for (;;) {
      await settlePromises();
      const [next] = [...this.#timers]
        .filter(({ at }) => at <= end)
        .toSorted((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers.delete(next);
      this.now = Math.max(this.now, next.at);
      next.run();
    }
    this.now = end;
    await settlePromises();
  }
}

/** Chains of promises in the relay are far shorter than this. */
async function settlePromises(): Promise<void> {
  for (let n = 0; n < 200; n += 1) await Promise.resolve();
}

export class VirtualClient {
  readonly #connection: RelayConnection;
  readonly #time: VirtualTime;
  received: Framed[] = [];
  closeCode: number | null = null;
  /** What the network claims not to have taken yet. */
  buffered = 0;
  #nextReqId = 1;

  constructor(relay: Relay, time: VirtualTime) {
    this.#time = time;
    this.#connection = relay.connect({
      send: (frame) => {
        const parsed = parseMessage(frame);
        if (!parsed.ok) throw new Error(parsed.error);
        this.received.push(parsed.value);
      },
      close: (code) => {
        this.closeCode = code;
      },
      buffered: () => this.buffered,
      host: "relay.example",
    });
  }

  deliver(frame: Uint8Array): void {
    this.#connection.receive(frame);
  }

  leave(): void {
    this.#connection.closed();
  }

  send(message: Message): number {
    const reqId = this.#nextReqId;
    this.#nextReqId += 1;
    this.deliver(encodeMessage(reqId, message));
    return reqId;
  }

  /** Sends, lets the relay work, and gives everything it answered. */
  async exchange(...messages: readonly Message[]): Promise<Message[]> {
    for (const message of messages) this.send(message);
    await this.#time.advance(0);
    return this.take();
  }

  take(): Message[] {
    const messages = this.received.map(({ message }) => message);
    this.received = [];
    return messages;
  }
}

export interface World {
  readonly relay: Relay;
  readonly store: MemoryRelayStore;
  readonly time: VirtualTime;
  readonly log: string[];
  readonly client: () => Promise<VirtualClient>;
}

export function setupWorld(
  options: {
    readonly store?: MemoryRelayStore;
    readonly limits?: Partial<Limits>;
    /** Of another world, to share it. */
    readonly time?: VirtualTime;
  } = {},
): World {
  const time = options.time ?? new VirtualTime();
  const store = options.store ?? new MemoryRelayStore();
  const log: string[] = [];
  const relay = new Relay({
    store,
    clock: { now: () => time.now },
    timers: { after: (ms, run) => time.after(ms, run) },
    random: (length) => bytesNamed("chance", length),
    verify: (pub, message, signature) =>
      Promise.resolve(ed25519.verify(signature, message, pub, { zip215: false })),
    identity: {
      relayPub: bytesNamed("relay", 32),
      storeId: bytesNamed("store", 16),
      sign: () => Promise.resolve(bytesNamed("signature", 64)),
    },
    access: openAccess,
    limits: { ...defaultLimits, ...options.limits },
    log: (level, event) => log.push(`${level} ${event}`),
    acceptsOrigin: () => true,
  });
  return {
    relay,
    store,
    time,
    log,
    client: async () => {
      const client = new VirtualClient(relay, time);
      const nonce = new Uint8Array(16);
      await client.exchange({ type: "hello", version: 1, nonce, origin: "ws://relay.example/v1" });
      return client;
    },
  };
}

export function controlPushOf({ genesis, recordBytes: records }: TestSpace): Message {
  return { type: "controlPush", genesis, records };
}

export function certPutOf({ certificate }: TestDevice): Message {
  return { type: "certPut", certificate };
}

export function subscribeTo(space: TestSpace): Message {
  return {
    type: "subscribe",
    spaces: [
      {
        spaceId: space.spaceId,
        readToken: space.readToken,
        cursor: 0,
        chainTag: chainTag(chainStart(space.spaceId)),
        ctrlSeq: 0,
        mode: "live",
      },
    ],
  };
}

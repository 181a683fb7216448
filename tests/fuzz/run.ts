/**
 * A relay on its default store, without a network, and clients that say anything. It must not throw,
 * must not grow, and must serve a well-behaved client afterwards as if nothing had been.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ed25519 } from "@noble/curves/ed25519.js";
import { equal } from "#relay/protocol/bytes.ts";
import { parseControl } from "#relay/protocol/control.ts";
import { chainNext, chainStart, chainTag } from "#relay/protocol/domain.ts";
import { parseEntry, parseStub } from "#relay/protocol/entry.ts";
import { refusalName } from "#relay/protocol/errors.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import { defaultLimits } from "#relay/protocol/limits.ts";
import { encodeMessage, parseMessage, type Data, type Message } from "#relay/protocol/messages.ts";
import type { Verify } from "#relay/intake.ts";
import { Relay, type RelayConnection } from "#relay/relay.ts";
import { createSigner, createVerifier } from "#relay/signatures.ts";
import { openSqliteStore } from "#relay/store/sqlite.ts";
import { systemTimers } from "#relay/system-timers.ts";
import { openAccess } from "#tests/support/open-access.ts";
import { Chance } from "#tests/support/sim-chance.ts";
import { bytesNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";
import { FrameSource } from "./frames.ts";

export interface FuzzOptions {
  readonly frames: number;
  readonly seed: number;
  /** Spoils the relay, to show that this would be seen. */
  readonly sabotage?: (verify: Verify) => Verify;
}

export interface FuzzOutcome {
  readonly frames: number;
  readonly connections: number;
  /** How often each status and refusal was answered, by name; "accepted" for none. */
  readonly answers: ReadonlyMap<string, number>;
  /** What a relay must not do, in words; none is as it should be. */
  readonly troubles: readonly string[];
  /** Bytes in use after a tenth of the frames, and at the end. */
  readonly memory: { readonly before: number; readonly after: number };
}

const limits = {
  ...defaultLimits,
  entriesPerSecond: 1e9,
  entryBurst: 1e9,
  presencePerSecond: 1e9,
  spaceBytes: 8 << 20,
};
const framesPerConnection = 200;
/** So often the relay gets time to do what it was told. */
const framesPerBreath = 32;

export async function fuzz({ frames, seed, sabotage }: FuzzOptions): Promise<FuzzOutcome> {
  const dir = mkdtempSync(join(tmpdir(), "sealeaf-fuzz-"));
  const fuzzed = await FuzzedRelay.open(dir, sabotage ?? ((verify) => verify));
  const source = new FrameSource(new Chance(`fuzz ${seed}`));
  let connections = 0;
  let before = 0;
  let client: FuzzClient | null = null;
  for (let n = 0; n < frames; n += 1) {
    if (client === null || client.isClosed || client.sent >= framesPerConnection) {
      client?.leave();
      client = fuzzed.connect();
      connections += 1;
      client.say(source.hello());
      await breathe();
    }
    client.say(source.next());
    if (n % framesPerBreath === 0) await breathe();
    if (n === Math.floor(frames / 10)) before = await memoryInUse();
  }
  client?.leave();
  const troubles = [...fuzzed.troubles, ...(await fuzzed.tryGoodClient(source.space))];
  await fuzzed.close();
  rmSync(dir, { recursive: true, force: true });
  const memory = { before, after: await memoryInUse() };
  return { frames, connections, answers: fuzzed.answers, troubles, memory };
}

class FuzzedRelay {
  readonly answers = new Map<string, number>();
  readonly troubles: string[] = [];
  readonly #relay: Relay;
  readonly #close: () => Promise<void>;

  private constructor(ports: Omit<ConstructorParameters<typeof Relay>[0], "log">) {
    this.#close = () => ports.store.close();
    this.#relay = new Relay({
      ...ports,
      log: (level, event) => {
        if (level === "error") this.troubles.push(`the relay logged "${event}"`);
      },
    });
  }

  static async open(dir: string, sabotage: (verify: Verify) => Verify): Promise<FuzzedRelay> {
    const store = await openSqliteStore({ dir, workerUrl: null });
    const secret = bytesNamed("relay secret", 32);
    const relayPub = ed25519.getPublicKey(secret);
    const chance = new Chance("relay");
    return new FuzzedRelay({
      store,
      clock: { now: () => Date.now() },
      timers: systemTimers,
      random: (length) => chance.bytes(length),
      verify: sabotage(createVerifier()),
      identity: { relayPub, storeId: bytesNamed("id", 16), sign: createSigner(secret, relayPub) },
      limits,
      access: openAccess,
      acceptsOrigin: () => true,
    });
  }

  connect(): FuzzClient {
    return new FuzzClient(this.#relay, this);
  }

  heard(message: Message): void {
    for (const status of statusesOf(message)) {
      const name = status === 0 ? "accepted" : refusalName(status);
      if (name === null) this.troubles.push(`an unknown code, ${status}`);
      else this.answers.set(name, (this.answers.get(name) ?? 0) + 1);
    }
  }

  /** A new space works, and the one that was fuzzed reads from its first position to its last. */
  async tryGoodClient(spaceFuzzed: TestSpace): Promise<readonly string[]> {
    const troubles: string[] = [];
    const client = new PoliteClient(this.#relay);
    const nonce = new Uint8Array(16);
    await client.ask({ type: "hello", version: 1, nonce, origin: "ws://relay.example/v1" });
    const space = new TestSpace("afterwards");
    const device = new TestDevice(space, "laptop", space.admin);
    const { genesis, recordBytes: records } = space;
    await client.ask({ type: "controlPush", genesis, records });
    await client.ask({ type: "certPut", certificate: device.certificate });
    const entries = [device.entry(), device.entry()];
    const acked = await client.ask({ type: "push", entries });
    const isStored = acked.type === "pushAck" && acked.results.every(({ status }) => status === 0);
    if (!isStored) troubles.push("a good client's entries were refused");
    for (const [read, least] of [
      [space, 4],
      [spaceFuzzed, 5],
    ] as const) {
      const { head, chain } = await client.readWhole(read);
      if (head < least) troubles.push(`the log of "${read.name}" ends at ${head}`);
      if (chain === null) troubles.push(`the log of "${read.name}" does not chain`);
    }
    return troubles;
  }

  async close(): Promise<void> {
    await this.#relay.stop();
    await this.#close();
  }
}

class FuzzClient {
  isClosed = false;
  sent = 0;
  readonly #connection: RelayConnection;

  constructor(relay: Relay, fuzzed: FuzzedRelay) {
    this.#connection = relay.connect({
      host: "relay.example",
      buffered: () => 0,
      close: () => {
        this.isClosed = true;
      },
      send: (frame) => {
        const parsed = parseMessage(frame);
        if (parsed.ok) fuzzed.heard(parsed.value.message);
        else fuzzed.troubles.push(`the relay sent what does not parse: ${parsed.error}`);
      },
    });
  }

  say(frame: Uint8Array): void {
    this.sent += 1;
    this.#connection.receive(frame);
  }

  leave(): void {
    this.isClosed = true;
    this.#connection.closed();
  }
}

class PoliteClient {
  readonly #connection: RelayConnection;
  readonly #received: { readonly reqId: number; readonly message: Message }[] = [];
  #onReceived: () => void = () => undefined;
  #reqId = 0;

  constructor(relay: Relay) {
    this.#connection = relay.connect({
      host: "relay.example",
      buffered: () => 0,
      close: () => undefined,
      send: (frame) => {
        const parsed = parseMessage(frame);
        if (parsed.ok) this.#received.push(parsed.value);
        if (parsed.ok && parsed.value.message.type === "data") this.#credit(frame.length);
        this.#onReceived();
      },
    });
  }

  async ask(message: Message): Promise<Message> {
    this.#reqId += 1;
    const reqId = this.#reqId;
    this.#connection.receive(encodeMessage(reqId, message));
    return this.#find((framed) => (framed.reqId === reqId ? framed.message : null));
  }

  /** Chain null if it is not the one that the relay says. */
  async readWhole(space: TestSpace): Promise<{ head: number; chain: Uint8Array | null }> {
    const { spaceId, readToken } = space;
    const start = chainStart(spaceId);
    const asked = { spaceId, readToken, cursor: 0, chainTag: chainTag(start), ctrlSeq: 0 };
    const answer = await this.ask({ type: "subscribe", spaces: [{ ...asked, mode: "live" }] });
    const [result] = answer.type === "subscribed" ? answer.results : [];
    if (result?.status !== 0) return { head: 0, chain: null };
    const { handle } = result;
    const end = await this.#find(({ message }) =>
      message.type === "caughtUp" && message.handle === handle ? message : null,
    );
    const items = this.#received.flatMap(({ message }) =>
      message.type === "data" && message.handle === handle ? message.items : [],
    );
    const chain = items.reduce(chainOver, start);
    const isSound = end.type === "caughtUp" && equal(end.chain, chain);
    return { head: items.length, chain: isSound ? chain : null };
  }

  #credit(bytes: number): void {
    queueMicrotask(() => {
      this.#connection.receive(encodeMessage(0, { type: "credit", bytes }));
    });
  }

  async #find<T>(
    wanted: (framed: { readonly reqId: number; readonly message: Message }) => T | null,
  ): Promise<T> {
    for (;;) {
      for (const framed of this.#received) {
        const found = wanted(framed);
        if (found !== null) return found;
      }
      await new Promise<void>((resolve) => {
        this.#onReceived = resolve;
      });
    }
  }
}

function chainOver(chain: Uint8Array, { pos, kind, bytes }: Data["items"][number]): Uint8Array {
  if (kind === "control") {
    const record = parseControl(bytes);
    return record.ok ? chainNext(pos, chain, noDocument, record.value.hash) : new Uint8Array(32);
  }
  const item = kind === "entry" ? parseEntry(bytes, bytes.length) : parseStub(bytes);
  if (!item.ok) return new Uint8Array(32);
  return chainNext(pos, chain, item.value.docId, item.value.entryId);
}

function statusesOf(message: Message): readonly number[] {
  switch (message.type) {
    case "pushAck":
    case "subscribed":
      return message.results.map(({ status }) => status);
    case "controlAck":
    case "certAck":
    case "blobHave":
    case "blobAck":
      return [message.status];
    case "error":
    case "goaway":
      return [message.code];
    default:
      return [];
  }
}

/** Lets what waits for the disk and for threads get its turn. */
async function breathe(): Promise<void> {
  for (let n = 0; n < 3; n += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** What is still referred to: after collecting the rest, where that can be asked for. */
async function memoryInUse(): Promise<number> {
  for (let n = 0; n < 4; n += 1) {
    globalThis.gc?.();
    await breathe();
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

/** Clients that break the session's rules, over real WebSockets. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { utf8, Writer } from "#relay/protocol/bytes.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { maxMessageBytes } from "#relay/protocol/limits.ts";
import { encodeMessage, messageTypes } from "#relay/protocol/messages.ts";
import { RawClient, type TestRelay } from "#tests/support/relay.ts";
import { relayEngines } from "#tests/support/relay-engines.ts";
import { TestDevice, TestSpace } from "#tests/support/space-identities.ts";

describe.each(relayEngines)("frames that break the rules, on $name", ({ start }) => {
  let relay: TestRelay;
  beforeAll(async () => {
    relay = await start();
  });
  afterAll(() => relay.stop());

  async function expectAlive(): Promise<void> {
    const client = await RawClient.connect(relay.url);
    expect(await client.settle()).toEqual([]);
    await client.close();
  }

  const first: readonly (readonly [string, Uint8Array | string])[] = [
    ["a PING", encodeMessage(1, { type: "ping", token: new Uint8Array(8) })],
    ["no bytes", new Uint8Array(0)],
    ["one byte", new Uint8Array([1])],
    ["an unknown type", new Uint8Array([0xee, 0, 0, 0, 1])],
    ["text", "hello"],
  ];
  it.each(first)(
    "[SES-1] %s before HELLO is answered and ends the connection (1)",
    async (_, frame) => {
      const client = await RawClient.dial(relay.url);
      client.sendBytes(frame);
      expect((await client.next("error")).code).toBe(refusals.HANDSHAKE_REQUIRED.code);
      expect(await client.closed).toBe(4000 + refusals.HANDSHAKE_REQUIRED.code);
      await expectAlive();
    },
  );

  it("[SES-1] whoever says nothing is disconnected after the handshake's time", async () => {
    const impatient = await start({ limits: { handshakeMs: 50 } });
    const client = await RawClient.dial(impatient.url);
    expect((await client.next("error")).code).toBe(refusals.HANDSHAKE_REQUIRED.code);
    await client.closed;
    await impatient.stop();
  });

  it("[SES-2] another version is told the relay's, and disconnected (2)", async () => {
    const client = await RawClient.dial(relay.url);
    client.send({ type: "hello", version: 9, nonce: new Uint8Array(16), origin: relay.url });
    const error = await client.next("error");
    expect(error).toMatchObject({ code: refusals.UNSUPPORTED_VERSION.code });
    expect(error.detail).toContain("1 to 1");
    await client.closed;
  });

  it("[SES-3] a relay does not sign for an address that is not its own", async () => {
    const client = await RawClient.dial(relay.url);
    client.send({
      type: "hello",
      version: 1,
      nonce: new Uint8Array(16),
      origin: "wss://notes.example/v1",
    });
    expect((await client.next("error")).code).toBe(refusals.AUTH_FAILED.code);
    await client.closed;
  });

  it("[LIM-1] a frame above 1 MiB closes its connection and no other (3)", async () => {
    const client = await RawClient.connect(relay.url);
    client.sendBytes(new Uint8Array(maxMessageBytes + 1));
    expect(await client.closed).toBe(1009);
    await expectAlive();
  });

  it("[LIM-1] twenty thousand tiny fragments do not grow the relay (3)", async () => {
    const client = await RawClient.connect(relay.url);
    const before = process.memoryUsage().rss;
    for (let n = 0; n < 20_000; n += 1) {
      client.socket.send(new Uint8Array([messageTypes.ping]), { fin: false, binary: true });
    }
    client.socket.send(new Uint8Array(0), { fin: true, binary: true });
    await client.closed;
    expect(process.memoryUsage().rss - before).toBeLessThan(200 << 20);
    await expectAlive();
  });

  it("[SES-5] an unknown type is answered and the connection goes on", async () => {
    const client = await RawClient.connect(relay.url);
    client.sendBytes(new Uint8Array([0x6e, 0, 0, 0, 9, 1, 2, 3]));
    const answer = await client.answerTo(9);
    expect(answer).toMatchObject({ type: "error", code: refusals.UNKNOWN_TYPE.code });
    await client.settle();
    await client.close();
  });

  const malformed: readonly (readonly [string, Uint8Array | string])[] = [
    ["text", "hello"],
    ["no bytes", new Uint8Array(0)],
    ["half a PING", encodeMessage(1, { type: "ping", token: new Uint8Array(8) }).slice(0, 9)],
    ["a PING and a byte", new Uint8Array([messageTypes.ping, ...new Uint8Array(13)])],
    [
      "a second HELLO",
      encodeMessage(1, { type: "hello", version: 1, nonce: new Uint8Array(16), origin: "" }),
    ],
    ["what only a relay says", encodeMessage(1, { type: "rekey", handle: 1 })],
    ["a PUSH of 257 entries", countedFrame(messageTypes.push, 257, 257 * 4)],
    [
      "a PUSH whose entry is longer than the frame",
      new Writer().u8(messageTypes.push).u32(1).u16(1).u32(0xffff_ffff).finish(),
    ],
    ["a SUB of 65,535 spaces in no bytes", countedFrame(messageTypes.subscribe, 65_535, 0)],
    [
      "a PULL to 2^64 - 1",
      new Writer()
        .u8(messageTypes.pull)
        .u32(1)
        .u32(1)
        .u64(0)
        .bytes(new Uint8Array(8).fill(255))
        .finish(),
    ],
    [
      "a CREDIT of 8 bytes",
      new Writer().u8(messageTypes.credit).u32(1).bytes(new Uint8Array(8).fill(255)).finish(),
    ],
    [
      "presence of 3 KiB",
      new Writer().u8(messageTypes.presence).u32(0).u32(1).bytes(new Uint8Array(3072)).finish(),
    ],
  ];
  it.each(malformed)(
    "[SES-4] %s is BAD_FRAME and ends the connection (1, 26, 27)",
    async (_, frame) => {
      const client = await RawClient.connect(relay.url);
      client.sendBytes(frame);
      expect((await client.next("error")).code).toBe(refusals.BAD_FRAME.code);
      expect(await client.closed).toBe(4000 + refusals.BAD_FRAME.code);
      await expectAlive();
    },
  );

  it("[SUB-6] credit beyond what is on its way counts for nothing", async () => {
    const client = await RawClient.connect(relay.url);
    client.send({ type: "credit", bytes: 0xffff_ffff });
    expect(await client.settle()).toEqual([]);
    await client.close();
  });

  it("[SES-4] four thousand mutilated frames crash nothing (26)", async () => {
    const space = new TestSpace("mutilated");
    const device = new TestDevice(space, "laptop");
    const { genesis, recordBytes: records } = space;
    const valid = [
      encodeMessage(1, { type: "controlPush", genesis, records }),
      encodeMessage(2, { type: "certPut", certificate: device.certificate }),
      encodeMessage(3, { type: "push", entries: [device.entry(), device.entry()] }),
      encodeMessage(4, { type: "controlGet", spaceId: space.spaceId, fromSeq: 1 }),
      encodeMessage(5, { type: "pull", handle: 1, after: 0, upTo: 9 }),
      encodeMessage(6, { type: "credit", bytes: 9 }),
      encodeMessage(7, { type: "unsubscribe", handles: [1, 2] }),
      encodeMessage(8, { type: "presence", handle: 1, sealed: utf8("here") }),
    ];
    const chance = chanceFrom(20_260_803);
    let client = await RawClient.connect(relay.url);
    let connections = 1;
    for (let n = 0; n < 4000; n += 1) {
      if (client.socket.readyState !== WebSocket.OPEN) {
        client = await RawClient.connect(relay.url);
        connections += 1;
      }
      client.sendBytes(mutilated(valid[n % valid.length] ?? utf8(""), chance));
      // Most frames end their connection: let the relay say so now and then.
      if (n % 50 === 49) await Promise.race([client.settle().catch(() => []), client.closed]);
    }
    client.socket.terminate();
    expect(connections).toBeGreaterThan(10);
    await expectAlive();
    expect(relay.log.filter((line) => line.includes("error"))).toEqual([]);
  });
});

describe.each(relayEngines)("connections, on $name", ({ start }) => {
  it("[LIM-5] an address holds only so many", async () => {
    const relay = await start({ limits: { connectionsPerAddress: 2 } });
    const kept = [await RawClient.connect(relay.url), await RawClient.connect(relay.url)];
    await expect(RawClient.dial(relay.url)).rejects.toThrow("429");
    await kept[0]?.close();
    await relay.stop();
  });

  it("[SES-7] a stopping relay says goodbye to each, after answering what it took in", async () => {
    const relay = await start();
    const client = await RawClient.connect(relay.url);
    const space = new TestSpace("stopping");
    const device = new TestDevice(space, "laptop");
    await client.createSpace(space);
    await client.certify(device);
    const pushed = client.push(device.entry());
    await client.settle();
    const stopped = relay.stop();
    expect((await pushed)[0]?.status).toBe(0);
    expect((await client.next("goaway")).code).toBe(refusals.SHUTTING_DOWN.code);
    expect(await client.closed).toBe(1012);
    await stopped;
  });
});

function countedFrame(type: number, count: number, bytes: number): Uint8Array {
  return new Writer().u8(type).u32(1).u16(count).bytes(new Uint8Array(bytes)).finish();
}

/** A repeatable stream of numbers below a bound (xorshift32). */
function chanceFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function mutilated(frame: Uint8Array, chance: (below: number) => number): Uint8Array {
  const kind = chance(3);
  if (kind === 0) return frame.slice(0, chance(frame.length));
  const copy = Uint8Array.from(frame);
  for (let n = 0; n <= kind * chance(8); n += 1) copy[chance(copy.length)] = chance(256);
  return copy;
}

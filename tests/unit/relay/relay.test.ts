import { describe, expect, it } from "vitest";
import { concat } from "#relay/protocol/bytes.ts";
import { roles } from "#relay/protocol/control.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { encodeMessage, type Message } from "#relay/protocol/messages.ts";
import { MemoryRelayDisk, MemoryRelayStore } from "#tests/support/memory-relay-store.ts";
import { bytesNamed, signerNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";
import {
  certPutOf,
  controlPushOf,
  setupWorld,
  subscribeTo,
} from "#tests/unit/relay/relay-on-virtual-time.ts";

function setupSpace(): { space: TestSpace; device: TestDevice } {
  const space = new TestSpace("notes");
  return { space, device: new TestDevice(space, "laptop") };
}

describe("durability", () => {
  it("[PUSH-6] nothing is acknowledged, fanned out or told before it is durable", async () => {
    const { client: connect, store } = setupWorld();
    const { space, device } = setupSpace();
    const [writer, reader] = [await connect(), await connect()];
    await writer.exchange(controlPushOf(space), certPutOf(device));
    await reader.exchange(subscribeTo(space));
    store.isHeld = true;
    expect(await writer.exchange({ type: "push", entries: [device.entry()] })).toEqual([]);
    expect(await reader.exchange()).toEqual([]);
    const third = await connect();
    expect((await third.exchange(subscribeTo(space)))[0]).toMatchObject({ results: [{ head: 2 }] });
    store.sync();
    expect(await writer.exchange()).toMatchObject([{ type: "pushAck", results: [{ pos: 3 }] }]);
    expect(await reader.exchange()).toMatchObject([{ type: "data", items: [{ pos: 3 }] }]);
  });

  it("[PUSH-6] an entry lost in a crash was seen by nobody, and takes its place when sent again", async () => {
    const disk = new MemoryRelayDisk();
    const store = new MemoryRelayStore(disk);
    const before = setupWorld({ store });
    const { space, device } = setupSpace();
    const [writer, reader] = [await before.client(), await before.client()];
    await writer.exchange(controlPushOf(space), certPutOf(device));
    await reader.exchange(subscribeTo(space));
    const [kept, lost] = [device.entry(), device.entry()];
    await writer.exchange({ type: "push", entries: [kept] });
    await reader.exchange();
    store.isHeld = true;
    await writer.exchange({ type: "push", entries: [lost] });
    store.crash();
    expect(await reader.exchange()).toEqual([]);

    const after = setupWorld({ store: new MemoryRelayStore(disk) });
    const again = await after.client();
    const answers = await again.exchange({ type: "push", entries: [kept, lost] });
    expect(answers).toMatchObject([
      {
        results: [
          { status: 0, pos: 3 },
          { status: 0, pos: 4 },
        ],
      },
    ]);
  });

  it.each([
    ["full", "DISK_FULL"],
    ["failed", "INTERNAL"],
  ] as const)(
    "[PUSH-6] a disk that is %s is %s; what was built on the failure falls with it, and the next try stands (22)",
    async (failure, refusal) => {
      const { client: connect, store } = setupWorld();
      const { space, device } = setupSpace();
      const writer = await connect();
      await writer.exchange(controlPushOf(space), certPutOf(device));
      store.isHeld = true;
      const [first, second] = [device.entry(), device.entry()];
      await writer.exchange(
        { type: "push", entries: [first] },
        { type: "push", entries: [second] },
      );
      store.failures.push(failure);
      store.isHeld = false;
      store.sync();
      const answers = await writer.exchange();
      expect(answers).toMatchObject([
        { results: [{ status: refusals[refusal].code, pos: 0 }] },
        { results: [{ status: refusals[refusal].code, pos: 0 }] },
      ]);
      expect(await writer.exchange({ type: "push", entries: [first, second] })).toMatchObject([
        {
          results: [
            { status: 0, pos: 3 },
            { status: 0, pos: 4 },
          ],
        },
      ]);
    },
  );

  it("[CTRL-4] a space whose creation failed does not exist, and can be made again", async () => {
    const { client: connect, store } = setupWorld();
    const { space } = setupSpace();
    const writer = await connect();
    store.failures.push("full");
    expect(await writer.exchange(controlPushOf(space))).toMatchObject([
      { status: refusals.DISK_FULL.code, records: [] },
    ]);
    const get = { type: "controlGet", spaceId: space.spaceId, fromSeq: 1 } as const;
    expect(await writer.exchange(get)).toMatchObject([{ code: refusals.NO_SPACE.code }]);
    expect(await writer.exchange(controlPushOf(space))).toMatchObject([{ status: 0 }]);
  });
});

describe("order on one connection", () => {
  it("[PUSH-1] pushes that follow one another without waiting are admitted in their order", async () => {
    const { client: connect } = setupWorld();
    const { space, device } = setupSpace();
    const writer = await connect();
    const pushes = Array.from({ length: 8 }, () => ({
      type: "push" as const,
      entries: [device.entry()],
    }));
    const answers = await writer.exchange(controlPushOf(space), certPutOf(device), ...pushes);
    const positions = answers.flatMap((answer) =>
      answer.type === "pushAck" ? answer.results.map(({ pos }) => pos) : [],
    );
    expect(positions).toEqual([3, 4, 5, 6, 7, 8, 9, 10]);
  });
});

describe("fan-out", () => {
  it("[SUB-9] what was committed in one tick goes out as one DATA", async () => {
    const { client: connect, store } = setupWorld();
    const { space, device } = setupSpace();
    const [writer, reader] = [await connect(), await connect()];
    await writer.exchange(controlPushOf(space), certPutOf(device));
    await reader.exchange(subscribeTo(space));
    store.isHeld = true;
    for (let n = 0; n < 5; n += 1)
      await writer.exchange({ type: "push", entries: [device.entry()] });
    store.isHeld = false;
    store.sync();
    const [data, ...more] = await reader.exchange();
    expect(more).toEqual([]);
    expect(data).toMatchObject({ items: [3, 4, 5, 6, 7].map((pos) => ({ pos, kind: "entry" })) });
  });

  it("[SUB-7] a reader far behind that credits nothing for 30 seconds is told to go", async () => {
    const { client: connect, time } = setupWorld({
      limits: { entriesPerSecond: 1000, entryBurst: 1000 },
    });
    const { space, device } = setupSpace();
    const [writer, deaf, slow] = [await connect(), await connect(), await connect()];
    await writer.exchange(controlPushOf(space), certPutOf(device));
    await deaf.exchange(subscribeTo(space));
    await slow.exchange(subscribeTo(space));
    for (let n = 0; n < 40; n += 1) {
      await writer.exchange({ type: "push", entries: [device.entry({ size: 255 << 10 })] });
    }
    const received = deaf.received.reduce(
      (sum, { message }) => sum + encodeMessage(0, message).length,
      0,
    );
    expect(received).toBeLessThanOrEqual(4 << 20);
    await time.advance(20_000);
    await slow.exchange({ type: "credit", bytes: 1 << 20 });
    await time.advance(15_000);
    expect(deaf.take().at(-1)).toMatchObject({
      type: "goaway",
      code: refusals.SLOW_CONSUMER.code,
    });
    expect(deaf.closeCode).toBe(4000 + refusals.SLOW_CONSUMER.code);
    expect(slow.closeCode).toBeNull();
  });

  it("[SUB-7] a reader whose network takes nothing is cut at 12 MiB, whatever it is sent", async () => {
    const { client: connect } = setupWorld();
    const client = await connect();
    client.buffered = 13 << 20;
    await client.exchange({ type: "ping", token: new Uint8Array(8) });
    expect(client.closeCode).toBe(4000 + refusals.SLOW_CONSUMER.code);
  });

  it("[EPH-2] presence is the first thing dropped under pressure", async () => {
    const { client: connect } = setupWorld();
    const { space } = setupSpace();
    const [writer, reader] = [await connect(), await connect()];
    await writer.exchange(controlPushOf(space), subscribeTo(space));
    await reader.exchange(subscribeTo(space));
    reader.buffered = 300 << 10;
    const beat = { type: "presence", handle: 1, sealed: new Uint8Array(64) } as const;
    await writer.exchange(beat);
    expect(await reader.exchange()).toEqual([]);
    reader.buffered = 0;
    await writer.exchange(beat);
    expect(await reader.exchange()).toMatchObject([{ type: "presence" }]);
  });
});

describe("a control log larger than a message", () => {
  it("[CTRL-8] comes in pages, the certificates with the last", async () => {
    const { client: connect } = setupWorld();
    const { space, device } = setupSpace();
    const client = await connect();
    const friend = signerNamed("friend");
    for (let n = 0; n < 240; n += 1) {
      space.grant({ signPub: friend.pub, role: roles.edit, meta: bytesNamed("meta", 2048) });
    }
    expect(await client.exchange(controlPushOf(space), certPutOf(device))).toMatchObject([
      { type: "controlAck", status: 0 },
      { type: "certAck", status: 0 },
    ]);
    const pages: Message[] = [];
    let fromSeq = 1;
    for (let more = true; more;) {
      const [page] = await client.exchange({ type: "controlGet", spaceId: space.spaceId, fromSeq });
      if (page?.type !== "controlData") throw new Error("pages of the control log");
      pages.push(page);
      expect(page.records[0]?.bytes).toEqual(space.recordBytes[fromSeq - 1]);
      fromSeq += page.records.length;
      more = page.more;
    }
    expect(fromSeq).toBe(space.records.length + 1);
    expect(pages).toMatchObject([{ certificates: [] }, { certificates: [device.certificate] }]);
    for (const page of pages) expect(encodeMessage(1, page).length).toBeLessThan(1 << 20);
  });
});

describe("a connection's life", () => {
  it("[SES-6] one that was silent for 90 seconds is ended; one that pings stays", async () => {
    const { client: connect, time } = setupWorld();
    const [silent, alive] = [await connect(), await connect()];
    for (let n = 0; n < 5; n += 1) {
      await time.advance(25_000);
      await alive.exchange({ type: "ping", token: new Uint8Array(8) });
    }
    expect(silent.closeCode).not.toBeNull();
    expect(alive.closeCode).toBeNull();
  });

  it("[SES-7] a stopping relay answers what it took in, takes no more, and says when to come back", async () => {
    const { client: connect, store, relay, time } = setupWorld();
    const { space, device } = setupSpace();
    const writer = await connect();
    await writer.exchange(controlPushOf(space), certPutOf(device));
    store.isHeld = true;
    await writer.exchange({ type: "push", entries: [device.entry()] });
    const stopped = relay.stop();
    expect(await writer.exchange({ type: "push", entries: [device.entry()] })).toEqual([]);
    store.sync();
    await time.advance(0);
    await stopped;
    expect(writer.take()).toMatchObject([
      { type: "pushAck", results: [{ status: 0, pos: 3 }] },
      { type: "goaway", code: refusals.SHUTTING_DOWN.code },
    ]);
    expect(writer.closeCode).toBe(1012);
    expect(relay.connectionCount).toBe(0);
  });

  it("[SES-4] five thousand frames of chance, each to an open connection, crash nothing", async () => {
    const { client: connect, log } = setupWorld();
    const { space, device } = setupSpace();
    const writer = await connect();
    await writer.exchange(controlPushOf(space), certPutOf(device));
    const valid = [
      controlPushOf(space),
      certPutOf(device),
      subscribeTo(space),
      { type: "push", entries: [device.entry()] } as const,
      { type: "pull", handle: 1, after: 0, upTo: 99 } as const,
      { type: "controlGet", spaceId: space.spaceId, fromSeq: 0 } as const,
    ].map((message, ix) => encodeMessage(ix, message));
    let state = 7;
    const chance = (below: number) => {
      state = (state * 1_103_515_245 + 12_345) & 0x7fff_ffff;
      return (state >>> 8) % below;
    };
    let client = await connect();
    let ended = 0;
    for (let n = 0; n < 5000; n += 1) {
      if (client.closeCode !== null) {
        ended += 1;
        client = await connect();
      }
      const frame = Uint8Array.from(valid[chance(valid.length)] ?? []);
      const cut = chance(3) === 0 ? frame.slice(0, chance(frame.length)) : frame;
      if (cut.length > 1) cut[1 + chance(cut.length - 1)] = chance(256);
      client.deliver(cut);
      client.received = [];
    }
    await client.exchange();
    expect(ended).toBeGreaterThan(250);
    expect(log).toEqual([]);
  }, 30_000);

  it("nothing a log can hold names a space, a key or an address", async () => {
    const store = new MemoryRelayStore();
    const { client: connect, log } = setupWorld({ store });
    const { space } = setupSpace();
    const writer = await connect();
    await writer.exchange(controlPushOf(space));
    store.crash();
    const other = new TestSpace("other");
    const answers = await writer.exchange(controlPushOf(other), controlPushOf(space));
    expect(answers.map((answer) => "code" in answer && answer.code)).toContain(
      refusals.INTERNAL.code,
    );
    expect(log).toEqual(log.map(() => "error a request failed: StoreError"));
    expect(log.length).toBeGreaterThan(0);
  });
});

describe("the stored bytes", () => {
  it("are the ones that were pushed, and hold no read token", async () => {
    const disk = new MemoryRelayDisk();
    const { client: connect } = setupWorld({ store: new MemoryRelayStore(disk) });
    const { space, device } = setupSpace();
    const writer = await connect();
    const entry = device.entry();
    await writer.exchange(
      controlPushOf(space),
      certPutOf(device),
      { type: "push", entries: [entry] },
      subscribeTo(space),
    );
    const kept = Buffer.from(concat(...disk.bytes()));
    expect(kept.includes(Buffer.from(entry))).toBe(true);
    expect(kept.includes(Buffer.from(space.readToken))).toBe(false);
  });
});

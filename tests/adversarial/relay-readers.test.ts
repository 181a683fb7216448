/** Readers without a right, readers that do not read, and what they may learn. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chainNext, chainStart } from "#relay/protocol/domain.ts";
import { roles } from "#relay/protocol/control.ts";
import { parseControl } from "#relay/protocol/control.ts";
import { encodeStub, parseEntry, parseStub } from "#relay/protocol/entry.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import { encodeMessage, type Data, type Message } from "#relay/protocol/messages.ts";
import { RawClient, type TestRelay } from "#tests/support/relay.ts";
import { relayEngines } from "#tests/support/relay-engines.ts";
import { bytesNamed, signerNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";

const fast = { entriesPerSecond: 100_000, entryBurst: 100_000 };

describe.each(relayEngines)("readers, on $name", ({ start }) => {
  let relay: TestRelay;
  let writer: RawClient;
  let reader: RawClient;
  let count = 0;
  beforeAll(async () => {
    relay = await start({ limits: fast });
    writer = await RawClient.connect(relay.url);
    reader = await RawClient.connect(relay.url);
  });
  afterAll(() => relay.stop());

  async function setupSpace(): Promise<{ space: TestSpace; device: TestDevice }> {
    count += 1;
    const space = new TestSpace(`read space ${count}`);
    const device = new TestDevice(space, "laptop");
    await writer.createSpace(space);
    await writer.certify(device);
    return { space, device };
  }

  /** Items until this position, in order, without a hole. */
  async function itemsUpTo(client: RawClient, head: number): Promise<Data["items"][number][]> {
    const items: Data["items"][number][] = [];
    while (items.length < head) items.push(...(await client.next("data")).items);
    expect(items.map(({ pos }) => pos)).toEqual(items.map((_, ix) => ix + 1));
    return items;
  }

  it("[SUB-1] catches up from the start: control records and entries, then CAUGHT_UP, then live", async () => {
    const { space, device } = await setupSpace();
    const first = device.entry();
    await writer.push(first);
    const result = await reader.subscribe(space);
    expect(result).toMatchObject({ status: 0, head: 3, ctrlSeq: 2, base: 1 });
    const items = await itemsUpTo(reader, 3);
    expect(items.map(({ kind }) => kind)).toEqual(["control", "control", "entry"]);
    expect(items[2]?.bytes).toEqual(first);
    expect(await reader.next("caughtUp")).toMatchObject({ head: 3, chain: result.chain });
    const second = device.entry();
    const [stored] = await writer.push(second);
    const live = await reader.next("data");
    expect(live).toMatchObject({ handle: result.handle, items: [{ pos: 4, bytes: second }] });
    expect(stored?.pos).toBe(4);
    expect(chainOf(space, [...items, ...live.items])).toEqual(stored?.chain);
  });

  it("[SUB-1] resumes at a cursor with what came after it, and nothing twice", async () => {
    const { space, device } = await setupSpace();
    const [first] = await writer.push(device.entry());
    await writer.push(device.entry());
    const client = await RawClient.connect(relay.url);
    await client.subscribe(space, { cursor: 3, chain: first?.chain ?? space.spaceId });
    expect((await client.next("data")).items.map(({ pos }) => pos)).toEqual([4]);
    expect((await client.next("caughtUp")).head).toBe(4);
    await client.close();
  });

  it("[SUB-2] a cursor beyond the head, or on another chain, is told where the log stands", async () => {
    const { space, device } = await setupSpace();
    const [stored] = await writer.push(device.entry());
    const ahead = await reader.subscribe(space, { cursor: 4 });
    expect(ahead).toMatchObject({ status: refusals.CURSOR_AHEAD.code, head: 3 });
    expect(ahead.chain).toEqual(stored?.chain);
    for (const cursor of [1, 3]) {
      const elsewhere = await reader.subscribe(space, { cursor, chain: bytesNamed("fork", 32) });
      expect(elsewhere).toMatchObject({ status: refusals.CHAIN_MISMATCH.code, head: 3 });
    }
  });

  it("[SUB-3] an unknown space and a wrong token are answered alike (20)", async () => {
    const { space } = await setupSpace();
    const wrong = await reader.subscribe(space, { readToken: bytesNamed("guess", 16) });
    const unknown = await reader.subscribe(new TestSpace("never made"));
    expect(wrong).toEqual(unknown);
    expect(wrong).toMatchObject({ status: refusals.NO_SPACE.code, head: 0, ctrlSeq: 0, base: 0 });
  });

  it("[SUB-4] a rotation ends subscriptions made with the older token, and nothing follows (19)", async () => {
    const { space, device } = await setupSpace();
    const removed = signerNamed("removed");
    space.grant({ signPub: removed.pub, role: roles.edit });
    await writer.createSpace(space);
    const client = await RawClient.connect(relay.url);
    const { handle } = await client.subscribe(space);
    await client.next("caughtUp");
    const oldToken = space.readToken;
    space.rotate([removed.pub]);
    await writer.createSpace(space);
    expect((await client.next("rekey")).handle).toBe(handle);
    await client.settle();
    await writer.push(device.entry(), device.entry());
    const pull = client.send({ type: "pull", handle, after: 0, upTo: 9 });
    expect(await client.answerTo(pull)).toMatchObject({ code: refusals.NO_SPACE.code });
    expect((await client.settle()).filter(({ type }) => type === "data")).toEqual([]);
    const again = await client.subscribe(space, { readToken: oldToken });
    expect(again.status).toBe(refusals.NO_SPACE.code);
    // The one who stays finds the new key in the control log and goes on where it was.
    expect((await client.subscribe(space)).status).toBe(0);
    expect((await itemsUpTo(client, 6)).at(-1)?.kind).toBe("entry");
    await client.close();
  });

  it("[SUB-5] what this connection pushed comes back as stubs, so that its chain has no holes", async () => {
    const { space, device } = await setupSpace();
    const { handle } = await writer.subscribe(space);
    await itemsUpTo(writer, 2);
    await writer.next("caughtUp");
    const entry = device.entry();
    const [stored] = await writer.push(entry);
    const data = await writer.next("data");
    expect(data.handle).toBe(handle);
    expect(data.items).toMatchObject([{ pos: 3, kind: "stub" }]);
    const parsed = parseEntry(entry, entry.length);
    const stub = parseStub(data.items[0]?.bytes ?? entry);
    if (!parsed.ok || !stub.ok) throw new Error("both parse");
    const { docId, kind, entryId } = parsed.value;
    expect(stub.value).toEqual({ docId, kind, entryId, size: entry.length });
    expect(chainNext(3, stubChain(space), docId, entryId)).toEqual(stored?.chain);

    function stubChain(of: TestSpace): Uint8Array {
      return of.records.reduce(
        (chain, { hash }, ix) => chainNext(ix + 1, chain, noDocument, hash),
        chainStart(of.spaceId),
      );
    }
  });

  it("[LOG-3] in stubs mode no body comes, until a PULL asks for it", async () => {
    const { space, device } = await setupSpace();
    const entry = device.entry();
    await writer.push(entry);
    const client = await RawClient.connect(relay.url);
    const { handle } = await client.subscribe(space, { mode: "stubs" });
    const items = await itemsUpTo(client, 3);
    expect(items.map(({ kind }) => kind)).toEqual(["control", "control", "stub"]);
    const parsed = parseEntry(entry, entry.length);
    if (!parsed.ok) throw new Error(parsed.error);
    const { docId, kind, entryId } = parsed.value;
    expect(items[2]?.bytes).toEqual(encodeStub({ docId, kind, entryId, size: entry.length }));
    await client.next("caughtUp");
    const end = await client.ask({ type: "pull", handle, after: 2, upTo: 3 }, "caughtUp");
    expect(end.head).toBe(3);
    const pulled = await client.next("data");
    expect(pulled.items).toEqual([{ pos: 3, kind: "entry", bytes: entry }]);
    await client.close();
  });

  it("[SUB-5] in stubs mode later entries are announced, as stubs, within about a second", async () => {
    const { space, device } = await setupSpace();
    const client = await RawClient.connect(relay.url);
    await client.subscribe(space, { mode: "stubs" });
    await client.next("caughtUp");
    // What came so far.
    await client.settle();
    await writer.push(device.entry(), device.entry());
    const data = await client.next("data");
    expect(data.items.map(({ pos, kind }) => [pos, kind])).toEqual([
      [3, "stub"],
      [4, "stub"],
    ]);
    await client.close();
  });

  it("[CTRL-8] the control log is readable by whoever knows the space, with its certificates", async () => {
    const { space, device } = await setupSpace();
    const data = await reader.ask(
      { type: "controlGet", spaceId: space.spaceId, fromSeq: 2 },
      "controlData",
    );
    expect(data).toEqual({
      type: "controlData",
      genesis: space.genesis,
      more: false,
      records: [{ pos: 2, bytes: space.recordBytes[1] }],
      certificates: [device.certificate],
    });
  });

  it("[SUB-8] an ended subscription hears nothing more", async () => {
    const { space, device } = await setupSpace();
    const client = await RawClient.connect(relay.url);
    const { handle } = await client.subscribe(space);
    await client.next("caughtUp");
    client.send({ type: "unsubscribe", handles: [handle, 99] });
    await client.settle();
    await writer.push(device.entry());
    expect(await client.settle()).toEqual([]);
    await client.close();
  });

  it("[PUSH-7] the writer's acknowledgement goes out before what others and itself hear of it (23)", async () => {
    const { space, device } = await setupSpace();
    const client = await RawClient.connect(relay.url);
    await client.subscribe(space);
    await client.next("caughtUp");
    await client.settle();
    for (let n = 0; n < 20; n += 1) client.send({ type: "push", entries: [device.entry()] });
    const seen: string[] = [];
    while (seen.filter((type) => type === "pushAck").length < 20 || seen.at(-1) !== "data") {
      seen.push(...(await client.settle()).map(({ type }) => type));
    }
    expect(seen[0]).toBe("pushAck");
    await client.close();
  });

  it("[EPH-1] presence reaches the other live subscribers under their own handles, and is not stored", async () => {
    const { space } = await setupSpace();
    const [a, b, stubs] = await Promise.all([1, 2, 3].map(() => RawClient.connect(relay.url)));
    if (a === undefined || b === undefined || stubs === undefined) throw new Error("three clients");
    await b.subscribe(await setupSpace().then((other) => other.space));
    const handleA = (await a.subscribe(space)).handle;
    const handleB = (await b.subscribe(space)).handle;
    await stubs.subscribe(space, { mode: "stubs" });
    // Whoever is still catching up hears no presence.
    for (const client of [a, b, stubs]) await client.next("caughtUp");
    const sealed = bytesNamed("beat", 256);
    a.send({ type: "presence", handle: handleA, sealed });
    expect(await b.next("presence")).toEqual({ type: "presence", handle: handleB, sealed });
    for (const client of [a, stubs]) {
      const seen = await client.settle();
      expect(seen.filter(({ type }) => type === "presence")).toEqual([]);
    }
    expect((await a.subscribe(space)).head).toBe(2);
    for (const client of [a, b, stubs]) await client.close();
  });

  it("[EPH-2] presence without a subscription, or above the rate, is dropped (27)", async () => {
    const { space } = await setupSpace();
    const a = await RawClient.connect(relay.url);
    const b = await RawClient.connect(relay.url);
    await b.subscribe(space);
    // Whoever is still catching up hears no presence.
    await b.next("caughtUp");
    const sealed = bytesNamed("beat", 64);
    a.send({ type: "presence", handle: 1, sealed });
    await a.settle();
    const { handle } = await a.subscribe(space);
    for (let n = 0; n < 1000; n += 1) a.send({ type: "presence", handle, sealed });
    await a.settle();
    const heard = (await b.settle()).filter(({ type }) => type === "presence").length;
    expect(heard).toBeGreaterThan(0);
    expect(heard).toBeLessThanOrEqual(20);
    await Promise.all([a.close(), b.close()]);
  });
});

describe.each(relayEngines)("a reader that does not credit, on $name", ({ start }) => {
  it("[SUB-6] gets no more than the window, and the rest when it credits", async () => {
    const windowBytes = 300 << 10;
    const relay = await start({ limits: { ...fast, windowBytes } });
    const client = await RawClient.connect(relay.url);
    const space = new TestSpace("large");
    const device = new TestDevice(space, "laptop");
    await client.createSpace(space);
    await client.certify(device);
    for (let n = 0; n < 10; n += 1) await client.push(device.entry({ size: 100 << 10 }));

    const slow = await RawClient.connect(relay.url);
    const { head } = await slow.subscribe(space);
    let got = 0;
    let pos = 0;
    let seen: Message[] = [];
    while (pos < head) {
      const page = await slow.next("data");
      const bytes = encodeMessage(0, page).length;
      got += bytes;
      pos = page.items.at(-1)?.pos ?? pos;
      expect(bytes).toBeLessThanOrEqual(windowBytes);
      // Before this page is credited nothing beyond the window has been sent.
      seen = await slow.settle();
      expect(seen.filter(({ type }) => type === "data")).toEqual([]);
      slow.send({ type: "credit", bytes });
    }
    expect(got).toBeGreaterThan(1_000_000);
    expect(seen).toMatchObject([{ type: "caughtUp", head }]);
    await relay.stop();
  });

  it("[SUB-7] never reading at all costs the relay a window, and others nothing (25)", async () => {
    const relay = await start({ limits: fast });
    const client = await RawClient.connect(relay.url);
    const space = new TestSpace("never read");
    const device = new TestDevice(space, "laptop");
    await client.createSpace(space);
    await client.certify(device);
    const deaf = await RawClient.connect(relay.url);
    await deaf.subscribe(space);
    await deaf.settle();
    deaf.socket.pause();
    const attentive = await RawClient.connect(relay.url);
    await attentive.subscribe(space);
    await attentive.next("caughtUp");
    const before = process.memoryUsage().arrayBuffers;
    for (let n = 0; n < 24; n += 1) {
      await client.push(device.entry({ size: 255 << 10 }), device.entry({ size: 255 << 10 }));
      const { items } = await attentive.next("data");
      expect(items.length).toBeGreaterThan(0);
      attentive.send({ type: "credit", bytes: 1 << 20 });
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(60 << 20);
    deaf.socket.terminate();
    await relay.stop();
  });
});

/** The chain over DATA items, as a client follows it. */
function chainOf(space: TestSpace, items: readonly Data["items"][number][]): Uint8Array {
  return items.reduce((chain, { pos, kind, bytes }) => {
    if (kind === "control") {
      const record = parseControl(bytes);
      if (!record.ok) throw new Error(record.error);
      return chainNext(pos, chain, noDocument, record.value.hash);
    }
    const entry = parseEntry(bytes, bytes.length);
    if (!entry.ok) throw new Error(entry.error);
    return chainNext(pos, chain, entry.value.docId, entry.value.entryId);
  }, chainStart(space.spaceId));
}

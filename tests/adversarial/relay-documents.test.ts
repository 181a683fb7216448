/** Snapshots, cards, LIST and document PULL over real WebSockets, and those that abuse them. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { roles } from "#relay/protocol/control.ts";
import { chainStart } from "#relay/protocol/domain.ts";
import { entryKinds, parseEntry } from "#relay/protocol/entry.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { maxCardBytes } from "#relay/protocol/limits.ts";
import { RawClient, type TestRelay } from "#tests/support/relay.ts";
import { relayEngines } from "#tests/support/relay-engines.ts";
import { bytesNamed, signerNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";

const fast = { entriesPerSecond: 100_000, entryBurst: 100_000 };
const [docA, docB] = [bytesNamed("document a", 16), bytesNamed("document b", 16)];

describe.each(relayEngines)("documents, on $name", ({ start }) => {
  let relay: TestRelay;
  let client: RawClient;
  let count = 0;
  beforeAll(async () => {
    relay = await start({ limits: fast });
    client = await RawClient.connect(relay.url);
  });
  afterAll(() => relay.stop());

  async function setupSpace(): Promise<{ space: TestSpace; device: TestDevice; handle: number }> {
    count += 1;
    const space = new TestSpace(`documents ${count}`);
    const device = new TestDevice(space, "laptop");
    await client.createSpace(space);
    await client.certify(device);
    const { handle } = await client.subscribe(space, { mode: "stubs" });
    return { space, device, handle };
  }

  async function stored(entry: Uint8Array): Promise<{ pos: number; chain: Uint8Array }> {
    const [result] = await client.push(entry);
    if (result?.status !== 0) throw new Error(`refused with ${result?.status}`);
    return result;
  }

  async function statusOf(entry: Uint8Array): Promise<number | undefined> {
    return (await client.push(entry))[0]?.status;
  }

  async function pullDocument(handle: number, docId: Uint8Array, after = 0, byteBudget = 0) {
    const reqId = client.send({ type: "pullDocument", handle, docId, after, byteBudget });
    const end = await client.answerTo(reqId, true);
    if (end.type !== "caughtUp") throw new Error(`${end.type} instead of its end`);
    const items = client.inbox.flatMap(({ reqId: of, message }) =>
      of === reqId && message.type === "data" ? message.items : [],
    );
    client.inbox = [];
    client.send({ type: "credit", bytes: 1 << 20 });
    return { end, items };
  }

  it("[SNAP-1] a snapshot whose ext is none is refused, and moves nothing", async () => {
    const { space, device } = await setupSpace();
    for (const ext of [new Uint8Array(0), new Uint8Array(43), new Uint8Array(45)]) {
      const entry = device.entry({ kind: entryKinds.snapshot, ext });
      expect(await statusOf(entry)).toBe(refusals.BAD_ENTRY.code);
    }
    expect(await statusOf(device.snapshot({ chain: chainStart(space.spaceId) }))).toBe(0);
  });

  it("[SNAP-2] one that covers what is beyond the head, or another log, is refused (28)", async () => {
    const { space, device } = await setupSpace();
    const first = await stored(device.entry({ docId: docA }));
    const fork = bytesNamed("fork", 32);
    const refused = [
      { coversPos: first.pos + 1, chain: first.chain },
      { coversPos: first.pos, chain: fork },
      { coversPos: 0, chain: fork },
      { coversPos: first.pos - 1, chain: first.chain },
    ];
    for (const cover of refused) {
      expect(await statusOf(device.snapshot(cover, { docId: docA }))).toBe(refusals.BAD_COVER.code);
    }
    const good = device.snapshot({ coversPos: first.pos, chain: first.chain }, { docId: docA });
    expect(await statusOf(good)).toBe(0);
    expect((await client.subscribe(space)).head).toBe(4);
  });

  it("[LIST-1] lists each document with its newest snapshot, what that lacks, and its drop", async () => {
    const { device, handle } = await setupSpace();
    const one = device.entry({ docId: docA, size: 100 });
    await stored(one);
    await stored(device.entry({ docId: docB }));
    const { pos, chain } = await stored(device.entry({ docId: docA, size: 200 }));
    const omitted = [idOf(one)];
    const snapshot = device.snapshot({ coversPos: pos, chain, omitted }, { docId: docA });
    const at = await stored(snapshot);
    const three = device.entry({ docId: docA, size: 300 });
    await stored(three);
    const dropped = await stored(device.entry({ docId: docB, kind: entryKinds.drop }));
    const listed = await client.list(handle);
    const expected = [
      {
        docId: docA,
        lastPos: 7,
        dropPos: 0,
        snapshotPos: at.pos,
        snapshotSize: snapshot.length,
        tailEntries: 2,
        tailBytes: one.length + three.length,
        card: new Uint8Array(0),
      },
      { docId: docB, lastPos: dropped.pos, dropPos: dropped.pos, snapshotPos: 0 },
    ].toSorted((a, b) => Buffer.compare(a.docId, b.docId));
    expect(listed).toMatchObject(expected);
    // Any later entry of the document cancels its DROP.
    await stored(device.entry({ docId: docB }));
    const later = await client.list(handle);
    expect(later.every(({ dropPos }) => dropPos === 0)).toBe(true);
  });

  it("[LIST-1] six hundred documents with cards come in pages, each once, in order", async () => {
    const { device, handle } = await setupSpace();
    const ids = Array.from({ length: 600 }, (_, ix) => bytesNamed(`document ${ix}`, 16));
    for (let from = 0; from < ids.length; from += 200) {
      const page = ids.slice(from, from + 200);
      await client.push(...page.map((docId) => device.entry({ docId, size: 20 })));
      await client.push(...page.map((docId) => device.card(3, { docId, size: 600 })));
    }
    const page = await client.ask(
      { type: "list", handle, afterDocId: new Uint8Array(16) },
      "listed",
    );
    expect(page.more).toBe(true);
    const listed = await client.list(handle);
    expect(listed.map(({ docId }) => docId)).toEqual(ids.toSorted((a, b) => Buffer.compare(a, b)));
    expect(listed.every(({ card }) => card.length > 600)).toBe(true);
  });

  it("[LIST-2] a document is pulled from its newest snapshot on, in parts if asked so", async () => {
    const { device, handle } = await setupSpace();
    const entries = Array.from({ length: 6 }, () => device.entry({ docId: docA, size: 1000 }));
    const places = [];
    for (const entry of entries) places.push(await stored(entry));
    await stored(device.entry({ docId: docB }));
    const whole = await pullDocument(handle, docA);
    expect(whole.items.map(({ bytes }) => bytes)).toEqual(entries);
    const { pos = 0, chain = new Uint8Array(32) } = places[3] ?? {};
    const snapshot = device.snapshot({ coversPos: pos, chain }, { docId: docA });
    const at = await stored(snapshot);
    const after = await pullDocument(handle, docA);
    expect(after.items.map(({ bytes }) => bytes)).toEqual([...entries.slice(4), snapshot]);
    expect(after.end).toMatchObject({ head: at.pos, chain: at.chain });
    const part = await pullDocument(handle, docA, 0, 500);
    expect(part.items).toHaveLength(1);
    const rest = await pullDocument(handle, docA, part.end.head);
    expect([...part.items, ...rest.items]).toEqual(after.items);
    expect((await pullDocument(handle, bytesNamed("unknown", 16))).items).toEqual([]);
  });

  it("[SUB-5] neither PULL, PULL_DOC, LIST nor BLOB_GET is answered without a subscription", async () => {
    const { handle } = await setupSpace();
    const other = await RawClient.connect(relay.url);
    const requests = [
      { type: "pull", handle, after: 0, upTo: 9 },
      { type: "pullDocument", handle, docId: docA, after: 0, byteBudget: 0 },
      { type: "list", handle, afterDocId: new Uint8Array(16) },
      { type: "blobGet", handle, blobId: docA, from: 0, count: 1 },
    ] as const;
    for (const request of requests) {
      const answer = await other.answerTo(other.send(request));
      expect(answer).toMatchObject({ code: refusals.NO_SPACE.code });
    }
    await other.close();
  });

  it("[SUB-4] a rotation ends what was asked under the older token (19)", async () => {
    const { space, device } = await setupSpace();
    for (let n = 0; n < 8; n += 1) await stored(device.entry({ docId: docA, size: 200 << 10 }));
    const reader = await RawClient.connect(relay.url);
    const { handle } = await reader.subscribe(space, { mode: "stubs" });
    // More than a window: the answers wait for credit when the rotation comes.
    for (let n = 0; n < 4; n += 1) {
      reader.send({ type: "pullDocument", handle, docId: docA, after: 0, byteBudget: 0 });
    }
    await reader.next("data");
    space.rotate([]);
    await client.createSpace(space);
    await reader.next("rekey");
    await reader.settle();
    reader.send({ type: "credit", bytes: 64 << 20 });
    const list = reader.send({ type: "list", handle, afterDocId: new Uint8Array(16) });
    expect(await reader.answerTo(list)).toMatchObject({ code: refusals.NO_SPACE.code });
    const later = (await reader.settle()).map(({ type }) => type);
    expect(later.filter((type) => type === "data" || type === "caughtUp")).toEqual([]);
    await reader.close();
  });

  it("[CARD-1] a card with a counter, another ext, too long, or of nothing, is refused", async () => {
    const { space, device } = await setupSpace();
    const { pos } = await stored(device.entry({ docId: docA }));
    const kind = entryKinds.card;
    const card = device.card(pos, { docId: docA });
    expect(await statusOf(device.entry({ docId: docA, kind }))).toBe(refusals.BAD_ENTRY.code);
    expect(await statusOf(device.entryAt(0, { docId: docA, kind }))).toBe(refusals.BAD_ENTRY.code);
    expect(await statusOf(device.card(pos, { docId: docA, size: maxCardBytes }))).toBe(
      refusals.ENTRY_TOO_BIG.code,
    );
    expect(await statusOf(device.card(pos + 1, { docId: docA }))).toBe(refusals.BAD_COVER.code);
    expect(await statusOf(device.card(pos, { docId: docB }))).toBe(refusals.BAD_COVER.code);
    expect(await statusOf(device.card(pos, { docId: docA, epoch: 2 }))).toBe(
      refusals.STALE_EPOCH.code,
    );
    const stranger = new TestDevice(space, "stranger", signerNamed("nobody"));
    expect(await statusOf(stranger.card(pos, { docId: docA }))).toBe(refusals.NOT_A_WRITER.code);
    const forged = Uint8Array.from(card);
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    expect(await statusOf(forged)).toBe(refusals.BAD_SIGNATURE.code);
    expect(await statusOf(card)).toBe(0);
  });

  it("[CARD-2] of a document's cards the one with the highest position stays, outside the log", async () => {
    const { space, device, handle } = await setupSpace();
    const first = await stored(device.entry({ docId: docA }));
    const second = await stored(device.entry({ docId: docA }));
    const cardOf = async () => (await client.list(handle))[0]?.card;
    const late = device.card(second.pos, { docId: docA, size: 300 });
    const early = device.card(first.pos, { docId: docA, size: 320 });
    const again = device.card(second.pos, { docId: docA, size: 340 });
    expect((await client.push(late))[0]).toMatchObject({ status: 0, pos: 0 });
    expect(await cardOf()).toEqual(late);
    expect((await client.push(early))[0]).toMatchObject({ status: 0, pos: 0 });
    expect(await cardOf()).toEqual(late);
    expect((await client.push(again))[0]).toMatchObject({ status: 0, pos: 0 });
    expect(await cardOf()).toEqual(again);
    expect((await client.subscribe(space)).head).toBe(second.pos);
    expect(await statusOf(device.entry({ docId: docA }))).toBe(0);
  });

  it("[ENT-4] an unknown kind is listed and pulled like changes", async () => {
    const { device, handle } = await setupSpace();
    const entry = device.entry({ docId: docA, kind: 77 });
    await stored(entry);
    expect(await client.list(handle)).toMatchObject([{ docId: docA, tailEntries: 1 }]);
    expect((await pullDocument(handle, docA)).items.map(({ bytes }) => bytes)).toEqual([entry]);
  });
});

describe.each(relayEngines)("room, on $name", ({ start }) => {
  const limits = { ...fast, spaceBytes: 400 << 10, documentBytes: 150 << 10 };
  let relay: TestRelay;
  let client: RawClient;
  let space: TestSpace;
  let count = 0;
  beforeAll(async () => {
    relay = await start({ limits });
    client = await RawClient.connect(relay.url);
  });
  afterAll(() => relay.stop());

  async function setupDevices(): Promise<{ admin: TestDevice; member: TestDevice }> {
    count += 1;
    space = new TestSpace(`room ${count}`);
    const person = signerNamed("person");
    space.grant({ signPub: person.pub, role: roles.edit });
    const admin = new TestDevice(space, "laptop");
    const member = new TestDevice(space, "phone", person);
    await client.createSpace(space);
    await client.certify(admin);
    await client.certify(member);
    return { admin, member };
  }

  const large = (device: TestDevice, docId: Uint8Array) => device.entry({ docId, size: 100 << 10 });
  const documentNamed = (name: string) => bytesNamed(name, 16);
  const statusOf = async (entry: Uint8Array) => (await client.push(entry))[0]?.status;

  it("[LIM-3] a document has a limit of its own, and another document still has room", async () => {
    const { admin } = await setupDevices();
    expect(await statusOf(large(admin, docA))).toBe(0);
    expect(await statusOf(large(admin, docA))).toBe(refusals.QUOTA_DOCUMENT.code);
    expect(await statusOf(large(admin, docB))).toBe(0);
  });

  it("[LIM-3] a member below admin fills half a space, with all devices together; an admin all of it", async () => {
    const { admin, member } = await setupDevices();
    const second = new TestDevice(space, "tablet", signerNamed("person"));
    await client.certify(second);
    expect(await statusOf(large(member, documentNamed("one")))).toBe(0);
    // Two times 100 KiB would be above half, the records counted.
    expect(await statusOf(large(second, documentNamed("two")))).toBe(refusals.QUOTA_MEMBER.code);
    expect(await statusOf(large(admin, documentNamed("three")))).toBe(0);
    expect(await statusOf(large(admin, documentNamed("four")))).toBe(0);
    expect(await statusOf(large(admin, documentNamed("five")))).toBe(refusals.QUOTA_SPACE.code);
  });

  it("[LIM-3] in a full space a DROP and a removal still work", async () => {
    const { admin, member } = await setupDevices();
    for (let n = 0; (await statusOf(large(admin, documentNamed(`${n}`)))) === 0; n += 1);
    for (let n = 0; (await statusOf(admin.entry({ docId: documentNamed(`small ${n}`) }))) === 0;)
      n += 1;
    expect(await statusOf(admin.entry({ docId: documentNamed("one more") }))).toBe(
      refusals.QUOTA_SPACE.code,
    );
    expect(await statusOf(admin.entry({ docId: docA, kind: entryKinds.drop }))).toBe(0);
    expect(await statusOf(admin.card(3, { docId: docA }))).toBe(refusals.QUOTA_SPACE.code);
    expect(member.ctr).toBe(0);
    space.rotate([signerNamed("person").pub]);
    expect((await client.createSpace(space)).status).toBe(0);
  });

  it("[LIM-3] blobs count from their announcement on", async () => {
    const { admin, member } = await setupDevices();
    const half = bytesNamed("half", 250 << 10);
    const ofMember = member.blobStatement(bytesNamed("blob 1", 16), [half]);
    expect((await client.announce(ofMember)).status).toBe(refusals.QUOTA_MEMBER.code);
    const ofAdmin = admin.blobStatement(bytesNamed("blob 2", 16), [half]);
    expect((await client.announce(ofAdmin)).status).toBe(0);
    const second = admin.blobStatement(bytesNamed("blob 3", 16), [half]);
    expect((await client.announce(second)).status).toBe(refusals.QUOTA_SPACE.code);
    expect(await statusOf(large(admin, docA))).toBe(0);
    expect(await statusOf(large(admin, docB))).toBe(refusals.QUOTA_SPACE.code);
  });
});

function idOf(entry: Uint8Array): Uint8Array {
  const parsed = parseEntry(entry, entry.length);
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value.entryId;
}

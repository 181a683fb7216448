/** What a relay forgets, when, and that it forgets nothing else: on a clock that moves in days. */
import { describe, expect, it } from "vitest";
import { entryKinds, parseEntry } from "#relay/protocol/entry.ts";
import { refusals } from "#relay/protocol/errors.ts";
import type { Data, Message } from "#relay/protocol/messages.ts";
import {
  certPutOf,
  controlPushOf,
  setupWorld,
  subscribeTo,
  type VirtualClient,
  type World,
} from "#tests/unit/relay/relay-on-virtual-time.ts";
import { bytesNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";

const day = 86_400_000;
const awakeMs = 2 * 60 * 60_000;
const [docA, docB] = [bytesNamed("document a", 16), bytesNamed("document b", 16)];
type Items = readonly Data["items"][number][];

interface Written {
  readonly pos: number;
  readonly chain: Uint8Array;
}

class Setup {
  readonly world: World;
  readonly space = new TestSpace("kept");
  readonly device = new TestDevice(this.space, "laptop");

  constructor(limits: Parameters<typeof setupWorld>[0] = {}) {
    this.world = setupWorld(limits);
  }

  async client(): Promise<VirtualClient> {
    return this.world.client();
  }

  async create(): Promise<void> {
    await this.ask(controlPushOf(this.space));
    await this.ask(certPutOf(this.device));
  }

  /** Somebody comes, asks, and goes: nobody stays connected for months. */
  async ask(...messages: readonly Message[]): Promise<readonly Message[]> {
    const client = await this.client();
    const answers = await client.exchange(...messages);
    client.leave();
    return answers;
  }

  async push(
    ...entries: readonly Uint8Array[]
  ): Promise<readonly (Written & { status: number })[]> {
    const [ack] = await this.ask({ type: "push", entries });
    return ack?.type === "pushAck" ? ack.results : [];
  }

  async write(entry: Uint8Array): Promise<Written> {
    const [result] = await this.push(entry);
    if (result?.status !== 0) throw new Error(`refused with ${result?.status}`);
    return result;
  }

  /** Writes a snapshot of document a that covers everything so far. */
  async snapshot(omitted: readonly Uint8Array[] = [], size = 200): Promise<Written> {
    const { pos, chain } = await this.write(this.device.entry({ docId: docB, size: 20 }));
    return this.write(
      this.device.snapshot({ coversPos: pos, chain, omitted }, { docId: docA, size }),
    );
  }

  async pass(days: number): Promise<void> {
    // The machine sleeps but for the last hours, in which a sweep takes place.
    this.world.time.now += days * day - awakeMs;
    await this.world.time.advance(awakeMs);
  }

  /** The whole log as a new reader gets it. */
  async log(): Promise<Items> {
    const answers = await this.ask(subscribeTo(this.space));
    return answers.flatMap((message) => (message.type === "data" ? message.items : []));
  }

  async kindsInLog(): Promise<string> {
    return (await this.log()).map(({ kind }) => kind[0]).join("");
  }

  async headOf(): Promise<{ status: number; head: number; base: number } | undefined> {
    const [answer] = await this.ask(subscribeTo(this.space));
    return answer?.type === "subscribed" ? answer.results[0] : undefined;
  }

  async countedBytes(): Promise<number> {
    return this.world.store.totalBytes();
  }

  async listed() {
    const client = await this.client();
    await client.exchange(subscribeTo(this.space));
    const answers = await client.exchange({
      type: "list",
      handle: 1,
      afterDocId: new Uint8Array(16),
    });
    client.leave();
    return answers.flatMap((message) => (message.type === "listed" ? message.documents : []));
  }
}

async function setup(options: Parameters<typeof setupWorld>[0] = {}): Promise<Setup> {
  const made = new Setup(options);
  await made.create();
  return made;
}

describe("snapshots", () => {
  it("[KEEP-1] the second newest that is older than 30 days decides, not at 29 and not alone (29)", async () => {
    const relay = await setup();
    await relay.write(relay.device.entry({ docId: docA }));
    await relay.snapshot();
    await relay.pass(31);
    // One snapshot, however old, deletes nothing.
    expect(await relay.kindsInLog()).toBe("cceee");
    await relay.write(relay.device.entry({ docId: docA }));
    await relay.snapshot();
    await relay.pass(29);
    expect(await relay.kindsInLog()).toBe("cceeeeee");
    await relay.pass(2);
    // 3 is covered by the first snapshot, at 5, which now is the second newest.
    expect(await relay.kindsInLog()).toBe("ccseeeee");
    await relay.snapshot();
    await relay.pass(31);
    // 5 and 6 are covered by the second one, at 8; entries of document b by none.
    const { spaceId } = relay.space;
    const bodies = await relay.world.store.readBodies(spaceId, null, 0, 99, 99);
    expect(bodies.map(({ pos }) => pos)).toEqual([4, 7, 8, 9, 10]);
  });

  it("[KEEP-1] a snapshot that leaves everything out, or covers wrongly, loses nothing in 29 days (30)", async () => {
    const relay = await setup();
    for (let n = 0; n < 3; n += 1) await relay.write(relay.device.entry({ docId: docA }));
    await relay.snapshot([], 20);
    await relay.snapshot([], 20);
    await relay.pass(29);
    expect(await relay.kindsInLog()).toBe("cceeeeeee");
  });

  it("[KEEP-1] never DROPs, unknown kinds or entries it leaves out; other documents neither", async () => {
    const relay = await setup();
    const left = relay.device.entry({ docId: docA });
    await relay.write(left);
    await relay.write(relay.device.entry({ docId: docA, kind: entryKinds.drop }));
    await relay.write(relay.device.entry({ docId: docA, kind: 77 }));
    await relay.write(relay.device.entry({ docId: docA }));
    const parsed = parseEntry(left, left.length);
    if (!parsed.ok) throw new Error(parsed.error);
    await relay.snapshot([parsed.value.entryId]);
    await relay.snapshot();
    await relay.pass(31);
    expect(await relay.kindsInLog()).toBe("cceeeseeee");
  });

  it("[KEEP-1] in a space that is half full after 7 days", async () => {
    for (const [spaceBytes, kinds] of [
      [20 << 10, "ccseeee"],
      [40 << 10, "cceeeee"],
    ] as const) {
      const relay = await setup({ limits: { spaceBytes } });
      await relay.write(relay.device.entry({ docId: docA, size: 6 << 10 }));
      await relay.snapshot();
      await relay.snapshot();
      await relay.pass(8);
      expect(await relay.kindsInLog()).toBe(kinds);
    }
  });

  it("[KEEP-6] gives back what the space, its document and its writer counted", async () => {
    const relay = await setup();
    for (let n = 0; n < 3; n += 1) {
      await relay.write(relay.device.entry({ docId: docA, size: 10_000 }));
    }
    await relay.snapshot();
    await relay.snapshot();
    const before = await relay.countedBytes();
    const stored = await relay.world.store.loadSpace(relay.space.spaceId);
    await relay.pass(31);
    const freed = before - (await relay.countedBytes());
    expect(freed).toBeGreaterThan(30_000);
    const after = await relay.world.store.loadSpace(relay.space.spaceId);
    const ofWriter = (space: typeof after) => space?.counters[0]?.countedBytes ?? 0;
    expect(ofWriter(stored) - ofWriter(after)).toBe(freed);
    const [document] = await relay.world.store.readDocuments(relay.space.spaceId, [docA]);
    expect(document?.countedBytes).toBe(2048);
    // And goes on: a device that was away writes, a reader reads.
    expect((await relay.push(relay.device.entry({ docId: docA })))[0]?.status).toBe(0);
    expect(await relay.kindsInLog()).toBe("ccssseeeee");
  });

  it("[KEEP-6] forgets hundreds in slices, all of them", async () => {
    const relay = await setup({ limits: { entriesPerSecond: 1e6, entryBurst: 1e6 } });
    for (let n = 0; n < 3; n += 1) {
      const entries = Array.from({ length: 200 }, () =>
        relay.device.entry({ docId: docA, size: 20 }),
      );
      await relay.push(...entries);
    }
    await relay.snapshot();
    await relay.snapshot();
    await relay.pass(31);
    expect((await relay.kindsInLog()).replaceAll("s", "")).toBe("cceeee");
    expect(relay.world.log.join()).not.toContain("error");
  });
});

describe("dropped documents", () => {
  it("[KEEP-2] lose what is below the DROP after 30 days, their card and blobs too", async () => {
    const relay = await setup();
    const blobId = bytesNamed("blob", 16);
    const [chunk, later] = [bytesNamed("chunk", 300), bytesNamed("later chunk", 300)];
    const { spaceId } = relay.space;
    await relay.write(relay.device.entry({ docId: docA }));
    const { pos } = await relay.write(relay.device.entry({ docId: docA }));
    await relay.write(relay.device.entry({ docId: docB }));
    await relay.push(relay.device.card(pos, { docId: docA }));
    await relay.ask(
      { type: "blobInit", statement: relay.device.blobStatement(blobId, [chunk], { docId: docA }) },
      { type: "blobPut", spaceId, blobId, index: 0, chunk },
    );
    await relay.write(relay.device.entry({ docId: docA, kind: entryKinds.drop }));
    const laterId = bytesNamed("later blob", 16);
    const statement = relay.device.blobStatement(laterId, [later], { docId: docA });
    await relay.ask(
      { type: "blobInit", statement },
      { type: "blobPut", spaceId, blobId: laterId, index: 0, chunk: later },
    );
    await relay.pass(29);
    expect(await relay.kindsInLog()).toBe("cceeee");
    await relay.pass(2);
    expect(await relay.kindsInLog()).toBe("ccssee");
    expect(await relay.world.store.readBlob(spaceId, blobId)).toBeNull();
    expect(await relay.world.store.readBlob(spaceId, laterId)).not.toBeNull();
    const ofA = (await relay.listed()).find(({ docId }) => Buffer.compare(docId, docA) === 0);
    expect(ofA).toMatchObject({ dropPos: 6, card: new Uint8Array(0) });
    // A later entry cancels it: what is gone is pushed again by who has it.
    await relay.write(relay.device.entry({ docId: docA }));
    expect((await relay.listed()).map(({ dropPos }) => dropPos)).toEqual([0, 0]);
  });

  it("[KEEP-2] lose nothing if any entry followed, even on the last day", async () => {
    const relay = await setup();
    await relay.write(relay.device.entry({ docId: docA }));
    await relay.write(relay.device.entry({ docId: docA, kind: entryKinds.drop }));
    await relay.pass(29.9);
    await relay.write(relay.device.entry({ docId: docA }));
    await relay.pass(60);
    expect(await relay.kindsInLog()).toBe("cceee");
  });
});

describe("stubs", () => {
  it("[KEEP-3] stay 90 days, then the base rises and a cursor below it is BELOW_BASE (29)", async () => {
    const relay = await setup();
    const first = relay.device.entry({ docId: docA });
    await relay.write(first);
    await relay.snapshot();
    await relay.snapshot();
    await relay.pass(89);
    expect(await relay.headOf()).toMatchObject({ status: 0, base: 1 });
    // A stub is enough to know an entry again.
    expect((await relay.push(first))[0]).toMatchObject({ status: 0, pos: 3 });
    await relay.pass(2);
    expect(await relay.headOf()).toMatchObject({
      status: refusals.BELOW_BASE.code,
      head: 7,
      base: 4,
    });
    expect((await relay.push(first))[0]?.status).toBe(refusals.CTR_REPLAY.code);
    const above = await relay.world.store.chainAt(relay.space.spaceId, 4);
    const client = await relay.client();
    const answers = await client.exchange(at(relay.space, 4, above ?? docA));
    expect(answers[0]).toMatchObject({ results: [{ status: 0 }] });
    expect(
      answers.flatMap((message) => (message.type === "data" ? message.items : [])),
    ).toHaveLength(3);
    // What it missed is found by LIST and PULL_DOC.
    const pulled = await client.exchange({
      type: "pullDocument",
      handle: 1,
      docId: docA,
      after: 0,
      byteBudget: 0,
    });
    expect(pulled).toMatchObject([{ items: [{ pos: 7 }] }, { type: "caughtUp" }]);
    const range = await client.exchange({ type: "pull", handle: 1, after: 0, upTo: 5 });
    expect(range).toMatchObject([{ items: [{ pos: 4 }, { pos: 5 }] }, { type: "caughtUp" }]);
  });
});

describe("blobs", () => {
  it("[KEEP-4] go 30 days after they were dropped, unless they are announced again", async () => {
    const relay = await setup();
    const { spaceId } = relay.space;
    const ids = ["dropped", "wanted again", "kept"].map((name) => bytesNamed(name, 16));
    const chunk = bytesNamed("chunk", 5000);
    for (const blobId of ids) {
      await relay.ask(
        { type: "blobInit", statement: relay.device.blobStatement(blobId, [chunk]) },
        { type: "blobPut", spaceId, blobId, index: 0, chunk },
      );
    }
    const [dropped = docA, again = docA] = ids;
    for (const blobId of [dropped, again]) {
      await relay.ask({ type: "blobDrop", statement: relay.device.blobStatement(blobId, null) });
    }
    await relay.pass(29);
    await relay.ask({ type: "blobInit", statement: relay.device.blobStatement(again, [chunk]) });
    const before = await relay.countedBytes();
    await relay.pass(2);
    const kept = await Promise.all(ids.map((id) => relay.world.store.readBlob(spaceId, id)));
    expect(kept.map((blob) => blob !== null)).toEqual([false, true, true]);
    expect(before - (await relay.countedBytes())).toBe(5000);
  });

  it("[KEEP-4] that were never sent whole go after 7 days", async () => {
    const relay = await setup();
    const blobId = bytesNamed("unfinished", 16);
    const chunks = [bytesNamed("one", 256 << 10), bytesNamed("two", 9)];
    const { spaceId } = relay.space;
    await relay.ask(
      { type: "blobInit", statement: relay.device.blobStatement(blobId, chunks) },
      { type: "blobPut", spaceId, blobId, index: 1, chunk: chunks[1] ?? docA },
    );
    await relay.pass(6.9);
    expect(await relay.world.store.readBlob(spaceId, blobId)).not.toBeNull();
    await relay.pass(0.2);
    expect(await relay.world.store.readBlob(spaceId, blobId)).toBeNull();
  });

  it("[KEEP-4] of a snapshot go with its body, unless another snapshot names the same chunks", async () => {
    const relay = await setup();
    const { spaceId } = relay.space;
    const [mine, shared] = [bytesNamed("mine", 300), bytesNamed("shared", 300)];
    const statements = [mine, shared].map((chunk, ix) =>
      relay.device.blobStatement(bytesNamed(`blob ${ix}`, 16), [chunk], { docId: docA }),
    );
    for (const [ix, chunk] of [mine, shared].entries()) {
      await relay.ask(
        { type: "blobInit", statement: statements[ix] ?? docA },
        { type: "blobPut", spaceId, blobId: bytesNamed(`blob ${ix}`, 16), index: 0, chunk },
      );
    }
    const blobs = await relay.world.store.readBlobsOf(spaceId, docA);
    const chunksOf = (chunk: Uint8Array) =>
      blobs.find(
        ({ blobId }) =>
          Buffer.compare(blobId, bytesNamed(`blob ${[mine, shared].indexOf(chunk)}`, 16)) === 0,
      )?.chunks ?? [];
    const snapshotWith = async (chunks: readonly Uint8Array[]) => {
      const { pos, chain } = await relay.write(relay.device.entry({ docId: docB, size: 20 }));
      await relay.write(relay.device.snapshot({ coversPos: pos, chain, chunks }, { docId: docA }));
    };
    await snapshotWith(chunksOf(mine));
    await snapshotWith(chunksOf(shared));
    await snapshotWith([]);
    await snapshotWith(chunksOf(shared));
    await relay.pass(31);
    const left = await relay.world.store.readBlobsOf(spaceId, docA);
    expect(left.map(({ blobId }) => blobId)).toEqual([bytesNamed("blob 1", 16)]);
  });
});

describe("deleted spaces", () => {
  it("[CTRL-7] are restored whole within 30 days, and not after (33)", async () => {
    const relay = await setup();
    await relay.write(relay.device.entry({ docId: docA }));
    relay.space.delete();
    await relay.ask(controlPushOf(relay.space));
    await relay.pass(29);
    expect((await relay.headOf())?.status).toBe(refusals.SPACE_DELETED.code);
    relay.space.restore();
    expect(await relay.ask(controlPushOf(relay.space))).toMatchObject([{ status: 0 }]);
    expect(await relay.kindsInLog()).toBe("ccecc");
    relay.space.delete();
    await relay.ask(controlPushOf(relay.space));
    await relay.pass(31);
    relay.space.restore();
    expect(await relay.ask(controlPushOf(relay.space))).toMatchObject([
      { status: refusals.SPACE_DELETED.code },
    ]);
  });

  it("[KEEP-5] leave only their control log after 30 days", async () => {
    const relay = await setup();
    const { spaceId } = relay.space;
    const chunk = bytesNamed("chunk", 3000);
    const { pos } = await relay.write(relay.device.entry({ docId: docA, size: 9000 }));
    await relay.push(relay.device.card(pos, { docId: docA }));
    await relay.ask({
      type: "blobInit",
      statement: relay.device.blobStatement(bytesNamed("blob", 16), [chunk]),
    });
    relay.space.delete();
    await relay.ask(controlPushOf(relay.space));
    await relay.pass(29);
    expect(await relay.countedBytes()).toBeGreaterThan(12_000);
    await relay.pass(2);
    expect(await relay.countedBytes()).toBe(3 * 1024);
    expect(await relay.world.store.listDocuments(spaceId, new Uint8Array(16), 9)).toEqual([]);
    expect(await relay.world.store.readBlobsOf(spaceId, null)).toEqual([]);
    const [records] = await relay.ask({ type: "controlGet", spaceId, fromSeq: 1 });
    expect(records).toMatchObject({ records: [{ pos: 1 }, { pos: 2 }, { pos: 4 }] });
  });
});

function at(space: TestSpace, cursor: number, chain: Uint8Array): Message {
  const message = subscribeTo(space);
  if (message.type !== "subscribe") throw new Error("a SUB");
  return {
    ...message,
    spaces: message.spaces.map((asked) => ({ ...asked, cursor, chainTag: chain.slice(0, 16) })),
  };
}

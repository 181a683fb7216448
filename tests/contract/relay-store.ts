/** What every engine of the relay's store promises (relay/store/store.ts). */
import { describe, expect, it } from "vitest";
import { chainStart } from "#relay/protocol/domain.ts";
import { openSpace, writeOf, type SpaceState } from "#relay/space.ts";
import {
  StoreError,
  type LogRow,
  type SpaceWrite,
  type Store,
  type StoreIdentity,
} from "#relay/store/store.ts";
import { bytesNamed, TestSpace } from "#tests/support/space-identities.ts";

export interface StoreUnderTest {
  readonly store: Store;
  /** The same data, opened anew after the first was closed. */
  reopen(): Promise<Store>;
  dispose(): Promise<void>;
}

export function describeRelayStore(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(`relay store: ${name}`, () => {
    async function withStore(test: (under: StoreUnderTest) => Promise<void>): Promise<void> {
      const under = await open();
      try {
        await test(under);
      } finally {
        await under.dispose();
      }
    }

    it("knows nothing of a space nothing was stored in", () =>
      withStore(async ({ store }) => {
        const spaceId = bytesNamed("nowhere", 32);
        expect(await store.loadSpace(spaceId)).toBeNull();
        expect(await store.positionOf(spaceId, bytesNamed("item", 32))).toBeNull();
        expect(await store.chainAt(spaceId, 1)).toBeNull();
        expect(await store.readLog(spaceId, 0, 9, 1000, "bodies")).toEqual([]);
        expect(await store.readControls(spaceId, 1, 1000)).toEqual([]);
        expect(await store.readCertificates(spaceId)).toEqual([]);
        expect(await store.totalBytes()).toBe(0);
      }));

    it("keeps the first identity it is offered, also after reopening", () =>
      withStore(async (under) => {
        const first = identityNamed("first");
        expect(await under.store.identity(first)).toEqual(first);
        expect(await under.store.identity(identityNamed("second"))).toEqual(first);
        await under.store.close();
        const again = await under.reopen();
        expect(await again.identity(identityNamed("third"))).toEqual(first);
      }));

    it("gives back what was appended, also after reopening", () =>
      withStore(async (under) => {
        const log = new TestLog("notes");
        const certificate = {
          devPub: bytesNamed("device", 32),
          capPub: bytesNamed("capability", 32),
          bytes: bytesNamed("certificate", 161),
        };
        await under.store.append([
          log.write(["control", 300], ["entry", 50], {
            certificates: [certificate],
            counters: [{ devPub: certificate.devPub, ctr: 3 }],
          }),
        ]);
        await under.store.append([
          log.write(["entry", 70], { counters: [{ devPub: certificate.devPub, ctr: 9 }] }),
        ]);
        await under.store.close();
        const store = await under.reopen();
        expect(await store.loadSpace(log.spaceId)).toEqual({
          genesis: log.space.genesis,
          revision: 2,
          head: 3,
          chain: log.rows[2]?.chain,
          countedBytes: 3000,
          controls: [{ pos: 1, bytes: log.rows[0]?.bytes }],
          certificates: [certificate],
          counters: [{ devPub: certificate.devPub, ctr: 9 }],
        });
        expect(await store.readCertificates(log.spaceId)).toEqual([certificate.bytes]);
        expect(await store.totalBytes()).toBe(3000);
      }));

    it("reads a stretch of the log, with bodies or as stubs; control records always whole", () =>
      withStore(async ({ store }) => {
        const log = new TestLog("notes");
        await store.append([log.write(["control", 300], ["entry", 50], ["entry", 60])]);
        const bodies = await store.readLog(log.spaceId, 0, 2, 100_000, "bodies");
        expect(bodies.map(({ pos, kind, body }) => ({ pos, kind, body }))).toEqual([
          { pos: 1, kind: "control", body: log.rows[0]?.bytes },
          { pos: 2, kind: "entry", body: log.rows[1]?.bytes },
        ]);
        const stubs = await store.readLog(log.spaceId, 0, 9, 100_000, "stubs");
        expect(stubs.map(({ pos, size, body }) => ({ pos, size, whole: body !== null }))).toEqual([
          { pos: 1, size: 300, whole: true },
          { pos: 2, size: 50, whole: false },
          { pos: 3, size: 60, whole: false },
        ]);
        expect(stubs[1]).toMatchObject({
          docId: log.rows[1]?.docId,
          itemId: log.rows[1]?.itemId,
          entryKind: 1,
        });
      }));

    it("stops a page at the byte budget, but never before its first item", () =>
      withStore(async ({ store }) => {
        const log = new TestLog("notes");
        await store.append([log.write(["entry", 100], ["entry", 100], ["entry", 100])]);
        expect(await store.readLog(log.spaceId, 0, 3, 200, "bodies")).toHaveLength(2);
        expect(await store.readLog(log.spaceId, 0, 3, 1, "bodies")).toHaveLength(1);
        expect(await store.readLog(log.spaceId, 2, 3, 1, "bodies")).toHaveLength(1);
      }));

    it("reads control records by sequence number", () =>
      withStore(async ({ store }) => {
        const log = new TestLog("notes");
        await store.append([log.write(["control", 10], ["entry", 20], ["control", 30])]);
        await store.append([log.write(["control", 40])]);
        const all = await store.readControls(log.spaceId, 1, 1000);
        expect(all.map(({ pos }) => pos)).toEqual([1, 3, 4]);
        const late = await store.readControls(log.spaceId, 2, 1000);
        expect(late.map(({ bytes }) => bytes.length)).toEqual([30, 40]);
        expect(await store.readControls(log.spaceId, 2, 30)).toHaveLength(1);
        expect(await store.readControls(log.spaceId, 4, 1000)).toEqual([]);
      }));

    it("finds the place of an item and the chain at a position", () =>
      withStore(async ({ store }) => {
        const log = new TestLog("notes");
        await store.append([log.write(["control", 10], ["entry", 20])]);
        const [, entry] = log.rows;
        if (entry === undefined) throw new Error("two rows were written");
        const place = await store.positionOf(log.spaceId, entry.itemId);
        expect(place).toEqual({ pos: 2, chain: entry.chain });
        expect(await store.chainAt(log.spaceId, 2)).toEqual(entry.chain);
        expect(await store.chainAt(log.spaceId, 3)).toBeNull();
        expect(await store.positionOf(bytesNamed("other", 32), entry.itemId)).toBeNull();
      }));

    it("refuses a write decided on another revision, and stores nothing of its append", () =>
      withStore(async ({ store }) => {
        const log = new TestLog("notes");
        const other = new TestLog("other");
        const first = log.write(["control", 10]);
        await store.append([first]);
        const failure = store.append([other.write(["control", 10]), first]);
        await expect(failure).rejects.toMatchObject({ failure: "moved" });
        expect(await store.loadSpace(other.spaceId)).toBeNull();
        await store.append([log.write(["entry", 10])]);
        expect((await store.loadSpace(log.spaceId))?.head).toBe(2);
      }));

    it("does not let one refused append take others down that arrived with it", () =>
      withStore(async ({ store }) => {
        const log = new TestLog("notes");
        const other = new TestLog("other");
        const outcomes = await Promise.allSettled([
          store.append([log.write(["control", 10])]),
          store.append([{ ...log.write(["entry", 10]), revision: 7 }]),
          store.append([other.write(["control", 10])]),
        ]);
        expect(outcomes.map(({ status }) => status)).toEqual([
          "fulfilled",
          "rejected",
          "fulfilled",
        ]);
        expect((await store.loadSpace(log.spaceId))?.head).toBe(1);
        expect((await store.loadSpace(other.spaceId))?.head).toBe(1);
      }));

    it("settles appends in the order they were called in, each on the one before", () =>
      withStore(async ({ store }) => {
        const log = new TestLog("notes");
        const settled: number[] = [];
        const appends = Array.from({ length: 20 }, (_, ix) =>
          store.append([log.write(["entry", 10])]).then(() => settled.push(ix)),
        );
        await Promise.all(appends);
        expect(settled).toEqual(Array.from({ length: 20 }, (_, ix) => ix));
        expect((await store.loadSpace(log.spaceId))?.head).toBe(20);
      }));

    it("finishes what was appended before it closes, and refuses afterwards", () =>
      withStore(async (under) => {
        const log = new TestLog("notes");
        const appended = under.store.append([log.write(["control", 10])]);
        await under.store.close();
        await appended;
        await expect(under.store.loadSpace(log.spaceId)).rejects.toThrow(StoreError);
        const again = await under.reopen();
        expect((await again.loadSpace(log.spaceId))?.head).toBe(1);
      }));
  });
}

function identityNamed(name: string): StoreIdentity {
  return { relaySecret: bytesNamed(name, 32), storeId: bytesNamed(name, 16) };
}

interface Extras {
  readonly certificates?: SpaceWrite["certificates"];
  readonly counters?: SpaceWrite["counters"];
}

/** Writes of one space, each on the one before; to a store rows are opaque. */
class TestLog {
  readonly space: TestSpace;
  readonly rows: LogRow[] = [];
  #state: SpaceState;

  constructor(name: string) {
    this.space = new TestSpace(name);
    const opened = openSpace(this.space.genesis);
    if (!opened.ok) throw new Error("a sound genesis");
    this.#state = opened.state;
  }

  get spaceId(): Uint8Array {
    return this.space.spaceId;
  }

  write(...items: readonly (readonly ["entry" | "control", number] | Extras)[]): SpaceWrite {
    const rows: LogRow[] = [];
    let extras: Extras = {};
    for (const item of items) {
      if ("length" in item) rows.push(this.#row(item[0], item[1]));
      else extras = item;
    }
    const last = this.rows.at(-1);
    const to = {
      ...this.#state,
      head: this.rows.length,
      chain: last?.chain ?? chainStart(this.spaceId),
      countedBytes: this.rows.length * 1000,
    };
    const { certificates = [], counters = [] } = extras;
    const { state, write } = writeOf(this.#state, to, { rows, certificates, counters });
    this.#state = state;
    return write;
  }

  #row(kind: "entry" | "control", size: number): LogRow {
    const pos = this.rows.length + 1;
    const row: LogRow = {
      pos,
      kind,
      docId: kind === "control" ? new Uint8Array(16) : bytesNamed("document", 16),
      entryKind: kind === "control" ? 0 : 1,
      itemId: bytesNamed(`item ${pos}`, 32),
      chain: bytesNamed(`chain ${pos}`, 32),
      bytes: bytesNamed(`body ${pos}`, size),
    };
    this.rows.push(row);
    return row;
  }
}

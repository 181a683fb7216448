/** What every engine of the relay's store promises (relay/store/store.ts). */
import { describe, expect, it } from "vitest";
import { chainStart } from "#relay/protocol/domain.ts";
import { noAdditions, openSpace, writeOf, type Additions, type SpaceState } from "#relay/space.ts";
import {
  StoreError,
  type BlobRow,
  type Deadlines,
  type DocumentRow,
  type DueInSpace,
  type LogRow,
  type SnapshotRow,
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
        const docId = bytesNamed("document", 16);
        expect(await store.readDocuments(spaceId, [docId])).toEqual([]);
        expect(await store.listDocuments(spaceId, new Uint8Array(16), 9)).toEqual([]);
        expect(await store.readDocument(spaceId, docId, 0, 1000)).toEqual([]);
        expect(await store.readBlob(spaceId, docId)).toBeNull();
        expect(await store.readBlobsOf(spaceId, docId)).toEqual([]);
        expect(await store.readSnapshots(spaceId, docId)).toEqual([]);
        expect(await store.putChunk(spaceId, docId, 0, bytesNamed("chunk", 9))).toBe(false);
        expect(await store.readChunk(spaceId, docId, 0)).toBeNull();
        expect(await store.listSpaces(new Uint8Array(32), 9)).toEqual([]);
        expect(await store.readDue(spaceId, allAt(9), 9)).toEqual(nothingDue);
        expect(await store.readBodies(spaceId, null, 0, 9, 9)).toEqual([]);
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
          at: 5,
        };
        await under.store.append([
          log.write(["control", 300], ["entry", 50], {
            certificates: [certificate],
            counters: [{ devPub: certificate.devPub, ctr: 3, countedBytes: 1000, at: 6 }],
          }),
        ]);
        await under.store.append([
          log.write(["entry", 70], {
            counters: [{ devPub: certificate.devPub, ctr: 9, countedBytes: 2000, at: 7 }],
          }),
        ]);
        await under.store.close();
        const store = await under.reopen();
        expect(await store.loadSpace(log.spaceId)).toEqual({
          genesis: log.space.genesis,
          revision: 2,
          head: 3,
          chain: log.rows[2]?.chain,
          base: 1,
          countedBytes: 3000,
          deletedAt: null,
          controls: [{ pos: 1, bytes: log.rows[0]?.bytes }],
          certificates: [certificate],
          counters: [{ devPub: certificate.devPub, ctr: 9, countedBytes: 2000, at: 7 }],
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

    it("keeps what the writer knows of documents, and the newest card of each", () =>
      withStore(async (under) => {
        const log = new TestLog("notes");
        const a = documentNamed("a", { lastPos: 2 });
        const cardOf = (derivedPos: number, size: number) => ({
          docId: a.docId,
          derivedPos,
          bytes: bytesNamed(`card ${derivedPos}`, size),
        });
        await under.store.append([
          log.write([1, "a"], [1, "a"], {
            documents: [documentNamed("a"), a, documentNamed("b")],
            cards: [cardOf(1, 300), cardOf(2, 400)],
          }),
        ]);
        const known = await under.store.readDocuments(log.spaceId, [docNamed("c"), a.docId]);
        expect(known).toEqual([{ ...a, card: { derivedPos: 2, size: 400 } }]);
        const dropped = {
          ...a,
          lastPos: 3,
          dropPos: 3,
          lastAt: 2000,
          sweptPos: 3,
          countedBytes: 0,
        };
        await under.store.append([log.write([3, "a"], { documents: [dropped] })]);
        await under.store.close();
        const store = await under.reopen();
        expect(await store.readDocuments(log.spaceId, [a.docId, docNamed("b")])).toEqual([
          { ...dropped, card: { derivedPos: 2, size: 400 } },
          { ...documentNamed("b"), card: null },
        ]);
      }));

    it("lists documents in order of id, each with its newest snapshot, what that lacks, and its card", () =>
      withStore(async ({ store }) => {
        const log = new TestLog("notes");
        const card = { docId: docNamed("a"), derivedPos: 5, bytes: bytesNamed("card", 250) };
        // Of document a: 1 and 3 before, 4 and 6 snapshots, 7 after; the newer one leaves 3 out.
        const rows: RowSpec[] = [
          [1, "a", 100],
          [1, "b", 110],
          [1, "a", 120],
          [2, "a", 130],
          [1, "b", 140],
          [2, "a", 150],
          [1, "a", 160],
        ];
        await store.append([
          log.write(...rows, {
            documents: [
              documentNamed("a", { lastPos: 7, snapshotPos: 6 }),
              documentNamed("b", { lastPos: 5, dropPos: 5 }),
            ],
            snapshots: [
              snapshotNamed("a", 4, { coversPos: 3 }),
              snapshotNamed("a", 6, { coversPos: 4, omitted: [bytesNamed("item 3", 32)] }),
            ],
            cards: [card],
          }),
        ]);
        const snapshots = await store.readSnapshots(log.spaceId, docNamed("a"));
        expect(snapshots.map(({ pos, coversPos }) => [pos, coversPos])).toEqual([
          [4, 3],
          [6, 4],
        ]);
        const listed = [
          {
            docId: docNamed("a"),
            lastPos: 7,
            dropPos: 0,
            snapshotPos: 6,
            snapshotSize: 150,
            tailEntries: 2,
            tailBytes: 120 + 160,
            card: card.bytes,
          },
          {
            docId: docNamed("b"),
            lastPos: 5,
            dropPos: 5,
            snapshotPos: 0,
            snapshotSize: 0,
            tailEntries: 2,
            tailBytes: 110 + 140,
            card: null,
          },
        ].toSorted((a, b) => Buffer.compare(a.docId, b.docId));
        expect(await store.listDocuments(log.spaceId, beginning, 9)).toEqual(listed);
        expect(await store.listDocuments(log.spaceId, beginning, 1)).toEqual(listed.slice(0, 1));
        const first = listed[0]?.docId ?? beginning;
        expect(await store.listDocuments(log.spaceId, first, 9)).toEqual(listed.slice(1));

        const whole = await store.readDocument(log.spaceId, docNamed("a"), 0, 10_000);
        expect(whole.map(({ pos, body }) => [pos, body])).toEqual(
          [3, 6, 7].map((pos) => [pos, log.rowAt(pos).bytes]),
        );
        const rest = await store.readDocument(log.spaceId, docNamed("a"), 3, 150);
        expect(rest.map(({ pos }) => pos)).toEqual([6]);
        const plain = await store.readDocument(log.spaceId, docNamed("b"), 0, 10_000);
        expect(plain.map(({ pos }) => pos)).toEqual([2, 5]);
      }));

    it("keeps the chunks of announced blobs, and knows which came", () =>
      withStore(async (under) => {
        const log = new TestLog("notes");
        const blob = blobNamed("one");
        const other = blobNamed("two", { docId: docNamed("b") });
        await under.store.append([log.write(["control", 10], { blobs: [blob, other] })]);
        expect(await under.store.readBlob(log.spaceId, blob.blobId)).toEqual({ ...blob, kept: [] });
        const chunk = bytesNamed("chunk 1", 150);
        expect(await under.store.putChunk(log.spaceId, blob.blobId, 1, chunk)).toBe(true);
        expect(await under.store.putChunk(log.spaceId, blob.blobId, 1, chunk)).toBe(true);
        const unknown = bytesNamed("blob nobody announced", 16);
        expect(await under.store.putChunk(log.spaceId, unknown, 0, chunk)).toBe(false);
        await under.store.close();
        const store = await under.reopen();
        expect(await store.readBlob(log.spaceId, blob.blobId)).toEqual({ ...blob, kept: [1] });
        expect(await store.readChunk(log.spaceId, blob.blobId, 1)).toEqual(chunk);
        expect(await store.readChunk(log.spaceId, blob.blobId, 0)).toBeNull();
        expect(await store.readChunk(log.spaceId, other.blobId, 1)).toBeNull();
        expect(await store.readBlobsOf(log.spaceId, docNamed("a"))).toEqual([blob]);
        expect(await store.readBlobsOf(log.spaceId, null)).toHaveLength(2);
        const dropped = { ...blob, droppedAt: 7000 };
        await store.append([log.write({ blobs: [dropped] })]);
        expect(await store.readBlob(log.spaceId, blob.blobId)).toEqual({ ...dropped, kept: [1] });
      }));

    it("forgets bodies, of which stubs stay, and stubs, of which nothing stays", () =>
      withStore(async (under) => {
        const log = new TestLog("notes");
        await under.store.append([
          log.write(["control", 300], [1, "a", 200], [2, "a", 210], [1, "a", 220], {
            documents: [documentNamed("a", { lastPos: 4, snapshotPos: 3 })],
            snapshots: [snapshotNamed("a", 3)],
          }),
        ]);
        const forgotten = { ...noneForgotten, bodies: [1, 2, 3], stubs: [4] };
        await under.store.append([log.write({ forgotten, base: 2 })]);
        await under.store.close();
        const store = await under.reopen();
        const items = await store.readLog(log.spaceId, 0, 9, 10_000, "bodies");
        expect(items.map(({ pos, size, body }) => [pos, size, body?.length])).toEqual([
          [1, 300, 300],
          [2, 200, undefined],
          [3, 210, undefined],
          [4, 220, 220],
        ]);
        expect((await store.loadSpace(log.spaceId))?.base).toBe(2);
        expect(await store.positionOf(log.spaceId, log.rowAt(2).itemId)).not.toBeNull();
        expect(await store.readBodies(log.spaceId, null, 0, 9, 9)).toHaveLength(1);
        expect(await store.readDue(log.spaceId, allAt(5000), 9)).toMatchObject({ stubs: [2, 3] });
        await store.append([log.write({ forgotten: { ...noneForgotten, stubs: [2] }, base: 3 })]);
        const rest = await store.readLog(log.spaceId, 0, 9, 10_000, "stubs");
        expect(rest.map(({ pos }) => pos)).toEqual([1, 3, 4]);
        expect(await store.chainAt(log.spaceId, 2)).toBeNull();
        expect(await store.positionOf(log.spaceId, log.rowAt(2).itemId)).toBeNull();
      }));

    it("forgets documents and blobs without a trace", () =>
      withStore(async ({ store }) => {
        const log = new TestLog("notes");
        const [a, b] = [docNamed("a"), docNamed("b")];
        const blob = blobNamed("one");
        await store.append([
          log.write([2, "a"], [2, "b"], {
            documents: [
              documentNamed("a", { snapshotPos: 1 }),
              documentNamed("b", { snapshotPos: 2 }),
            ],
            snapshots: [snapshotNamed("a", 1), snapshotNamed("b", 2)],
            cards: [a, b].map((docId) => ({ docId, derivedPos: 1, bytes: bytesNamed("card", 9) })),
            blobs: [blob, blobNamed("two")],
          }),
        ]);
        await store.putChunk(log.spaceId, blob.blobId, 0, bytesNamed("chunk", 150));
        await store.append([
          log.write({ forgotten: { ...noneForgotten, documents: [a], blobs: [blob.blobId] } }),
        ]);
        await store.append([log.write({ forgotten: { ...noneForgotten, cards: [b] } })]);
        expect(await store.readDocuments(log.spaceId, [b])).toMatchObject([{ card: null }]);
        const left = await store.listDocuments(log.spaceId, beginning, 9);
        expect(left.map(({ docId }) => docId)).toEqual([b]);
        expect(await store.readBlob(log.spaceId, blob.blobId)).toBeNull();
        expect(await store.readChunk(log.spaceId, blob.blobId, 0)).toBeNull();
        expect(await store.readBlob(log.spaceId, blobNamed("two").blobId)).not.toBeNull();
        await store.append([log.write({ documents: [documentNamed("a")], blobs: [blob] })]);
        expect(await store.readDocuments(log.spaceId, [a])).toMatchObject([{ card: null }]);
        expect(await store.readBlob(log.spaceId, blob.blobId)).toMatchObject({ kept: [] });
      }));

    it("tells what has waited until a deadline, not what has not", () =>
      withStore(async ({ store }) => {
        const log = new TestLog("notes");
        const day = 86_400_000;
        const finished = blobNamed("finished", { at: day });
        const unfinished = blobNamed("unfinished", { at: day });
        const dropped = blobNamed("dropped", { at: day, droppedAt: 3 * day });
        await store.append([
          log.write([1, "a"], [2, "a"], [2, "a"], [2, "a"], [2, "b"], [3, "c"], [3, "d"], {
            at: day,
            documents: [
              documentNamed("a", { snapshotPos: 4 }),
              documentNamed("b", { snapshotPos: 5 }),
              documentNamed("c", { lastPos: 6, dropPos: 6, lastAt: 2 * day }),
              documentNamed("d", { lastPos: 7, dropPos: 7, lastAt: 2 * day, sweptPos: 7 }),
            ],
            snapshots: [
              snapshotNamed("a", 2, { at: day }),
              snapshotNamed("a", 3, { at: 2 * day, omitted: [bytesNamed("item 1", 32)] }),
              snapshotNamed("a", 4, { at: 9 * day, chunks: finished.chunks }),
              snapshotNamed("b", 5, { at: day }),
            ],
            blobs: [finished, unfinished, dropped],
            forgotten: { ...noneForgotten, bodies: [1] },
          }),
        ]);
        for (const ix of [0, 1]) {
          await store.putChunk(log.spaceId, finished.blobId, ix, bytesNamed("chunk", 150));
        }
        await store.putChunk(log.spaceId, unfinished.blobId, 0, bytesNamed("chunk", 150));
        const dueAt = (facts: Partial<Deadlines>) =>
          store.readDue(log.spaceId, { ...allAt(0), ...facts }, 9);
        expect(await dueAt({})).toEqual(nothingDue);
        expect(await dueAt({ snapshots: 2 * day - 1 })).toEqual(nothingDue);
        const { snapshots } = await dueAt({ snapshots: 2 * day });
        expect(snapshots).toEqual([
          snapshotNamed("a", 2, { at: day }),
          snapshotNamed("a", 3, { at: 2 * day, omitted: [bytesNamed("item 1", 32)] }),
        ]);
        expect((await dueAt({ drops: 2 * day - 1 })).drops).toEqual([]);
        expect((await dueAt({ drops: 2 * day })).drops.map(({ docId }) => docId)).toEqual([
          docNamed("c"),
        ]);
        expect((await dueAt({ stubs: day - 1 })).stubs).toEqual([]);
        expect((await dueAt({ stubs: day })).stubs).toEqual([1]);
        expect((await dueAt({ droppedBlobs: 3 * day - 1 })).blobs).toEqual([]);
        expect((await dueAt({ droppedBlobs: 3 * day })).blobs).toEqual([dropped]);
        expect((await dueAt({ unfinishedBlobs: day - 1 })).blobs).toEqual([]);
        expect((await dueAt({ unfinishedBlobs: day })).blobs).toEqual([unfinished]);
        // Swept to its second newest snapshot, a document is no longer due.
        await store.append([
          log.write({ documents: [documentNamed("a", { snapshotPos: 4, sweptPos: 2 })] }),
        ]);
        expect(await dueAt({ snapshots: 2 * day })).toEqual(nothingDue);
      }));

    it("reads the entries that still have a body, of a document or of all", () =>
      withStore(async ({ store }) => {
        const log = new TestLog("notes");
        await store.append([
          log.write(["control", 300], [1, "a"], [2, "b"], [77, "a"], [1, "a"], {
            forgotten: { ...noneForgotten, bodies: [5] },
          }),
        ]);
        const kept = (pos: number) => {
          const { docId, entryKind, itemId, bytes } = log.rowAt(pos);
          const devPub = bytes.slice(56, 88);
          return { pos, docId, entryKind, itemId, size: bytes.length, devPub };
        };
        expect(await store.readBodies(log.spaceId, null, 0, 9, 9)).toEqual([2, 3, 4].map(kept));
        expect(await store.readBodies(log.spaceId, docNamed("a"), 2, 9, 9)).toEqual([kept(4)]);
        expect(await store.readBodies(log.spaceId, null, 0, 3, 1)).toEqual([kept(2)]);
      }));

    it("lists spaces in order of id, page by page", () =>
      withStore(async ({ store }) => {
        const logs = ["one", "two", "three"].map((name) => new TestLog(name));
        await store.append(logs.map((log) => log.write(["control", 10])));
        const [first] = logs;
        if (first === undefined) throw new Error("three logs");
        await store.append([first.write(["control", 10], { deletedAt: 77 })]);
        expect((await store.loadSpace(first.spaceId))?.deletedAt).toBe(77);
        const ids = logs
          .map(({ spaceId }) => spaceId)
          .toSorted((a, b) => Buffer.compare(a, b))
          .map((spaceId) => ({ spaceId, deletedAt: spaceId === first.spaceId ? 77 : null }));
        expect(await store.listSpaces(new Uint8Array(32), 2)).toEqual(ids.slice(0, 2));
        expect(await store.listSpaces(ids[1]?.spaceId ?? beginning, 2)).toEqual(ids.slice(2));
      }));

    it("gives back what was forgotten, slice by slice, and keeps the rest readable", () =>
      withStore(async ({ store }) => {
        const log = new TestLog("notes");
        for (let n = 0; n < 20; n += 1) await store.append([log.write([1, "a", 100_000])]);
        const bodies = Array.from({ length: 19 }, (_, ix) => ix + 1);
        await store.append([log.write({ forgotten: { ...noneForgotten, bodies } })]);
        for (let n = 0; n < 100 && (await store.reclaim()); n += 1);
        expect(await store.reclaim()).toBe(false);
        const [last] = await store.readLog(log.spaceId, 19, 20, 1, "bodies");
        expect(last?.body).toEqual(log.rowAt(20).bytes);
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

type RowSpec = readonly ["entry" | "control", number] | readonly [number, string, number?];

interface Extras extends Partial<Additions> {
  readonly at?: number;
  readonly base?: number;
  readonly deletedAt?: number;
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

  rowAt(pos: number): LogRow {
    const row = this.rows[pos - 1];
    if (row === undefined) throw new Error(`nothing was written at ${pos}`);
    return row;
  }

  /** Rows as `["entry", size]`, or as `[kind of entry, document, size]`. */
  write(...items: readonly (RowSpec | Extras)[]): SpaceWrite {
    const rows: LogRow[] = [];
    let extras: Extras = {};
    for (const item of items) {
      if (Symbol.iterator in item) rows.push(this.#row(item));
      else extras = item;
    }
    const { at = 1000, base = this.#state.base, deletedAt = null, ...additions } = extras;
    const to = {
      ...this.#state,
      head: this.rows.length,
      chain: this.rows.at(-1)?.chain ?? chainStart(this.spaceId),
      countedBytes: this.rows.length * 1000,
      base,
      deletedAt,
    };
    const added = { ...noAdditions, rows, ...additions };
    const { state, write } = writeOf(this.#state, to, added, at);
    this.#state = state;
    return write;
  }

  #row(spec: RowSpec): LogRow {
    const [what, second, third = 200] = spec;
    const isControl = what === "control";
    const size = typeof second === "number" ? second : third;
    const pos = this.rows.length + 1;
    const row: LogRow = {
      pos,
      kind: isControl ? "control" : "entry",
      docId: isControl ? new Uint8Array(16) : docNamed(typeof second === "string" ? second : ""),
      entryKind: isControl ? 0 : typeof what === "number" ? what : 1,
      itemId: bytesNamed(`item ${pos}`, 32),
      chain: bytesNamed(`chain ${pos}`, 32),
      bytes: bytesNamed(`body ${pos}`, size),
    };
    this.rows.push(row);
    return row;
  }
}

function docNamed(name: string): Uint8Array {
  return bytesNamed(`document ${name}`, 16);
}

function documentNamed(name: string, facts: Partial<DocumentRow> = {}): DocumentRow {
  return {
    docId: docNamed(name),
    lastPos: 1,
    lastAt: 1000,
    dropPos: 0,
    snapshotPos: 0,
    sweptPos: 0,
    countedBytes: 1024,
    ...facts,
  };
}

function snapshotNamed(name: string, pos: number, facts: Partial<SnapshotRow> = {}): SnapshotRow {
  return {
    docId: docNamed(name),
    pos,
    coversPos: pos - 1,
    omitted: [],
    chunks: [],
    at: 1000,
    ...facts,
  };
}

function blobNamed(name: string, facts: Partial<BlobRow> = {}): BlobRow {
  return {
    blobId: bytesNamed(`blob ${name}`, 16),
    docId: docNamed("a"),
    devPub: bytesNamed("device", 32),
    size: 300,
    chunks: [bytesNamed("hash 0", 32), bytesNamed("hash 1", 32)],
    pos: 3,
    at: 1000,
    droppedAt: null,
    ...facts,
  };
}

function allAt(time: number): Deadlines {
  return {
    snapshots: time,
    drops: time,
    stubs: time,
    droppedBlobs: time,
    unfinishedBlobs: time,
  };
}

const nothingDue: DueInSpace = { snapshots: [], drops: [], stubs: [], blobs: [] };
const beginning = new Uint8Array(16);
const noneForgotten = noAdditions.forgotten;

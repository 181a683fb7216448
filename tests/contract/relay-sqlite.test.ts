/** What is SQLite's own: its file becomes smaller, and an older one is brought up to date. */
import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DatabaseSync } from "@photostructure/sqlite";
import { chainNext, chainStart } from "#relay/protocol/domain.ts";
import { parseEntry } from "#relay/protocol/entry.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import { defaultLimits } from "#relay/protocol/limits.ts";
import { Relay } from "#relay/relay.ts";
import { noAdditions } from "#relay/space.ts";
import { checkStore } from "#relay/store-check.ts";
import { openSqliteStore } from "#relay/store/sqlite.ts";
import { openAccess } from "#tests/support/open-access.ts";
import { RawClient, startTestRelay } from "#tests/support/relay.ts";
import { bytesNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";

describe("a store of an earlier relay", () => {
  it("is brought up to date, keeping what is there, and goes on", async () => {
    const dir = temporaryDir();
    const space = new TestSpace("earlier");
    const gone = new TestSpace("gone");
    gone.delete();
    const device = new TestDevice(space, "laptop");
    const [docA, docB] = [bytesNamed("a", 16), bytesNamed("b", 16)];
    const entries = [
      device.entry({ docId: docA, size: 5000 }),
      device.entry({ docId: docB }),
      device.entry({ docId: docA }),
      device.entry({ docId: docB, kind: 3 }),
    ];
    writeVersion1(dir, [
      { space, entries, device },
      { space: gone, entries: [], device: null },
    ]);

    const store = await openSqliteStore({ dir, workerUrl: null });
    const stored = await store.loadSpace(space.spaceId);
    expect(stored).toMatchObject({ head: 6, base: 1, deletedAt: null, revision: 1 });
    const counted = (entries[0]?.length ?? 0) + 3 * 1024;
    expect(stored?.counters).toMatchObject([{ ctr: 4, countedBytes: counted }]);
    expect((await store.loadSpace(gone.spaceId))?.deletedAt).toBeGreaterThan(1_600_000_000_000);
    const documents = await store.readDocuments(space.spaceId, [docA, docB]);
    expect(documents).toMatchObject([
      { lastPos: 5, dropPos: 0, countedBytes: (entries[0]?.length ?? 0) + 1024, card: null },
      { lastPos: 6, dropPos: 6, countedBytes: 2048, card: null },
    ]);
    const listed = await store.listDocuments(space.spaceId, new Uint8Array(16), 9);
    expect(listed.map(({ tailEntries }) => tailEntries)).toEqual([2, 2]);
    const log = await store.readLog(space.spaceId, 2, 9, 1 << 20, "bodies");
    expect(log.map(({ body }) => body)).toEqual(entries);
    await store.close();

    const relay = await startTestRelay({ dir });
    const client = await RawClient.connect(relay.url);
    expect(await client.push(device.entry({ docId: docB }))).toMatchObject([{ status: 0, pos: 7 }]);
    expect((await client.subscribe(gone)).status).toBe(refusals.SPACE_DELETED.code);
    await relay.stop();
    rmSync(dir, { recursive: true });
  });

  /** As the first release wrote it. */
  function writeVersion1(
    dir: string,
    spaces: readonly { space: TestSpace; entries: Uint8Array[]; device: TestDevice | null }[],
  ): void {
    const db = new DatabaseSync(join(dir, "relay.db"));
    db.exec(readFileSync(join(import.meta.dirname, "../vectors/relay-1.sql"), "utf8"));
    for (const [ix, { space, entries, device }] of spaces.entries()) {
      const items = [
        ...space.records.map(({ bytes, hash }) => ({ bytes, itemId: hash, entry: null })),
        ...entries.map((bytes) => {
          const parsed = parseEntry(bytes, bytes.length);
          if (!parsed.ok) throw new Error(parsed.error);
          return { bytes, itemId: parsed.value.entryId, entry: parsed.value };
        }),
      ];
      let chain = chainStart(space.spaceId);
      db.prepare("INSERT INTO space VALUES (?, ?, ?, 1, ?, ?, 9999)").run(
        ix + 1,
        space.spaceId,
        space.genesis,
        items.length,
        items.reduce(
          (before, { itemId, entry }, at) =>
            chainNext(at + 1, before, entry?.docId ?? noDocument, itemId),
          chain,
        ),
      );
      for (const [at, { bytes, itemId, entry }] of items.entries()) {
        const docId = entry?.docId ?? noDocument;
        chain = chainNext(at + 1, chain, docId, itemId);
        db.prepare("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)").run(
          ix + 1,
          at + 1,
          entry === null ? 1 : 0,
          docId,
          entry?.kind ?? 0,
          bytes.length,
          itemId,
          chain,
          bytes,
        );
      }
      if (device === null) continue;
      const { pub } = device.signer;
      db.prepare("INSERT INTO certificate VALUES (?, ?, ?, ?)").run(
        ix + 1,
        pub,
        space.admin.pub,
        device.certificate,
      );
      db.prepare("INSERT INTO counter VALUES (?, ?, ?)").run(ix + 1, pub, entries.length);
    }
    db.close();
  }
});

describe("the SQLite store's file", () => {
  it("[KEEP-6] becomes smaller when much was forgotten", async () => {
    const dir = temporaryDir();
    const store = await openSqliteStore({ dir, workerUrl: null });
    const space = new TestSpace("large");
    const rows = Array.from({ length: 60 }, (_, ix) => ({
      pos: ix + 1,
      kind: "entry" as const,
      docId: bytesNamed("document", 16),
      entryKind: 1,
      itemId: bytesNamed(`item ${ix}`, 32),
      chain: bytesNamed(`chain ${ix}`, 32),
      bytes: bytesNamed(`body ${ix}`, 200_000),
    }));
    const write = {
      spaceId: space.spaceId,
      genesis: space.genesis,
      at: 0,
      head: 60,
      chain: bytesNamed("chain", 32),
      base: 1,
      countedBytes: 0,
      deletedAt: null,
      ...noAdditions,
    };
    await store.append([{ ...write, revision: 0, rows }]);
    const sizeOf = (file: string) => statSync(join(dir, file)).size;
    const whole = sizeOf("relay.db") + sizeOf("relay.db-wal");
    expect(whole).toBeGreaterThan(12_000_000);
    const bodies = rows.map(({ pos }) => pos);
    await store.append([
      { ...write, revision: 1, forgotten: { ...noAdditions.forgotten, bodies } },
    ]);
    while (await store.reclaim());
    expect(sizeOf("relay.db") + sizeOf("relay.db-wal")).toBeLessThan(1 << 20);
    await store.close();
    rmSync(dir, { recursive: true });
  });
});

describe("a sweep of the SQLite store", () => {
  it("[KEEP-1] forgets on the disk what is due, and what stays holds together", async () => {
    const dir = temporaryDir();
    const [docA, docB] = [bytesNamed("document a", 16), bytesNamed("document b", 16)];
    const [space, gone] = [new TestSpace("kept"), new TestSpace("gone")];
    const device = new TestDevice(space, "laptop");
    const secret = device.entry({ docId: docA, size: 3000 });
    const dropped = device.entry({ docId: docB, size: 3000 });
    const ofGone = new TestDevice(gone, "laptop");
    const lost = ofGone.entry({ size: 3000 });
    const chunk = bytesNamed("chunk", 3000);
    const first = await startTestRelay({ dir });
    const writer = await RawClient.connect(first.url);
    for (const each of [space, gone]) await writer.createSpace(each);
    for (const each of [device, ofGone]) await writer.certify(each);
    await writer.push(secret, dropped);
    await writer.push(lost);
    for (let n = 0; n < 2; n += 1) {
      const [last] = await writer.push(device.entry({ docId: docA }));
      const { pos: coversPos = 0, chain = docA } = last ?? {};
      await writer.push(device.snapshot({ coversPos, chain }, { docId: docA }));
    }
    const blobId = bytesNamed("blob", 16);
    await writer.announce(device.blobStatement(blobId, [chunk], { docId: docB }));
    expect(await writer.putChunk(space, blobId, 0, chunk)).toBe(0);
    await writer.push(device.entry({ docId: docB, kind: 3 }));
    gone.delete();
    await writer.createSpace(gone);
    await first.stop();
    const isOnDisk = (bytes: Uint8Array) =>
      readFileSync(join(dir, "relay.db")).includes(Buffer.from(bytes.slice(200, 260)));
    expect([secret, dropped, lost, chunk].map(isOnDisk)).toEqual([true, true, true, true]);

    await sweepIn(dir, 29);
    expect([secret, dropped, lost, chunk].map(isOnDisk)).toEqual([true, true, true, true]);
    await sweepIn(dir, 31);
    expect([secret, dropped, lost, chunk].map(isOnDisk)).toEqual([false, false, false, false]);
    const store = await openSqliteStore({ dir, workerUrl: null });
    expect(await checkStore(store)).toMatchObject({ spaces: 2, troubles: [] });
    await store.close();

    const again = await startTestRelay({ dir });
    const reader = await RawClient.connect(again.url);
    const { handle } = await reader.subscribe(space);
    const { items } = await reader.next("data");
    expect(items.map(({ kind }) => kind[0]).join("")).toBe("ccssseeee");
    expect(await reader.list(handle)).toHaveLength(2);
    await again.stop();
    rmSync(dir, { recursive: true });
  });

  /** A relay of later days, until it has swept. */
  async function sweepIn(dir: string, days: number): Promise<void> {
    const store = await openSqliteStore({ dir, workerUrl: null });
    const first: { run: () => void; ms: number }[] = [];
    const swept: Promise<void> = new Promise((resolve, reject) => {
      const relay = new Relay({
        store,
        clock: { now: () => Date.now() + days * 86_400_000 },
        timers: {
          after: (ms, run) => {
            // The sweep's second turn is asked for when the first is over.
            if (ms === 60 * 60_000) void relay.stop().then(resolve);
            first.push({ ms, run });
            return () => undefined;
          },
        },
        random: (length) => new Uint8Array(length),
        verify: () => Promise.resolve(false),
        identity: {
          relayPub: new Uint8Array(32),
          storeId: new Uint8Array(16),
          sign: () => Promise.resolve(new Uint8Array(64)),
        },
        limits: defaultLimits,
        log: (level, event) => {
          if (level === "error") reject(new Error(event));
        },
        access: openAccess,
        acceptsOrigin: () => true,
      });
    });
    first.find(({ ms }) => ms === 5 * 60_000)?.run();
    await swept;
    await store.close();
  }
});

function temporaryDir(): string {
  return mkdtempSync(join(tmpdir(), "sealeaf-store-"));
}

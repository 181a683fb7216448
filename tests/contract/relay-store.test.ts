import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DatabaseSync } from "@photostructure/sqlite";
import { noAdditions } from "#relay/space.ts";
import { openPostgresStore } from "#relay/store/postgres.ts";
import { openSqliteStore } from "#relay/store/sqlite.ts";
import type { Store } from "#relay/store/store.ts";
import { systemTimers } from "#relay/system-timers.ts";
import { describeRelayStore, type StoreUnderTest } from "#tests/contract/relay-store.ts";
import { buildRelay, type BuiltRelay } from "#tests/support/built-relay.ts";
import { MemoryRelayDisk, MemoryRelayStore } from "#tests/support/memory-relay-store.ts";
import { startPostgres, type TestPostgres } from "#tests/support/postgres.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";

describeRelayStore("SQLite", () => openUnderTest(null));

describe("in its worker", () => {
  let built: BuiltRelay | null = null;
  afterAll(() => built?.remove());
  describeRelayStore("SQLite in its worker", async () => {
    built ??= await buildRelay();
    return openUnderTest(built.workerUrl);
  });
});

describe("on a server", () => {
  let server: TestPostgres;
  beforeAll(async () => {
    server = await startPostgres();
  }, 60_000);
  afterAll(() => server.stop());
  describeRelayStore("PostgreSQL", async () =>
    openPostgresUnderTest(await server.createDatabase()),
  );
});

describeRelayStore("memory", () => {
  const disk = new MemoryRelayDisk();
  return Promise.resolve({
    store: new MemoryRelayStore(disk),
    reopen: () => Promise.resolve(new MemoryRelayStore(disk)),
    dispose: () => Promise.resolve(),
  });
});

describe("the SQLite store's directory", () => {
  it("belongs to one relay at a time, and to the next one after", async () => {
    const dir = temporaryDir();
    const first = await openSqliteStore({ dir, workerUrl: null });
    const second = openSqliteStore({ dir, workerUrl: null });
    await expect(second).rejects.toMatchObject({
      failure: "unusable",
      message: `The data directory ${dir} is in use by another relay.`,
    });
    await first.close();
    const third = await openSqliteStore({ dir, workerUrl: null });
    await third.close();
    rmSync(dir, { recursive: true });
  });

  it("is left alone when a newer relay wrote it", async () => {
    const dir = temporaryDir();
    const store = await openSqliteStore({ dir, workerUrl: null });
    await store.close();
    const db = new DatabaseSync(join(dir, "relay.db"));
    db.exec("PRAGMA user_version = 99");
    db.close();
    await expect(openSqliteStore({ dir, workerUrl: null })).rejects.toThrow("newer relay");
    rmSync(dir, { recursive: true });
  });

  it("is named when it cannot be made", async () => {
    const file = join(temporaryDir(), "file");
    writeFileSync(file, "");
    const dir = join(file, "data");
    const opening = openSqliteStore({ dir, workerUrl: null });
    await expect(opening).rejects.toThrow(`The data directory ${dir} cannot be written.`);
  });
});

describe("the memory store", () => {
  it("loses at a crash what was not synced, and never answers it", async () => {
    const disk = new MemoryRelayDisk();
    const store = new MemoryRelayStore(disk);
    store.isHeld = true;
    let isAnswered = false;
    const write = {
      spaceId: bytesNamed("space", 32),
      genesis: bytesNamed("genesis", 52),
      revision: 0,
      at: 0,
      head: 0,
      chain: bytesNamed("chain", 32),
      base: 1,
      countedBytes: 0,
      deletedAt: null,
      ...noAdditions,
    };
    void store.append([write]).then(() => {
      isAnswered = true;
    });
    store.crash();
    store.sync();
    const after = new MemoryRelayStore(disk);
    expect(await after.loadSpace(write.spaceId)).toBeNull();
    expect(isAnswered).toBe(false);
    await after.append([write]);
    expect((await after.loadSpace(write.spaceId))?.revision).toBe(1);
  });
});

async function openUnderTest(workerUrl: URL | null): Promise<StoreUnderTest> {
  const dir = temporaryDir();
  const opened: Store[] = [];
  const open = async () => {
    const store = await openSqliteStore({ dir, workerUrl });
    opened.push(store);
    return store;
  };
  return {
    store: await open(),
    reopen: open,
    async dispose() {
      await Promise.allSettled(opened.map((store) => store.close()));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function openPostgresUnderTest(address: string): Promise<StoreUnderTest> {
  const opened: Store[] = [];
  const open = async () => {
    const store = await openPostgresStore({
      address,
      node: `node-${opened.length}`,
      after: systemTimers.after,
    });
    opened.push(store);
    return store;
  };
  return {
    store: await open(),
    reopen: open,
    async dispose() {
      await Promise.allSettled(opened.map((store) => store.close()));
    },
  };
}

function temporaryDir(): string {
  return mkdtempSync(join(tmpdir(), "sealeaf-store-"));
}

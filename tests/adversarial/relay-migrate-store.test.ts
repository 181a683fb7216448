/** A store that is moved from SQLite to PostgreSQL, and a device that does not notice. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { migrateStore } from "#relay/cli/migrate-store.ts";
import { checkStore } from "#relay/store-check.ts";
import { openPostgresStore } from "#relay/store/postgres.ts";
import { openSqliteStore } from "#relay/store/sqlite.ts";
import { systemTimers } from "#relay/system-timers.ts";
import { startPostgres, type TestPostgres } from "#tests/support/postgres.ts";
import { RawClient, startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import { bytesNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";

vi.setConfig({ hookTimeout: 60_000, testTimeout: 60_000 });

const [docId, blobId] = [bytesNamed("a document", 16), bytesNamed("a blob", 16)];
const chunks = [bytesNamed("chunk 0", 256 << 10), bytesNamed("chunk 1", 700)];

describe("migrate-store", () => {
  let server: TestPostgres;
  const dirs: string[] = [];
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(async () => {
    await server.stop();
    for (const dir of dirs) rmSync(dir, { recursive: true, force: true });
  });

  function temporaryDir(): string {
    const dir = mkdtempSync(join(tmpdir(), "sealeaf-moved-"));
    dirs.push(dir);
    return dir;
  }

  /** A data directory with a bit of everything, and the device that wrote it. */
  async function setupSource() {
    const dir = temporaryDir();
    const space = new TestSpace("moved");
    const device = new TestDevice(space, "laptop");
    const relay = await startTestRelay({ dir });
    const client = await RawClient.connect(relay.url);
    await client.createSpace(space);
    await client.certify(device);
    const entries = Array.from({ length: 5 }, () => device.entry({ docId }));
    const places = await client.push(...entries);
    const { pos = 0, chain = space.spaceId } = places.at(-1) ?? {};
    await client.push(
      device.snapshot({ coversPos: pos, chain, omitted: [bytesNamed("omitted", 32)] }, { docId }),
      device.card(pos, { docId }),
    );
    await client.announce(device.blobStatement(blobId, chunks, { docId }));
    for (const [ix, chunk] of chunks.entries()) await client.putChunk(space, blobId, ix, chunk);
    const facts = await factsOf(relay, space);
    await client.close();
    await relay.stop();
    const store = await openSqliteStore({ dir, workerUrl: null });
    await store.access.addInvite({
      tokenHash: bytesNamed("token", 32),
      label: "für Ana",
      madeAt: 5,
      expiresAt: null,
    });
    await store.close();
    return { dir, space, device, entries, places, facts };
  }

  it("keeps positions, chains, counters, certificates, blobs and the relay's key: a device goes on", async () => {
    const { dir, space, device, entries, places, facts } = await setupSource();
    const store = await server.createDatabase();
    const said = await migrateStore(dir, store);
    expect(said[0]).toBe("Moved and compared (spaces: 1, positions: 8, chunks: 2).");

    const relay = await startTestRelay({ settings: { store } });
    expect(await factsOf(relay, space)).toEqual(facts);
    const client = await RawClient.connect(relay.url);
    const last = places.at(-1);
    const { chain = space.spaceId } = last ?? {};
    expect(await client.subscribe(space, { cursor: last?.pos ?? 0, chain })).toMatchObject({
      status: 0,
      head: 8,
    });
    expect(await client.push(...entries)).toEqual(places);
    expect(await client.push(device.entry({ docId }))).toMatchObject([{ status: 0, pos: 9 }]);
    const other = new TestSpace("made afterwards");
    expect((await client.createSpace(other)).status).toBe(0);
    await relay.stop();
  });

  it("leaves a store in which all is well, with its invitations", async () => {
    const { dir } = await setupSource();
    const address = await server.createDatabase();
    await migrateStore(dir, address);
    const store = await openPostgresStore({ address, node: "n", after: systemTimers.after });
    const { spaces, positions, troubles } = await checkStore(store);
    expect({ spaces, positions, troubles }).toEqual({ spaces: 1, positions: 8, troubles: [] });
    expect(await store.access.listInvites()).toMatchObject([{ label: "für Ana", expiresAt: null }]);
    await store.close();
  });

  it("refuses a database that holds a store, a directory without one, and one that is served", async () => {
    const { dir } = await setupSource();
    const used = await server.createDatabase();
    await migrateStore(dir, used);
    await expect(migrateStore(dir, used)).rejects.toThrow("holds a relay's store already");
    const empty = await server.createDatabase();
    const nowhere = temporaryDir();
    await expect(migrateStore(nowhere, empty)).rejects.toThrow(`There is no store in ${nowhere}.`);
    await expect(migrateStore(dir, "sqlite")).rejects.toThrow("is an address like postgres://");
    const relay = await startTestRelay({ dir });
    await expect(migrateStore(dir, empty)).rejects.toThrow("is in use by another relay");
    await relay.stop();
    await migrateStore(dir, empty);
  });

  it("keeps nothing of a move that fails half-way, and succeeds when it is done again", async () => {
    const { dir } = await setupSource();
    const address = await server.createDatabase();
    const ready = await openPostgresStore({ address, node: "n", after: systemTimers.after });
    await ready.close();
    const client = new Client({ connectionString: address });
    await client.connect();
    await client.query(
      "ALTER TABLE sealeaf.chunk ADD CONSTRAINT small CHECK (length(body) < 1000)",
    );
    await expect(migrateStore(dir, address)).rejects.toMatchObject({ failure: "unusable" });
    const { rows } = await client.query("SELECT count(*)::int4 AS kept FROM sealeaf.log");
    expect(rows).toEqual([{ kept: 0 }]);
    await client.query("ALTER TABLE sealeaf.chunk DROP CONSTRAINT small");
    await migrateStore(dir, address);
    await client.end();
  });

  it("notices what arrives changed", async () => {
    const { dir } = await setupSource();
    const address = await server.createDatabase();
    const ready = await openPostgresStore({ address, node: "n", after: systemTimers.after });
    await ready.close();
    const client = new Client({ connectionString: address });
    await client.connect();
    await client.query(`
      CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.ctr := NEW.ctr + 1; RETURN NEW; END $$;
      CREATE TRIGGER spoil BEFORE INSERT ON sealeaf.counter FOR EACH ROW EXECUTE FUNCTION spoil();
    `);
    await expect(migrateStore(dir, address)).rejects.toThrow(
      "in the table counter is not what was sent",
    );
    const { rows } = await client.query("SELECT count(*)::int4 AS kept FROM sealeaf.space");
    expect(rows).toEqual([{ kept: 0 }]);
    await client.end();
  });
});

/** What a device can see of a relay and a space. */
async function factsOf(relay: TestRelay, space: TestSpace) {
  const client = await RawClient.dial(relay.url);
  const { relayPub, storeId } = await client.hello();
  const { handle, ...subscribed } = await client.subscribe(space);
  const items = [];
  while (items.length < subscribed.head) items.push(...(await client.next("data")).items);
  const documents = await client.list(handle);
  const get = { type: "blobGet", handle, blobId, from: 0, count: 1 } as const;
  const blob = await client.ask(get, "blobData");
  await client.close();
  return { relayPub, storeId, subscribed, items, documents, blob };
}

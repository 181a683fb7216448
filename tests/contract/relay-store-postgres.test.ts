/** What the store on PostgreSQL promises beyond the contract: several nodes on it, and bad servers. */
import fc from "fast-check";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { noAdditions } from "#relay/space.ts";
import {
  boolArray,
  bytesArray,
  int4Array,
  int8Array,
  textArray,
} from "#relay/store/postgres-arrays.ts";
import { migrate, migrationLock } from "#relay/store/postgres-schema.ts";
import { openPostgresStore } from "#relay/store/postgres.ts";
import type { NeighbourPresence, SpaceWrite } from "#relay/store/store.ts";
import { systemTimers } from "#relay/system-timers.ts";
import { deferred } from "#tests/support/deferred.ts";
import { startOwnPostgres, type OwnPostgres } from "#tests/support/postgres.ts";
import { bytesNamed } from "#tests/support/space-identities.ts";

type PostgresStore = Awaited<ReturnType<typeof openPostgresStore>>;

let server: OwnPostgres;
const opened: PostgresStore[] = [];
vi.setConfig({ hookTimeout: 60_000, testTimeout: 60_000 });
beforeAll(async () => {
  server = await startOwnPostgres({ fsync: false });
});
afterAll(async () => {
  await Promise.allSettled(opened.map((store) => store.close()));
  await server.stop();
});

async function openOn(address: string, node: string): Promise<PostgresStore> {
  const store = await openPostgresStore({
    address,
    node,
    after: systemTimers.after,
  });
  opened.push(store);
  return store;
}

async function openTwo(): Promise<{ address: string; a: PostgresStore; b: PostgresStore }> {
  const address = await server.createDatabase();
  return { address, a: await openOn(address, "a"), b: await openOn(address, "b") };
}

/** The write that makes the next revision of a space, one entry each, as `by` would have it. */
function writeOn(space: string, revision: number, by = "both"): SpaceWrite {
  const pos = revision + 1;
  return {
    ...noAdditions,
    spaceId: bytesNamed(space, 32),
    genesis: bytesNamed("genesis", 52),
    revision,
    at: 1,
    head: pos,
    chain: bytesNamed(`chain ${pos} ${by}`, 32),
    base: 1,
    countedBytes: pos * 1024,
    deletedAt: null,
    rows: [
      {
        pos,
        kind: "entry",
        docId: bytesNamed("document", 16),
        entryKind: 1,
        itemId: bytesNamed(`item ${pos} ${by}`, 32),
        chain: bytesNamed(`chain ${pos} ${by}`, 32),
        bytes: bytesNamed(`body ${pos} ${by}`, 300),
      },
    ],
  };
}

const moved = { failure: "moved" };

describe("two nodes on one database", () => {
  it("know how far each other are", async () => {
    const { a, b } = await openTwo();
    await a.append([writeOn("x", 0), writeOn("y", 0)]);
    await b.append([writeOn("x", 1)]);
    const spaceIds = ["x", "nowhere", "y"].map((name) => bytesNamed(name, 32));
    expect(await a.neighbours.revisionsOf(spaceIds)).toEqual([2, 0, 1]);
    expect(await a.neighbours.revisionsOf([])).toEqual([]);
  });

  it("refuse what was built on a refused append, though its revision fits by chance", async () => {
    const { a, b } = await openTwo();
    await a.append([writeOn("x", 0)]);
    await b.append([writeOn("x", 1, "b")]);
    const outcomes = await Promise.allSettled([
      a.append([writeOn("x", 1, "a")]),
      a.append([writeOn("x", 2, "a")]),
      a.append([writeOn("x", 3, "a"), writeOn("z", 0, "a")]),
      a.append([writeOn("z", 1, "a")]),
      a.append([writeOn("y", 0, "a")]),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual([
      "rejected",
      "rejected",
      "rejected",
      "rejected",
      "fulfilled",
    ]);
    expect(await b.loadSpace(bytesNamed("x", 32))).toMatchObject({ revision: 2, head: 2 });
    expect(await b.loadSpace(bytesNamed("z", 32))).toBeNull();
  });

  it("refuse it also when it came while the first was under way", async () => {
    const { address, a, b } = await openTwo();
    await a.append([writeOn("x", 0)]);
    await b.append([writeOn("x", 1, "b")]);
    const rival = new Client({ connectionString: address });
    await rival.connect();
    await rival.query("BEGIN; SELECT FROM sealeaf.space FOR UPDATE");
    const first = a.append([writeOn("x", 1, "a")]);
    await blocked(rival, 1);
    const second = a.append([writeOn("x", 2, "a")]);
    const settled = Promise.allSettled([first, second]);
    await rival.query("COMMIT");
    await rival.end();
    expect(await settled).toMatchObject([{ reason: moved }, { reason: moved }]);
    expect(await b.loadSpace(bytesNamed("x", 32))).toMatchObject({ revision: 2, head: 2 });
  });

  it("give the one that lost the next turn, but only for a moment", async () => {
    const { address, a, b } = await openTwo();
    const clock = new Client({ connectionString: address });
    await clock.connect();
    const endTurn = (when: string) =>
      clock.query("UPDATE sealeaf.space SET turn_until = now() + $1::interval", [when]);
    await b.append([writeOn("x", 0)]);
    await expect(a.append([writeOn("x", 0, "a")])).rejects.toMatchObject(moved);
    await endTurn("1 hour");
    await expect(b.append([writeOn("x", 1, "b")])).rejects.toMatchObject(moved);
    await a.append([writeOn("x", 1, "a")]);
    await expect(b.append([writeOn("x", 1, "b")])).rejects.toMatchObject(moved);
    await endTurn("1 hour");
    await expect(a.append([writeOn("x", 2, "a")])).rejects.toMatchObject(moved);
    // Whoever has the turn may never come back.
    await endTurn("-1 second");
    await a.append([writeOn("x", 2, "a")]);
    await clock.end();
    expect((await b.loadSpace(bytesNamed("x", 32)))?.revision).toBe(3);
  });

  it("never wait for each other in a circle, whatever the order of the spaces", async () => {
    const { a, b } = await openTwo();
    const names = Array.from({ length: 12 }, (_, ix) => `space ${ix}`);
    await Promise.all(
      [a, b].map(async (store, ix) => {
        for (let round = 0; round < 20; round += 1) {
          const order = ix === 0 ? names : names.toReversed();
          const revisions = await store.neighbours.revisionsOf(
            order.map((name) => bytesNamed(name, 32)),
          );
          const writes = order.map((name, at) => writeOn(name, revisions[at] ?? 0, `${ix}`));
          const outcomes = await Promise.allSettled(writes.map((write) => store.append([write])));
          const refused = outcomes.filter(({ status }) => status === "rejected");
          expect(refused).toEqual(
            refused.map(() => expect.objectContaining({ reason: expect.objectContaining(moved) })),
          );
        }
      }),
    );
    const revisions = await a.neighbours.revisionsOf(names.map((name) => bytesNamed(name, 32)));
    expect(Math.min(...revisions)).toBeGreaterThan(0);
  });

  it("tell each other of every space of a batch, and themselves of none", async () => {
    const { a, b } = await openTwo();
    const names = Array.from({ length: 250 }, (_, ix) => `space ${ix}`);
    const heard = new Map<string, number>();
    const all = deferred<void>();
    const own: unknown[] = [];
    const listening = [deferred<void>(), deferred<void>()];
    a.neighbours.listen({
      onHint: (...hint) => own.push(hint),
      onPresence: (presence) => own.push(presence),
      onGap: () => listening[0]?.resolve(),
    });
    b.neighbours.listen({
      onHint: (spaceId, revision) => {
        heard.set(Buffer.from(spaceId).toString("hex"), revision);
        if (heard.size === names.length) all.resolve();
      },
      onPresence: () => undefined,
      onGap: () => listening[1]?.resolve(),
    });
    await Promise.all(listening.map(({ promise }) => promise));
    await Promise.all(
      names.map((name) => a.append([writeOn(name, 0), writeOn(`other ${name}`, 0)])),
    );
    await all.promise;
    expect(own).toEqual([]);
    expect(heard.get(Buffer.from(bytesNamed("space 7", 32)).toString("hex"))).toBe(1);
  });

  it("let one of them alone do what one is enough for", async () => {
    const { a, b } = await openTwo();
    const done: string[] = [];
    await a.neighbours.alone(async () => {
      await b.neighbours.alone(() => Promise.resolve(void done.push("b")));
      done.push("a");
    });
    await b.neighbours.alone(() => Promise.resolve(void done.push("b, later")));
    expect(done).toEqual(["a", "b, later"]);
  });

  it("hand presence over, several and large in one go", async () => {
    const { a, b } = await openTwo();
    const heard: NeighbourPresence[] = [];
    const all = deferred<void>();
    const listening = deferred<void>();
    b.neighbours.listen({
      onHint: () => undefined,
      onPresence: (presence) => {
        heard.push(presence);
        if (heard.length === 8) all.resolve();
      },
      onGap: () => listening.resolve(),
    });
    await listening.promise;
    const said = Array.from({ length: 8 }, (_, ix) => ({
      spaceId: bytesNamed(`space ${ix}`, 32),
      epoch: ix,
      sealed: bytesNamed(`beat ${ix}`, ix === 0 ? 0 : 2048),
    }));
    for (const presence of said) a.neighbours.tell(presence);
    await all.promise;
    expect(heard).toEqual(said);
  });
});

describe("a lost connection", () => {
  it("is a gap to who listens, and hints come again afterwards", async () => {
    const { address, a, b } = await openTwo();
    const gaps = [deferred<void>(), deferred<void>()];
    let count = 0;
    const hinted = deferred<number>();
    b.neighbours.listen({
      onHint: (_, revision) => hinted.resolve(revision),
      onPresence: () => undefined,
      onGap: () => {
        gaps[count]?.resolve();
        count += 1;
      },
    });
    await gaps[0]?.promise;
    const rival = new Client({ connectionString: address });
    await rival.connect();
    await rival.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()",
    );
    await rival.end();
    await gaps[1]?.promise;
    await a.append([writeOn("x", 0)]);
    expect(await hinted.promise).toBe(1);
  });

  it("fails what was being written, and the next call stands; reads do not notice", async () => {
    const { address, a } = await openTwo();
    await a.append([writeOn("x", 0)]);
    const rival = new Client({ connectionString: address });
    await rival.connect();
    await rival.query("BEGIN; SELECT FROM sealeaf.space FOR UPDATE");
    const failing = a.append([writeOn("x", 1)]);
    const outcome = Promise.allSettled([failing]);
    await blocked(rival, 1);
    await rival.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",
    );
    expect(await outcome).toMatchObject([{ reason: { failure: "failed" } }]);
    await rival.query("COMMIT");
    await rival.end();
    expect((await a.loadSpace(bytesNamed("x", 32)))?.revision).toBe(1);
    await a.append([writeOn("x", 1)]);
  });

  it("heals when the server comes back after a crash, with everything that was answered", async () => {
    const { a } = await openTwo();
    await a.append([writeOn("x", 0)]);
    await server.kill();
    await expect(a.append([writeOn("x", 1)])).rejects.toMatchObject({ failure: "failed" });
    await expect(a.loadSpace(bytesNamed("x", 32))).rejects.toMatchObject({ failure: "failed" });
    await server.restart();
    expect((await a.loadSpace(bytesNamed("x", 32)))?.revision).toBe(1);
    await a.append([writeOn("x", 1)]);
    expect((await a.loadSpace(bytesNamed("x", 32)))?.revision).toBe(2);
  });
});

describe("an address that leads nowhere good", () => {
  async function sentenceFor(address: string): Promise<string> {
    const opening = openPostgresStore({ address, node: "n", after: systemTimers.after });
    const error = await opening.then(
      () => null,
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ failure: "unusable" });
    const { message } = error as Error; // a StoreError, as just seen
    expect(message).not.toContain(new URL(address).password);
    return message;
  }

  it("is named in one sentence, without its password", async () => {
    const address = await server.createDatabase();
    const wrong = new URL(address);
    wrong.password = "wrong-password";
    expect(await sentenceFor(wrong.href)).toMatch(/refuses the user or password/);
    const missing = new URL(address);
    missing.pathname = "/missing";
    expect(await sentenceFor(missing.href)).toMatch(/^There is no database 127.0.0.1:\d+\/missing/);
    const silent = new URL(address);
    silent.port = "1";
    expect(await sentenceFor(silent.href)).toMatch(/does not answer \(ECONNREFUSED\)/);
  });

  it("is left alone when a newer relay made its tables", async () => {
    const { address, a } = await openTwo();
    await a.append([writeOn("x", 0)]);
    const client = new Client({ connectionString: address });
    await client.connect();
    await client.query("INSERT INTO sealeaf.schema_version (version) VALUES (999)");
    await client.end();
    expect(await sentenceFor(address)).toMatch(/written by a newer relay/);
  });

  it("is made ready once, when several nodes start together on an empty database", async () => {
    const address = await server.createDatabase();
    const stores = await Promise.all(["a", "b", "c"].map((node) => openOn(address, node)));
    const identities = await Promise.all(
      stores.map((store, ix) =>
        store.identity({ relaySecret: bytesNamed(`${ix}`, 32), storeId: bytesNamed(`${ix}`, 16) }),
      ),
    );
    expect(new Set(identities.map(({ storeId }) => storeId.join())).size).toBe(1);
  });

  it("is not made ready by whoever had to wait for one that was faster", async () => {
    const address = await server.createDatabase();
    const [faster, slower] = [1, 2].map(() => new Client({ connectionString: address }));
    if (faster === undefined || slower === undefined) throw new Error("two of them");
    await Promise.all([faster.connect(), slower.connect()]);
    await faster.query(`BEGIN; SELECT pg_advisory_xact_lock(${migrationLock})`);
    const migrated = migrate(slower);
    // It has seen that there are no tables, and waits.
    await vi.waitFor(
      async () => {
        const { rows } = await faster.query(
          "SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted",
        );
        expect(rows.length).toBe(1);
      },
      { timeout: 30_000 },
    );
    // So little that the other's server process is not made to forget what it knows of tables.
    await faster.query(
      `CREATE SCHEMA sealeaf; CREATE TABLE sealeaf.schema_version (version int4);
       INSERT INTO sealeaf.schema_version VALUES (1); COMMIT`,
    );
    await migrated;
    const { rows } = await slower.query(
      "SELECT tablename AS name FROM pg_tables WHERE schemaname = 'sealeaf'",
    );
    expect(rows).toEqual([{ name: "schema_version" }]);
    await Promise.all([faster.end(), slower.end()]);
  });
});

describe("arrays in binary", () => {
  it("are what PostgreSQL takes them for, nulls and emptiness included", async () => {
    const client = new Client({ connectionString: await server.createDatabase() });
    await client.connect();
    const maybe = <T>(value: fc.Arbitrary<T>) => fc.array(fc.option(value), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(
        maybe(fc.uint8Array({ maxLength: 300 })),
        maybe(fc.maxSafeInteger()),
        maybe(fc.integer()),
        maybe(fc.string({ unit: "grapheme" }).filter((text) => !text.includes("\0"))),
        fc.array(fc.boolean()),
        async (bytes, longs, ints, texts, flags) => {
          const { rows } = await client.query(
            "SELECT $1::bytea[] AS bytes, $2::int8[] AS longs, $3::int4[] AS ints, $4::text[] AS texts, $5::boolean[] AS flags",
            [
              bytesArray(bytes),
              int8Array(longs),
              int4Array(ints),
              textArray(texts),
              boolArray(flags),
            ],
          );
          expect(rows).toEqual([
            {
              bytes: bytes.map((value) => (value === null ? null : Buffer.from(value))),
              longs: longs.map((value) => (value === null ? null : String(value))),
              ints,
              texts,
              flags,
            },
          ]);
        },
      ),
      { numRuns: 60 },
    );
    await client.end();
  });
});

/** Waits until so many calls of `append` wait for a lock. */
async function blocked(client: Client, count: number): Promise<void> {
  await vi.waitFor(
    async () => {
      const { rows } = await client.query(
        "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()",
      );
      expect(rows).toHaveLength(count);
    },
    { timeout: 10_000, interval: 5 },
  );
}

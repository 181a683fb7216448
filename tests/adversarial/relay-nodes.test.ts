/** Two relays on one PostgreSQL, over real WebSockets: to their clients they are one. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { chainNext, chainStart } from "#relay/protocol/domain.ts";
import { parseControl } from "#relay/protocol/control.ts";
import { parseEntry, parseStub } from "#relay/protocol/entry.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import type { Data } from "#relay/protocol/messages.ts";
import { startPostgres, type TestPostgres } from "#tests/support/postgres.ts";
import { RawClient, startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import { bytesNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";

type Item = Data["items"][number];

const fast = { entriesPerSecond: 100_000, entryBurst: 100_000 };
const perWriter = 80;

vi.setConfig({ hookTimeout: 60_000, testTimeout: 60_000 });

describe("two nodes on one database", () => {
  let server: TestPostgres;
  let store: string;
  let nodes: readonly TestRelay[];
  let count = 0;
  beforeAll(async () => {
    server = await startPostgres();
    store = await server.createDatabase();
    nodes = await Promise.all([startNode(), startNode()]);
  });
  afterAll(async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    await server.stop();
  });

  function startNode(): Promise<TestRelay> {
    return startTestRelay({ limits: fast, settings: { store } });
  }

  /** A client at each node. */
  async function clients(): Promise<[RawClient, RawClient]> {
    const [a, b] = await Promise.all(nodes.map(({ url }) => RawClient.connect(url)));
    if (a === undefined || b === undefined) throw new Error("there are two nodes");
    return [a, b];
  }

  function setupSpace(): { space: TestSpace; laptop: TestDevice; phone: TestDevice } {
    count += 1;
    const space = new TestSpace(`on two nodes ${count}`);
    return {
      space,
      laptop: new TestDevice(space, "laptop"),
      phone: new TestDevice(space, "phone"),
    };
  }

  it("[SES-3] are one relay: the same key, the same store", async () => {
    const welcomes = await Promise.all(
      nodes.map(async ({ url }) => (await RawClient.dial(url)).hello()),
    );
    expect(welcomes[0]?.relayPub).toEqual(welcomes[1]?.relayPub);
    expect(welcomes[0]?.storeId).toEqual(welcomes[1]?.storeId);
  });

  it("[PUSH-6] give concurrent pushes to one space one order, and equal chains (35)", async () => {
    const { space, laptop, phone } = setupSpace();
    const [a, b] = await clients();
    expect((await a.createSpace(space)).status).toBe(0);
    expect(await b.certify(laptop)).toBe(0);
    expect(await a.certify(phone)).toBe(0);
    const readers = await clients();
    for (const reader of readers) expect((await reader.subscribe(space)).status).toBe(0);

    const pushing = [
      [a, laptop],
      [b, phone],
    ] as const;
    const places = await Promise.all(
      pushing.flatMap(([client, device]) =>
        Array.from({ length: perWriter }, () => client.push(device.entry())),
      ),
    );
    const head = 2 + 2 * perWriter;
    const stored = places.flat();
    expect(stored.filter(({ status }) => status !== 0)).toEqual([]);
    expect(stored.map(({ pos }) => pos).toSorted((x, y) => x - y)).toEqual(
      Array.from({ length: head - 2 }, (_, ix) => ix + 3),
    );

    const logs = await Promise.all(readers.map((reader) => itemsUpTo(reader, head)));
    expect(logs[0]).toEqual(logs[1]);
    const chains = chainsOf(space, logs[0] ?? []);
    for (const { pos, chain } of stored) expect(chains[pos]).toEqual(chain);
  });

  it("[PUSH-1] know each other's entries when they are sent again", async () => {
    const { space, laptop } = setupSpace();
    const [a, b] = await clients();
    await a.createSpace(space);
    await a.certify(laptop);
    const entry = laptop.entry();
    const [first] = await a.push(entry);
    expect(await b.push(entry)).toEqual([first]);
    expect(await b.push(laptop.entryAt(1, { size: 300 }))).toMatchObject([
      { status: refusals.CTR_REPLAY.code, lastCtr: 1 },
    ]);
  });

  it("[SUB-4] end subscriptions everywhere when one stores a rotation", async () => {
    const { space, laptop } = setupSpace();
    const [a, b] = await clients();
    await a.createSpace(space);
    await a.certify(laptop);
    const oldToken = space.readToken;
    await b.subscribe(space);
    await b.next("caughtUp");
    space.rotate([]);
    expect((await a.createSpace(space)).status).toBe(0);
    await a.push(laptop.entry());
    expect(await b.next("rekey")).toMatchObject({ handle: 1 });
    expect((await b.subscribe(space, { readToken: oldToken })).status).toBe(refusals.NO_SPACE.code);
    expect(await b.subscribe(space)).toMatchObject({ status: 0, head: 4 });
  });

  it("[EPH-1] hand presence over", async () => {
    const { space } = setupSpace();
    const [a, b] = await clients();
    await a.createSpace(space);
    const { handle } = await a.subscribe(space);
    await b.subscribe(space);
    const sealed = bytesNamed("beat", 300);
    a.send({ type: "presence", handle, sealed });
    expect(await b.next("presence")).toMatchObject({ sealed });
  });

  it("[PUSH-6] lose nothing when one stops: its clients go on at the other", async () => {
    const { space, laptop } = setupSpace();
    const leaving = await startNode();
    const [a] = await clients();
    const client = await RawClient.connect(leaving.url);
    await client.createSpace(space);
    await client.certify(laptop);
    const entries = Array.from({ length: 40 }, () => laptop.entry());
    const answered = Promise.allSettled(entries.map((entry) => client.push(entry)));
    await leaving.stop();
    await answered;
    const again = await a.push(...entries);
    expect(again.map(({ status, pos }) => [status, pos])).toEqual(
      entries.map((_, ix) => [0, ix + 3]),
    );
  });
});

async function itemsUpTo(client: RawClient, head: number): Promise<readonly Item[]> {
  const items: Item[] = [];
  while (items.length < head) items.push(...(await client.next("data")).items);
  expect(items.map(({ pos }) => pos)).toEqual(items.map((_, ix) => ix + 1));
  return items;
}

/** The chain at each position, as a client would compute it. */
function chainsOf(space: TestSpace, items: readonly Item[]): readonly Uint8Array[] {
  const chains = [chainStart(space.spaceId)];
  for (const { pos, kind, bytes } of items) {
    const { docId, id } = identityOf(kind, bytes);
    chains.push(chainNext(pos, chains.at(-1) ?? space.spaceId, docId, id));
  }
  return chains;
}

function identityOf(kind: Item["kind"], bytes: Uint8Array): { docId: Uint8Array; id: Uint8Array } {
  if (kind === "stub") {
    const { docId, entryId } = valueOf(parseStub(bytes));
    return { docId, id: entryId };
  }
  if (kind === "control") return { docId: noDocument, id: valueOf(parseControl(bytes)).hash };
  const { docId, entryId } = valueOf(parseEntry(bytes, bytes.length));
  return { docId, id: entryId };
}

function valueOf<T>(parsed: { ok: true; value: T } | { ok: false; error: string }): T {
  if (!parsed.ok) throw new Error(parsed.error);
  return parsed.value;
}

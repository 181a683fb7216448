/** Devices with very many notes, and with very many notebooks: one question each. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { roles, sealedKeyBytes, signControl } from "#relay/protocol/control.ts";
import { chainNext, chainStart, chainTag, sha256Of } from "#relay/protocol/domain.ts";
import { parseEntry } from "#relay/protocol/entry.ts";
import { encodeGenesis, noDocument, spaceIdOf } from "#relay/protocol/genesis.ts";
import { defaultLimits } from "#relay/protocol/limits.ts";
import { encodeMessage, type Message } from "#relay/protocol/messages.ts";
import {
  admitCertificate,
  admitControls,
  admitEntry,
  noAdditions,
  openSpace,
  writeOf,
  type SpaceState,
} from "#relay/space.ts";
import { openSqliteStore } from "#relay/store/sqlite.ts";
import type { LogRow, SpaceWrite } from "#relay/store/store.ts";
import { RawClient, startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import { bytesNamed, signerNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";

const now = 1_700_000_000_000;
const notes = 10_000;
const spaces = 4000;
const admin = signerNamed("admin of thousands");
const readToken = bytesNamed("read token", 16);

describe("a relay that holds a lot", () => {
  let dir = "";
  let relay: TestRelay;
  let large: TestSpace;
  const ids: Uint8Array[] = [];
  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), "sealeaf-scale-"));
    const store = await openSqliteStore({ dir, workerUrl: null });
    large = new TestSpace("ten thousand notes");
    await store.append([manyNotes(large)]);
    for (let from = 0; from < spaces; from += 500) {
      const writes = Array.from({ length: 500 }, (_, ix) => smallSpace(from + ix));
      ids.push(...writes.map(({ spaceId }) => spaceId));
      await store.append(writes);
    }
    await store.close();
    relay = await startTestRelay({ dir });
  }, 120_000);
  afterAll(async () => {
    await relay.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  it("[SUB-1] ten thousand notes are resumed by one question and its answer (24)", async () => {
    const client = await RawClient.connect(relay.url);
    const { head, chain } = await client.subscribe(large, { mode: "stubs" });
    expect(head).toBe(2 + notes);
    const resumed = await RawClient.connect(relay.url);
    const began = performance.now();
    const result = await resumed.subscribe(large, { cursor: head, chain });
    expect(await resumed.next("caughtUp")).toMatchObject({ head, chain });
    console.log(`10,000 notes resumed in ${(performance.now() - began).toFixed(1)} ms`);
    expect(result.status).toBe(0);
    expect((await resumed.settle()).filter(({ type }) => type === "data")).toEqual([]);

    const listing = performance.now();
    const listed = await resumed.list(result.handle);
    console.log(`10,000 notes listed in ${(performance.now() - listing).toFixed(0)} ms`);
    expect(listed).toHaveLength(notes);
    await Promise.all([client.close(), resumed.close()]);
  }, 60_000);

  it("[SUB-1] four thousand spaces are subscribed by one message, and only what is new comes (24)", async () => {
    const client = await RawClient.connect(relay.url);
    const before = process.memoryUsage();
    const began = performance.now();
    // Every fortieth space is one record behind.
    const asked = ids.map((spaceId, ix) => ({
      spaceId,
      readToken,
      ...(ix % 40 === 0 ? { cursor: 0, chainTag: chainTag(chainStart(spaceId)) } : atHead(ix)),
      ctrlSeq: 0,
      mode: "live" as const,
    }));
    const { results } = await client.ask({ type: "subscribe", spaces: asked }, "subscribed");
    expect(results.every(({ status, head }) => status === 0 && head === 2)).toBe(true);
    const caughtUp = new Set<number>();
    while (caughtUp.size < spaces) caughtUp.add((await client.next("caughtUp")).handle);
    const data = (await client.settle()).filter(({ type }) => type === "data");
    expect(data).toHaveLength(spaces / 40);
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    const grown = heapUsed + arrayBuffers - before.heapUsed - before.arrayBuffers;
    console.log(
      `4,000 spaces subscribed in ${(performance.now() - began).toFixed(0)} ms, ${(grown / spaces / 1024).toFixed(1)} KiB each`,
    );
    expect(grown).toBeLessThan(200 << 20);
    await client.close();
  }, 60_000);

  it("[SUB-1] a message for more than 4,096 spaces is none", async () => {
    const client = await RawClient.connect(relay.url);
    const [spaceId = readToken] = ids;
    const one = { spaceId, readToken, cursor: 0, ctrlSeq: 0, mode: "live" as const };
    const message: Message = {
      type: "subscribe",
      spaces: Array.from({ length: 4097 }, () => ({ ...one, chainTag: readToken })),
    };
    client.sendBytes(encodeMessage(1, message));
    expect(await client.closed).toBe(4100);
  });
});

const heads = new Map<number, Uint8Array>();

function atHead(ix: number): { cursor: number; chainTag: Uint8Array } {
  return { cursor: 2, chainTag: chainTag(heads.get(ix) ?? readToken) };
}

/** One space of one administrator; to a store, which does not verify them, signatures are opaque. */
function smallSpace(ix: number): SpaceWrite {
  const genesis = encodeGenesis({
    kind: "notebook",
    adminPub: admin.pub,
    nonce: bytesNamed(`nonce ${ix}`, 16),
  });
  const spaceId = spaceIdOf(genesis);
  const base = {
    spaceId,
    timeMs: now,
    seenPos: 0,
    seenChain: new Uint8Array(32),
    signerPub: admin.pub,
  };
  const unsigned = () => new Uint8Array(64);
  const grant = signControl(
    {
      ...base,
      ctrlSeq: 1,
      prevCtrlHash: spaceId,
      epochAfter: 0,
      body: {
        type: "grant",
        signPub: admin.pub,
        boxPub: bytesNamed("box", 32),
        role: roles.admin,
        kind: 1,
        notAfter: 0,
        maxJoins: 0,
        ephPub: bytesNamed("eph", 32),
        sealedKey: null,
        meta: new Uint8Array(0),
      },
    },
    unsigned,
  );
  const rotate = signControl(
    {
      ...base,
      ctrlSeq: 2,
      prevCtrlHash: grant.hash,
      epochAfter: 1,
      body: {
        type: "rotate",
        changes: [],
        keyCommit: bytesNamed("commit", 32),
        readTokenHash: sha256Of(readToken),
        ephPub: bytesNamed("eph", 32),
        keys: [{ capIx: 0, sealedKey: bytesNamed("key", sealedKeyBytes) }],
        previousKey: null,
      },
    },
    unsigned,
  );
  const rows: LogRow[] = [];
  for (const { hash, bytes } of [grant, rotate]) {
    const pos = rows.length + 1;
    const chain = chainNext(pos, rows.at(-1)?.chain ?? chainStart(spaceId), noDocument, hash);
    rows.push({
      pos,
      kind: "control",
      docId: noDocument,
      entryKind: 0,
      itemId: hash,
      chain,
      bytes,
    });
  }
  const chain = rows.at(-1)?.chain ?? chainStart(spaceId);
  heads.set(ix, chain);
  return {
    ...noAdditions,
    spaceId,
    genesis,
    revision: 0,
    at: now,
    head: rows.length,
    chain,
    base: 1,
    countedBytes: 2048,
    deletedAt: null,
    rows,
  };
}

/** A space with one entry of each of so many documents. */
function manyNotes(space: TestSpace): SpaceWrite {
  const device = new TestDevice(space, "laptop");
  const opened = openSpace(space.genesis);
  if (!opened.ok) throw new Error(opened.refusal);
  const admitted = admitControls(opened.state, space.records, now, defaultLimits);
  if (!admitted.ok) throw new Error(admitted.refusal);
  const certified = admitCertificate(admitted.state, device.certificate, now);
  if (!certified.ok) throw new Error(certified.refusal);
  let state: SpaceState = certified.state;
  const rows = [...admitted.rows];
  const counters: SpaceWrite["counters"][number][] = [];
  const documents: SpaceWrite["documents"][number][] = [];
  const template = device.entry();
  for (let n = 0; n < notes; n += 1) {
    const bytes = Uint8Array.from(template);
    bytes.set(bytesNamed(`note ${n}`, 16), 36);
    new DataView(bytes.buffer).setBigUint64(88, BigInt(n + 1));
    const entry = parseEntry(bytes, bytes.length);
    if (!entry.ok) throw new Error(entry.error);
    const added = admitEntry(state, null, entry.value, now, defaultLimits);
    if (!added.ok) throw new Error(added.refusal);
    ({ state } = added);
    rows.push(added.row);
    counters.push(added.counter);
    documents.push(added.document);
  }
  const certificates = [certified.certificate];
  const additions = { ...noAdditions, rows, certificates, counters, documents };
  return writeOf(opened.state, state, additions, now).write;
}

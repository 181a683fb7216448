/** Blobs over real WebSockets: announced, sent in part, resumed, forged, dropped. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { chunkBytes } from "#relay/protocol/blob.ts";
import { concat } from "#relay/protocol/bytes.ts";
import { roles } from "#relay/protocol/control.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { RawClient, type TestRelay } from "#tests/support/relay.ts";
import { relayEngines } from "#tests/support/relay-engines.ts";
import { bytesNamed, signerNamed, TestDevice, TestSpace } from "#tests/support/space-identities.ts";

const limits = { entriesPerSecond: 100_000, entryBurst: 100_000, blobBytes: 4 * chunkBytes };
const blobId = bytesNamed("blob", 16);
const chunks = [
  bytesNamed("chunk 0", chunkBytes),
  bytesNamed("chunk 1", chunkBytes),
  bytesNamed("chunk 2", 1000),
];

describe.each(relayEngines)("blobs, on $name", ({ start }) => {
  let relay: TestRelay;
  let client: RawClient;
  let count = 0;
  beforeAll(async () => {
    relay = await start({ limits });
    client = await RawClient.connect(relay.url);
  });
  afterAll(() => relay.stop());

  async function setupSpace(): Promise<{ space: TestSpace; device: TestDevice }> {
    count += 1;
    const space = new TestSpace(`blobs ${count}`);
    const device = new TestDevice(space, "laptop");
    await client.createSpace(space);
    await client.certify(device);
    return { space, device };
  }

  async function statusOf(statement: Uint8Array): Promise<number> {
    return (await client.announce(statement)).status;
  }

  async function drop(statement: Uint8Array): Promise<number> {
    return (await client.ask({ type: "blobDrop", statement }, "blobAck")).status;
  }

  it("[BLOB-1] a statement that does not parse, or whose chunks are not its size's, is BAD_BLOB", async () => {
    const { device } = await setupSpace();
    const good = device.blobStatement(blobId, chunks);
    const bad = [
      new Uint8Array(0),
      good.slice(0, -1),
      concat(good, new Uint8Array(1)),
      device.blobStatement(blobId, []),
      device.blobStatement(blobId, [bytesNamed("short", 9), bytesNamed("short", 9)]),
      device.blobStatement(blobId, null),
    ];
    for (const statement of bad) expect(await statusOf(statement)).toBe(refusals.BAD_BLOB.code);
    expect(await drop(good)).toBe(refusals.BAD_BLOB.code);
    expect(await statusOf(good)).toBe(0);
  });

  it("[BLOB-2] only who may write has one kept, in the current epoch, by a sound signature", async () => {
    const { space, device } = await setupSpace();
    const reader = signerNamed("reader");
    space.grant({ signPub: reader.pub, role: roles.read });
    await client.createSpace(space);
    const ofReader = new TestDevice(space, "tablet", reader);
    await client.certify(ofReader);
    expect(await statusOf(ofReader.blobStatement(blobId, chunks))).toBe(refusals.NOT_A_WRITER.code);
    expect(await statusOf(device.blobStatement(blobId, chunks, { epoch: 2 }))).toBe(
      refusals.STALE_EPOCH.code,
    );
    const forged = device.blobStatement(blobId, chunks);
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    expect(await statusOf(forged)).toBe(refusals.BAD_SIGNATURE.code);
    const many = Array.from({ length: 5 }, () => chunks[0] ?? blobId);
    expect(await statusOf(device.blobStatement(blobId, many))).toBe(refusals.ENTRY_TOO_BIG.code);
    const elsewhere = new TestDevice(new TestSpace("never made"), "laptop");
    expect(await statusOf(elsewhere.blobStatement(blobId, chunks))).toBe(refusals.NO_SPACE.code);
    expect(await client.putChunk(space, blobId, 0, chunks[0] ?? blobId)).toBe(
      refusals.NO_BLOB.code,
    );
  });

  it("[BLOB-2] the same again is harmless, other content or another document is BAD_BLOB", async () => {
    const { space, device } = await setupSpace();
    const statement = device.blobStatement(blobId, chunks);
    expect(await client.announce(statement)).toMatchObject({ status: 0, count: 3 });
    expect(await client.announce(statement)).toMatchObject({ status: 0, count: 3 });
    expect(await statusOf(device.blobStatement(blobId, chunks.slice(0, 2)))).toBe(
      refusals.BAD_BLOB.code,
    );
    const docId = bytesNamed("another document", 16);
    expect(await statusOf(device.blobStatement(blobId, chunks, { docId }))).toBe(
      refusals.BAD_BLOB.code,
    );
    // After a rotation it is still known, and a new one needs the new epoch.
    space.rotate([]);
    await client.createSpace(space);
    expect(await statusOf(statement)).toBe(0);
    const another = bytesNamed("another blob", 16);
    expect(await statusOf(device.blobStatement(another, chunks, { epoch: 1 }))).toBe(
      refusals.STALE_EPOCH.code,
    );
    expect(await statusOf(device.blobStatement(another, chunks))).toBe(0);
  });

  it("[BLOB-2] announced on two connections at once it counts once", async () => {
    const { device } = await setupSpace();
    const other = await RawClient.connect(relay.url);
    const statement = device.blobStatement(blobId, chunks);
    const answers = await Promise.all([client.announce(statement), other.announce(statement)]);
    expect(answers.map(({ status }) => status)).toEqual([0, 0]);
    await other.close();
  });

  it("[BLOB-3] a chunk of another hash, length or index is refused (31)", async () => {
    const { space, device } = await setupSpace();
    await client.announce(device.blobStatement(blobId, chunks));
    const [first = blobId, second = blobId, last = blobId] = chunks;
    const refusedPuts: readonly (readonly [number, Uint8Array])[] = [
      [0, second],
      [0, first.slice(0, -1)],
      [2, first],
      [3, last],
      [65_535, last],
      [0, new Uint8Array(0)],
    ];
    for (const [index, chunk] of refusedPuts) {
      expect(await client.putChunk(space, blobId, index, chunk)).toBe(refusals.BAD_BLOB.code);
    }
    expect((await client.announce(device.blobStatement(blobId, chunks))).bitmap).toEqual(
      new Uint8Array([0]),
    );
    expect(await client.putChunk(space, blobId, 0, first)).toBe(0);
  });

  it("[BLOB-3] half sent before the connection broke, it is resumed by what the relay has (31)", async () => {
    const { space, device } = await setupSpace();
    const statement = device.blobStatement(blobId, chunks);
    const first = await RawClient.connect(relay.url);
    await first.announce(statement);
    expect(await first.putChunk(space, blobId, 2, chunks[2] ?? blobId)).toBe(0);
    expect(await first.putChunk(space, blobId, 0, chunks[0] ?? blobId)).toBe(0);
    first.socket.terminate();
    const have = await client.announce(statement);
    expect(have).toMatchObject({ status: 0, count: 3, bitmap: new Uint8Array([0b1010_0000]) });
    expect(await client.putChunk(space, blobId, 1, chunks[1] ?? blobId)).toBe(0);
    const { handle } = await client.subscribe(space, { mode: "stubs" });
    const got = await getBlob(handle, 0, 3);
    expect(got.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(got.map(({ chunk }) => chunk)).toEqual(chunks);
  });

  it("[BLOB-4] chunks that are not kept are NO_BLOB, after those before them", async () => {
    const { space, device } = await setupSpace();
    await client.announce(device.blobStatement(blobId, chunks));
    await client.putChunk(space, blobId, 0, chunks[0] ?? blobId);
    const { handle } = await client.subscribe(space, { mode: "stubs" });
    const reqId = client.send({ type: "blobGet", handle, blobId, from: 0, count: 3 });
    expect(await client.answerTo(reqId)).toMatchObject({ type: "blobData", index: 0 });
    expect(await client.answerTo(reqId)).toMatchObject({ code: refusals.NO_BLOB.code });
    for (const [id, from, n] of [
      [bytesNamed("unknown", 16), 0, 1],
      [blobId, 9, 1],
      [blobId, 0, 0],
    ] as const) {
      const asked = client.send({ type: "blobGet", handle, blobId: id, from, count: n });
      expect(await client.answerTo(asked)).toMatchObject({ code: refusals.NO_BLOB.code });
    }
  });

  it("[SUB-6] a blob waits for credit, and for what was asked before it by a person", async () => {
    const { space, device } = await setupSpace();
    await client.announce(device.blobStatement(blobId, chunks));
    for (const [ix, chunk] of chunks.entries()) await client.putChunk(space, blobId, ix, chunk);
    const small = await start({ limits: { ...limits, windowBytes: 300 << 10 } });
    const reader = await RawClient.connect(small.url);
    await reader.createSpace(space);
    await reader.certify(device);
    await reader.announce(device.blobStatement(blobId, chunks));
    for (const [ix, chunk] of chunks.entries()) await reader.putChunk(space, blobId, ix, chunk);
    const { handle } = await reader.subscribe(space, { mode: "stubs" });
    await reader.next("caughtUp");
    await reader.settle();
    reader.send({ type: "credit", bytes: 1 << 20 });
    const blob = reader.send({ type: "blobGet", handle, blobId, from: 0, count: 3 });
    expect(await reader.answerTo(blob)).toMatchObject({ index: 0 });
    const list = reader.send({ type: "list", handle, afterDocId: new Uint8Array(16) });
    expect(await reader.settle()).toEqual([]);
    reader.send({ type: "credit", bytes: 1 << 20 });
    expect(await reader.answerTo(list)).toMatchObject({ type: "listed" });
    expect(await reader.answerTo(blob)).toMatchObject({ index: 1 });
    reader.send({ type: "credit", bytes: 1 << 20 });
    expect(await reader.answerTo(blob)).toMatchObject({ index: 2 });
    await small.stop();
  });

  it("[BLOB-5] a dropped blob stays for its grace and can be announced again", async () => {
    const { space, device } = await setupSpace();
    expect(await drop(device.blobStatement(blobId, null))).toBe(refusals.NO_BLOB.code);
    await client.announce(device.blobStatement(blobId, chunks));
    await client.putChunk(space, blobId, 2, chunks[2] ?? blobId);
    const stranger = new TestDevice(space, "stranger", signerNamed("nobody"));
    expect(await drop(stranger.blobStatement(blobId, null))).toBe(refusals.NOT_A_WRITER.code);
    expect(await drop(device.blobStatement(blobId, null))).toBe(0);
    expect(await drop(device.blobStatement(blobId, null))).toBe(0);
    const { handle } = await client.subscribe(space, { mode: "stubs" });
    expect(await getBlob(handle, 2, 1)).toHaveLength(1);
    const again = await client.announce(device.blobStatement(blobId, chunks));
    expect(again).toMatchObject({ status: 0, bitmap: new Uint8Array([0b0010_0000]) });
  });

  async function getBlob(handle: number, from: number, n: number) {
    const reqId = client.send({ type: "blobGet", handle, blobId, from, count: n });
    const got = [];
    for (let left = n; left > 0; left -= 1) {
      const answer = await client.answerTo(reqId);
      if (answer.type !== "blobData") throw new Error(`${answer.type} instead of a chunk`);
      client.send({ type: "credit", bytes: chunkBytes + 100 });
      got.push(answer);
    }
    return got;
  }
});

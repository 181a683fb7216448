/** Writers that lie, repeat or race, over real WebSockets. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { concat } from "#relay/protocol/bytes.ts";
import {
  capabilityKinds,
  roles,
  sealedKeyBytes,
  type ControlBody,
} from "#relay/protocol/control.ts";
import { chainNext } from "#relay/protocol/domain.ts";
import { entryHeaderBytes, entryKinds, parseEntry } from "#relay/protocol/entry.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { RawClient, type TestRelay } from "#tests/support/relay.ts";
import { relayEngines } from "#tests/support/relay-engines.ts";
import {
  bytesNamed,
  certificateOf,
  signerNamed,
  TestDevice,
  TestSpace,
  type Signer,
} from "#tests/support/space-identities.ts";

describe.each(relayEngines)("writers that lie, repeat or race, on $name", ({ start }) => {
  let relay: TestRelay;
  let client: RawClient;
  let count = 0;
  beforeAll(async () => {
    relay = await start({ limits: { entriesPerSecond: 100_000, entryBurst: 100_000 } });
    client = await RawClient.connect(relay.url);
  });
  afterAll(() => relay.stop());

  /** A space at the relay, with a certified device of its administrator. */
  async function setupSpace(): Promise<{ space: TestSpace; device: TestDevice }> {
    count += 1;
    const space = new TestSpace(`space ${count}`);
    const device = new TestDevice(space, "laptop");
    expect((await client.createSpace(space)).status).toBe(0);
    expect(await client.certify(device)).toBe(0);
    return { space, device };
  }

  async function headOf(space: TestSpace): Promise<number> {
    return (await client.subscribe(space)).head;
  }

  async function statusOf(entry: Uint8Array): Promise<number | undefined> {
    return (await client.push(entry))[0]?.status;
  }

  it("[GEN-3] records that name another space than their genesis are refused, and nothing is stored (7)", async () => {
    const space = new TestSpace("honest");
    const other = new TestSpace("other");
    const ack = await client.ask(
      { type: "controlPush", genesis: other.genesis, records: space.recordBytes },
      "controlAck",
    );
    expect(ack.status).toBe(refusals.BAD_GENESIS.code);
    for (const { spaceId } of [space, other]) {
      const reqId = client.send({ type: "controlGet", spaceId, fromSeq: 1 });
      expect(await client.answerTo(reqId)).toMatchObject({ code: refusals.NO_SPACE.code });
    }
  });

  it("[GEN-3] a genesis that is none is refused", async () => {
    const space = new TestSpace("no genesis");
    const genesis = Uint8Array.from(space.genesis);
    genesis[2] = 9;
    const ack = await client.ask(
      { type: "controlPush", genesis, records: space.recordBytes },
      "controlAck",
    );
    expect(ack.status).toBe(refusals.BAD_GENESIS.code);
  });

  it("[CTRL-4] creating a space twice is one space with the same positions (8)", async () => {
    const { space } = await setupSpace();
    const again = await client.createSpace(space);
    expect(again.status).toBe(0);
    expect(again.records.map(({ pos }) => pos)).toEqual([1, 2]);
    expect(await headOf(space)).toBe(2);
  });

  it.each([
    ["its header", 60],
    ["its extension's length", 121],
    ["its ciphertext", entryHeaderBytes + 5],
    ["its signature", -1],
  ])(
    "[PUSH-2] an entry with one bit flipped in %s is refused and moves nothing (9)",
    async (_, at) => {
      const { space, device } = await setupSpace();
      const entry = device.entry();
      const ix = at < 0 ? entry.length + at : at;
      entry[ix] = (entry[ix] ?? 0) ^ 1;
      const status = await statusOf(entry);
      expect([
        refusals.BAD_SIGNATURE.code,
        refusals.NOT_A_WRITER.code,
        refusals.BAD_ENTRY.code,
      ]).toContain(status);
      expect(await headOf(space)).toBe(2);
      expect(await statusOf(device.entry())).toBe(0);
    },
  );

  it("[PUSH-2] a signature by the wrong key is BAD_SIGNATURE (9)", async () => {
    const { space, device } = await setupSpace();
    const good = device.entry();
    const forged = concat(good.slice(0, -64), signerNamed("mallory").sign(good));
    expect(await statusOf(forged)).toBe(refusals.BAD_SIGNATURE.code);
    expect(await headOf(space)).toBe(2);
  });

  it("[RIGHT-1] neither an uncertified device nor a reader's may write (10)", async () => {
    const { space } = await setupSpace();
    const reader = signerNamed("reader");
    space.grant({ signPub: reader.pub, role: roles.read });
    await client.createSpace(space);
    const uncertified = new TestDevice(space, "unknown", signerNamed("nobody"));
    expect(await statusOf(uncertified.entry())).toBe(refusals.NOT_A_WRITER.code);
    const ofReader = new TestDevice(space, "tablet", reader);
    expect(await client.certify(ofReader)).toBe(0);
    expect(await statusOf(ofReader.entry())).toBe(refusals.NOT_A_WRITER.code);
  });

  it("[RIGHT-3] a certificate is idempotent; one by a stranger, a link or a forger is refused, and a removed person's gives no right (11)", async () => {
    const { space, device } = await setupSpace();
    const link = signerNamed("link");
    const removed = signerNamed("removed");
    space.grant({ signPub: link.pub, role: roles.edit, kind: capabilityKinds.link });
    space.grant({ signPub: removed.pub, role: roles.edit });
    space.rotate([removed.pub]);
    await client.createSpace(space);
    expect(await client.certify(device)).toBe(0);
    for (const capability of [signerNamed("stranger"), link]) {
      const by = new TestDevice(space, "phone", capability);
      expect(await client.certify(by)).toBe(refusals.NOT_A_WRITER.code);
    }
    const gone = new TestDevice(space, "phone", removed);
    expect(await client.certify(gone)).toBe(0);
    expect(await statusOf(gone.entry())).toBe(refusals.NOT_A_WRITER.code);
    const forged = certificateOf(space.spaceId, space.admin, signerNamed("phone").pub);
    forged[160] = (forged[160] ?? 0) ^ 1;
    const ack = await client.ask({ type: "certPut", certificate: forged }, "certAck");
    expect(ack.status).toBe(refusals.BAD_SIGNATURE.code);
    const weak = new Uint8Array(32);
    weak[0] = 1;
    const certificate = certificateOf(space.spaceId, space.admin, weak);
    const weakAck = await client.ask({ type: "certPut", certificate }, "certAck");
    expect(weakAck.status).toBe(refusals.BAD_CONTROL.code);
  });

  it("[CTRL-6] a link admits as many as it may, and none after its time (11)", async () => {
    const { space } = await setupSpace();
    const once = signerNamed("once");
    const late = signerNamed("late");
    const kind = capabilityKinds.link;
    space.grant({ signPub: once.pub, role: roles.edit, kind, maxJoins: 1 });
    space.grant({ signPub: late.pub, role: roles.edit, kind, notAfter: 1000 });
    space.join(once, signerNamed("first guest").pub, roles.edit);
    expect((await client.createSpace(space)).status).toBe(0);
    for (const link of [once, late]) {
      const joining = space.recordOn(
        space.records.at(-1) ?? null,
        {
          type: "join",
          signPub: signerNamed("second guest").pub,
          boxPub: bytesNamed("box", 32),
          ephPub: bytesNamed("eph", 32),
          sealedKey: bytesNamed("key", sealedKeyBytes),
          meta: new Uint8Array(0),
        },
        link,
      );
      const ack = await client.ask(
        { type: "controlPush", genesis: space.genesis, records: [joining.bytes] },
        "controlAck",
      );
      expect(ack.status).toBe(refusals.LINK_SPENT.code);
    }
  });

  it("[CTRL-6] the key of an administrator's link can only join, and a vault outlives a stolen device (CTRL-7)", async () => {
    const vault = new TestSpace("vault with a stolen device", "vault");
    const link = signerNamed("device link");
    const stolen = signerNamed("stolen device");
    vault.grant({ signPub: stolen.pub, role: roles.admin, kind: capabilityKinds.device });
    const kind = capabilityKinds.link;
    vault.grant({ signPub: link.pub, role: roles.admin, kind, maxJoins: 1 });
    expect((await client.createSpace(vault)).status).toBe(0);
    const statusOfRecord = async (body: ControlBody, signer: Signer): Promise<number> => {
      const record = vault.recordOn(vault.records.at(-1) ?? null, body, signer);
      const { genesis } = vault;
      const push = { type: "controlPush" as const, genesis, records: [record.bytes] };
      return (await client.ask(push, "controlAck")).status;
    };
    const grant = {
      type: "grant" as const,
      signPub: signerNamed("second device").pub,
      boxPub: bytesNamed("box", 32),
      role: roles.admin,
      kind: capabilityKinds.device,
      notAfter: 0,
      maxJoins: 0,
      ephPub: bytesNamed("eph", 32),
      sealedKey: bytesNamed("key", sealedKeyBytes),
      meta: new Uint8Array(0),
    };
    const { code } = refusals.NOT_ADMIN;
    expect(await statusOfRecord(grant, link)).toBe(code);
    expect(await statusOfRecord({ type: "delete" }, link)).toBe(code);
    expect(await statusOfRecord({ type: "delete" }, stolen)).toBe(code);
    expect(await statusOfRecord(grant, vault.admin)).toBe(0);
  });

  it("[PUSH-3] an entry sent twice, in turn, at once, or on two connections, has one position (12)", async () => {
    const { space, device } = await setupSpace();
    const other = await RawClient.connect(relay.url);
    const entry = device.entry();
    const acks = await Promise.all([
      client.push(entry, entry),
      client.push(entry),
      other.push(entry),
      other.push(entry),
    ]);
    const later = await other.push(entry);
    for (const result of [...acks.flat(), ...later]) {
      expect(result).toMatchObject({ status: 0, pos: 3 });
      expect(result.chain).toEqual(acks[0][0]?.chain);
    }
    expect(await headOf(space)).toBe(3);
    await other.close();
  });

  it("[PUSH-4] two entries with one counter: the second is CTR_REPLAY and told the last; gaps pass (13, 14)", async () => {
    const { space, device } = await setupSpace();
    expect(await statusOf(device.entryAt(5))).toBe(0);
    const [replay] = await client.push(device.entryAt(5, { size: 300 }));
    expect(replay).toMatchObject({ status: refusals.CTR_REPLAY.code, lastCtr: 5, pos: 0 });
    const [older] = await client.push(device.entryAt(2));
    expect(older).toMatchObject({ status: refusals.CTR_REPLAY.code, lastCtr: 5 });
    expect(await statusOf(device.entryAt(900))).toBe(0);
    expect(await headOf(space)).toBe(4);
  });

  it("[PUSH-4] counter 0 is nobody's", async () => {
    const { device } = await setupSpace();
    expect(await statusOf(device.entryAt(0))).toBe(refusals.CTR_REPLAY.code);
  });

  it("[PUSH-1] a refused entry does not stop the ones beside it", async () => {
    const { space, device } = await setupSpace();
    const good = device.entry();
    const forged = device.entry();
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    const after = device.entry();
    const results = await client.push(good, forged, new Uint8Array([1, 2]), after);
    expect(results.map(({ status, pos }) => [status, pos])).toEqual([
      [0, 3],
      [refusals.BAD_SIGNATURE.code, 0],
      [refusals.BAD_ENTRY.code, 0],
      [0, 4],
    ]);
    expect(await headOf(space)).toBe(4);
  });

  it("[ENT-2] an entry counts only in the space it names (15)", async () => {
    const a = await setupSpace();
    const b = await setupSpace();
    const entry = a.device.entry();
    const moved = concat(entry.slice(0, 4), b.space.spaceId, entry.slice(36));
    expect(await statusOf(moved)).toBe(refusals.NOT_A_WRITER.code);
    const [stored] = await client.push(entry);
    expect(stored?.pos).toBe(3);
    expect(await headOf(b.space)).toBe(2);
  });

  it("[PUSH-5] after a rotation old-epoch entries are STALE_EPOCH, and those stored before keep their place (16)", async () => {
    const { space, device } = await setupSpace();
    const before = device.entry();
    expect(await statusOf(before)).toBe(0);
    space.rotate([]);
    expect((await client.createSpace(space)).status).toBe(0);
    expect(await statusOf(device.entry({ epoch: 1 }))).toBe(refusals.STALE_EPOCH.code);
    expect((await client.push(before))[0]).toMatchObject({ status: 0, pos: 3 });
    expect(await statusOf(device.entry({ epoch: 2 }))).toBe(0);
    expect(await statusOf(device.entry({ epoch: 3 }))).toBe(refusals.STALE_EPOCH.code);
  });

  it("[PUSH-5] an entry whose signature was being verified when a rotation came is judged again", async () => {
    const { space, device } = await setupSpace();
    const other = await RawClient.connect(relay.url);
    const entries = Array.from({ length: 40 }, () => device.entry());
    space.rotate([]);
    const [ack, results] = await Promise.all([client.createSpace(space), other.push(...entries)]);
    expect(ack.status).toBe(0);
    const rotatedAt = ack.records[2]?.pos ?? 0;
    const refused = results.filter(({ status }) => status !== 0);
    expect(refused.every(({ status }) => status === refusals.STALE_EPOCH.code)).toBe(true);
    expect(results.every(({ pos }) => pos < rotatedAt)).toBe(true);
    expect(await headOf(space)).toBe(3 + results.filter(({ status }) => status === 0).length);
    await other.close();
  });

  it("[CTRL-5] of two administrators on one head one wins, and the other is sent the winner's record (17)", async () => {
    const { space } = await setupSpace();
    const second = signerNamed("second admin");
    space.grant({ signPub: second.pub, role: roles.admin });
    await client.createSpace(space);
    const other = await RawClient.connect(relay.url);
    const head = space.records.at(-1) ?? null;
    const rivals = [space.admin, second].map((signer) =>
      space.recordOn(
        head,
        {
          type: "grant",
          signPub: signerNamed("guest").pub,
          boxPub: bytesNamed("box", 32),
          role: roles.read,
          kind: capabilityKinds.person,
          notAfter: 0,
          maxJoins: 0,
          ephPub: bytesNamed("eph", 32),
          sealedKey: bytesNamed("key", sealedKeyBytes),
          meta: new Uint8Array(0),
        },
        signer,
      ),
    );
    const acks = await Promise.all(
      rivals.map(({ bytes }, ix) =>
        (ix === 0 ? client : other).ask(
          { type: "controlPush", genesis: space.genesis, records: [bytes] },
          "controlAck",
        ),
      ),
    );
    const winner = acks.findIndex(({ status }) => status === 0);
    expect(acks[1 - winner]?.status).toBe(refusals.CTRL_CONFLICT.code);
    expect(acks[1 - winner]?.records).toEqual([{ pos: 4, bytes: rivals[winner]?.bytes }]);
    await other.close();
  });

  it("[CTRL-2] a record by somebody who is no administrator is refused, and so is a forged one (18)", async () => {
    const { space } = await setupSpace();
    const writer = signerNamed("writer");
    space.grant({ signPub: writer.pub, role: roles.edit });
    await client.createSpace(space);
    const head = space.records.at(-1) ?? null;
    const record = space.recordOn(head, { type: "delete" }, writer);
    const push = (bytes: Uint8Array) =>
      client.ask({ type: "controlPush", genesis: space.genesis, records: [bytes] }, "controlAck");
    expect((await push(record.bytes)).status).toBe(refusals.NOT_ADMIN.code);
    const forged = space.recordOn(head, { type: "delete" }, space.admin).bytes;
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1;
    expect((await push(forged)).status).toBe(refusals.BAD_SIGNATURE.code);
    expect((await push(forged.slice(0, -3))).status).toBe(refusals.BAD_CONTROL.code);
    expect(await headOf(space)).toBe(3);
  });

  it("[CTRL-4] a push of which one record is refused stores none of them", async () => {
    const { space } = await setupSpace();
    space.grant({ signPub: signerNamed("friend").pub, role: roles.edit });
    space.add({ type: "delete" }, signerNamed("stranger"));
    const ack = await client.createSpace(space);
    expect(ack.status).toBe(refusals.NOT_ADMIN.code);
    expect(await headOf(space)).toBe(2);
  });

  it("[CTRL-7] a deleted space takes nothing more, until it is restored (33)", async () => {
    const { space, device } = await setupSpace();
    const before = device.entry();
    await client.push(before);
    const reader = await RawClient.connect(relay.url);
    const { handle } = await reader.subscribe(space);
    await reader.next("caughtUp");
    space.delete();
    expect((await client.createSpace(space)).status).toBe(0);
    expect((await reader.next("rekey")).handle).toBe(handle);
    const late = device.entry();
    expect(await statusOf(late)).toBe(refusals.SPACE_DELETED.code);
    expect((await client.subscribe(space)).status).toBe(refusals.SPACE_DELETED.code);
    const blob = device.blobStatement(bytesNamed("blob", 16), [late]);
    expect((await client.announce(blob)).status).toBe(refusals.SPACE_DELETED.code);
    const records = await client.ask(
      { type: "controlGet", spaceId: space.spaceId, fromSeq: 3 },
      "controlData",
    );
    expect(records.records.map(({ bytes }) => bytes)).toEqual([space.recordBytes[2]]);

    const head = space.records.at(-1) ?? null;
    const stranger = space.recordOn(head, { type: "restore" }, signerNamed("stranger"));
    const push = (bytes: Uint8Array) =>
      client.ask({ type: "controlPush", genesis: space.genesis, records: [bytes] }, "controlAck");
    expect((await push(stranger.bytes)).status).toBe(refusals.NOT_ADMIN.code);
    space.restore();
    expect((await client.createSpace(space)).status).toBe(0);
    expect(await statusOf(late)).toBe(0);
    expect(await statusOf(before)).toBe(0);
    expect(await reader.subscribe(space)).toMatchObject({ status: 0, head: 6 });
    const twice = space.recordOn(space.records.at(-1) ?? null, { type: "restore" }, space.admin);
    expect((await push(twice.bytes)).status).toBe(refusals.BAD_CONTROL.code);
    await reader.close();
  });

  it("[ENT-4] an unknown kind is stored, chained and forwarded; a card has no place in the log", async () => {
    const { space, device } = await setupSpace();
    const reader = await RawClient.connect(relay.url);
    await reader.subscribe(space, { cursor: 0 });
    const entry = device.entry({ kind: 77 });
    const [stored] = await client.push(entry);
    const parsed = parseEntry(entry, entry.length);
    if (!parsed.ok) throw new Error(parsed.error);
    const sub = await reader.next("data");
    const live = sub.items.length === 3 ? sub : await reader.next("data");
    expect(live.items.at(-1)).toEqual({ pos: 3, kind: "entry", bytes: entry });
    const { records } = await client.ask(
      { type: "controlGet", spaceId: space.spaceId, fromSeq: 1 },
      "controlData",
    );
    expect(records).toHaveLength(2);
    const again = await client.subscribe(space);
    expect(stored?.chain).toEqual(again.chain);
    expect(await statusOf(device.entry({ kind: entryKinds.card }))).toBe(refusals.BAD_ENTRY.code);
    await reader.close();
  });

  it("[LOG-2] the chain can be followed from the space's id to the head", async () => {
    const { space, device } = await setupSpace();
    const entries = [device.entry(), device.entry(), device.entry()];
    const results = await client.push(...entries);
    let chain = (await client.subscribe(space, { cursor: 0 })).chain;
    expect(chain).toEqual(results[2]?.chain);
    chain = results[0]?.chain ?? chain;
    for (const [ix, bytes] of entries.slice(1).entries()) {
      const parsed = parseEntry(bytes, bytes.length);
      if (!parsed.ok) throw new Error(parsed.error);
      chain = chainNext(4 + ix, chain, parsed.value.docId, parsed.value.entryId);
      expect(results[ix + 1]?.chain).toEqual(chain);
    }
  });

  it("[LIM-2] an entry above the limit is ENTRY_TOO_BIG; one of another version is named so", async () => {
    const { device } = await setupSpace();
    expect(await statusOf(device.entry({ size: 256 << 10 }))).toBe(refusals.ENTRY_TOO_BIG.code);
    const later = device.entry();
    later[0] = 2;
    expect(await statusOf(later)).toBe(refusals.UNSUPPORTED_VERSION.code);
  });

  it("[PUSH-2] a space nobody made is NO_SPACE", async () => {
    const space = new TestSpace("never made");
    const device = new TestDevice(space, "laptop");
    expect(await statusOf(device.entry())).toBe(refusals.NO_SPACE.code);
    expect(await client.certify(device)).toBe(refusals.NO_SPACE.code);
  });
});

describe.each(relayEngines)("quotas and rates, on $name", ({ start }) => {
  it("[LIM-3] a full space takes no more entries, but a removal still works", async () => {
    const relay = await start({ limits: { spaceBytes: 5 * 1024 } });
    const client = await RawClient.connect(relay.url);
    const space = new TestSpace("full");
    const device = new TestDevice(space, "laptop");
    await client.createSpace(space);
    await client.certify(device);
    const entries = Array.from({ length: 4 }, () => device.entry());
    const results = await client.push(...entries);
    expect(results.map(({ status }) => status)).toEqual([0, 0, 0, refusals.QUOTA_SPACE.code]);
    space.rotate([]);
    expect((await client.createSpace(space)).status).toBe(0);
    await relay.stop();
  });

  it("[LIM-4] entries above the rate are refused with a time to wait, and stored when it has passed", async () => {
    const relay = await start({ limits: { entriesPerSecond: 10, entryBurst: 3 } });
    const client = await RawClient.connect(relay.url);
    const space = new TestSpace("fast");
    const device = new TestDevice(space, "laptop");
    await client.createSpace(space);
    await client.certify(device);
    const burst = client.push(device.entry(), device.entry(), device.entry());
    const reqId = client.send({ type: "push", entries: [device.entry()] });
    const answer = await client.answerTo(reqId);
    expect((await burst)[2]?.status).toBe(0);
    expect(answer).toMatchObject({ type: "error", code: refusals.RATE.code });
    const waitMs = answer.type === "error" ? answer.retryAfterMs : 0;
    expect(waitMs).toBeGreaterThan(0);
    expect(waitMs).toBeLessThanOrEqual(100);
    await relay.stop();
  });
});

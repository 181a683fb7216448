import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import { eventually, onlyNotebook, setupDevice, type DeviceFixture } from "./setup-device.ts";

let relay: TestRelay;

beforeAll(async () => {
  relay = await startTestRelay();
});
afterAll(() => relay.stop());

const patienceMs = 20_000;

async function append(
  fixture: DeviceFixture,
  id: string,
  text: string,
): Promise<readonly string[]> {
  const { heads, body } = await fixture.device.readNote(id);
  await fixture.device.spliceNote(id, heads, [
    { field: "body", at: body.length, remove: 0, insert: text },
  ]);
  return heads;
}

async function settled(...fixtures: readonly DeviceFixture[]): Promise<void> {
  for (const { device } of fixtures) expect(await device.settled(patienceMs)).toBe(true);
}

function hashesOf({ store }: DeviceFixture, id: string): string[] {
  const doc = parseDocumentId(id);
  if (doc === undefined) throw new Error("a note's id");
  return store.changes.ofDocument(doc).map(({ hash }) => toHex(hash));
}

/** Ana and Ben share two notebooks; a note with a past lies in the first. */
async function setupPair() {
  const ana = await setupDevice({ relayUrl: relay.url });
  const ben = await setupDevice({ relayUrl: relay.url });
  const { id: from } = await onlyNotebook(ana.device);
  const { id: to } = await ana.device.createNotebook("Other");
  const { id } = await ana.device.createNote({ notebook: from, title: "Tent", body: "Two" });
  const past = await append(ana, id, " poles");
  await ana.device.pinNote(id, true);
  for (const notebook of [from, to]) {
    const { link } = await ana.device.share(notebook, "edit");
    await settled(ana);
    await ben.device.join(link);
  }
  await settled(ana, ben);
  return {
    ana,
    ben,
    from,
    to,
    id,
    past,
    async [Symbol.asyncDispose]() {
      await ana[Symbol.asyncDispose]();
      await ben[Symbol.asyncDispose]();
    },
  };
}

describe("a note that goes to another notebook", { timeout: 60_000 }, () => {
  it("takes its whole past along, for everybody who is there", async () => {
    await using pair = await setupPair();
    const { ana, ben, from, to, id, past } = pair;
    const { id: moved } = await ana.device.moveNote(id, to);
    expect(await ana.device.notes()).toMatchObject([{ id: moved, notebook: to, pinned: true }]);
    expect((await ana.device.readNoteAt(moved, past)).body).toBe("Two");
    await eventually(ben.device, async () => {
      const rows = (await ben.device.notes()).filter((row) => [from, to].includes(row.notebook));
      return rows.length === 1 && rows[0]?.id === moved && rows[0].here;
    });
    expect((await ben.device.readNoteAt(moved, past)).body).toBe("Two");
    expect(hashesOf(ben, moved)).toEqual(expect.arrayContaining(hashesOf(ana, id)));
    await append(ben, moved, ", new");
    await eventually(
      ana.device,
      async () => (await ana.device.readNote(moved)).body === "Two poles, new",
    );
    expect(ben.store.inbox.quarantined()).toEqual([]);
    // Who comes later reads it, too.
    const { link } = await ana.device.share(to, "read");
    await settled(ana);
    await using cem = await setupDevice({ relayUrl: relay.url });
    await cem.device.join(link);
    await settled(cem);
    expect((await cem.device.readNote(moved)).body).toBe("Two poles, new");
  });

  it("is not gone from its old place before the relay has it in the new one", async () => {
    await using pair = await setupPair();
    const { ana, ben, from, to, id } = pair;
    await ana.device.setOnline(false);
    await ana.device.workOffline(true);
    await ana.device.moveNote(id, to);
    await ana.device.createNote({ notebook: from, title: "Later" });
    expect((await ana.device.notes()).map(({ notebook }) => notebook).toSorted()).toEqual(
      [from, to].toSorted(),
    );
    await ana.device.workOffline(false);
    await eventually(ben.device, async () =>
      (await ben.device.notes()).some(({ notebook }) => notebook === to),
    );
    await settled(ana, ben);
  });

  it("is followed by what somebody wrote in the old one without knowing", async () => {
    await using pair = await setupPair();
    const { ana, ben, to, id } = pair;
    await ben.device.workOffline(true);
    await append(ben, id, " and pegs");
    const { id: moved } = await ana.device.moveNote(id, to);
    await append(ana, moved, "!");
    await settled(ana);
    await ben.device.workOffline(false);
    await eventually(ben.device, async () => {
      const { body } = await ben.device.readNote(moved).catch(() => ({ body: "" }));
      return body.includes("and pegs") && body.includes("!");
    });
    await eventually(ana.device, async () =>
      (await ana.device.readNote(moved)).body.includes("and pegs"),
    );
    // Once.
    await settled(ana, ben);
    const { body } = await ana.device.readNote(moved);
    expect(body.split("and pegs")).toHaveLength(2);
  });

  it("has a notebook of its own when it alone is shared", async () => {
    await using pair = await setupPair();
    const { ana, id, past } = pair;
    const { notebook, id: shared } = await ana.device.shareNote(id);
    expect((await ana.device.notebooks()).find((row) => row.id === notebook)).toMatchObject({
      name: "Tent",
      notes: 1,
    });
    expect((await ana.device.readNoteAt(shared, past)).body).toBe("Two");
  });
});

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeAutomerge, nodeRandom } from "#client/cli/node-ports.ts";
import type { NoteDocument } from "#client/device/api.ts";
import { parseChange } from "#crdt-store/chunks.ts";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { documentsIn, ownHeads, putSnapshot, spaceIn } from "#tests/support/bad-snapshot.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import { eventually, onlyNotebook, setupDevice, type DeviceFixture } from "./setup-device.ts";

let relay: TestRelay;

beforeAll(async () => {
  relay = await startTestRelay();
});
afterAll(() => relay.stop());

const patienceMs = 30_000;
const eager = { entries: 2, bytes: 1 << 30, quietMs: 20, spreadMs: 20 };
const never = { entries: 1 << 30, bytes: 1 << 30, quietMs: 1_000, spreadMs: 0 };
/** Does not get shorter by packing. */
const long = Buffer.from(nodeRandom(30_000)).toString("base64url");

function docOf(id: string): Uint8Array {
  const doc = parseDocumentId(id);
  if (doc === undefined) throw new Error("a note's id");
  return doc;
}

async function append(fixture: DeviceFixture, id: string, text: string): Promise<void> {
  const { heads, body } = await fixture.device.readNote(id);
  await fixture.device.spliceNote(id, heads, [
    { field: "body", at: body.length, remove: 0, insert: text },
  ]);
  expect(await fixture.device.settled(patienceMs)).toBe(true);
}

describe("a note whose tail at the relay is long", { timeout: 60_000 }, () => {
  it.each([
    { name: "in the entry itself", body: "Two poles." },
    { name: "in a blob", body: long },
  ])(
    "is summed up $name, and a new device reads that and what came behind it",
    async ({ body }) => {
      await using ana = await setupDevice({ relayUrl: relay.url, snapshots: eager });
      const { id: notebook } = await onlyNotebook(ana.device);
      const { id } = await ana.device.createNote({ title: "Tent", body });
      for (const text of [" a", " b", " c"]) await append(ana, id, text);
      await eventually(ana.device, async () => {
        const isSent = ana.store.tails.of(docOf(id))?.entries === 0;
        return isSent && !ana.store.outgoingSnapshots.has(docOf(id));
      });
      await append(ana, id, " d");
      const { link } = await ana.device.share(notebook, "edit");
      await using ben = await setupDevice({ relayUrl: relay.url, snapshots: never });
      await ben.device.join(link);
      expect(await ben.device.settled(patienceMs)).toBe(true);
      expect((await ben.device.readNote(id)).body).toBe(`${body} a b c d`);
      expect(ben.store.inbox.quarantined()).toEqual([]);
      // It did not fetch what the snapshot stands for.
      expect(ben.store.tails.of(docOf(id))).toMatchObject({ entries: 1 });
      const placed = ben.store.changes.ofDocument(docOf(id)).map(({ pos }) => pos);
      expect(new Set(placed).size).toBe(2);
      await append(ben, id, " e");
      await eventually(ana.device, async () => (await ana.device.readNote(id)).body.endsWith(" e"));
    },
  );
});

describe(
  "a snapshot that leaves out what it says it covers (attack 53)",
  { timeout: 60_000 },
  () => {
    it("is made good by whoever holds it, so that a fresh device has everything", async () => {
      await using ana = await setupDevice({ relayUrl: relay.url, snapshots: never });
      const { id: notebook } = await onlyNotebook(ana.device);
      const { id } = await ana.device.createNote({ title: "Tent", body: "Two" });
      const doc = docOf(id);
      const old = (await documentsIn(ana.store)).save(doc);
      const { link } = await ana.device.share(notebook, "edit");
      await using ben = await setupDevice({
        relayUrl: relay.url,
        snapshots: never,
        chance: () => 0,
      });
      await ben.device.join(link);
      expect(await ben.device.settled(patienceMs)).toBe(true);
      await append(ben, id, " poles");
      await eventually(
        ana.device,
        async () => (await ana.device.readNote(id)).body === "Two poles",
      );
      // It says that it stands for all there is, and holds what there was at first.
      const signed = ownHeads(ana.store, spaceIn(ana.store, doc), doc, old.changes);
      putSnapshot(ana.store, doc, old, signed);
      await ana.device.createNote({ notebook, title: "Sent together" });
      expect(await ana.device.settled(patienceMs)).toBe(true);
      await ana.device.close();
      await eventually(ben.device, async () =>
        (await ben.device.syncLog()).some(({ text }) => text.includes("leaves something out")),
      );
      expect(await ben.device.settled(patienceMs)).toBe(true);
      await using cem = await setupDevice({ relayUrl: relay.url, snapshots: never });
      await cem.device.join(link);
      expect(await cem.device.settled(patienceMs)).toBe(true);
      expect((await cem.device.readNote(id)).body).toBe("Two poles");
    });
  },
);

describe("a snapshot whose heads are forged (attack 54)", { timeout: 60_000 }, () => {
  it("is passed over by a new device, which reads the one before and what came behind that", async () => {
    await using ana = await setupDevice({ relayUrl: relay.url, snapshots: eager });
    const { id: notebook } = await onlyNotebook(ana.device);
    const { id } = await ana.device.createNote({ title: "Tent", body: "Two" });
    const doc = docOf(id);
    const { link } = await ana.device.share(notebook, "edit");
    // Before it is connected, sharing waits for nothing.
    expect(await ana.device.settled(patienceMs)).toBe(true);
    await using ben = await setupDevice({ relayUrl: relay.url, snapshots: never });
    await ben.device.join(link);
    expect(await ben.device.settled(patienceMs)).toBe(true);
    await append(ben, id, " poles");
    const text = async (fixture: DeviceFixture) => (await fixture.device.readNote(id)).body;
    await eventually(ana.device, async () => (await text(ana)) === "Two poles");
    await append(ana, id, ", one rope");
    await eventually(ana.device, async () => {
      const isSent = (ana.store.tails.of(doc)?.entries ?? 1) < 2;
      return isSent && !ana.store.outgoingSnapshots.has(doc);
    });
    expect(await ana.device.settled(patienceMs)).toBe(true);

    // Ana adds what Ben never wrote, under his name, and vouches for it with a signature of her own.
    const automerge = await nodeAutomerge();
    const honest = (await documentsIn(ana.store)).save(doc);
    const [bens] = ana.store.changes
      .ofDocument(doc)
      .filter(({ local }) => !local)
      .slice(-1);
    const theirs =
      bens === undefined ? null : ana.store.documents.headOf(doc, bens.actor, bens.seq);
    if (bens === undefined || theirs === null) throw new Error("Ben has written");
    const base = automerge.load<NoteDocument>(honest.bytes, { actor: toHex(bens.actor) });
    const forged = automerge.change(base, { time: 0 }, (draft) => {
      automerge.splice(draft, ["body"], 0, 0, "Never said: ");
    });
    const changes = automerge.getAllChanges(forged);
    const newest = parseChange(changes.at(-1) ?? new Uint8Array());
    if (newest.type === "failed") throw new Error("a change was made");
    const { seq, hash } = newest.change;
    const anas = ownHeads(ana.store, spaceIn(ana.store, doc), doc, honest.changes);
    const [own] = anas;
    if (own === undefined) throw new Error("Ana has written");
    const lent = {
      actorNonce: theirs.nonce,
      devPub: theirs.dev,
      seq,
      hash,
      signature: own.signature,
    };
    const saved = { bytes: automerge.save(forged), heads: automerge.getHeads(forged), changes };
    putSnapshot(ana.store, doc, saved, [...anas, lent]);
    await ana.device.createNote({ notebook, title: "Sent together" });
    expect(await ana.device.settled(patienceMs)).toBe(true);
    await ana.device.close();

    await using cem = await setupDevice({ relayUrl: relay.url, snapshots: never });
    await cem.device.join(link);
    expect(await cem.device.settled(patienceMs)).toBe(true);
    expect(await text(cem)).toBe("Two poles, one rope");
    const [held, ...others] = cem.store.inbox.quarantined();
    expect(others).toEqual([]);
    expect(held).toMatchObject({ reason: "a change in it is signed falsely", doc });
    expect(held?.signer).toEqual(spaceIn(ana.store, doc).device.publicKey);
    // And the note goes on, for whoever has it and for whoever comes.
    await append(cem, id, "!");
    await eventually(ben.device, async () => (await text(ben)) === "Two poles, one rope!");
  });
});

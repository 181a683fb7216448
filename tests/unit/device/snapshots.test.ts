import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeAutomerge, nodeEd25519, nodeRandom } from "#client/cli/node-ports.ts";
import { signHead } from "#client/crypto/authorship.ts";
import { encodeSnapshotContent } from "#client/crypto/snapshot.ts";
import { DeviceDocuments } from "#client/device/documents.ts";
import { Shelf } from "#client/device/shelf.ts";
import { parseChange } from "#crdt-store/chunks.ts";
import { parseDocumentId } from "#crdt-store/document-id.ts";
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
      const documents = new DeviceDocuments(
        {
          store: ana.store,
          random: nodeRandom,
          clock: Date,
          damaged: () => undefined,
          culprits: null,
        },
        await nodeAutomerge(),
      );
      const old = documents.save(doc);
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
      const space = ana.store.documents.get(doc)?.space;
      const cursor = space === undefined ? null : ana.store.inbox.cursor(space);
      if (space === undefined || cursor === null) throw new Error("a note that is at the relay");
      const signed = signedByAna(ana, space, doc, old.changes);
      // It says that it stands for all there is, and holds what there was at first.
      ana.store.outgoingSnapshots.put({
        doc,
        space,
        coversPos: cursor.pos,
        chain: cursor.chain,
        omitted: [],
        heads: old.heads.map((hash) => Uint8Array.from(Buffer.from(hash, "hex"))),
        changes: [],
        content: encodeSnapshotContent({ heads: signed, document: old.bytes }),
        blob: null,
      });
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

function signedByAna(
  { store }: DeviceFixture,
  spaceId: Uint8Array,
  doc: Uint8Array,
  chunks: readonly Uint8Array[],
) {
  const shelf = new Shelf({ store, ed: nodeEd25519(), clock: Date, random: nodeRandom });
  shelf.openAll();
  const space = shelf.get(spaceId);
  const newest = chunks.map((chunk) => parseChange(chunk)).at(-1);
  if (space === undefined || newest?.type !== "ok") throw new Error("a notebook of hers");
  const { actor, seq, hash } = newest.change;
  const own = store.documents.actor(doc, actor);
  const signer = own === null ? null : space.signerOf(doc, own);
  if (own === null || signer === null) throw new Error("an actor of hers");
  return [signHead(space.ed, signer, doc, own.nonce, seq, hash)];
}

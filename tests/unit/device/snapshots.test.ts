import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeRandom } from "#client/cli/node-ports.ts";
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

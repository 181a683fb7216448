import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeAutomerge } from "#client/cli/node-ports.ts";
import type { NoteDocument } from "#client/device/api.ts";
import { defaultPackingLimits } from "#client/device/compaction.ts";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import { eventually, onlyNotebook, setupDevice, type DeviceFixture } from "./setup-device.ts";

let relay: TestRelay;

beforeAll(async () => {
  relay = await startTestRelay();
});
afterAll(() => relay.stop());

const { changes: longHistory } = defaultPackingLimits;
const patienceMs = 30_000;
const eager = { entries: 2, bytes: 1 << 30, quietMs: 20, spreadMs: 20 };
const never = { entries: 1 << 30, bytes: 1 << 30, quietMs: 1_000, spreadMs: 0 };

function docOf(id: string): Uint8Array {
  const doc = parseDocumentId(id);
  if (doc === undefined) throw new Error("a note's id");
  return doc;
}

/** Types so many letters, each a change of its own. */
async function typeLetters({ device }: DeviceFixture, id: string, letters: number): Promise<void> {
  const automerge = await nodeAutomerge();
  const { chunks, actor } = await device.openNote(id, "tab");
  let note = automerge.init<NoteDocument>({ actor });
  note = automerge.loadIncremental(note, chunks[0] ?? new Uint8Array());
  for (const chunk of chunks.slice(1)) note = automerge.loadIncremental(note, chunk);
  const changes: Uint8Array[] = [];
  for (let typed = 0; typed < letters; typed += 1) {
    note = automerge.change(note, (draft) => automerge.splice(draft, ["body"], typed, 0, "x"));
    changes.push(automerge.getLastLocalChange(note) ?? new Uint8Array());
  }
  await device.commit(id, { session: "tab", changes, title: "Log", preview: "x" });
}

async function append(fixture: DeviceFixture, id: string, text: string): Promise<void> {
  const { heads, body } = await fixture.device.readNote(id);
  await fixture.device.spliceNote(id, heads, [
    { field: "body", at: body.length, remove: 0, insert: text },
  ]);
}

describe("a note with a long history", { timeout: 60_000 }, () => {
  it("stays in the snapshot it comes in, and is written in and sent like any other", async () => {
    await using ana = await setupDevice({ relayUrl: relay.url, snapshots: eager });
    const { id: notebook } = await onlyNotebook(ana.device);
    await ana.device.setDisplayName("Ana");
    const { id } = await ana.device.createNote({ title: "Log", body: "" });
    const doc = docOf(id);
    expect(await ana.device.settled(patienceMs)).toBe(true);
    await typeLetters(ana, id, longHistory + 20);
    expect(await ana.device.settled(patienceMs)).toBe(true);
    for (const text of [" a", " b"]) {
      await append(ana, id, text);
      expect(await ana.device.settled(patienceMs)).toBe(true);
    }
    const { link } = await ana.device.share(notebook, "edit");
    await eventually(ana.device, async () => {
      const isSent = ana.store.tails.of(doc)?.entries === 0;
      return isSent && !ana.store.outgoingSnapshots.has(doc);
    });

    await using ben = await setupDevice({ relayUrl: relay.url, snapshots: never });
    await ben.device.join(link);
    expect(await ben.device.settled(patienceMs)).toBe(true);
    expect((await ben.device.readNote(id)).body).toBe(`${"x".repeat(longHistory + 20)} a b`);
    expect(ben.store.changes.countOf(doc)).toBe(0);
    expect(ben.store.changes.packOf(doc)?.changes).toBe(hashes(ana, doc).size);
    expect(hashes(ben, doc)).toEqual(hashes(ana, doc));
    expect(ben.store.changes.heads(doc)).toEqual(ana.store.changes.heads(doc));
    await ben.device.describeStale();
    const row = (await ben.device.notes()).find((note) => note.id === id);
    expect(row).toMatchObject({ title: "Log", here: true, waiting: 0, awaiting: 0 });
    expect((await ben.device.noteAuthors(id)).map(({ name }) => name)).toEqual(["Ana"]);

    await append(ben, id, " end");
    expect(await ben.device.settled(patienceMs)).toBe(true);
    await eventually(ana.device, async () => (await ana.device.readNote(id)).body.endsWith(" end"));
    expect(hashes(ana, doc)).toEqual(hashes(ben, doc));
  });
});

/** Of all changes of a document that a device holds, in hex. */
function hashes({ store: { changes } }: DeviceFixture, doc: Uint8Array): ReadonlySet<string> {
  const all = [...changes.packedHashes(doc), ...changes.ofDocument(doc).map(({ hash }) => hash)];
  return new Set(all.map((hash) => Buffer.from(hash).toString("hex")));
}

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeAutomerge } from "#client/cli/node-ports.ts";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { MemoryFiles, type FileContents } from "#crdt-store/files/memory.ts";
import { parseHex } from "#relay/protocol/bytes.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import { setupDevice, type DeviceFixture } from "./setup-device.ts";

let relay: TestRelay;

beforeAll(async () => {
  relay = await startTestRelay();
});
afterAll(() => relay.stop());

const patienceMs = 20_000;
const packing = { changes: 10, bytes: 1 << 20, quietMs: 3_000 };
const edits = 30;

/** A device with one note that was edited thirty times, all of it at the relay. */
async function setupEdited(more: { relayUrl?: string | null; files?: MemoryFiles } = {}) {
  const fixture = await setupDevice({ relayUrl: relay.url, packing, ...more });
  const { id } = await fixture.device.createNote({ title: "Log", body: "" });
  const versions: { readonly heads: readonly string[]; readonly body: string }[] = [];
  let read = await fixture.device.readNote(id);
  for (let number = 0; number < edits; number += 1) {
    const insert = `line ${number}\n`;
    const at = read.body.length;
    const spliced = await fixture.device.spliceNote(id, read.heads, [
      { field: "body", at, remove: 0, insert },
    ]);
    read = { ...read, ...spliced };
    versions.push({ heads: read.heads, body: read.body });
  }
  const doc = parseDocumentId(id);
  if (doc === undefined) throw new Error("a note's id is a document's");
  return { ...fixture, id, doc, versions, body: read.body };
}

async function settled({ device }: Pick<DeviceFixture, "device">): Promise<void> {
  expect(await device.settled(patienceMs)).toBe(true);
}

describe("a note of many changes", { timeout: 60_000 }, () => {
  it("is packed once the relay has it, and is the same to whoever reads it", async () => {
    await using note = await setupEdited();
    await settled(note);
    expect(note.store.changes.countOf(note.doc)).toBe(edits + 1);
    await note.device.tidy(patienceMs);
    expect(note.store.changes.countOf(note.doc)).toBe(0);
    expect(note.store.changes.packOf(note.doc)?.changes).toBe(edits + 1);

    expect((await note.device.readNote(note.id)).body).toBe(note.body);
    for (const { heads, body } of note.versions) {
      expect(await note.device.readNoteAt(note.id, heads)).toEqual({ title: "Log", body });
    }
    // One chunk, and what is written on top of an old version still finds its place.
    expect((await note.device.openNote(note.id, "tab")).chunks).toHaveLength(1);
    const [first] = note.versions;
    const spliced = await note.device.spliceNote(note.id, first?.heads ?? [], [
      { field: "body", at: 0, remove: 0, insert: "Top\n" },
    ]);
    expect(spliced.body).toBe(`Top\n${note.body}`);
    expect((await note.device.openNote(note.id, "tab")).chunks).toHaveLength(2);
    expect((await note.device.notes())[0]).toMatchObject({ id: note.id, quarantined: 0 });
  });

  it("has a snapshot without a relay too, and keeps every change", async () => {
    await using note = await setupEdited({ relayUrl: null });
    await note.device.tidy(patienceMs);
    expect(note.store.changes.countOf(note.doc)).toBe(edits + 1);
    expect(note.store.changes.packOf(note.doc)).toMatchObject({ changes: 0, kept: edits + 1 });
    expect((await note.device.openNote(note.id, "tab")).chunks).toHaveLength(1);
    expect((await note.device.readNote(note.id)).body).toBe(note.body);
  });

  it("is packed beside changes that wait for what has not arrived", async () => {
    await using note = await setupEdited();
    await settled(note);
    const automerge = await nodeAutomerge();
    const { chunks } = await note.device.openNote(note.id, "elsewhere");
    let other = automerge.clone(
      automerge.applyChanges(automerge.init<{ body: string }>(), [...chunks])[0],
    );
    const made = ["one", "two"].map((word) => {
      other = automerge.change(other, (draft) => {
        automerge.splice(draft, ["body"], 0, 0, word);
      });
      return automerge.getLastLocalChange(other);
    });
    const [missing, orphan] = made.flatMap((bytes) => (bytes === undefined ? [] : [bytes]));
    if (missing === undefined || orphan === undefined) throw new Error("two edits");
    const row = automerge.decodeChange(orphan);
    const entry = {
      doc: note.doc,
      hash: parseHex(row.hash ?? "") ?? new Uint8Array(),
      actor: parseHex(row.actor) ?? new Uint8Array(),
      seq: row.seq,
      deps: row.deps.flatMap((dep) => parseHex(dep) ?? []),
      bytes: orphan,
      opCount: 3,
      space: null,
      pos: 1_000,
      signer: null,
      local: false,
      at: 0,
    };
    note.store.changes.insert([entry]);
    await note.device.tidy(patienceMs);
    expect(note.store.changes.ofDocument(note.doc).map(({ hash }) => hash)).toEqual([entry.hash]);
    expect(note.store.changes.awaited(note.doc)).toEqual(entry.deps);
    const opened = await note.device.openNote(note.id, "tab");
    expect(opened.chunks).toHaveLength(2);
    expect((await note.device.readNote(note.id)).body).toBe(note.body);
  });

  it("goes to the relay again, packed as it was, when the relay has lost it", async () => {
    await using note = await setupEdited();
    await settled(note);
    await note.device.tidy(patienceMs);
    const files = new MemoryFiles(note.files.snapshot());
    await note.device.close();
    const emptied = await startTestRelay();
    try {
      await using again = await setupDevice({ files, relayUrl: emptied.url, packing });
      await settled(again);
      expect(again.store.outbox.depth()).toBe(0);
      const words = await again.device.words();
      await using second = await setupDevice({ relayUrl: emptied.url, fresh: true });
      await second.device.restore(words?.join(" ") ?? "");
      await settled(second);
      await second.device.describeStale();
      expect((await second.device.readNote(note.id)).body).toBe(note.body);
    } finally {
      await emptied.stop();
    }
  });

  it("comes back from the relay when its snapshot is damaged, with what was not sent yet", async () => {
    await using note = await setupEdited();
    await settled(note);
    await note.device.tidy(patienceMs);
    const pack = note.store.changes.packOf(note.doc);
    const snapshot = note.store.snapshots.get(note.doc, pack?.snapshot ?? "");
    if (snapshot === null) throw new Error("a packed note has a snapshot");
    await note.device.close();
    note.store.close();
    const files = new MemoryFiles(withFlippedByte(note.files, snapshot.bytes));

    await using offline = await setupDevice({ files, relayUrl: null, packing });
    // Nothing older is left of it: it is not here until the relay has sent it.
    await expect(offline.device.readNote(note.id)).rejects.toThrow("has not arrived");
    expect((await offline.device.syncLog()).map(({ text }) => text)).toContainEqual(
      expect.stringContaining("was damaged on this device"),
    );
    expect(offline.store.changes.has(note.doc, snapshot.heads[0] ?? new Uint8Array())).toBe(false);
    const left = new MemoryFiles(offline.files.snapshot());
    await offline.device.close();

    await using online = await setupDevice({ files: left, relayUrl: relay.url, packing });
    await settled(online);
    expect((await online.device.readNote(note.id)).body).toBe(note.body);
    // Made here, so given back should the relay lose it.
    expect(online.store.changes.ofDocument(note.doc).every(({ local }) => local)).toBe(true);
    const row = (await online.device.notes()).find(({ id }) => id === note.id);
    expect(row).toMatchObject({ waiting: 0, quarantined: 0 });
  });

  it("comes back at once when the damage is found while connected", async () => {
    await using note = await setupEdited();
    await settled(note);
    await note.device.tidy(patienceMs);
    const pack = note.store.changes.packOf(note.doc);
    const snapshot = note.store.snapshots.get(note.doc, pack?.snapshot ?? "");
    if (pack === null || snapshot === null) throw new Error("a packed note has a snapshot");
    const damaged = withFlippedByte(note.files, snapshot.bytes);
    note.files.main.write(damaged.main, 0);
    note.files.wal.write(damaged.wal, 0);
    expect(note.store.snapshots.readBack(note.doc, pack.snapshot)).toBeNull();

    await expect(note.device.readNote(note.id)).rejects.toThrow("has not arrived");
    await settled(note);
    expect((await note.device.readNote(note.id)).body).toBe(note.body);
    await note.device.tidy(patienceMs);
    expect(note.store.changes.packOf(note.doc)?.changes).toBe(edits + 1);
  });

  it("stands where its last snapshot but one has it until the relay has sent the rest", async () => {
    await using note = await setupEdited();
    await settled(note);
    await note.device.tidy(patienceMs);
    const before = note.body;
    let { heads } = await note.device.readNote(note.id);
    for (let number = 0; number < edits; number += 1) {
      const edit = { field: "body" as const, at: 0, remove: 0, insert: `late ${number}\n` };
      ({ heads } = await note.device.spliceNote(note.id, heads, [edit]));
    }
    await settled(note);
    await note.device.tidy(patienceMs);
    const { body } = await note.device.readNote(note.id);
    const pack = note.store.changes.packOf(note.doc);
    const snapshot = note.store.snapshots.get(note.doc, pack?.snapshot ?? "");
    if (snapshot === null) throw new Error("a packed note has a snapshot");
    await note.device.close();
    note.store.close();
    const files = new MemoryFiles(withFlippedByte(note.files, snapshot.bytes));

    await using offline = await setupDevice({ files, relayUrl: null, packing });
    expect((await offline.device.readNote(note.id)).body).toBe(before);
    const left = new MemoryFiles(offline.files.snapshot());
    await offline.device.close();
    await using online = await setupDevice({ files: left, relayUrl: relay.url, packing });
    await settled(online);
    expect((await online.device.readNote(note.id)).body).toBe(body);
  });
});

/** The files with one byte in the middle of `bytes` changed, wherever a page holds that part of them. */
function withFlippedByte(files: MemoryFiles, bytes: Uint8Array): FileContents {
  const middle = Buffer.from(bytes.subarray(bytes.length / 2, bytes.length / 2 + 16));
  const contents = files.snapshot();
  let flipped = 0;
  for (const file of [contents.main, contents.wal]) {
    const buffer = Buffer.from(file.buffer, file.byteOffset, file.length);
    for (let at = buffer.indexOf(middle); at >= 0; at = buffer.indexOf(middle, at + 1)) {
      file[at] = (file[at] ?? 0) ^ 1;
      flipped += 1;
    }
  }
  expect(flipped).toBeGreaterThan(0);
  return contents;
}

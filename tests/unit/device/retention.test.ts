/** Deleting for ever: by hand and when a window has passed, what stays out, and what comes back. */
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { RetentionSettings } from "#client/device/api.ts";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { bytesOfFiles } from "#crdt-store/files/file.ts";
import { MemoryFiles, type FileContents } from "#crdt-store/files/memory.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import { eventually, refusalOf, setupDevice, type DeviceFixture } from "./setup-device.ts";

let relay: TestRelay;

beforeAll(async () => {
  relay = await startTestRelay();
});
afterAll(() => relay.stop());

const patienceMs = 20_000;
const dayMs = 24 * 60 * 60 * 1000;
const secret = "kingfisher";

async function settled({ device }: Pick<DeviceFixture, "device">): Promise<void> {
  expect(await device.settled(patienceMs)).toBe(true);
}

/** Two devices of one person, who both have a note in the trash that both have written in. */
async function setupTwo(settings: { readonly packed?: boolean } = {}) {
  const packing = { changes: 4, bytes: 1 << 20, quietMs: 3_000 };
  const first = await setupDevice({ relayUrl: relay.url, fresh: true, packing });
  const words = first.device.create().join(" ");
  const { id } = await first.device.createNote({ title: secret, body: "first\n" });
  for (const word of ["one", "two", "three", "four"]) await append(first, id, `${word}\n`);
  await settled(first);
  const second = await setupDevice({ relayUrl: relay.url, fresh: true });
  await second.device.restore(words);
  await eventually(second.device, async () => hasText(second, id, "four"));
  await append(second, id, "second\n");
  await settled(second);
  await eventually(first.device, async () => hasText(first, id, "second"));
  if (settings.packed === true) await first.device.tidy(patienceMs);
  await first.device.trashNote(id);
  await settled(first);
  await eventually(second.device, async () =>
    (await second.device.notes()).some((row) => row.id === id && row.trashed),
  );
  return { first, second, id };
}

async function append({ device }: DeviceFixture, id: string, insert: string): Promise<void> {
  const { heads, body } = await device.readNote(id);
  await device.spliceNote(id, heads, [{ field: "body", at: body.length, remove: 0, insert }]);
}

async function hasText({ device }: DeviceFixture, id: string, text: string): Promise<boolean> {
  if (!(await device.notes()).some((row) => row.id === id)) return false;
  try {
    return (await device.readNote(id)).body.includes(text);
  } catch {
    return false;
  }
}

function docOf(id: string): Uint8Array {
  const doc = parseDocumentId(id);
  if (doc === undefined) throw new Error("a note's id is a document's");
  return doc;
}

function holds(contents: FileContents, text: string): boolean {
  return Object.values(contents).some((bytes) => Buffer.from(bytes).includes(text));
}

describe("a note deleted for ever", { timeout: 60_000 }, () => {
  it.each([false, true])(
    "comes back whole when another device puts it back (packed: %s)",
    async (packed) => {
      const { first, second, id } = await setupTwo({ packed });
      await using _first = first;
      await using _second = second;
      expect((first.store.changes.packOf(docOf(id))?.changes ?? 0) > 4).toBe(packed);
      await first.device.purgeNote(id, false);
      expect(await first.device.notes()).toEqual([]);
      expect(await refusalOf(() => first.device.readNote(id))).toBe("no-such-note");

      await append(second, id, "meanwhile\n");
      await settled(second);
      await settled(first);
      expect(await first.device.notes()).toEqual([]);
      expect(first.store.changes.knows(docOf(id))).toBe(false);

      await second.device.restoreNote(id);
      await eventually(first.device, async () => hasText(first, id, "meanwhile"));
      await settled(first);
      const there = await second.device.readNote(id);
      expect(await first.device.readNote(id)).toEqual(there);
      expect(there.body).toBe("first\none\ntwo\nthree\nfour\nsecond\nmeanwhile\n");
      await first.device.describeStale();
      expect((await first.device.notes())[0]).toMatchObject({ title: secret, trashed: false });

      // What this device wrote is its own again: it can give it back to a relay that lost it.
      const own = first.store.changes.ofDocument(docOf(id)).filter(({ local }) => local);
      expect(own).toHaveLength(5);
      await append(first, id, "after\n");
      await eventually(second.device, async () => hasText(second, id, "after"));
    },
  );

  it("stays away after a restart, and from a tab that still has it open", async () => {
    const { first, second, id } = await setupTwo();
    await using _second = second;
    await using opened = first;
    const { actor } = await opened.device.openNote(id, "tab");
    const { heads } = await opened.device.readNote(id);
    await opened.device.purgeNote(id, false);
    const edits = [{ field: "body" as const, at: 0, remove: 0, insert: "x" }];
    const draft = { session: "tab", actor, heads, edits };
    expect(await refusalOf(() => opened.device.draft(id, draft))).toBe("no-such-note");
    const commit = { session: "tab", changes: [], title: secret, preview: "" };
    expect(await refusalOf(() => opened.device.commit(id, commit))).toBe("no-such-note");
    await using again = await setupDevice({
      relayUrl: relay.url,
      files: new MemoryFiles(opened.files.snapshot()),
    });
    await settled(again);
    await again.device.describeStale();
    expect(await again.device.notes()).toEqual([]);
    expect(again.store.changes.knows(docOf(id))).toBe(false);
  });

  it("leaves no word of it in the files", async () => {
    await using fixture = await setupDevice();
    const { device, files, sessions, store } = fixture;
    const { id } = await device.createNote({ title: secret, body: `${secret} `.repeat(2_000) });
    const opened = await device.openNote(id, "tab");
    const { heads } = await device.readNote(id);
    sessions.add("tab");
    await device.draft(id, {
      session: "tab",
      actor: opened.actor,
      heads,
      edits: [{ field: "body", at: 0, remove: 0, insert: `draft of the ${secret}` }],
    });
    await device.trashNote(id);
    expect(holds(files.snapshot(), secret)).toBe(true);
    await device.purgeNote(id, true);
    expect(holds(files.snapshot(), secret)).toBe(false);
    // A tab that lost the answer asks again.
    await device.purgeNote(id, true);
    expect(store.outbox.waitingDocuments()).not.toContainEqual(docOf(id));
    store.checkIntegrity();
  });

  it("is gone and told so, also where there is no room to empty the log", async () => {
    await using fixture = await setupDevice();
    const { device, files, events } = fixture;
    const { id } = await device.createNote({ title: secret });
    await device.trashNote(id);
    events.length = 0;
    const refused = vi.spyOn(files.main, "write").mockImplementation(() => {
      throw Object.assign(new Error("no space"), { code: "ENOSPC" });
    });
    await device.purgeNote(id, true);
    expect(refused).toHaveBeenCalled();
    refused.mockRestore();
    expect(await device.notes()).toEqual([]);
    await eventually(device, async () => events.some(({ type }) => type === "notes"));
  });

  it("was in the trash, and all of it at the relay, unless one insists", async () => {
    await using fixture = await setupDevice();
    const { device } = fixture;
    const { id } = await device.createNote({ title: "Only here" });
    expect(await refusalOf(() => device.purgeNote(id, true))).toBe("refused");
    await device.trashNote(id);
    expect(await device.trash()).toEqual([{ id, goesAt: null, unsent: true }]);
    expect(await refusalOf(() => device.purgeNote(id, false))).toBe("unsent");
    expect(await device.emptyTrash(false)).toEqual({ deleted: 0, kept: 1 });
    expect((await device.readNote(id)).title).toBe("Only here");
    expect(await device.emptyTrash(true)).toEqual({ deleted: 1, kept: 0 });
    expect(await device.trash()).toEqual([]);
    expect(await device.notes()).toEqual([]);
  });
});

/** A device whose clock a test moves, with one note in the trash. */
async function setupTrashed(relayUrl: string | null) {
  let ahead = 0;
  const clock = { now: () => Date.now() + ahead };
  const fixture = await setupDevice({ relayUrl, clock });
  const { id } = await fixture.device.createNote({ title: "Old" });
  await fixture.device.trashNote(id);
  if (relayUrl !== null) await settled(fixture);
  await fixture.device.tidy(patienceMs);
  const after = async (days: number): Promise<readonly string[]> => {
    ahead += days * dayMs;
    await fixture.device.tidy(patienceMs);
    return (await fixture.device.notes()).map((row) => row.id);
  };
  return { ...fixture, id, after };
}

describe("the trash's window", { timeout: 60_000 }, () => {
  const month: RetentionSettings = { trashDays: 30, logDays: 30, conflictDays: 90 };

  it("is without end until somebody sets one", async () => {
    await using trash = await setupTrashed(relay.url);
    expect(await trash.after(4_000)).toEqual([trash.id]);
    expect(await trash.device.trash()).toEqual([{ id: trash.id, goesAt: null, unsent: false }]);
  });

  it("deletes what has lain there so long, and tells before when", async () => {
    await using trash = await setupTrashed(relay.url);
    await trash.device.setRetention({ ...month, logDays: 90 });
    expect(await trash.after(29)).toEqual([trash.id]);
    const [row] = await trash.device.trash();
    const left = ((row?.goesAt ?? 0) - (Date.now() + 29 * dayMs)) / dayMs;
    expect(left).toBeGreaterThan(0.9);
    expect(left).toBeLessThanOrEqual(1);
    expect(await trash.after(1.1)).toEqual([]);
    const log = await trash.device.syncLog();
    expect(log.map(({ text }) => text)).toContain(
      "A note was deleted from this device: its time in the trash had passed.",
    );
  });

  it("keeps what is only on this device", async () => {
    await using trash = await setupTrashed(null);
    await trash.device.setRetention(month);
    expect(await trash.after(400)).toEqual([trash.id]);
  });

  it("begins anew with every time a note is thrown away", async () => {
    await using trash = await setupTrashed(relay.url);
    await trash.device.setRetention(month);
    expect(await trash.after(29)).toEqual([trash.id]);
    await trash.device.restoreNote(trash.id);
    await trash.device.trashNote(trash.id);
    await settled(trash);
    expect(await trash.after(0)).toEqual([trash.id]);
    expect(await trash.after(29)).toEqual([trash.id]);
    expect(await trash.after(2)).toEqual([]);
  });

  it("begins when this device sees the note there, whatever the mark in the trash says", async () => {
    await using trash = await setupTrashed(relay.url);
    const row = trash.store.notes.get(docOf(trash.id));
    if (row === null) throw new Error("the note has a row");
    trash.store.notes.place(row.doc, { ...row, trashedAt: 1 });
    await trash.device.setRetention(month);
    expect(await trash.after(1)).toEqual([trash.id]);
    expect(await trash.after(31)).toEqual([]);
  });

  it("is remembered, and only one of those there are", async () => {
    await using trash = await setupTrashed(null);
    await trash.device.setRetention({ trashDays: 365, logDays: 7, conflictDays: 30 });
    const odd = { trashDays: 1, logDays: 7, conflictDays: 30 } as unknown as RetentionSettings; // as a caller without types
    expect(await refusalOf(() => trash.device.setRetention(odd))).toBe("bad-input");
    const files = new MemoryFiles(trash.files.snapshot());
    await using again = await setupDevice({ files });
    expect(await again.device.retention()).toEqual({
      trashDays: 365,
      logDays: 7,
      conflictDays: 30,
    });
  });
});

describe("other things that are kept for a while", { timeout: 60_000 }, () => {
  it("lines of the sync log go with their window", async () => {
    await using trash = await setupTrashed(null);
    trash.store.syncLog.add("info", "an old line");
    await trash.after(29);
    expect((await trash.device.syncLog()).map(({ text }) => text)).toContain("an old line");
    await trash.after(2);
    expect((await trash.device.syncLog()).map(({ text }) => text)).not.toContain("an old line");
  });

  it("room in the files is given back, and everything else is as it was", async () => {
    await using fixture = await setupDevice();
    const { device, files, store } = fixture;
    const { id: kept } = await device.createNote({ title: "Kept", body: "here" });
    const { id } = await device.createNote({ title: "Long", body: noise(400_000) });
    await device.trashNote(id);
    await device.purgeNote(id, true);
    const before = bytesOfFiles(files);
    const { bytes } = await device.freeSpace();
    expect(bytes).toBeGreaterThan(200_000);
    expect(bytesOfFiles(files)).toBe(before - bytes);
    store.checkIntegrity();
    expect(await device.readNote(kept)).toMatchObject({ title: "Kept", body: "here" });
    await using again = await setupDevice({ files: new MemoryFiles(files.snapshot()) });
    expect(await again.device.readNote(kept)).toMatchObject({ title: "Kept", body: "here" });
    expect((await device.storage()).unused).toBe(0);
  });
});

/** Text that does not compress. */
function noise(characters: number): string {
  let state = 1;
  return Array.from({ length: characters }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return String.fromCodePoint(33 + ((state >>> 16) % 90));
  }).join("");
}

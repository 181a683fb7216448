import { describe, expect, it, vi } from "vitest";
import { deferred } from "#tests/support/deferred.ts";
import { nodeAutomerge } from "#client/cli/node-ports.ts";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { ManualTimers } from "#tests/support/manual-timers.ts";
import {
  filesAfterCrash,
  onlyNotebook,
  refusalOf,
  setupDevice,
  type DeviceFixture,
} from "./setup-device.ts";

const typed = (heads: readonly string[], insert: string, session = "tab") => ({
  session,
  actor: "ab".repeat(16),
  heads,
  edits: [{ field: "body" as const, at: 0, remove: 0, insert }],
});

async function setupNote(body = "Flour"): Promise<DeviceFixture & { readonly id: string }> {
  const fixture = await setupDevice();
  const { id } = await fixture.device.createNote({ title: "Bread", body });
  return { ...fixture, id, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

describe("a device without a network", () => {
  it("is created with words, a notebook and room for notes, and finds them again", async () => {
    await using first = await setupDevice({ fresh: true });
    expect(first.device.hasIdentity).toBe(false);
    const words = first.device.create();
    expect(words).toHaveLength(24);
    expect(await first.device.words()).toEqual(words);
    await first.device.describeStale();
    expect(await onlyNotebook(first.device)).toMatchObject({
      name: "Notes",
      role: "admin",
      shared: false,
      members: [{ name: "", self: true }],
      notes: 0,
      state: "active",
      doubt: null,
    });
    const { id } = await first.device.createNote({ title: "Bread\nrolls", body: "Flour\r\nSalt" });
    const row = {
      id,
      title: "Bread rolls",
      preview: "Flour Salt",
      trashed: false,
      state: "saved-here",
      seenBy: [],
      quarantined: 0,
      awaiting: 0,
    };
    expect(await first.device.notes()).toMatchObject([row]);

    await using again = await setupDevice({ files: filesAfterCrash(first) });
    expect(await again.device.notes()).toMatchObject([row]);
    expect(await again.device.readNote(id)).toMatchObject({
      title: "Bread rolls",
      body: "Flour\nSalt",
    });
    expect((await onlyNotebook(again.device)).notes).toBe(1);
    await again.device.confirmWords();
    expect(await again.device.words()).toBeNull();
    expect(await again.device.info()).toMatchObject({ words: "saved", durable: true });
  });

  it("puts notes into the trash and takes them out", async () => {
    await using fixture = await setupNote();
    const { device, id } = fixture;
    await device.trashNote(id);
    expect(await device.notes()).toMatchObject([{ id, trashed: true }]);
    expect((await onlyNotebook(device)).notes).toBe(0);
    expect((await device.openNote(id, "tab")).trashed).toBe(true);
    await device.restoreNote(id);
    expect(await device.notes()).toMatchObject([{ id, trashed: false }]);
    expect((await onlyNotebook(device)).notes).toBe(1);
  });

  it("moves a note with its text and its age, and shows it once", async () => {
    await using fixture = await setupNote("Flour and salt");
    const { device, id } = fixture;
    const { createdAt } = (await device.notes())[0] ?? {};
    const other = await device.createNotebook("Recipes");
    const moved = await device.moveNote(id, other.id);
    expect(await device.notes()).toMatchObject([
      { id: moved.id, notebook: other.id, title: "Bread", createdAt },
    ]);
    expect((await device.readNote(moved.id)).body).toBe("Flour and salt");
    expect((await device.notebooks()).map(({ name, notes }) => [name, notes])).toEqual([
      ["Notes", 0],
      ["Recipes", 1],
    ]);
    expect(await device.moveNote(moved.id, other.id)).toEqual({ id: moved.id });
  });

  it("renames notebooks and keeps the name", async () => {
    await using fixture = await setupDevice();
    const { id } = await onlyNotebook(fixture.device);
    await fixture.device.renameNotebook(id, "  Kitchen\u0000 ");
    expect((await onlyNotebook(fixture.device)).name).toBe("Kitchen");
    await using again = await setupDevice({ files: filesAfterCrash(fixture) });
    expect((await onlyNotebook(again.device)).name).toBe("Kitchen");
  });

  it("splices at old heads without touching what was written since", async () => {
    await using fixture = await setupDevice();
    const { device } = fixture;
    const edit = (insert: string, at: number) => [
      { field: "body" as const, at, remove: 0, insert },
    ];
    // Several, since the order of random actors decides how Automerge goes about it.
    for (let note = 0; note < 8; note += 1) {
      const { id } = await device.createNote({ title: "Bread", body: "Flour" });
      const before = await device.readNote(id);
      await device.spliceNote(id, before.heads, edit("Rye ", 0));
      const merged = await device.spliceNote(id, before.heads, edit(", salt", 5));
      expect(merged.body).toBe("Rye Flour, salt");
      expect(await device.readNote(id)).toEqual({ id, ...merged });
      expect(await device.readNoteAt(id, before.heads)).toEqual({ title: "Bread", body: "Flour" });
    }
    const previews = (await device.notes()).map(({ preview }) => preview);
    expect(new Set(previews)).toEqual(new Set(["Rye Flour, salt"]));
  });
});

describe("a draft", () => {
  it("becomes a change after a crash of the tab and the device", async () => {
    await using fixture = await setupNote("Flour");
    const { device, id } = fixture;
    fixture.sessions.add("tab");
    await device.openNote(id, "tab");
    await device.draft(id, typed((await device.readNote(id)).heads, "Rye "));

    await using again = await setupDevice({ files: filesAfterCrash(fixture) });
    expect(again.store.drafts.all()).toEqual([]);
    expect((await again.device.readNote(id)).body).toBe("Rye Flour");
    expect(await again.device.notes()).toMatchObject([{ preview: "Rye Flour" }]);
  });

  it("is left alone while its tab lives, and taken over when the tab has gone", async () => {
    await using fixture = await setupNote("Flour");
    const { device, id, sessions, store } = fixture;
    sessions.add("tab");
    await device.draft(id, typed((await device.readNote(id)).heads, "Rye "));
    expect((await device.readNote(id)).body).toBe("Flour");
    expect(store.drafts.all()).toHaveLength(1);
    sessions.delete("tab");
    device.tabGone("tab");
    await device.describeStale();
    expect(store.drafts.all()).toEqual([]);
    expect((await device.readNote(id)).body).toBe("Rye Flour");
  });

  it("goes with the commit that contains it, which other tabs are told of", async () => {
    await using fixture = await setupNote("Flour");
    const { device, id, store, events, sessions } = fixture;
    sessions.add("tab");
    const automerge = await nodeAutomerge();
    const opened = await device.openNote(id, "tab");
    const [before] = automerge.applyChanges(
      automerge.init<{ body: string }>({ actor: opened.actor }),
      [...opened.chunks],
    );
    const after = automerge.change(before, (note) => {
      automerge.splice(note, ["body"], 0, 0, "Rye ");
    });
    await device.draft(id, typed(automerge.getHeads(before), "Rye "));
    await device.commit(id, {
      session: "tab",
      changes: automerge.getChangesSince(after, automerge.getHeads(before)),
      title: "Bread",
      preview: "Rye Flour",
    });
    expect(store.drafts.all()).toEqual([]);
    expect((await device.readNote(id)).body).toBe("Rye Flour");
    expect(events.filter((event) => event.type === "changes")).toMatchObject([
      { id, session: "tab" },
    ]);
    expect(await device.notes()).toMatchObject([{ preview: "Rye Flour", state: "saved-here" }]);
  });
});

describe("a commit and the draft that goes on from it", () => {
  it("are kept in their order by a device that is still starting", async () => {
    await using fixture = await setupNote("Flour");
    const { device, id } = fixture;
    const automerge = await nodeAutomerge();
    const opened = await device.openNote(id, "tab");
    const [before] = automerge.applyChanges(
      automerge.init<{ body: string }>({ actor: opened.actor }),
      [...opened.chunks],
    );
    const after = automerge.change(before, (note) => {
      automerge.splice(note, ["body"], 0, 0, "Rye ");
    });
    const commit = {
      session: "tab",
      changes: automerge.getChangesSince(after, automerge.getHeads(before)),
      title: "Bread",
      preview: "Rye Flour",
    };

    // The next leader is sent both at once, before Automerge is loaded.
    const loading = deferred();
    await using next = await setupDevice({
      files: filesAfterCrash(fixture),
      isStarting: true,
      sessionAlive: async () => true,
      automerge: async () => {
        await loading.promise;
        return automerge;
      },
    });
    const saved = Promise.all([
      next.device.commit(id, commit),
      next.device.draft(id, typed(automerge.getHeads(after), "Dark ")),
    ]);
    loading.resolve();
    await saved;
    await using again = await setupDevice({ files: filesAfterCrash(next) });
    expect((await again.device.readNote(id)).body).toBe("Dark Rye Flour");
  });
});

describe("a commit by somebody this device does not know", () => {
  it("is refused, not taken for saved, and one that is here already is answered", async () => {
    await using fixture = await setupNote("Flour");
    const { device, id, store } = fixture;
    const automerge = await nodeAutomerge();
    const opened = await device.openNote(id, "tab");
    const commitBy = (actor: string) => {
      const [before] = automerge.applyChanges(automerge.init<{ body: string }>({ actor }), [
        ...opened.chunks,
      ]);
      const after = automerge.change(before, (note) => {
        automerge.splice(note, ["body"], 0, 0, "Rye ");
      });
      const changes = automerge.getChangesSince(after, automerge.getHeads(before));
      return { session: "tab", changes, title: "Bread", preview: "Rye Flour" };
    };
    const known = commitBy(opened.actor);
    await device.commit(id, known);
    expect(await refusalOf(() => device.commit(id, commitBy("ab".repeat(16))))).toBe("unavailable");
    expect((await device.readNote(id)).body).toBe("Rye Flour");

    const ownChanges = (): number => store.changes.countOf(parseDocumentId(id) ?? new Uint8Array());
    const before = ownChanges();
    await device.commit(id, known);
    expect(ownChanges()).toBe(before);
  });
});

describe("a device that is refused or fails", () => {
  it("says which step and why", async () => {
    await using empty = await setupDevice({ fresh: true });
    expect(await refusalOf(() => empty.device.previewLink("nonsense"))).toBe("bad-link");
    expect(await refusalOf(() => empty.device.restore("one two three"))).toBe("bad-words");
    expect(await refusalOf(() => empty.device.createNotebook("Early"))).toBe("refused");

    await using fixture = await setupNote();
    const { device, id, store } = fixture;
    const { id: notebook } = await onlyNotebook(device);
    const elsewhere = "00".repeat(32);
    expect(await refusalOf(() => device.create())).toBe("refused");
    expect(await refusalOf(() => device.share(notebook, "edit"))).toBe("bad-relay");
    expect(await refusalOf(() => device.renameNotebook(notebook, " "))).toBe("bad-input");
    expect(await refusalOf(() => device.setDisplayName("\u0007"))).toBe("bad-input");
    expect(await refusalOf(() => device.readNoteAt(id, ["ab".repeat(32)]))).toBe("bad-input");
    expect(await refusalOf(() => device.spliceNote(id, ["no hex"], []))).toBe("bad-input");
    expect(await refusalOf(() => device.readNote("nothing"))).toBe("no-such-note");
    expect(await refusalOf(() => device.createNote({ notebook: elsewhere }))).toBe(
      "no-such-notebook",
    );
    const [row] = store.notes.list();
    if (row === undefined) throw new Error("the note has a row");
    const absent = parseDocumentId("4NMNnkMhL8jXrdJ9jamS58PAVdXu");
    store.notes.upsert({ ...row, doc: absent ?? new Uint8Array(16) });
    const { id: listed } = (await device.notes()).find((note) => note.id !== id) ?? { id: "" };
    expect(await refusalOf(() => device.openNote(listed, "tab"))).toBe("unavailable");
  });

  it("builds nothing on a change that could not be stored", async () => {
    await using fixture = await setupNote();
    const { device, store, id } = fixture;
    const awaited = (): number =>
      store.changes.documents().flatMap((doc) => store.changes.awaited(doc)).length;
    // An index begins with a change that is known by its place and never stored.
    const before = awaited();
    const place = vi.spyOn(store.notes, "place").mockImplementation(() => {
      throw new Error("the disk is full");
    });
    await expect(device.trashNote(id)).rejects.toThrow("the disk is full");
    place.mockRestore();
    await device.createNote({ title: "Kept" });
    expect(awaited()).toBe(before);
    expect((await device.notes()).map(({ trashed }) => trashed)).toEqual([false, false]);
  });

  it("forgets a notebook whose founding could not be stored", async () => {
    await using fixture = await setupDevice();
    const { device, store } = fixture;
    const put = vi.spyOn(store.settings, "put").mockImplementation(() => {
      throw new Error("the disk is full");
    });
    await expect(device.createNotebook("Lost")).rejects.toThrow("the disk is full");
    put.mockRestore();
    const documents = store.changes.documents().length;
    // Said in every notebook that is held.
    await device.setDisplayName("Ana");
    expect(store.changes.documents()).toHaveLength(documents);
    expect((await device.notebooks()).map(({ name }) => name)).toEqual(["Notes"]);
    await device.createNotebook("Kept");
    await using again = await setupDevice({ files: filesAfterCrash(fixture) });
    expect((await again.device.notebooks()).map(({ name }) => name)).toEqual(["Notes", "Kept"]);
  });

  it("tells nothing any more once it is closed", async () => {
    const timers = new ManualTimers();
    await using fixture = await setupDevice({ timers });
    const { device, events } = fixture;
    await device.createNote({ title: "Told" });
    timers.advance(60_000);
    expect(events.map(({ type }) => type)).toContain("notes");
    await device.createNote({ title: "Not told" });
    const before = events.length;
    await device.close();
    timers.advance(60_000);
    expect(events).toHaveLength(before);
  });
});

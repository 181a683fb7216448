// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { bytesInWords } from "#client/notes/bytes-in-words.ts";
import { keepingWords, markdownFileName, partsOf } from "#client/app/state/storage-words.ts";

import { settled, setupApp } from "./setup-app.ts";

const noRoom = { code: "storage", message: "This device is out of space." } as const;
const worthKeeping = "Garden\n\nA note that is long enough to be worth keeping somewhere.";

describe("a window on a device without room", () => {
  it("keeps unsaved typing of a note that was left, and shows it on coming back", async () => {
    const { app, device, clock } = await setupApp((fake) => fake.addNote({ title: "Tent" }));
    const other = device.addNote({ title: "Stove" });
    await app.start({ opensNote: true });
    const { id } = app.current;
    if (id === null) throw new Error("no note is open");
    device.failing = noRoom;
    app.current.note?.edit("body", [{ at: 0, remove: 0, insert: "Pegs." }]);
    await clock.pass(3_000);
    expect(app.current.saving).toBe("not-saved");

    await app.openNote(other);
    expect(app.current.note?.text("title")).toBe("Stove");
    expect(app.current.holdsUnsaved).toBe(true);
    expect([...app.current.refused]).toEqual([id]);
    await app.openNote(id);
    expect(app.current.note?.text("body")).toBe("Pegs.");
    expect(app.current.saving).toBe("not-saved");

    device.failing = null;
    await clock.pass(10_000);
    expect(app.current.saving).toBe("settled");
    expect(app.current.refused.size).toBe(0);
    expect(device.text(id).body).toBe("Pegs.");
  });

  it("saves what waits, also in a note that was left, as soon as there is room", async () => {
    const { app, device, clock } = await setupApp((fake) => fake.addNote({ title: "Tent" }));
    const other = device.addNote({ title: "Stove" });
    await app.start({ opensNote: true });
    const id = app.current.id ?? "";
    device.failing = noRoom;
    device.hasRoom = false;
    device.setStatus({ word: "needs-you", full: true });
    app.current.note?.edit("body", [{ at: 0, remove: 0, insert: "Pegs." }]);
    await clock.pass(30_000);
    await app.openNote(other);
    await app.tryStorage();
    expect(app.notices.list.map(({ text }) => text)).toContain(
      "There is still no space on this device.",
    );

    device.failing = null;
    device.hasRoom = true;
    await app.tryStorage();
    await settled();
    expect(device.text(id).body).toBe("Pegs.");
    expect(app.current.holdsUnsaved).toBe(false);
    expect(app.current.refused.size).toBe(0);
  });

  it("does not wait for ever to trash a note: it says why it cannot", async () => {
    const { app, device } = await setupApp((fake) => fake.addNote({ title: "Tent" }));
    await app.start({ opensNote: true });
    device.setStatus({ word: "needs-you", full: true });
    await expect(app.trash(app.current.id ?? "")).rejects.toThrow(/out of space/);
  });

  it("gives a note away as a Markdown file", async () => {
    const { app, saved } = await setupApp((fake) =>
      fake.addNote({ title: "Plan: a/b", body: "Beds." }),
    );
    await app.start({ opensNote: true });
    app.downloadMarkdown();
    expect(saved).toEqual([{ name: "Plan a b.md", text: "# Plan: a/b\n\nBeds." }]);
  });
});

describe("the browser's promise to keep the notes", () => {
  it("is asked for once, after the first real note, and nothing waits for the answer", async () => {
    const { app, clock, storagePromise, preferences } = await setupApp();
    await app.start({ opensNote: true });
    await clock.pass(2_000);
    expect(storagePromise.asked).toBe(0);
    for (const text of [worthKeeping, worthKeeping]) {
      app.current.note?.edit("body", [{ at: 0, remove: 0, insert: text }]);
      await clock.pass(2_000);
    }
    expect(app.current.saving).toBe("settled");
    expect(storagePromise.asked).toBe(1);
    expect(app.storage.keeping).toBe("asked");
    storagePromise.answer(false);
    await settled();
    expect(app.storage.keeping).toBe("refused");
    expect(preferences.get("storage-promise")).toBe("refused");
  });

  it("is believed as the browser tells it, not as it was remembered", async () => {
    const { app, storagePromise } = await setupApp();
    await app.start({ opensNote: true });
    storagePromise.given = true;
    await app.storage.load();
    expect(app.storage.keeping).toBe("promised");
    storagePromise.given = false;
    await app.storage.load();
    expect(app.storage.keeping).toBe("refused");
    expect(keepingWords(app.storage.keeping)).toContain("may remove your notes");
  });
});

describe("room in words", () => {
  it.each([
    [0, "0 KB"],
    [1, "1 KB"],
    [999_400, "999 KB"],
    [999_600, "1.0 MB"],
    [12_345_678, "12 MB"],
    [8_400_000_000, "8.4 GB"],
    [5e15, "5000 TB"],
  ])("%d bytes are %s", (bytes, words) => expect(bytesInWords(bytes)).toBe(words));

  it.each([
    ["", "Note.md"],
    ["...", "Note.md"],
    ["../secret/list", "secret list.md"],
    ["a".repeat(80), `${"a".repeat(60)}.md`],
    ["Who\u0000 what?", "Who what.md"],
  ])("a note called %j becomes the file %s", (title, name) =>
    expect(markdownFileName(title)).toBe(name),
  );

  it("names what the room is used for and leaves out what is nothing", () => {
    const report = { files: 5000, notes: 2000, search: 1000, waiting: 0, unused: 0, free: null };
    expect(partsOf(report).map(({ name }) => name)).toEqual([
      "Notes and their history",
      "List and search",
      "Keys, order, upkeep",
    ]);
  });
});

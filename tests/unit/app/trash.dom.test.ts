// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import {
  emptiedWords,
  freedWords,
  inTrashWords,
  leftWords,
  onlyHereWords,
} from "#client/app/state/trash-words.ts";

import { settled, setupApp } from "./setup-app.ts";

const dayMs = 24 * 60 * 60 * 1000;

describe("a window that deletes for ever", () => {
  it("closes the note and leaves the others", async () => {
    const { app, device } = await setupApp((fake) => fake.addNote({ title: "Tent" }));
    const id = device.addNote({ title: "Stove" });
    await app.start({ opensNote: true });
    await app.trash(id);
    await app.openNote(id);
    const row = app.notes.row(id);
    if (row === null) throw new Error("the note has a row");
    await app.deleteForEver(row, false);
    expect(app.current.id).toBeNull();
    expect(app.notes.rows.map(({ title }) => title)).toEqual(["Tent"]);
    expect(app.notices.list.map(({ text }) => text)).toContain("Deleted for ever.");
  });

  it("empties the trash, and the note in front stays open if it was not in there", async () => {
    const { app, device } = await setupApp((fake) => fake.addNote({ title: "Tent" }));
    const id = device.addNote({ title: "Stove" });
    await app.start({ opensNote: true });
    await app.trash(id);
    const [kept] = app.notes.shown;
    await app.openNote(kept?.id ?? "");
    await app.deleteForEver(null, true);
    expect(app.current.id).toBe(kept?.id);
    expect(app.notices.list.map(({ text }) => text)).toContain("One note was deleted for ever.");
  });

  it("no longer shows a note that another tab deleted, nor offers it back", async () => {
    const { app, device } = await setupApp((fake) => fake.addNote({ title: "Tent" }));
    const id = device.addNote({ title: "Stove" });
    await app.start({ opensNote: true });
    await app.trash(id);
    await app.openNote(id);
    await device.purgeNote(id, false);
    await settled();
    expect(app.current.id).toBeNull();

    const [kept] = app.notes.shown;
    await app.openNote(kept?.id ?? "");
    await app.trash(kept?.id ?? "");
    expect(app.notices.list.some(({ action }) => action !== null)).toBe(true);
    await app.deleteForEver(null, false);
    expect(app.notices.list.some(({ action }) => action !== null)).toBe(false);
  });

  it("shows another choice at once, and what holds when it is refused", async () => {
    const { app, device } = await setupApp();
    await app.bin.load();
    const both = [app.bin.keep({ trashDays: 30 }), app.bin.keep({ logDays: 7 })];
    expect(app.bin.retention).toEqual({ trashDays: 30, logDays: 7, conflictDays: 90 });
    await Promise.all(both);
    expect(device.retentionNow).toEqual({ trashDays: 30, logDays: 7, conflictDays: 90 });

    device.refusals.set("setRetention", { code: "storage", message: "No space." });
    await expect(app.bin.keep({ trashDays: 365 })).rejects.toThrow("No space.");
    expect(app.bin.retention).toEqual({ trashDays: 30, logDays: 7, conflictDays: 90 });
  });

  it("changes one window and leaves the other", async () => {
    const { app, device } = await setupApp();
    await app.bin.load();
    await app.bin.keep({ trashDays: 90 });
    expect(device.retentionNow).toEqual({ trashDays: 90, logDays: 30, conflictDays: 90 });
    expect(app.bin.retention).toEqual({ trashDays: 90, logDays: 30, conflictDays: 90 });
  });
});

describe("the trash in words", () => {
  const note = { id: "n", unsent: false };

  it.each([
    [null, null],
    [10 * dayMs, "10 days left"],
    [10 * dayMs + 60_000, "10 days left"],
    [dayMs, "1 day left"],
    [1, "goes today"],
    [-1, "goes today"],
  ])("a note that goes in %s ms: %s", (ms, words) =>
    expect(leftWords({ ...note, goesAt: ms === null ? null : 5 * dayMs + ms }, 5 * dayMs)).toBe(
      words,
    ),
  );

  it("says what is only here and what was done", () => {
    expect(leftWords({ id: "n", unsent: true, goesAt: 1 }, 0)).toBe("waits for the relay");
    expect(onlyHereWords(0, true)).toBeNull();
    expect(onlyHereWords(1, true)).toMatch(/^One note is partly only on this device/);
    expect(onlyHereWords(1, false)).toMatch(/would be lost/);
    expect(emptiedWords({ deleted: 2, kept: 1 })).toBe(
      "2 notes were deleted for ever. One stays: some of it is only on this device.",
    );
    expect(emptiedWords({ deleted: 0, kept: 2 })).toBe(
      "No notes were deleted for ever. 2 stay: some of what they say is only on this device.",
    );
    expect([0, 1, 2].map(inTrashWords)).toEqual([
      "Nothing is in the trash.",
      "One note",
      "All 2 notes in the trash",
    ]);
    expect(freedWords(0)).toBe("There was nothing to give back.");
    expect(freedWords(3_200_000)).toBe("3.2 MB given back.");
  });
});

// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { setupApp, settled } from "./setup-app.ts";

const long = "This note has more than forty characters in it.";

describe("the first minute", () => {
  it("opens an empty note that has the keyboard", async () => {
    const { app, device } = await setupApp();
    await app.start({ opensNote: true });
    expect(await device.notes()).toHaveLength(1);
    expect(app.current.isEmpty()).toBe(true);
    expect(app.navigation.pane).toBe("note");
    expect(app.navigation.focusWish).toEqual({ number: 1, field: "body" });
  });

  it("creates nothing while a link waits for an answer", async () => {
    const { app, device } = await setupApp();
    await app.start({ opensNote: false });
    expect(await device.notes()).toHaveLength(0);
  });

  it("does not heap up empty notes", async () => {
    const { app, device } = await setupApp();
    await app.start({ opensNote: true });
    await app.newNote();
    expect(await device.notes()).toHaveLength(1);
    app.current.note?.edit("body", [{ at: 0, remove: 0, insert: "x" }]);
    await app.newNote();
    expect(await device.notes()).toHaveLength(2);
  });

  it("leaves somebody where they went while a new note was being made", async () => {
    const { app, device, clock } = await setupApp((made) => {
      made.addNote({ title: "Plan", body: long });
    });
    await app.start({ opensNote: true });
    const plan = app.current.id ?? "";
    let endSilence = () => {};
    device.silence = new Promise((resolve) => {
      endSilence = resolve;
    });
    const making = app.newNote();
    const going = app.openNote(plan);
    device.silence = null;
    endSilence();
    await Promise.all([making, going]);
    await clock.pass(50);
    expect(await device.notes()).toHaveLength(2);
    expect(app.current.id).toBe(plan);
  });

  it("offers the words after the first real note, and not again once postponed", async () => {
    const { app, clock, preferences } = await setupApp();
    await app.start({ opensNote: true });
    expect(app.offersWords).toBe(false);
    app.current.note?.edit("body", [{ at: 0, remove: 0, insert: long }]);
    app.current.bodyChanged();
    await clock.pass(400);
    expect(app.offersWords).toBe(true);
    app.postponeWords();
    expect(app.offersWords).toBe(false);
    const weekMs = 7 * 24 * 60 * 60 * 1000;
    expect(preferences.get("words-rest-until")).toBe(String(clock.now() + weekMs));
  });
});

describe("the open note", () => {
  it("claims no receipt of the relay for typing the relay cannot have", async () => {
    const { app, device, clock } = await setupApp((made) => {
      made.addNote({ title: "Plan", body: long, state: "seen-elsewhere", seenBy: ["Ben"] });
    });
    await app.start({ opensNote: true });
    expect([app.current.saving, app.current.ahead]).toEqual(["settled", false]);

    app.current.note?.edit("body", [{ at: 0, remove: 0, insert: "!" }]);
    expect([app.current.saving, app.current.ahead]).toEqual(["saving", true]);
    await clock.pass(260);
    expect(device.drafts.length).toBeGreaterThan(0);
    expect([app.current.saving, app.current.ahead]).toEqual(["settled", true]);

    await clock.pass(1000);
    expect(device.commits).toHaveLength(1);
    expect(app.current.ahead).toBe(false);
    expect(app.openRow).toMatchObject({ state: "saved-here", waiting: 1 });
  });

  it("is not called up to date while something typed has not become a change", async () => {
    const { app, device, clock } = await setupApp((made) => {
      made.addNote({ title: "Plan", body: long, state: "on-relay" });
    });
    await app.start({ opensNote: true });
    app.receive({ type: "status", status: { ...app.sync.status, word: "up-to-date" } });
    expect(app.sync.text).toBe("Up to date");

    // Another worker is taking over: nobody answers, and nobody says that the status is old.
    let endSilence = () => {};
    device.silence = new Promise((resolve) => {
      endSilence = resolve;
    });
    app.current.note?.edit("body", [{ at: 0, remove: 0, insert: "!" }]);
    expect(app.sync.text).toBe("Sending 1");
    await clock.pass(3000);
    expect(app.sync.text).toBe("Sending 1");
    expect(app.sync.sentence).toContain("is being saved");

    device.silence = null;
    endSilence();
    await clock.pass(3000);
    expect(app.current.ahead).toBe(false);
    expect(app.sync.text).toBe("Up to date");
  });

  it("says that it is not saved when the device refuses", async () => {
    const { app, device, clock } = await setupApp();
    await app.start({ opensNote: true });
    device.refusals.set("draft", { code: "storage", message: "The disk is full." });
    app.current.note?.edit("body", [{ at: 0, remove: 0, insert: "a" }]);
    await clock.pass(10);
    expect(app.current.saving).toBe("not-saved");
    await clock.pass(3000);
    expect(app.current.saving).toBe("settled");
    expect(device.text(app.current.id ?? "").body).toBe("a");
  });

  it("commits what was typed before another note is opened", async () => {
    const { app, device, clock } = await setupApp((made) => {
      made.addNote({ title: "One", updatedAt: 2 });
      made.addNote({ title: "Two", updatedAt: 1 });
    });
    await app.start({ opensNote: true });
    const one = app.current.id ?? "";
    app.current.note?.edit("body", [{ at: 0, remove: 0, insert: "kept" }]);
    await app.openNote(app.notes.rows.find(({ title }) => title === "Two")?.id ?? "");
    await clock.pass(0);
    expect(device.text(one).body).toBe("kept");
    expect(app.current.title).toBe("Two");
  });

  it("shows changes from elsewhere and ignores its own echo", async () => {
    const { app, device, clock } = await setupApp((made) => {
      made.addNote({ title: "Plan", body: "Hello" });
    });
    await app.start({ opensNote: true });
    device.editElsewhere(app.current.id ?? "", 5, 0, " Ben");
    await clock.pass(50);
    expect(app.current.note?.text("body")).toBe("Hello Ben");
  });

  it("catches up after another worker took over", async () => {
    const { app, device, clock } = await setupApp((made) => {
      made.addNote({ title: "Plan", body: "Hello" });
    });
    await app.start({ opensNote: true });
    const receive = app.current.receive.bind(app.current);
    app.current.receive = () => {};
    device.editElsewhere(app.current.id ?? "", 5, 0, " again");
    app.current.receive = receive;
    app.restarted();
    await clock.pass(50);
    expect(app.current.note?.text("body")).toBe("Hello again");
  });

  it("tells where the caret stands once for many moves", async () => {
    const { app, device, clock } = await setupApp((made) => {
      made.addNote({ title: "Plan", body: "Hello" });
    });
    await app.start({ opensNote: true });
    for (let at = 0; at < 5; at++) app.current.moveCursor({ anchor: at, head: at });
    await clock.pass(200);
    expect(device.cursors).toHaveLength(1);
    expect(device.cursors[0]).toMatchObject({ field: "body" });
  });

  it("that cannot be opened says why and can be tried again", async () => {
    const { app, device } = await setupApp((made) => {
      made.addNote({ title: "Plan" });
    });
    device.refusals.set("openNote", { code: "storage", message: "The disk does not answer." });
    await app.start({ opensNote: true });
    expect(app.current.phase).toMatchObject({
      type: "failed",
      message: "The disk does not answer.",
    });
    await app.current.openAgain();
    expect(app.current.phase.type).toBe("open");
  });
});

describe("the trash", () => {
  it("takes a note out of the list, opens its neighbour, and gives it back", async () => {
    const { app } = await setupApp((made) => {
      made.addNote({ title: "One", updatedAt: 2 });
      made.addNote({ title: "Two", updatedAt: 1 });
    });
    await app.start({ opensNote: true });
    const one = app.current.id ?? "";
    await app.trash(one);
    expect(app.current.title).toBe("Two");
    expect(app.notes.shown.map(({ title }) => title)).toEqual(["Two"]);
    app.notices.list[0]?.action?.run();
    await settled();
    expect(app.notes.shown.map(({ title }) => title)).toEqual(["One", "Two"]);
  });
});

describe("notices", () => {
  it("leave by themselves and say the same thing only once", async () => {
    const { app, device, clock } = await setupApp();
    device.emit({ type: "notice", text: "The relay lost some recent data." });
    device.emit({ type: "notice", text: "The relay lost some recent data." });
    expect(app.notices.list).toHaveLength(1);
    await clock.pass(9000);
    expect(app.notices.list).toHaveLength(0);
  });
});

describe("the lists", () => {
  it("are read again when they changed while being read", async () => {
    const { app, device } = await setupApp();
    let reads = 0;
    const notes = device.notes;
    device.notes = async () => {
      reads += 1;
      return notes();
    };
    const first = app.notes.load();
    device.addNote({ title: "Late" });
    const others = [app.notes.load(), app.notes.load(), app.notes.load()];
    await Promise.all([first, ...others]);
    expect(app.notes.rows.map(({ title }) => title)).toEqual(["Late"]);
    expect(reads).toBe(2);
  });
});

// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import type { FakeDevice } from "#tests/support/fake-device.ts";

import { click, named, setupScreen, shown, submit, textOf, type } from "./screen.ts";

function notebooksListed(): string[] {
  return [...document.querySelectorAll(".side .show")].map(textOf);
}

function notesListed(): string[] {
  return [...document.querySelectorAll("[data-note] .title")].map(textOf);
}

/** Garden with two notes, and Home. */
async function setupShared(arrange: (device: FakeDevice, garden: string) => void = () => {}) {
  let garden = "";
  const parts = await setupScreen((device) => {
    device.infoNow = { ...device.infoNow, displayName: "Ana" };
    garden = device.addNotebook("Garden");
    device.addNotebook("Home");
    device.addNote({ title: "Plan", body: "Hello", notebook: garden, updatedAt: 3 });
    device.addNote({ title: "Seeds", notebook: garden, updatedAt: 2 });
    arrange(device, garden);
  });
  parts.app.navigation.drawerOpen = true;
  await shown();
  return { ...parts, garden };
}

describe("a note that is shared alone", () => {
  it("stays where it was, marked, and has no notebook in the sidebar", async () => {
    const { app, garden } = await setupShared();
    await click("button", "Share");
    await submit("dialog form");
    await shown();
    app.navigation.closeSheet();
    app.navigation.drawerOpen = true;
    await shown();
    expect(notebooksListed()).toEqual(["Notes", "Garden", "Home"]);
    app.showNotes({ type: "notebook", id: garden });
    await shown();
    expect(notesListed()).toEqual(["Plan", "Seeds"]);
    expect(textOf(document.querySelector("[data-note] .first"))).toContain("Open to a link");
    expect(textOf(document.querySelector("main .meta"))).toMatch(/^Garden/);
    app.showNotes({ type: "shared" });
    await shown();
    expect(notesListed()).toEqual(["Plan"]);
  });

  it("is listed in another notebook when the person wants it there", async () => {
    const { app, garden } = await setupShared((made, parent) => {
      const own = made.addNotebook("Tent", { single: true, shared: true, parent });
      made.addNote({ title: "Tent", notebook: own, updatedAt: 9 });
    });
    await click("button", "More about this note");
    expect(textOf(document.querySelector("[role=menu]"))).toContain("List it in notebook");
    await click("[role=menu] button", "Home");
    const home = app.notebooks.rows.find(({ name }) => name === "Home")?.id ?? "";
    const [single] = app.notebooks.rows.filter((row) => row.single);
    expect(single?.parent).toBe(home);
    app.showNotes({ type: "notebook", id: garden });
    await shown();
    expect(notesListed()).toEqual(["Plan", "Seeds"]);
  });

  it("is no place to move other notes to", async () => {
    const { app } = await setupShared((made, parent) => {
      made.addNotebook("Tent", { single: true, shared: true, parent });
    });
    await click("button", "More about this note");
    const menu = textOf(document.querySelector("[role=menu]"));
    expect(menu).toContain("Home");
    expect(menu).not.toContain("Tent");
    expect(app.notebooks.listed.map(({ name }) => name)).not.toContain("Tent");
  });

  it("comes to a guest as a note among those that are shared", async () => {
    const { app, device } = await setupScreen((made) => {
      made.link = { ...made.link, name: "Plan", notes: 1, single: true };
    }, "https://notes.example/#1e.x");
    expect(textOf(document.querySelector("h1"))).toBe("Ana shares the note “Plan” with you");
    device.addNote({ title: "Plan", notebook: device.link.notebook });
    await type(named("input", "Your name, for the others"), "Ben");
    await submit("form");
    expect(app.notes.filter).toEqual({ type: "shared" });
    expect(notesListed()).toEqual(["Plan"]);
  });
});

describe("deleting a notebook that is shared", () => {
  it("asks first, with who loses it, and can be undone", async () => {
    let choir = "";
    const { app } = await setupScreen((made) => {
      choir = made.addNotebook("Choir", {
        shared: true,
        members: [
          { name: "You", self: true },
          { name: "Ben", self: false },
          { name: "Clara", self: false },
        ],
      });
    });
    app.navigation.drawerOpen = true;
    await shown();
    await click(".side button", "More about “Choir”");
    await click("[role=dialog] button", "Delete for everybody…");
    expect(app.notebooks.row(choir)).not.toBeNull();
    expect(textOf(document.querySelector("dialog"))).toContain(
      "2 other people are in here: Ben and Clara. It closes for all of them at once.",
    );
    await submit("dialog form");
    expect(app.notebooks.row(choir)).toBeNull();
    await click("button", "Undo");
    expect(app.notebooks.row(choir)?.state).toBe("active");
  });
});

describe("who wrote a note", () => {
  it("is told with how certain it is, and on whose word", async () => {
    await setupScreen((made) => {
      made.addNote({ title: "Plan", body: "Hello" });
      const author = { person: "a".repeat(64), device: "b".repeat(64), fingerprint: "1234 5678" };
      made.authors = [
        { ...author, name: "Ben", verified: true, changes: 3, lastAt: 1, statedBy: null },
        {
          ...author,
          name: "Clara",
          verified: false,
          changes: 1,
          lastAt: null,
          statedBy: { name: "Ana", self: false },
        },
        {
          person: null,
          name: "",
          verified: false,
          device: "",
          fingerprint: "",
          changes: 2,
          lastAt: null,
          statedBy: null,
        },
      ];
    });
    await click("button", "More about this note");
    await click("[role=menu] button", "Who wrote this");
    const rows = [...document.querySelectorAll("dialog li")].map(textOf);
    expect(rows[0]).toMatch(/^Ben 3 changes · .*1234 5678/);
    expect(rows[1]).toContain("Clara unverified 1 change");
    expect(rows[1]).toContain("Before Ana moved the note here, as Ana saw it.");
    expect(rows[2]).toContain("Somebody unknown unverified 2 changes");
    expect(rows[2]).toContain("Nobody has signed these changes.");
  });
});

describe("somebody who asks for renewed access", () => {
  it("is seen in the sidebar", async () => {
    const { app } = await setupScreen((made) => {
      const garden = made.addNotebook("Garden", { shared: true });
      made.renewalNow = {
        underWay: 0,
        waiting: [],
        requests: [
          { notebook: garden, person: "a".repeat(64), name: "Ben", renewed: "b", fingerprint: "1" },
        ],
      };
    });
    app.navigation.drawerOpen = true;
    await shown();
    const [, garden] = [...document.querySelectorAll(".side .show")].map(textOf);
    expect(garden).toContain("Somebody asks to come in anew");
  });
});

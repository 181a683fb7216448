// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { branchesOf, placesFor } from "#client/app/state/notebook-tree.ts";
import { FakeDevice } from "#tests/support/fake-device.ts";

import { choose, click, named, setupScreen, shown, textOf, type } from "./screen.ts";

/** Garden with Seeds in it, and Home. */
function arrange(device: FakeDevice) {
  const garden = device.addNotebook("Garden");
  const seeds = device.addNotebook("Seeds", { parent: garden });
  const home = device.addNotebook("Home", { colour: 5 });
  device.addNote({ title: "Plan", notebook: garden });
  return { garden, seeds, home };
}

async function setupNotebooks() {
  let ids = { garden: "", seeds: "", home: "" };
  const parts = await setupScreen((device) => {
    ids = arrange(device);
  });
  // The sidebar of a narrow window is a drawer.
  parts.app.navigation.drawerOpen = true;
  await shown();
  return { ...parts, ...ids };
}

function listed(): string[] {
  return [...document.querySelectorAll(".side .show")].map(textOf);
}

describe("notebooks in the sidebar", () => {
  it("lie in one another, and are folded in this window until it is said otherwise", async () => {
    const { app, preferences, garden } = await setupNotebooks();
    expect(listed()).toEqual(["Notes", "Garden", "Seeds", "Home"]);
    await click(".side button", "Fold Garden");
    expect(listed()).toEqual(["Notes", "Garden", "Home"]);
    expect([...preferences.values()]).toContain(garden);
    await click(".side button", "Unfold Garden");
    expect(listed()).toEqual(["Notes", "Garden", "Seeds", "Home"]);
    expect(app.notebooks.isFolded(garden)).toBe(false);
  });

  it("are renamed, coloured and put into another one where they are listed", async () => {
    const { app, home, garden } = await setupNotebooks();
    await click(".side button", "More about “Home”");
    await type(named("[role=dialog] input", "Name"), "House");
    expect(app.notebooks.row(home)?.name).toBe("House");
    await click("[role=dialog] input", "Olive");
    await shown();
    expect(app.notebooks.row(home)?.colour).toBe(2);
    await choose(named("[role=dialog] select", "Lies in"), "Garden");
    expect(app.notebooks.row(home)?.parent).toBe(garden);
    await choose(named("[role=dialog] select", "On this device"), "recent notes");
    expect(app.notebooks.row(home)?.keep).toBe("recent");
  });

  it("that are deleted leave the list and come back by one click", async () => {
    const { app, garden } = await setupNotebooks();
    app.showNotes({ type: "notebook", id: garden });
    app.navigation.drawerOpen = true;
    await shown();
    await click(".side button", "More about “Garden”");
    await click(".side button", "Delete");
    expect(app.notebooks.row(garden)).toBeNull();
    expect(app.notes.filter).toEqual({ type: "all" });
    const notice = app.notices.list.find(({ text }) => text === "“Garden” is deleted.");
    notice?.action?.run();
    await shown();
    expect(app.notebooks.row(garden)?.state).toBe("active");
  });

  it("that are deleted can be brought back in Settings, too", async () => {
    const { app, device, garden } = await setupNotebooks();
    await device.deleteNotebook(garden);
    await shown();
    app.navigation.drawerOpen = false;
    app.navigation.show({ type: "settings" });
    await shown();
    await click("dialog button", "Bring back Garden");
    expect(app.notebooks.row(garden)?.state).toBe("active");
  });

  it("that others only let one read cannot be renamed, coloured or deleted", async () => {
    const { device } = await setupNotebooks();
    device.addNotebook("Theirs", { role: "read", shared: true });
    device.emit({ type: "notebooks" });
    await shown();
    await click(".side button", "More about “Theirs”");
    expect(document.querySelector("[role=dialog] input")).toBeNull();
    expect(textOf(document.querySelector("[role=dialog][aria-label]"))).not.toContain("Delete");
  });
});

describe("the tree of notebooks", () => {
  const device = new FakeDevice(() => 0);
  const garden = device.addNotebook("Garden");
  const seeds = device.addNotebook("Seeds", { parent: garden });
  const home = device.addNotebook("Home");

  it("offers every place but the notebook itself and what lies in it", async () => {
    const rows = await device.notebooks();
    expect(placesFor(rows, garden).map(({ id }) => id)).toEqual([device.firstNotebook(), home]);
    expect(placesFor(rows, seeds).map(({ id }) => id)).toEqual([
      device.firstNotebook(),
      garden,
      home,
    ]);
  });

  it("shows at the top what lies in a notebook that is not listed", async () => {
    const rows = (await device.notebooks()).filter(({ id }) => id !== garden);
    const branches = branchesOf(rows, new Set());
    expect(branches.find(({ notebook }) => notebook.id === seeds)?.depth).toBe(0);
    expect(branches).toHaveLength(rows.length);
  });
});

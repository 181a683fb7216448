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
  });

  it("stay in front when they get a new home", async () => {
    const { device, app, garden } = await setupNotebooks();
    app.showNotes({ type: "notebook", id: garden });
    const after = device.addNotebook("Garden", { former: [garden] });
    device.emit({ type: "notebooks" });
    await shown();
    expect(app.notes.filter).toEqual({ type: "notebook", id: after });
  });

  it("that others only let one read cannot be renamed or coloured", async () => {
    const { device } = await setupNotebooks();
    device.addNotebook("Theirs", { role: "read", shared: true });
    device.emit({ type: "notebooks" });
    await shown();
    await click(".side button", "More about “Theirs”");
    expect(document.querySelector("[role=dialog] input")).toBeNull();
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

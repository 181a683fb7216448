// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { click, named, setupScreen, shown, submit, textOf, type } from "./screen.ts";

describe("the window", () => {
  it("has the names that people and their tools find it by", async () => {
    await setupScreen((device) => device.addNote({ title: "Plan", body: "Hello" }));
    expect(named("button", "New note")).toBeTruthy();
    expect(named("textarea", "Note title")).toBeTruthy();
    expect(named("[role=textbox]", "Note body").textContent).toContain("Hello");
    expect(named("ul", "Notes").querySelectorAll("li")).toHaveLength(1);
    expect(named("button", "Share")).toBeTruthy();
    expect(textOf(named("[role=status]", "Sync status"))).toBe("Saved here");
  });

  it("begins with an empty note and its faint first line", async () => {
    await setupScreen();
    expect(textOf(named("[role=textbox]", "Note body"))).toBe(
      "Write something. It is saved here, sealed, and yours.",
    );
  });

  it("shows a title in the list as it is typed", async () => {
    await setupScreen();
    await type(named("textarea", "Note title"), "Garden");
    expect(textOf(document.querySelector("[data-note]"))).toContain("Garden");
  });

  it("follows the device's word on syncing", async () => {
    const { device } = await setupScreen();
    device.setStatus({ word: "offline", waiting: 3, connected: false });
    await shown();
    expect(textOf(named("[role=status]", "Sync status"))).toBe("Offline, 3 waiting");
  });

  it("says so when this window keeps nothing, and claims no saving", async () => {
    await setupScreen((device) => {
      device.statusNow = { ...device.statusNow, durable: false };
    });
    expect(textOf(document.querySelector("[role=alert]"))).toContain(
      "Notes in this window are not saved on this device",
    );
    expect(textOf(document.querySelector("footer"))).toContain("Only in this window");
    expect(textOf(document.querySelector("footer"))).not.toContain("Saved on this device");
  });

  it("says so when another window holds the notes", async () => {
    const { app } = await setupScreen();
    app.device.reachability = { kind: "held-elsewhere", message: "Open in another window." };
    await shown();
    expect(textOf(document.querySelector("[role=alert]"))).toBe("Open in another window.");
  });

  it("offers an update without taking it", async () => {
    const { app } = await setupScreen();
    let applied = 0;
    app.applyUpdate = () => (applied += 1);
    await shown();
    expect(applied).toBe(0);
    await click("button", "Update ready");
    expect(applied).toBe(1);
  });

  it("walks through the list with Up and Down", async () => {
    const { app } = await setupScreen((device) => {
      device.addNote({ title: "One", updatedAt: 2 });
      device.addNote({ title: "Two", updatedAt: 1 });
    });
    const row = document.querySelector<HTMLElement>("[data-note]");
    row?.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
    await shown();
    expect(app.current.title).toBe("Two");
  });

  it("has of ten thousand notes in fifty notebooks only those in sight in the page", async () => {
    const notes = 10_000;
    const { app } = await setupScreen((device) => {
      const notebooks = Array.from({ length: 50 }, (_, ix) => device.addNotebook(`No. ${ix}`));
      device.addNote({ title: "Note 0", updatedAt: notes });
      const rows = device.notes;
      device.notes = async () => {
        const [first] = await rows();
        if (first === undefined) throw new Error("a note was added");
        const others = Array.from({ length: notes - 1 }, (_, ix) => ({
          ...first,
          id: `note-${ix + 1}`,
          title: `Note ${ix + 1}`,
          updatedAt: notes - ix - 1,
          notebook: notebooks[ix % notebooks.length] ?? "",
        }));
        return [first, ...others];
      };
    });
    expect(app.notes.shown).toHaveLength(notes);
    const rows = [...document.querySelectorAll('[aria-label="Notes"] li')];
    expect(rows.slice(0, 2).map((row) => textOf(row.querySelector(".title")))).toEqual([
      "Note 0",
      "Note 1",
    ]);
    expect(rows.length).toBeLessThan(100);
    expect(rows[1]?.getAttribute("aria-setsize")).toBe(String(notes));
    expect(rows[1]?.getAttribute("aria-posinset")).toBe("2");
    const list = document.querySelector<HTMLElement>('[aria-label="Notes"]');
    const scroll = list?.parentElement;
    if (list == null || scroll == null) throw new Error("a list that scrolls");
    scroll.scrollTop = Number.parseInt(list.style.height, 10) / 2;
    scroll.dispatchEvent(new Event("scroll"));
    await shown();
    const half = [...list.querySelectorAll(".title")].map((title) => textOf(title));
    expect(half).toContain("Note 5000");
    expect(half).not.toContain("Note 1");
    expect(half.length).toBeLessThan(100);
  });

  it("makes a note with Control Alt N", async () => {
    const { app, device } = await setupScreen((made) => made.addNote({ title: "One" }));
    window.dispatchEvent(
      new KeyboardEvent("keydown", { code: "KeyN", ctrlKey: true, altKey: true }),
    );
    await shown();
    expect(await device.notes()).toHaveLength(2);
    expect(app.current.isEmpty()).toBe(true);
  });

  it("lets nobody write in a note they may only read, nor share it", async () => {
    await setupScreen((device) => {
      const notebook = device.addNotebook("Theirs", { role: "read", shared: true });
      device.addNote({ title: "Plan", body: "Hello", notebook });
    });
    expect(named("[role=textbox]", "Note body").getAttribute("aria-readonly")).toBe("true");
    expect(named("textarea", "Note title").hasAttribute("readonly")).toBe(true);
    expect(() => named("button", "Share")).toThrow("no button");
  });
});

describe("somebody's link", () => {
  it("says who, what and how before anything is joined", async () => {
    const { app, device } = await setupScreen((made) => {
      made.infoNow = { ...made.infoNow, displayName: "Mara" };
    }, "https://notes.example/#1e.x.y");
    expect(textOf(document.querySelector("h1"))).toBe("Ana shares “Garden” with you");
    expect(textOf(document.querySelector("main"))).toContain("You can read and write in it");
    expect(app.notebooks.rows.map(({ name }) => name)).not.toContain("Garden");

    await submit("form");
    expect((await device.notebooks()).map(({ name }) => name)).toContain("Garden");
    expect(app.notes.filter).toEqual({ type: "notebook", id: device.link.notebook });
    expect(named("section", "Garden")).toBeTruthy();
  });

  it("that is spent says so and leads to one's own notes", async () => {
    await setupScreen((made) => {
      made.refusals.set("previewLink", { code: "link-spent", message: "This link was used up." });
    }, "https://notes.example/#1e.x.y");
    expect(textOf(document.querySelector("[role=alert]"))).toBe("This link was used up.");
    await click("button", "Go to my notes");
    for (let turn = 0; turn < 5; turn++) await shown();
    expect(named("button", "New note")).toBeTruthy();
  });
});

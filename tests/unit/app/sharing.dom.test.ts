// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import type { FakeDevice } from "#tests/support/fake-device.ts";

import { choose, click, named, setupScreen, shown, submit, textOf, type } from "./screen.ts";

const dayMs = 24 * 60 * 60 * 1000;

/** Ana's notebook, with a note in it, that Ben may write in and Clara may read. */
async function setupGarden(arrange: (device: FakeDevice, garden: string) => void = () => {}) {
  let garden = "";
  const parts = await setupScreen((device) => {
    device.infoNow = { ...device.infoNow, displayName: "Ana" };
    garden = device.addNotebook("Garden", { shared: true });
    device.addNote({ title: "Plan", body: "Hello", notebook: garden });
    const { people } = device;
    people.set(garden, {
      people: [
        people.person({ name: "Ana", self: true, role: "admin" }),
        people.person({ name: "Ben" }),
        people.person({ name: "Clara", role: "read", verified: false }),
      ],
      mayManage: true,
    });
    arrange(device, garden);
  });
  await click("button", "Share");
  return { ...parts, garden };
}

function sheetText(): string {
  return textOf(document.querySelector("dialog"));
}

describe("sharing for the first time", () => {
  it("asks for a name and nothing else, and shares no more than the note in front", async () => {
    const { app, device } = await setupScreen((made) => {
      made.addNote({ title: "Plan", body: "Hello", updatedAt: 2 });
      made.addNote({ title: "Diary", updatedAt: 1 });
    });
    await click("button", "Share");
    expect(sheetText()).toContain("2 notes go along: Plan, Diary");
    expect(document.querySelectorAll("dialog input:not([type=radio])")).toHaveLength(1);
    await type(named("input", "Your name, for those you share with"), "Mara");
    await submit("dialog form");

    expect(device.infoNow.displayName).toBe("Mara");
    expect(device.shares.map(([notebook]) => notebook)).toEqual([app.openRow?.notebook]);
    expect(app.openRow?.notebook).not.toBe(device.firstNotebook());
    expect(app.current.note?.text("body")).toBe("Hello");
    expect(app.notes.rows.find(({ title }) => title === "Diary")?.notebook).toBe(
      device.firstNotebook(),
    );
  });

  it("makes a link for one person that ends, unless another is asked for", async () => {
    const { device, clock } = await setupScreen((made) => {
      made.infoNow = { ...made.infoNow, displayName: "Mara" };
      made.addNote({ title: "Plan" });
    });
    await click("button", "Share");
    await submit("dialog form");
    const now = clock.now();
    expect(device.shares[0]?.slice(1)).toEqual([
      "edit",
      { maxJoins: 1, expiresAt: now + 7 * dayMs },
    ]);
    expect(named("input", "Share link")).toHaveProperty("value", expect.stringContaining("#1e."));
    expect(sheetText()).toContain("A browser's own history may keep a link that was clicked");
    await click("dialog button", "Done");

    await click("button", "Share");
    await choose(named("select", "Whoever has the link"), "can read");
    await choose(named("select", "It is for"), "several people");
    await choose(named("select", "It opens"), "until you revoke it");
    await submit("dialog form");
    expect(device.shares[1]?.slice(1)).toEqual(["read", { maxJoins: null, expiresAt: null }]);
  });

  it("keeps the sheet, says why the device refuses, and moves the note only once", async () => {
    const { device, app } = await setupScreen((made) => {
      made.addNote({ title: "Plan", updatedAt: 2 });
      made.addNote({ title: "Diary", updatedAt: 1 });
      made.infoNow = { ...made.infoNow, displayName: "Mara" };
    });
    device.refusals.set("share", { code: "refused", message: "The relay is full." });
    await click("button", "Share");
    await submit("dialog form");
    expect(textOf(document.querySelector("dialog [role=alert]"))).toBe("The relay is full.");
    await submit("dialog form");
    expect(named("input", "Share link")).toBeTruthy();
    expect(app.notebooks.rows).toHaveLength(2);
    expect(app.notes.rows).toHaveLength(2);
  });
});

describe("the people in a notebook", () => {
  it("are listed with what each may do, this person first by name", async () => {
    await setupGarden();
    const rows = [...document.querySelectorAll("dialog ul[role=list] .row")].map(textOf);
    expect(rows[0]).toContain("You");
    expect(rows[0]).toContain("administers");
    expect(named("select", "What Ben may do")).toHaveProperty("value", "edit");
    expect(named("select", "What Clara may do")).toHaveProperty("value", "read");
    expect(rows[1]).not.toContain("not verified");
    expect(rows[2]).toContain("not verified");
  });

  it("are removed only after it was said what they keep", async () => {
    const { device, garden } = await setupGarden();
    await click("button", "Remove Ben");
    expect(sheetText()).toContain(
      "Ben keeps what has already arrived there. From now on Ben cannot read or change anything new here. Clara will notice nothing.",
    );
    expect(device.people.of(garden).people).toHaveLength(3);
    await click("dialog .more button", "Remove Ben");
    expect(device.people.of(garden).people.map(({ name }) => name)).toEqual(["Ana", "Clara"]);
    expect(() => named("button", "Remove Ben")).toThrow("no button");
  });

  it("are given another role, and keep theirs where the device refuses", async () => {
    const { device, garden } = await setupGarden();
    await choose(named("select", "What Clara may do"), "can edit");
    expect(device.people.of(garden).people[2]?.role).toBe("edit");
    device.refusals.set("setPersonRole", {
      code: "refused",
      message: "Clara was removed in the meantime.",
    });
    await choose(named("select", "What Clara may do"), "administers");
    expect(textOf(document.querySelector("dialog [role=alert]"))).toBe(
      "Clara was removed in the meantime.",
    );
    expect(named("select", "What Clara may do")).toHaveProperty("value", "edit");
  });

  it("show their fingerprint when it is asked for, beside one's own", async () => {
    const { device, garden } = await setupGarden();
    const [ana, ben] = device.people.of(garden).people;
    expect(sheetText()).not.toContain(ben?.fingerprint);
    await click("button", "Compare with Ben");
    expect(sheetText()).toContain(ben?.fingerprint);
    expect(sheetText()).toContain(ana?.fingerprint);
    expect(sheetText()).toContain(ben?.devices[0]?.fingerprint);
  });

  it("can be seen, and not managed, by those who do not administer", async () => {
    await setupGarden((device, garden) => device.people.set(garden, { mayManage: false }));
    expect(sheetText()).toContain("Clara");
    expect(document.querySelector("dialog select")).toBeNull();
    expect(() => named("button", "Remove Ben")).toThrow("no button");
    expect(sheetText()).toContain("can invite others");
  });

  it("with a name full of markup are shown as text", async () => {
    await setupGarden((device, garden) => {
      const { people } = device;
      people.set(garden, {
        people: [...people.of(garden).people, people.person({ name: "<img src=x onerror=1>" })],
      });
    });
    expect(sheetText()).toContain("<img src=x onerror=1>");
    expect(document.querySelector("dialog img")).toBeNull();
  });

  it("are read again when the device says that something has changed", async () => {
    const { device, garden } = await setupGarden();
    const [, ben] = device.people.of(garden).people;
    device.people.setPerson(garden, ben?.id ?? "", null);
    device.emit({ type: "notebooks" });
    await shown();
    expect(sheetText()).not.toContain("Ben");
  });
});

describe("the links to a notebook", () => {
  it("say what they allow, how often and until when, and end alone", async () => {
    const { device, garden, copied } = await setupGarden((made, notebook) => {
      made.people.addLink(notebook, { maxJoins: 1, expiresAt: Date.UTC(2026, 5, 4, 12) });
      made.people.addLink(notebook, { role: "read", joins: 2 });
    });
    expect(sheetText()).toMatch(/can edit · for one person · until (4 June|June 4)/);
    expect(sheetText()).toContain("can read · used 2 times");
    await click("button", "Copy the link that can read · used 2 times");
    expect(copied).toHaveLength(1);

    await click("button", "Revoke the link that can read · used 2 times");
    expect(device.people.of(garden).links.map(({ state }) => state)).toEqual(["live", "live"]);
    await click("button", "Revoke the link");
    expect(device.people.of(garden).links.map(({ state }) => state)).toEqual(["live", "revoked"]);
    expect(sheetText()).toContain("One link that ended");
  });

  it("name those who came by them", async () => {
    await setupGarden((device, garden) => {
      const { people } = device;
      const { id } = people.addLink(garden, { joins: 1 });
      const [, ben] = people.of(garden).people;
      people.setPerson(garden, ben?.id ?? "", { via: id });
    });
    expect(sheetText()).toContain("Ben came by it");
  });
});

describe("leaving a notebook", () => {
  it("is asked once more, and what is here stays", async () => {
    const { app, device, garden } = await setupGarden();
    await click("button", "Leave this notebook…");
    expect(sheetText()).toContain("What has arrived here stays readable on this device");
    expect((await device.notebooks()).find(({ id }) => id === garden)?.state).toBe("active");
    await click("dialog button", "Leave");
    expect(document.querySelector("dialog")).toBeNull();
    expect(app.notebooks.row(garden)?.state).toBe("ended");
    expect(textOf(document.querySelector("main"))).toContain("You no longer have access to Garden");
  });
});

describe("a notebook one was removed from", () => {
  it("offers a copy of one's own, with every note that is here", async () => {
    const { app, device } = await setupScreen((made) => {
      const choir = made.addNotebook("Choir", { state: "ended", role: "read" });
      made.addNote({ title: "Songs", body: "One, two", notebook: choir, updatedAt: 2 });
      made.addNote({ title: "Dates", body: "Tuesday", notebook: choir, updatedAt: 1 });
      made.addNote({ title: "Far", notebook: choir, here: false, updatedAt: 0 });
    });
    expect(textOf(document.querySelector("main"))).toContain(
      "You no longer have access to Choir. What you wrote before is still on this device: keep a copy?",
    );
    await click("button", "Keep a copy");
    const copy = app.notebooks.rows.find(({ name }) => name === "Choir, my copy");
    const copied = app.notes.rows.filter(({ notebook }) => notebook === copy?.id);
    expect(
      copied.map(({ id }) => device.text(id)).toSorted((a, b) => (a.title < b.title ? -1 : 1)),
    ).toEqual([
      { title: "Dates", body: "Tuesday" },
      { title: "Songs", body: "One, two" },
    ]);
    expect(app.notes.filter).toEqual({ type: "notebook", id: copy?.id });
  });
});

describe("somebody who comes in anew because a device of theirs was removed", () => {
  it("is let in by whoever manages the notebook, after their fingerprint was shown", async () => {
    const { device } = await setupGarden((made, notebook) => {
      const request = {
        notebook,
        person: "p",
        name: "Ben",
        renewed: "r",
        fingerprint: "9c1e 44b0",
      };
      made.renewalNow = { underWay: 0, waiting: [], requests: [request] };
    });
    expect(sheetText()).toContain("Ben has removed a device and asks to come in anew");
    expect(sheetText()).toContain("9c1e 44b0");
    await click("dialog button", "Let Ben in");
    expect(device.renewalNow.requests).toEqual([]);
    expect(sheetText()).not.toContain("asks to come in anew");
  });
});

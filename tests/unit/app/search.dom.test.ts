// @vitest-environment happy-dom
import { flushSync, mount, unmount } from "svelte";
import { afterEach, describe, expect, it } from "vitest";

import { countTags, selectRows } from "#client/app/state/note-rows.ts";
import { foundWords, preparingWords } from "#client/app/state/search-words.ts";
import Root from "#client/app/ui/Root.svelte";
import type { NoteRow, SearchAnswer } from "#client/device/api.ts";
import type { FakeDevice } from "#tests/support/fake-device.ts";

import { settled, setupApp } from "./setup-app.ts";

const mounted: Record<string, unknown>[] = [];

afterEach(async () => {
  for (const screen of mounted.splice(0)) await unmount(screen);
  document.body.replaceChildren();
});

async function setupSearch(arrange: (device: FakeDevice) => void = () => {}) {
  const parts = await setupApp((device) => {
    device.addNote({ title: "Garden plan", body: "Beds and seeds #spring" });
    device.addNote({ title: "Packing", body: "Tent and stove" });
    arrange(device);
  });
  mounted.push(mount(Root, { target: document.body, props: { app: parts.app } }));
  await parts.app.start({ opensNote: true });
  await shown();
  return { ...parts, field: element("input[type=search]") };
}

async function shown(): Promise<void> {
  await settled();
  flushSync();
}

function element(selector: string): HTMLElement {
  const found = document.querySelector<HTMLElement>(selector);
  if (found === null) throw new Error(`no ${selector}`);
  return found;
}

function texts(selector: string): string[] {
  return [...document.querySelectorAll(selector)].map((found) =>
    (found.textContent ?? "").replace(/\s+/g, " ").trim(),
  );
}

async function type(field: HTMLElement, text: string): Promise<void> {
  if (!(field instanceof HTMLInputElement)) throw new Error("no field");
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  await shown();
}

async function press(key: string, more: KeyboardEventInit = {}): Promise<void> {
  const target = document.activeElement ?? document.body;
  target.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }),
  );
  await shown();
}

function answering(answer: Partial<SearchAnswer>): (device: FakeDevice) => void {
  return (device) => {
    const nothing = { hits: [], total: 0, isMore: false, remarks: [], preparing: null };
    device.answer = () => ({ ...nothing, ...answer });
  };
}

describe("the search field", () => {
  it("takes the keyboard by its key, and gives the list back when it is cleared", async () => {
    const { field } = await setupSearch();
    await press("k", { ctrlKey: true });
    expect(document.activeElement).toBe(field);
    await type(field, "seeds");
    expect(texts("[aria-label='Search results'] .title")).toEqual(["Garden plan"]);
    expect(document.querySelector("[aria-label=Notes]")).toBeNull();
    await press("Escape");
    expect(texts("[aria-label=Notes] .title").toSorted()).toEqual(["Garden plan", "Packing"]);
    expect(document.activeElement).toBe(field);
  });

  it("is left for what was found by the arrow keys, and come back to", async () => {
    const { app, field } = await setupSearch();
    field.focus();
    await type(field, "and");
    await press("ArrowDown");
    const [first, second] = document.querySelectorAll("[aria-label='Search results'] button");
    expect(document.activeElement).toBe(first);
    await press("ArrowDown");
    await press("ArrowDown");
    expect(document.activeElement).toBe(second);
    await press("ArrowUp");
    await press("ArrowUp");
    expect(document.activeElement).toBe(field);
    await press("Enter");
    await shown();
    expect(app.current.id).toBe(app.search.hits[0]?.id);
  });

  it("offers what else can be asked for while it is empty", async () => {
    const { field } = await setupSearch();
    expect(document.querySelector(".hints")).toBeNull();
    field.dispatchEvent(new FocusEvent("focusin", { bubbles: true }));
    await shown();
    expect(texts(".hints code")).toContain("tag:garden");
    await type(field, "x");
    expect(document.querySelector(".search .hints")).toBeNull();
  });

  it("asks for the newest text alone while an answer is on its way", async () => {
    const { device, app } = await setupSearch();
    for (const text of ["s", "se", "see", "seed"]) app.search.type(text);
    await shown();
    expect(device.searches).toEqual(["s", "seed"]);
    expect(app.search.hits).toHaveLength(1);
  });

  it("looks again when the device says that there may be more", async () => {
    const { device, app } = await setupSearch();
    app.search.type("stove");
    await shown();
    device.addNote({ title: "New", body: "another stove" });
    device.emit({ type: "search" });
    await shown();
    expect(app.search.hits).toHaveLength(2);
    app.search.clear();
    device.emit({ type: "search" });
    await shown();
    expect(device.searches).toHaveLength(2);
    expect(app.search.hits).toHaveLength(0);
  });
});

describe("what was found", () => {
  it("is marked where the words are, and shown as text whatever it holds", async () => {
    const hostile = "<img src=x onerror=alert(1)>";
    const { app, device } = await setupSearch();
    const [id = ""] = (await device.notes()).map((row) => row.id);
    device.answer = () => ({
      hits: [
        {
          id,
          title: [{ text: hostile, match: true }],
          snippet: [
            { text: "some ", match: false },
            { text: "seeds", match: true },
          ],
          found: null,
        },
      ],
      total: 1,
      isMore: false,
      remarks: [],
      preparing: null,
    });
    app.search.type("seeds");
    await shown();
    expect(texts("mark")).toEqual([hostile, "seeds"]);
    expect(texts("[aria-label='Search results'] .snippet")).toEqual(["some seeds"]);
    expect(document.querySelector("img")).toBeNull();
  });

  it("is announced in words", async () => {
    const remark = "“before:soon” holds no date.";
    const { app } = await setupSearch(
      answering({ remarks: [remark], preparing: { done: 120, total: 1_000 } }),
    );
    app.search.type("zebra ");
    await shown();
    expect(texts("[role=status].count")).toEqual(["No note matches “zebra”."]);
    expect(texts(".said p")).toEqual([
      "No note matches “zebra”.",
      remark,
      "Search is being prepared: 120 of 1,000 notes.",
    ]);
  });

  it("is counted honestly", () => {
    const hit = { id: "a", title: [], snippet: [], found: null };
    const answer = { hits: [hit], total: 1, isMore: false, remarks: [], preparing: null };
    expect(foundWords(answer, "x")).toBe("1 note");
    expect(foundWords({ ...answer, hits: [hit, hit], total: 2 }, "x")).toBe("2 notes");
    expect(foundWords({ ...answer, total: 70 }, "x")).toBe("70 notes, the best 1 shown");
    expect(foundWords({ ...answer, total: 500, isMore: true }, "x")).toBe("More than 500 notes");
    expect(preparingWords({ done: 0, total: 12_345 })).toBe(
      "Search is being prepared: 0 of 12,345 notes.",
    );
  });

  it("is not there where search does not work, and why is said", async () => {
    const { app, device } = await setupSearch();
    device.refusals.set("search", { code: "unavailable", message: "Search does not work." });
    app.search.type("seeds");
    await shown();
    expect(texts("[role=status].count")).toEqual(["Search does not work."]);
  });

  it("asks the note to show it", async () => {
    const { app, device } = await setupSearch();
    const row = (await device.notes()).find(({ title }) => title === "Garden plan");
    const found = { at: 9, text: "seeds" };
    await app.openFound({ id: row?.id ?? "", title: [], snippet: [], found });
    await shown();
    expect(app.current.id).toBe(row?.id);
    expect(texts(".cm-found")).toEqual(["seeds"]);
    expect(app.navigation.revealWish).toBeNull();
  });
});

describe("pins and tags", () => {
  function row(id: string, fields: Partial<NoteRow>): NoteRow {
    const shown = { title: id, preview: "", tags: [], pinned: false, notebook: "n" };
    const sync = {
      here: true,
      state: "saved-here" as const,
      waiting: 0,
      seenBy: [],
      quarantined: 0,
      awaiting: 0,
    };
    return { id, ...shown, createdAt: 0, updatedAt: 0, trashed: false, ...sync, ...fields };
  }

  it("put pinned notes first, but not in the trash", () => {
    const rows = [
      row("new", { updatedAt: 3 }),
      row("pinned", { updatedAt: 1, pinned: true }),
      row("gone", { updatedAt: 2, trashed: true }),
      row("gone and pinned", { updatedAt: 1, trashed: true, pinned: true }),
    ];
    const ids = (filter: Parameters<typeof selectRows>[1]): string[] =>
      selectRows(rows, filter).map(({ id }) => id);
    expect(ids({ type: "all" })).toEqual(["pinned", "new"]);
    expect(ids({ type: "pinned" })).toEqual(["pinned"]);
    expect(ids({ type: "trash" })).toEqual(["gone", "gone and pinned"]);
  });

  it("count the notes of a tag with those of the tags below it", () => {
    const rows = [
      row("a", { tags: ["Garden", "spring"] }),
      row("b", { tags: ["garden/beds"] }),
      row("c", { tags: ["garden", "gardening"] }),
      row("d", { tags: ["garden"] }),
      row("e", { tags: ["garden"], trashed: true }),
    ];
    expect(countTags(rows)).toEqual([
      { name: "garden", notes: 4 },
      { name: "garden/beds", notes: 1 },
      { name: "gardening", notes: 1 },
      { name: "spring", notes: 1 },
    ]);
    const ids = selectRows(rows, { type: "tag", name: "Garden" }).map(({ id }) => id);
    expect(ids).toEqual(["a", "b", "c", "d"]);
  });

  it("are filters beside the notebooks", async () => {
    const { app } = await setupSearch();
    const tag = [...document.querySelectorAll<HTMLElement>(".side nav > button")].find((button) =>
      button.textContent.includes("spring"),
    );
    tag?.click();
    await shown();
    expect(tag?.getAttribute("aria-current")).toBe("page");
    expect(app.notes.shown.map(({ title }) => title)).toEqual(["Garden plan"]);
    await app.pin(app.notes.rows[1]?.id ?? "", true);
    app.showNotes({ type: "pinned" });
    await shown();
    expect(texts("[aria-label=Notes] .title")).toHaveLength(1);
    expect(texts("[aria-label=Notes] .pinned")).toEqual(["Pinned"]);
  });
});

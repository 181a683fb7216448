import { afterEach, describe, expect, it, vi } from "vitest";

import type { SearchAnswer } from "#client/device/api.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { SearchIndex } from "#crdt-store/search-index.ts";
import { startTestRelay } from "#tests/support/relay.ts";
import {
  eventually,
  filesAfterCrash,
  onlyNotebook,
  refusalOf,
  setupDevice,
  type DeviceFixture,
} from "./setup-device.ts";

afterEach(() => vi.restoreAllMocks());

async function found({ device }: DeviceFixture, typed: string): Promise<string[]> {
  return titlesOf(await device.searchAll(typed, 50));
}

function titlesOf(answer: SearchAnswer): string[] {
  return answer.hits.map((hit) => hit.title.map(({ text }) => text).join(""));
}

describe("a search", { timeout: 60_000 }, () => {
  it("finds notes by what they say, soon after it was written", async () => {
    await using fixture = await setupDevice();
    const { device } = fixture;
    const { id } = await device.createNote({
      title: "Garden plan",
      body: "# Beds\n\n- [ ] **seeds**",
    });
    await device.createNote({ title: "Packing", body: "Tent #camping" });
    const answer = await eventually(device, async () => {
      const soon = await device.search("seed", 10);
      return soon.hits.length > 0 && soon;
    });
    expect(answer).toEqual({
      hits: [
        {
          id,
          title: [{ text: "Garden plan", match: false }],
          snippet: [
            { text: "Beds ", match: false },
            { text: "seeds", match: true },
          ],
          found: { at: 16, text: "seeds" },
        },
      ],
      total: 1,
      isMore: false,
      remarks: [],
      preparing: null,
    });
    expect(await found(fixture, "tag:camp")).toEqual(["Packing"]);
    expect(await found(fixture, "")).toEqual([]);
  });

  it("follows edits, the trash, other notebooks and pins", async () => {
    await using fixture = await setupDevice();
    const { device } = fixture;
    const { id } = await device.createNote({ title: "Plan", body: "old words" });
    expect(await found(fixture, "old")).toEqual(["Plan"]);
    const { heads } = await device.readNote(id);
    await device.spliceNote(id, heads, [{ field: "body", at: 0, remove: 3, insert: "new" }]);
    expect(await found(fixture, "old")).toEqual([]);
    expect(await found(fixture, "new")).toEqual(["Plan"]);
    await device.pinNote(id, true);
    expect(await found(fixture, "new is:pinned")).toEqual(["Plan"]);
    expect(await found(fixture, "new -is:pinned")).toEqual([]);
    await device.trashNote(id);
    // At once, though the index follows a moment later.
    expect((await device.search("new", 10)).hits).toEqual([]);
    expect(await found(fixture, "new")).toEqual([]);
    expect(await found(fixture, "new is:trashed")).toEqual(["Plan"]);
    await device.restoreNote(id);
    const { id: home } = await device.createNotebook("Hôme");
    await device.moveNote(id, home);
    expect(await found(fixture, "new")).toEqual(["Plan"]);
    expect(await found(fixture, "new in:home ")).toEqual(["Plan"]);
    expect(await found(fixture, `new in:${home}`)).toEqual(["Plan"]);
    expect(await found(fixture, "new -in:home ")).toEqual([]);
    expect(await found(fixture, "new in:Notes ")).toEqual([]);
    expect(await found(fixture, "is:pinned")).toEqual(["Plan"]);
    const unknown = await device.search("new in:Nowhere ", 10);
    expect(unknown).toMatchObject({ hits: [], remarks: ["There is no notebook “Nowhere”."] });
  });

  it("finds shared notes and those changed in a span of time", async () => {
    await using fixture = await setupDevice();
    const { device } = fixture;
    await device.createNote({ title: "Mine" });
    const year = new Date().getFullYear();
    expect(await found(fixture, `after:${year} before:${year + 1}`)).toEqual(["Mine"]);
    expect(await found(fixture, `before:${year}`)).toEqual([]);
    expect(await found(fixture, "is:shared")).toEqual([]);
    expect(await found(fixture, "-is:shared")).toEqual(["Mine"]);
  });

  it("finds what a tab has written and what was sealed in a draft when the tab went", async () => {
    await using fixture = await setupDevice();
    const { device, sessions } = fixture;
    const { id } = await device.createNote({ title: "Draft", body: "" });
    sessions.add("tab");
    const { actor } = await device.openNote(id, "tab");
    const { heads } = await device.readNote(id);
    const edits = [{ field: "body" as const, at: 0, remove: 0, insert: "kingfisher" }];
    await device.draft(id, { session: "tab", actor, heads, edits });
    sessions.delete("tab");
    device.tabGone("tab");
    const hits = await eventually(device, async () => {
      const answer = await device.search("kingf", 5);
      return answer.hits.length > 0 && answer.hits;
    });
    expect(hits.map((hit) => hit.id)).toEqual([id]);
  });

  it("finds what others wrote, once it has arrived", async () => {
    const relay = await startTestRelay();
    try {
      await using ana = await setupDevice({ relayUrl: relay.url });
      await using ben = await setupDevice({ relayUrl: relay.url });
      const { id: notebook } = await onlyNotebook(ana.device);
      const { id } = await ana.device.createNote({ title: "Tent", body: "Two poles" });
      const { link } = await ana.device.share(notebook, "edit");
      await ben.device.join(link);
      await eventually(
        ben.device,
        async () => (await ben.device.search("pole", 5)).hits.length === 1,
      );
      expect(await found(ben, "pole is:shared")).toEqual(["Tent"]);
      const { heads } = await ben.device.readNote(id);
      await ben.device.spliceNote(id, heads, [
        { field: "body", at: 0, remove: 0, insert: "Guy lines. " },
      ]);
      await eventually(
        ana.device,
        async () => (await ana.device.search("guy", 5)).hits.length === 1,
      );
    } finally {
      await relay.stop();
    }
  });
});

describe("the search index", { timeout: 60_000 }, () => {
  it("is compared with the notes at every start: nothing is read twice, nothing is missed", async () => {
    const indexFiles = new MemoryFiles();
    const files = new MemoryFiles();
    {
      await using first = await setupDevice({ files, indexFiles });
      await first.device.createNote({ title: "One", body: "bed" });
      await found(first, "bed");
    }
    const before = indexFiles.snapshot();
    {
      // Without the index, and the note is another one now.
      await using second = await setupDevice({ files, openSearchIndex: null });
      const [row] = await second.device.notes();
      const { heads } = await second.device.readNote(row?.id ?? "");
      await second.device.spliceNote(row?.id ?? "", heads, [
        { field: "body", at: 0, remove: 3, insert: "leek" },
      ]);
      await second.device.createNote({ title: "Two", body: "leek" });
      expect(await refusalOf(() => second.device.search("leek", 5))).toBe("unavailable");
    }
    expect(indexFiles.snapshot()).toEqual(before);
    {
      await using third = await setupDevice({ files, indexFiles });
      expect((await found(third, "leek")).toSorted()).toEqual(["One", "Two"]);
      expect(await found(third, "bed")).toEqual([]);
    }
    {
      const put = vi.spyOn(SearchIndex.prototype, "put");
      await using fourth = await setupDevice({ files, indexFiles });
      expect(await found(fourth, "leek")).toHaveLength(2);
      expect(put).not.toHaveBeenCalled();
    }
  });

  it("that knows more than the notes, an older copy of which was put back, forgets it", async () => {
    await using first = await setupDevice();
    const indexFiles = new MemoryFiles();
    await first.device.createNote({ title: "Kept", body: "bed" });
    const older = filesAfterCrash(first);
    await using newer = await setupDevice({ files: filesAfterCrash(first), indexFiles });
    const [row] = await newer.device.notes();
    const { heads } = await newer.device.readNote(row?.id ?? "");
    await newer.device.spliceNote(row?.id ?? "", heads, [
      { field: "body", at: 0, remove: 3, insert: "leek" },
    ]);
    await newer.device.createNote({ title: "Lost", body: "leek" });
    expect(await found(newer, "leek")).toHaveLength(2);
    const kept = new MemoryFiles(indexFiles.snapshot());
    await using back = await setupDevice({ files: older, indexFiles: kept });
    expect(await found(back, "leek")).toEqual([]);
    expect(await found(back, "bed")).toEqual(["Kept"]);
  });

  it("that is found damaged is made anew while the notes are used, and the log says so", async () => {
    await using fixture = await setupDevice();
    const { device } = fixture;
    await device.createNote({ title: "One", body: "bed" });
    expect(await found(fixture, "bed")).toEqual(["One"]);
    vi.spyOn(SearchIndex.prototype, "find").mockImplementationOnce(() => {
      throw new StoreError("corrupt", "a damaged page");
    });
    expect(await refusalOf(() => device.search("bed", 5))).toBe("unavailable");
    expect(await found(fixture, "bed")).toEqual(["One"]);
    const log = await device.syncLog();
    expect(log.map(({ text }) => text).join()).toContain("No note is affected");
  });

  it("that is damaged whatever one does is given up, and the notes go on", async () => {
    await using fixture = await setupDevice();
    const { device } = fixture;
    await device.createNote({ title: "One", body: "bed" });
    vi.spyOn(SearchIndex.prototype, "put").mockImplementation(() => {
      throw new StoreError("corrupt", "a damaged page");
    });
    expect(await refusalOf(() => device.searchAll("bed", 5))).toBe("unavailable");
    expect(await refusalOf(() => device.search("bed", 5))).toBe("unavailable");
    await device.createNote({ title: "Two" });
    expect(await device.notes()).toHaveLength(2);
  });

  it("that fails as nobody foresaw is given up, and the notes go on", async () => {
    await using fixture = await setupDevice();
    const { device } = fixture;
    vi.spyOn(SearchIndex.prototype, "put").mockImplementation(() => {
      throw new TypeError("a mistake of ours");
    });
    await device.createNote({ title: "One", body: "bed" });
    await eventually(device, async () =>
      (await device.syncLog()).some(({ text }) => text.includes("a mistake of ours")),
    );
    expect(await refusalOf(() => device.search("bed", 5))).toBe("unavailable");
    await device.createNote({ title: "Two" });
    expect(await device.notes()).toHaveLength(2);
  });

  it("that finds no space says so once, and the notes go on", async () => {
    await using fixture = await setupDevice();
    const { device } = fixture;
    const put = vi.spyOn(SearchIndex.prototype, "put").mockImplementation(() => {
      throw new StoreError("disk-full", "no space");
    });
    await device.createNote({ title: "One", body: "bed" });
    expect(await refusalOf(() => device.searchAll("bed", 5))).toBe("unavailable");
    await device.createNote({ title: "Two", body: "bed" });
    expect(await device.search("bed", 5)).toMatchObject({ hits: [], preparing: { total: 2 } });
    const log = (await device.syncLog()).filter(({ text }) => text.includes("search index"));
    expect(log).toHaveLength(1);
    expect(put).toHaveBeenCalledTimes(1);
  });

  it("that cannot be opened leaves the notes alone", async () => {
    await using fixture = await setupDevice({
      openSearchIndex: () => Promise.reject(new Error("no such place")),
    });
    expect(await refusalOf(() => fixture.device.search("bed", 5))).toBe("unavailable");
    await fixture.device.createNote({ title: "One" });
  });

  it("says how far it has come while it is made, and gives what it has", async () => {
    await using first = await setupDevice({ openSearchIndex: null });
    for (let ix = 0; ix < 40; ix += 1) await first.device.createNote({ title: `Bed ${ix}` });
    const files = filesAfterCrash(first);
    await using second = await setupDevice({ files });
    const seen: NonNullable<SearchAnswer["preparing"]>[] = [];
    const last = await eventually(second.device, async () => {
      const answer = await second.device.search("bed", 100);
      if (answer.preparing === null) return answer;
      seen.push(answer.preparing);
      expect(answer.hits.length).toBeLessThanOrEqual(answer.preparing.done);
      return null;
    });
    expect(last.hits).toHaveLength(40);
    expect(seen.length).toBeGreaterThan(0);
    expect(seen.every(({ total }) => total === 40)).toBe(true);
  });
});

describe("pins", { timeout: 60_000 }, () => {
  it("are a person's own, on all their devices, and outlive a restart", async () => {
    const relay = await startTestRelay();
    try {
      await using first = await setupDevice({ relayUrl: relay.url, fresh: true });
      const words = first.device.create().join(" ");
      const { id } = await first.device.createNote({ title: "Tent" });
      const { id: other } = await first.device.createNote({ title: "Stove" });
      await first.device.pinNote(id, true);
      await first.device.pinNote(id, true);
      await using second = await setupDevice({ relayUrl: relay.url });
      expect(await first.device.settled(20_000)).toBe(true);
      await second.device.restore(words);
      const pinned = async ({ device }: DeviceFixture): Promise<string> =>
        (await device.notes())
          .filter((row) => row.pinned)
          .map((row) => row.id)
          .toSorted()
          .join();
      await eventually(second.device, async () => (await pinned(second)) === id);
      // Both at once: neither hides the other's.
      await Promise.all([second.device.pinNote(other, true), first.device.pinNote(id, false)]);
      await eventually(first.device, async () => (await pinned(first)) === other);
      await eventually(second.device, async () => (await pinned(second)) === other);
      await using again = await setupDevice({ files: filesAfterCrash(second) });
      expect(await pinned(again)).toBe(other);
      expect(await refusalOf(() => again.device.pinNote("nonsense", true))).toBe("no-such-note");
    } finally {
      await relay.stop();
    }
  });
});

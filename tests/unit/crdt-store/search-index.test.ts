import fc from "fast-check";
import { describe, expect, it } from "vitest";

import type { SearchIndex } from "#crdt-store/search-index.ts";
import { bytesFor, space } from "./store-fixtures.ts";
import { indexed, marked, query, setupIndex, tags, titlesOf } from "./search-fixtures.ts";

async function setupNotes(...notes: Parameters<typeof indexed>[]): Promise<SearchIndex> {
  const { index } = await setupIndex();
  index.put(notes.map((note) => indexed(...note)));
  return index;
}

describe("words", { timeout: 60_000 }, () => {
  it("are found in title, body and tags, whole or as they begin", async () => {
    const index = await setupNotes(
      ["Garden plan", { body: "Beds and seeds" }],
      ["Packing", { body: "Tent, stove, gardening gloves" }],
      ["Reading", { tags: tags("garden/books") }],
      ["Nothing"],
    );
    const found = (text: string): string[] => titlesOf(index.find(query(text))).toSorted();
    expect(found("gard")).toEqual(["Garden plan", "Packing", "Reading"]);
    expect(found("GARDEN p")).toEqual(["Garden plan"]);
    expect(found("garden")).toEqual(["Garden plan", "Packing", "Reading"]);
    expect(found("garden seed")).toEqual(["Garden plan"]);
    expect(found("arden")).toEqual([]);
    expect(found("books")).toEqual(["Reading"]);
  });

  it("are the same with and without accents, in both directions", async () => {
    const index = await setupNotes(
      ["Café", { body: "Crème brûlée, naïve, Việt Nam, Ελλάδα, Ёлка" }],
      ["Cafe", { body: "creme brulee" }],
    );
    for (const text of ["cafe", "café", "CRÈME", "creme brulée"]) {
      expect(titlesOf(index.find(query(text)))).toHaveLength(2);
    }
    for (const text of ["naive", "viet", "Ελλαδα", "ёлка", "cafe\u0301"]) {
      expect(titlesOf(index.find(query(text)))).toContain("Café");
    }
  });

  it("in quotes stand in their order", async () => {
    const index = await setupNotes(
      ["one", { body: "second bed in the garden" }],
      ["two", { body: "the bed, the second" }],
    );
    expect(titlesOf(index.find(query("second_bed")))).toEqual(["one"]);
    expect(titlesOf(index.find(query("second bed")))).toHaveLength(2);
    expect(titlesOf(index.find(query("don't")))).toEqual([]);
  });

  it("are left out with a minus, alone too", async () => {
    const index = await setupNotes(["one", { body: "bed seeds" }], ["two", { body: "bed" }]);
    expect(titlesOf(index.find(query("-seeds bed")))).toEqual(["two"]);
    expect(titlesOf(index.find(query("-seeds")))).toEqual(["two"]);
    expect(titlesOf(index.find(query("-seeds -bed")))).toEqual([]);
    expect(titlesOf(index.find(query("bed -seeds -nothing")))).toEqual(["two"]);
  });

  it.each([
    [
      "Chinese",
      "今天去花园种了番茄，天气很好",
      ["花园", "番茄", "花", "园种", "天气很好"],
      ["果园", "园花"],
    ],
    [
      "Japanese",
      "東京タワーへ行きました。コーヒーを飲む",
      ["東京", "タワー", "コーヒー", "京タ", "飲"],
      ["京東"],
    ],
    ["Korean", "정원을 계획하고 씨앗을 샀다", ["정원", "계획", "씨앗", "정원을"], ["원정"]],
    ["Thai", "วันนี้ไปสวนผักกับแม่", ["สวน", "ผัก", "สวนผัก", "แม่"], ["นผ"]],
    ["Hindi", "बगीचे की योजना", ["बगीचे", "योजना", "योज"], ["गीचे"]],
    [
      "Chinese beside Latin",
      "iPhone手机和WiFi",
      ["手机", "iphone", "wifi", "iPhone手机"],
      ["手iphone"],
    ],
    ["emoji", "tomatoes🍅 ripe ❤️", ["🍅", "❤", "tomatoes", "❤️"], ["🥕"]],
  ])("of %s are found", async (_, body, present, absent) => {
    const index = await setupNotes(["there", { body }], ["other", { body: "something else" }]);
    expect(present.filter((text) => index.find(query(text)).hits.length !== 1)).toEqual([]);
    expect(absent.filter((text) => index.find(query(text)).hits.length !== 0)).toEqual([]);
    const [hit] = index.find(query(present[0] ?? "")).hits;
    expect(hit?.excerpt.map((part) => part.text).join("")).toBe(body);
    expect(body.slice(hit?.found?.at).startsWith(hit?.found?.text ?? "-")).toBe(true);
  });

  it("that somebody types never steer the query", async () => {
    const index = await setupNotes(["one", { body: "bed OR seeds NOT near title" }]);
    for (const text of [
      "bed NOT",
      "OR",
      "NEAR/2",
      "title:bed",
      "bed*",
      "^bed",
      '"bed',
      "(bed",
      "bed)",
    ]) {
      expect(titlesOf(index.find(query(text)))).toEqual(
        text === "NEAR/2" || text === "title:bed" ? [] : ["one"],
      );
    }
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc
        .array(
          fc.constantFrom(
            '"',
            "*",
            "^",
            "NOT",
            "OR",
            "(",
            ")",
            ":",
            "-",
            "'",
            "\0",
            "a",
            "花",
            "\u0301",
            " ",
          ),
        )
        .map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(text, fc.boolean(), fc.boolean(), (typed, isPrefix, isExcluded) => {
        const phrase = { text: typed, isPrefix };
        const asked = query("", isExcluded ? { none: [phrase] } : { all: [phrase] });
        expect(index.find(asked).hits.length).toBeLessThanOrEqual(1);
      }),
    );
    expect(index.find(query("!!! ...")).hits).toEqual([]);
  });
});

describe("what is found", { timeout: 60_000 }, () => {
  it("begins with what says it in its title or tags, then with what says it most, then with the newest", async () => {
    const filler = "words about quite other things ".repeat(20);
    const index = await setupNotes(
      ["once", { body: `${filler} tomato ${filler}`, updatedAt: 9e9 }],
      ["often", { body: `tomato tomato tomato ${filler}` }],
      ["Tomato", { body: filler }],
      ["tagged", { body: filler, tags: tags("tomato") }],
      ["other", { body: filler }],
      ["another", { body: filler }],
      ["old", { body: "leek", updatedAt: 1e9 }],
      ["new", { body: "leek", updatedAt: 5e9 }],
      ["newer", { body: "leek", updatedAt: 6e9 }],
    );
    expect(titlesOf(index.find(query("tomato")))).toEqual(["Tomato", "tagged", "often", "once"]);
    expect(titlesOf(index.find(query("leek")))).toEqual(["newer", "new", "old"]);
  });

  it("is cut to where the words are, and marked", async () => {
    const before = "Something first. ".repeat(40);
    const body = `${before}Then the second bed was made, with a **bed** of straw. ${"After that. ".repeat(40)}`;
    const index = await setupNotes(["The bed", { body }]);
    const [hit] = index.find(query("second bed")).hits;
    expect(marked(hit?.title ?? [])).toBe("The [bed]");
    expect(marked(hit?.excerpt ?? [])).toMatch(
      /^….{0,60}Then the \[second\] \[bed\] was made, with a \*\*\[bed\]\*\* of straw\. .*…$/,
    );
    expect(hit?.found).toEqual({ at: body.indexOf("second"), text: "second" });
    const [titled] = index.find(query("the")).hits;
    expect(marked(titled?.title ?? [])).toBe("[The] bed");
  });

  it("is bounded, and says so", async () => {
    const { index } = await setupIndex();
    const old = indexed("the old plan", { updatedAt: 1000 });
    index.put([
      old,
      ...Array.from({ length: 600 }, (_, ix) =>
        indexed(`note ${ix}`, { title: "", body: "plan", updatedAt: 2_000 + ix }),
      ),
    ]);
    const answer = index.find(query("plan", { most: 20 }));
    expect(answer).toMatchObject({ total: 300, isMore: true });
    expect(answer.hits).toHaveLength(20);
    // Older than the 300 newest, but named so.
    expect(titlesOf(answer)[0]).toBe("the old plan");
    expect(index.find(query("old pla"))).toMatchObject({ total: 1, isMore: false });
  });

  it("keeps to the conditions", async () => {
    const other = bytesFor("another space");
    const index = await setupNotes(
      ["a", { body: "bed", tags: tags("garden/beds", "spring"), updatedAt: 5_000 }],
      ["b", { body: "bed", tags: tags("garden"), space: other, updatedAt: 6_000 }],
      ["c", { body: "bed", pinned: true, tags: tags("gardening"), updatedAt: 7_000 }],
      ["d", { body: "bed", trashed: true, updatedAt: 8_000 }],
    );
    const wish = (key: string, isPrefix = false) => ({ key, isPrefix });
    const found = (more: Parameters<typeof query>[1], text = "bed"): string[] =>
      titlesOf(index.find(query(text, more))).toSorted();
    for (const text of ["bed", ""]) {
      expect(found({}, text)).toEqual(["a", "b", "c"]);
      expect(found({ trashed: true }, text)).toEqual(["d"]);
      expect(found({ pinned: true }, text)).toEqual(["c"]);
      expect(found({ pinned: false }, text)).toEqual(["a", "b"]);
      expect(found({ spaces: [other] }, text)).toEqual(["b"]);
      expect(found({ spaces: [] }, text)).toEqual([]);
      expect(found({ spaces: [other, space] }, text)).toEqual(["a", "b", "c"]);
      expect(found({ tags: [wish("garden")] }, text)).toEqual(["a", "b"]);
      expect(found({ tags: [wish("garden", true)] }, text)).toEqual(["a", "b", "c"]);
      expect(found({ tags: [wish("garden/beds")] }, text)).toEqual(["a"]);
      expect(found({ tags: [wish("garden"), wish("spring")] }, text)).toEqual(["a"]);
      expect(found({ withoutTags: [wish("garden")] }, text)).toEqual(["c"]);
      expect(found({ from: 6_000, before: 7_000 }, text)).toEqual(["b"]);
    }
    index.place({ ...indexed("a"), trashed: true, pinned: true });
    expect(found({ trashed: true, pinned: true })).toEqual(["a"]);
  });
});

describe("the index", { timeout: 60_000 }, () => {
  it("holds each note once, in its newest version", async () => {
    const index = await setupNotes(["a", { body: "first" }], ["b", { body: "first" }]);
    index.put([indexed("a", { body: "second", version: 2, tags: tags("spring") })]);
    expect(titlesOf(index.find(query("first")))).toEqual(["b"]);
    expect(titlesOf(index.find(query("second")))).toEqual(["a"]);
    expect(index.entry(bytesFor("a", 16))).toMatchObject({ version: 2, pinned: false });
    index.remove([bytesFor("a", 16), bytesFor("never there", 16)]);
    expect(index.entry(bytesFor("a", 16))).toBeNull();
    expect(titlesOf(index.find(query("second")))).toEqual([]);
    expect(index.documents()).toEqual([bytesFor("b", 16)]);
  });

  it("takes many notes of one moment", async () => {
    const { index } = await setupIndex();
    for (let round = 0; round < 3; round += 1) {
      index.put(
        Array.from({ length: 300 }, (_, ix) => indexed(`${round} ${ix}`, { body: "same" })),
      );
    }
    index.put([indexed("no time", { updatedAt: -5 }), indexed("far off", { updatedAt: 1e18 })]);
    expect(index.documents()).toHaveLength(902);
    expect(index.find(query("same")).isMore).toBe(true);
  });

  it("is tidied in small steps that change nothing", async () => {
    const { index } = await setupIndex();
    for (let round = 0; round < 40; round += 1) {
      index.put([indexed(`${round}`, { body: `bed number ${round}` })]);
    }
    let steps = 0;
    while (index.tidy()) steps += 1;
    expect(steps).toBeGreaterThan(0);
    expect(index.tidy()).toBe(false);
    expect(index.find(query("bed number")).total).toBe(40);
  });
});

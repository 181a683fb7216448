import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseSearchQuery } from "#client/notes/search-query.ts";

function words(typed: string): { all: string[]; none: string[] } {
  const { all, none } = parseSearchQuery(typed);
  const shown = (phrases: typeof all): string[] =>
    phrases.map(({ text, isPrefix }) => `${text}${isPrefix ? "…" : ""}`);
  return { all: shown(all), none: shown(none) };
}

describe("what is typed into the search field", { timeout: 60_000 }, () => {
  it("is words, of which the last is unfinished", () => {
    expect(words("garden pla")).toEqual({ all: ["garden", "pla…"], none: [] });
    expect(words("  garden plan ")).toEqual({ all: ["garden", "plan…"], none: [] });
    expect(words("garden pla is:pinned -x")).toEqual({ all: ["garden", "pla…"], none: ["x"] });
    expect(words("gard* plan")).toEqual({ all: ["gard*…", "plan…"], none: [] });
    expect(parseSearchQuery(" ").isEmpty).toBe(true);
    expect(parseSearchQuery("a").isEmpty).toBe(false);
  });

  it("is phrases in any quotes, also unfinished ones", () => {
    expect(words('x "second bed" ')).toEqual({ all: ["x", "second bed"], none: [] });
    expect(words("“second bed” «x y»")).toEqual({ all: ["second bed", "x y"], none: [] });
    expect(words('"second be')).toEqual({ all: ["second be…"], none: [] });
    expect(words('""')).toEqual({ all: [], none: [] });
  });

  it("leaves out what stands behind a minus", () => {
    expect(words('bed -seeds -"old plan" ')).toEqual({
      all: ["bed…"],
      none: ["seeds", "old plan"],
    });
    expect(words("bed -se")).toEqual({ all: ["bed…"], none: ["se"] });
    expect(words("well-known")).toEqual({ all: ["well-known…"], none: [] });
  });

  it("knows tags, by name or by #", () => {
    expect(parseSearchQuery('tag:Spring #Beds/North -tag:old tag:"to-do" ').tags).toEqual([
      { key: "spring", isPrefix: false, isExcluded: false },
      { key: "beds/north", isPrefix: false, isExcluded: false },
      { key: "old", isPrefix: false, isExcluded: true },
      { key: "to-do", isPrefix: false, isExcluded: false },
    ]);
    expect(parseSearchQuery("tag:spr").tags).toEqual([
      { key: "spr", isPrefix: true, isExcluded: false },
    ]);
    expect(words("#12 C# ")).toEqual({ all: ["#12", "C#…"], none: [] });
  });

  it("knows notebooks and states", () => {
    const query = parseSearchQuery('in:Home -in:"My notes" is:PINNED -is:shared is:trashed ');
    expect(query).toMatchObject({
      notebooks: [
        { name: "Home", isPrefix: false, isExcluded: false },
        { name: "My notes", isPrefix: false, isExcluded: true },
      ],
      pinned: true,
      shared: false,
      trashed: true,
      remarks: [],
    });
  });

  it("knows dates: years, months and days", () => {
    const at = (...date: [number, number, number]): number => new Date(...date).getTime();
    expect(parseSearchQuery("after:2025 before:2026-03 ")).toMatchObject({
      from: at(2025, 0, 1),
      before: at(2026, 2, 1),
    });
    expect(parseSearchQuery("after:2026-02-28 -after:2026-3-2")).toMatchObject({
      from: at(2026, 1, 28),
      before: at(2026, 2, 2),
    });
    expect(parseSearchQuery("after:2025 after:2026 before:2027 before:2028")).toMatchObject({
      from: at(2026, 0, 1),
      before: at(2027, 0, 1),
    });
  });

  it("is told in a sentence what could not be understood, and goes without it", () => {
    const remark = (typed: string): readonly string[] => parseSearchQuery(typed).remarks;
    expect(remark("before:soon")).toEqual([
      "“before:soon” holds no date: write 2026, 2026-03 or 2026-03-14 behind it.",
    ]);
    expect(remark("after:2026-02-30 ")).toHaveLength(1);
    expect(remark("is:red bed")).toEqual([
      "“is:red” is not known: there are pinned, trashed and shared.",
    ]);
    expect(remark("tag:??")).toHaveLength(1);
    expect(remark("tag: bed")).toEqual(["Say what you mean behind “tag:”."]);
    expect(words("is:red bed")).toEqual({ all: ["bed…"], none: [] });
  });

  it("is not told off for what is still being typed", () => {
    for (const typed of [
      "before:",
      "before:2",
      "before:2026-",
      "before:2026-1",
      "is:",
      "is:pi",
      "tag:",
      "in:",
    ]) {
      expect(parseSearchQuery(typed).remarks).toEqual([]);
    }
  });

  it("keeps every other colon as a word", () => {
    expect(words("https://example.org at:noon ")).toEqual({
      all: ["https://example.org", "at:noon…"],
      none: [],
    });
  });

  it("may be anything at all", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc
        .array(
          fc.constantFrom(
            "tag:",
            "in:",
            "is:",
            "before:",
            "after:",
            '"',
            "-",
            "#",
            ":",
            " ",
            "2026",
            "a",
            "*",
            "“",
            "花",
          ),
        )
        .map((parts) => parts.join("")),
    );
    fc.assert(
      fc.property(text, (typed) => {
        const query = parseSearchQuery(typed);
        expect(query.all.every((phrase) => phrase.text !== "")).toBe(true);
        expect(query.all.length + query.none.length).toBeLessThanOrEqual(40);
      }),
    );
    expect(parseSearchQuery("a ".repeat(1_000_000)).all).toHaveLength(40);
  });
});

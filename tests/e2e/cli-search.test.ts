/** Search on the command line as it is shipped. */
import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { SearchHit } from "#client/device/api.ts";
import { Home, Watch } from "#tests/support/cli.ts";

interface Found {
  readonly hits: readonly (Omit<SearchHit, "title"> & { readonly title: string })[];
  readonly total: number;
}

async function setupHome(): Promise<Home> {
  const home = new Home();
  await home.init();
  await home.write("Garden plan", "# Beds\n\nThe second bed gets *kohlrabi*. #garden\n");
  await home.write("Packing", "Tent and stove\n");
  return home;
}

describe.concurrent("sealeaf search", () => {
  it("prints the notes that say it, for people and for programs", async () => {
    using home = await setupHome();
    const { hits, total } = await home.json<Found>(["search", "kohlr"]);
    expect(total).toBe(1);
    expect(hits).toMatchObject([{ title: "Garden plan" }]);
    expect(hits[0]?.snippet.filter(({ match }) => match)).toEqual([
      { text: "kohlrabi", match: true },
    ]);
    const printed = await home.run(["search", "second", "bed"]);
    expect(printed).toMatchObject({ code: 0, stderr: "" });
    expect(printed.stdout.split("\n")).toEqual([
      `${hits[0]?.id}  Garden plan`,
      "    Beds The second bed gets kohlrabi. #garden ",
      "",
    ]);
    expect((await home.json<Found>(["search", "--", "-kohlrabi"])).hits).toMatchObject([
      { title: "Packing" },
    ]);
    expect((await home.json<Found>(["search", "tag:garden"])).hits).toHaveLength(1);
    const misread = await home.run(["search", "stove before:soon"]);
    expect(misread.stderr).toContain("holds no date");
    expect(misread.stdout).toContain("Packing");
    expect(await home.run(["search"])).toMatchObject({ code: 2 });
  });

  it("keeps its words sealed, and makes a damaged index anew", async () => {
    using home = await setupHome();
    await home.json(["search", "stove"]);
    const dir = join(home.dir, "index");
    const files = readdirSync(dir).map((name) => join(dir, name));
    const bytes = Buffer.concat(files.map((file) => readFileSync(file)));
    expect(bytes.length).toBeGreaterThan(8_192);
    for (const word of ["kohlrabi", "Garden", "stove", "note_text"]) {
      expect(bytes.includes(word)).toBe(false);
    }
    for (const file of files) {
      const contents = readFileSync(file);
      contents.fill(7, Math.floor(contents.length / 3));
      writeFileSync(file, contents);
    }
    expect((await home.json<Found>(["search", "stove"])).total).toBe(1);
    for (const file of files) truncateSync(file, 100);
    expect((await home.json<Found>(["search", "kohlrabi"])).total).toBe(1);
    expect(await home.list()).toHaveLength(2);
  });

  it("asks a running watch, which knows of every note", async () => {
    using home = await setupHome();
    await using _watch = await Watch.start(home);
    await home.write("Late", "a heron in the reeds\n");
    expect((await home.json<Found>(["search", "heron"])).hits).toMatchObject([{ title: "Late" }]);
  });
});

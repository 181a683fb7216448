/** One note that is shared alone, on the devices of those who share it. */
import { beforeAll, describe, expect, it } from "vitest";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { firstNotebook, PeopleWorld, type Person } from "./people-world.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

async function rowsOf({ device }: Person) {
  return (await device.notebooks()).map(({ name, single, parent, shared }) => ({
    name,
    single,
    parent,
    shared,
  }));
}

describe("a note that is shared alone", { timeout: 60_000 }, () => {
  it("has a notebook that says so to all devices of its owner and to guests, and stays where it was left", async () => {
    const world = await PeopleWorld.start("single", engines);
    await using _ = { [Symbol.asyncDispose]: () => world.end() };
    const ana = await world.person("Ana");
    const ben = await world.person("Ben");
    const words = (await ana.device.words())?.join(" ") ?? "";
    const laptop = await world.person("Laptop");
    await world.during(laptop.device.restore(words));
    const home = await firstNotebook(ana);
    const { id } = await ana.device.createNote({ title: "Plan", body: "Beds" });
    const { notebook, id: shared } = await world.during(ana.device.shareNote(id));
    expect(await ana.device.shareNote(shared)).toEqual({ notebook, id: shared });
    const { link } = await world.during(ana.device.share(notebook, "edit"));
    expect(await world.during(ben.device.previewLink(link))).toMatchObject({
      name: "Plan",
      single: true,
      from: "Ana",
    });
    await world.during(ben.device.join(link));
    await world.settle();
    const single = { name: "Plan", single: true, shared: true };
    for (const person of [ana, laptop]) {
      expect(await rowsOf(person)).toEqual([
        { name: "Notes", single: false, parent: null, shared: false },
        { ...single, parent: home },
      ]);
    }
    expect((await rowsOf(ben)).at(-1)).toEqual({ ...single, parent: null });
    // What is written without saying where goes into no such notebook.
    const { id: fresh } = await ben.device.createNote({ title: "Mine" });
    const mine = (await ben.device.notes()).find((row) => row.id === fresh);
    expect(mine?.notebook).toBe(await firstNotebook(ben));
    await ben.reopen();
    expect((await rowsOf(ben)).at(-1)).toEqual({ ...single, parent: null });
  });

  it("leaves nothing behind where the note cannot go", async () => {
    const world = await PeopleWorld.start("single refused", engines);
    await using _ = { [Symbol.asyncDispose]: () => world.end() };
    const ana = await world.person("Ana");
    const ben = await world.person("Ben");
    const notebook = await firstNotebook(ana);
    const { id } = await ana.device.createNote({ notebook, title: "Plan", body: "Beds" });
    await world.invite(ana, notebook, "read", ben);
    const before = await ben.device.notebooks();
    expect(await world.refusalOf(ben.device.shareNote(id))).toBe("no-access");
    expect(await ben.device.notebooks()).toEqual(before);
  });
});

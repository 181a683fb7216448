/** Who is in a notebook, what they are called, and who wrote what. */
import { beforeAll, describe, expect, it } from "vitest";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { firstNotebook, PeopleWorld, setupThree, type Person } from "./people-world.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

async function peopleSeenBy({ device }: Person, notebook: string) {
  return (await device.sharing(notebook)).people;
}

async function namesSeenBy(person: Person, notebook: string): Promise<readonly string[]> {
  return (await peopleSeenBy(person, notebook)).map(({ name }) => name);
}

describe("the people of a notebook", { timeout: 60_000 }, () => {
  it("are told with name, role, way in and fingerprint, alike to everybody", async () => {
    await using three = await setupThree("rows", engines);
    const { world, ana, ben, cem, notebook } = three;
    await world.settle();
    const { people, links, mayManage } = await ana.device.sharing(notebook);
    expect(mayManage).toBe(true);
    expect((await ben.device.sharing(notebook)).mayManage).toBe(false);
    const [link] = links;
    expect(people).toMatchObject([
      { id: ana.idIn(notebook), name: "Ana", verified: true, self: true, role: "admin", via: null },
      { id: ben.idIn(notebook), name: "Ben", self: false, role: "edit", via: link?.id },
      { id: cem.idIn(notebook), name: "Cem", self: false, role: "edit", via: link?.id },
    ]);
    for (const { fingerprint, devices } of people) {
      expect(fingerprint).toMatch(/^([0-9a-f]{4} ){7}[0-9a-f]{4}$/);
      expect(devices).toHaveLength(1);
    }
    const prints = (rows: typeof people) => rows.map(({ fingerprint }) => fingerprint);
    expect(new Set(prints(people)).size).toBe(3);
    expect(prints(await peopleSeenBy(cem, notebook))).toEqual(prints(people));
  });

  it("who may only read are called as they said when they joined, which nobody has signed", async () => {
    await using three = await setupThree("readers", engines, "read");
    const { ana, cem, notebook } = three;
    for (const person of [ana, cem]) {
      const rows = await peopleSeenBy(person, notebook);
      expect(rows.map(({ name }) => name)).toEqual(["Ana", "Ben", "Cem"]);
      expect(rows.map(({ verified }) => verified)).toEqual([true, false, person === cem]);
    }
  });

  it("choose a colour that all of them see, and have one before", async () => {
    await using three = await setupThree("colours", engines);
    const { world, ana, ben, notebook } = three;
    const colourOfBen = async (seenBy: Person): Promise<number | undefined> =>
      (await peopleSeenBy(seenBy, notebook)).find(({ id }) => id === ben.idIn(notebook))?.colour;
    const before = await colourOfBen(ana);
    expect(before).toBe(await colourOfBen(ben));
    const chosen = ((before ?? 0) + 3) % 8;
    await ben.device.setColour(chosen);
    await world.settle();
    expect(await colourOfBen(ana)).toBe(chosen);
    expect(await colourOfBen(ben)).toBe(chosen);
    expect((await ben.device.info()).colour).toBe(chosen);
    for (const wrong of [-1, 8, 1.5, Number.NaN]) {
      expect(await world.refusalOf(ben.device.setColour(wrong))).toBe("bad-input");
    }
  });

  it("have each another colour, the same for all who look, as long as there are enough", async () => {
    await using three = await setupThree("hues", engines);
    const { world, ana, ben, notebook, link } = three;
    for (const name of ["Dora", "Emil", "Fay"]) {
      await world.during((await world.person(name)).device.join(link));
    }
    await world.settle();
    const colours = (await peopleSeenBy(ana, notebook)).map(({ colour }) => colour);
    expect(new Set(colours).size).toBe(6);
    expect((await peopleSeenBy(ben, notebook)).map(({ colour }) => colour)).toEqual(colours);
  });

  it("are told apart when one takes another's name, or one that looks like it", async () => {
    await using three = await setupThree("alike", engines);
    const { world, ana, ben, cem, notebook } = three;
    await cem.device.setDisplayName("ANÁ");
    await world.settle();
    const names = await namesSeenBy(ben, notebook);
    expect(names[0]).toMatch(/^Ana \([0-9a-f]{4} [0-9a-f]{4}\)$/);
    expect(names[1]).toBe("Ben");
    expect(names[2]).toMatch(/^ANÁ \([0-9a-f]{4} [0-9a-f]{4}\)$/);
    expect(names).toEqual(await namesSeenBy(ana, notebook));
  });

  it("are called by one short line, however long or odd the name that was typed", async () => {
    await using three = await setupThree("long", engines);
    const { world, ana, ben, notebook } = three;
    await ben.device.setDisplayName(`<b>${"x".repeat(10_000)}</b>\u202e\n`);
    await world.settle();
    const [, name = ""] = await namesSeenBy(ana, notebook);
    expect(new TextEncoder().encode(name).length).toBeLessThanOrEqual(120);
    expect(name).toMatch(/^<b>x+$/);
    expect(await world.refusalOf(ben.device.setDisplayName(" \u200b\n"))).toBe("bad-input");
  });
});

describe("the authors of a note", { timeout: 60_000 }, () => {
  it("are those whose devices signed its changes, whoever wrote last in front", async () => {
    await using three = await setupThree("authors", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    await ben.write(note, " two");
    await world.settle();
    await ben.write(note, " three");
    await world.settle();
    const authors = await cem.device.noteAuthors(note);
    expect(authors).toMatchObject([
      { person: ben.idIn(notebook), name: "Ben", verified: true, changes: 2 },
      { person: ana.idIn(notebook), name: "Ana", verified: true },
    ]);
    const [row] = (await peopleSeenBy(cem, notebook)).filter(({ name }) => name === "Ben");
    expect(authors[0]).toMatchObject(
      row?.devices[0] === undefined ? {} : { device: row.devices[0].id },
    );
    expect((await ana.device.noteAuthors(note)).map(({ name }) => name)).toEqual(["Ben", "Ana"]);
  });

  it("are still told when they have been removed, and nobody is claimed who is not known", async () => {
    await using three = await setupThree("former author", engines);
    const { world, ana, ben, notebook, note } = three;
    await ben.write(note, " two");
    await world.settle();
    const id = ben.idIn(notebook);
    await ana.device.removePerson(notebook, id);
    await world.settle();
    const authors = await ana.device.noteAuthors(note);
    expect(authors).toContainEqual(expect.objectContaining({ person: id, name: "Ben" }));
    expect(await namesSeenBy(ana, notebook)).toEqual(["Ana", "Cem"]);
    expect(await world.refusalOf(ana.device.noteAuthors("nonsense"))).toBe("no-such-note");
  });
});

describe("somebody who follows a link again", { timeout: 60_000 }, () => {
  it("after being removed comes in anew, with what could not be sent meanwhile", async () => {
    await using three = await setupThree("again", engines);
    const { world, ana, cem, notebook, note, link } = three;
    const former = cem.idIn(notebook);
    cem.goOffline();
    await world.settle();
    await cem.write(note, " from Cem");
    await ana.device.removePerson(notebook, former);
    await world.settle();
    cem.goOnline();
    await world.pass(120_000);
    expect(cem.notices()).toHaveLength(1);
    expect(cem.notices()[0]).toContain("one change");
    expect(await cem.reads(note)).toBe("one from Cem");
    expect(await world.refusalOf(cem.write(note, "more"))).toBe("no-access");
    expect((await cem.device.status()).word).toBe("up-to-date");
    expect(await ana.reads(note)).toBe("one");
    await cem.reopen();
    await world.settle();
    expect(cem.notices()).toHaveLength(1);
    expect(await world.refusalOf(cem.device.join(link))).toBe("link-spent");

    const { link: fresh } = await world.during(ana.device.share(notebook, "edit"));
    expect((await world.during(cem.device.previewLink(fresh))).alreadyJoined).toBe(false);
    await world.during(cem.device.join(fresh));
    await world.settle();
    expect(cem.idIn(notebook)).not.toBe(former);
    expect(await ana.reads(note)).toBe("one from Cem");
    await ana.write(note, " and Ana");
    await world.settle();
    expect(await cem.reads(note)).toBe("one from Cem and Ana");
    expect(await namesSeenBy(ana, notebook)).toEqual(["Ana", "Ben", "Cem"]);
    expect(await cem.device.noteAuthors(note)).toContainEqual(
      expect.objectContaining({ name: "Cem", verified: true }),
    );
  });

  it("is in with the next of their devices, too", async () => {
    const world = await PeopleWorld.start("second device", engines);
    await using _ = { [Symbol.asyncDispose]: () => world.end() };
    const ana = await world.person("Ana");
    const ben = await world.person("Ben");
    const words = (await ben.device.words())?.join(" ") ?? "";
    const laptop = await world.person("Laptop");
    await world.during(laptop.device.restore(words));
    await world.settle();
    const notebook = await firstNotebook(ana);
    const { id: note } = await ana.device.createNote({ title: "Tent", body: "one" });
    await world.invite(ana, notebook, "edit", ben);
    await world.settle();
    await ana.device.removePerson(notebook, ben.idIn(notebook));
    await world.settle();
    expect(laptop.notices()).toHaveLength(1);
    const { link } = await world.during(ana.device.share(notebook, "edit"));
    await world.during(ben.device.join(link));
    await world.settle();
    expect(laptop.idIn(notebook)).toBe(ben.idIn(notebook));
    await laptop.write(note, " from the laptop");
    await world.settle();
    expect(await ana.reads(note)).toBe("one from the laptop");
  });
});

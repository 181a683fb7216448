/** Leaving a notebook, deleting it for everybody, and bringing it back. */
import { beforeAll, describe, expect, it } from "vitest";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { setupThree, type Person } from "./people-world.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

const dayMs = 86_400_000;

async function rowOf({ device }: Person, notebook: string) {
  return (await device.notebooks()).find(({ id }) => id === notebook);
}

describe("a deleted notebook", { timeout: 60_000 }, () => {
  it("is closed for everybody, who keep what they have, and comes back with what was written meanwhile", async () => {
    await using three = await setupThree("delete", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    cem.goOffline();
    await world.settle();
    await cem.write(note, " from Cem");
    expect(await world.refusalOf(ben.device.deleteNotebook(notebook))).toBe("no-access");
    await ana.device.deleteNotebook(notebook);
    await ana.device.deleteNotebook(notebook);
    await world.settle();
    for (const person of [ana, ben]) {
      const row = await rowOf(person, notebook);
      expect(row?.state).toBe("deleted");
      expect(row?.deletedAt).toBeGreaterThan(0);
      expect(await person.reads(note)).toBe("one");
      expect(await world.refusalOf(person.write(note, "no"))).toBe("no-access");
      expect((await person.device.status()).word).toBe("up-to-date");
      expect(person.notices()).toEqual([]);
    }
    cem.goOnline();
    await world.pass(120_000);
    expect((await rowOf(cem, notebook))?.state).toBe("deleted");
    expect(await cem.reads(note)).toBe("one from Cem");

    expect(await world.refusalOf(ben.device.restoreNotebook(notebook))).toBe("no-access");
    await ana.device.restoreNotebook(notebook);
    await world.pass(600_000);
    for (const person of [ana, ben, cem]) {
      expect(await rowOf(person, notebook)).toMatchObject({ state: "active", deletedAt: null });
      expect(await person.reads(note)).toBe("one from Cem");
    }
    await ben.write(note, " two");
    await world.settle();
    expect(await ana.reads(note)).toBe("one from Cem two");
  });

  it("cannot be joined, and cannot be brought back after 30 days", async () => {
    await using three = await setupThree("too late", engines);
    const { world, ana, ben, cem, notebook, note, link } = three;
    await ana.device.deleteNotebook(notebook);
    await world.settle();
    const dora = await world.person("Dora");
    expect(await world.refusalOf(dora.device.join(link))).toBe("link-spent");
    await world.passClosed(31 * dayMs, ana, ben, cem, dora);
    expect(await world.refusalOf(ana.device.restoreNotebook(notebook))).toBe("refused");
    expect(await ana.reads(note)).toBe("one");
  });

  it("is deleted and brought back offline without anybody noticing", async () => {
    await using three = await setupThree("offline undo", engines);
    const { world, ana, ben, notebook, note } = three;
    ana.goOffline();
    await world.settle();
    await ana.device.deleteNotebook(notebook);
    expect((await rowOf(ana, notebook))?.state).toBe("deleted");
    await ana.device.restoreNotebook(notebook);
    await ana.write(note, " two");
    ana.goOnline();
    await world.pass(600_000);
    expect(await ben.reads(note)).toBe("one two");
  });
});

describe("leaving", { timeout: 60_000 }, () => {
  it("ends what this person's devices do with the notebook, and what is here can be read", async () => {
    await using three = await setupThree("leave", engines);
    const { world, ana, ben, notebook, note, link } = three;
    const words = (await ben.device.words())?.join(" ") ?? "";
    const laptop = await world.person("Laptop");
    await world.during(laptop.device.restore(words));
    await world.settle();
    expect(await laptop.reads(note)).toBe("one");
    await ben.device.leaveNotebook(notebook);
    await ben.device.leaveNotebook(notebook);
    await world.settle();
    await ana.write(note, " two");
    await world.settle();
    for (const device of [ben, laptop]) {
      expect((await rowOf(device, notebook))?.state).toBe("ended");
      expect(await device.reads(note)).toBe("one");
      expect(await world.refusalOf(device.write(note, "no"))).toBe("no-access");
      expect(device.space(notebook).capability).toBeNull();
      expect(device.notices().join()).not.toContain("access");
      expect((await device.device.status()).word).toBe("up-to-date");
    }
    await world.during(ben.device.join(link));
    await world.settle();
    expect(await ben.reads(note)).toBe("one two");
    expect(await laptop.reads(note)).toBe("one two");
  });

  it("by whoever manages the notebook ends their access, if somebody else manages it", async () => {
    await using three = await setupThree("leave admin", engines);
    const { world, ana, ben, notebook, note } = three;
    expect(await world.refusalOf(ana.device.leaveNotebook(notebook))).toBe("refused");
    await ana.device.setPersonRole(notebook, ben.idIn(notebook), "admin");
    await world.settle();
    await ana.device.leaveNotebook(notebook);
    await world.settle();
    expect((await ben.device.sharing(notebook)).people.map(({ name }) => name)).toEqual([
      "Ben",
      "Cem",
    ]);
    expect(await rowOf(ana, notebook)).toMatchObject({ state: "ended" });
    expect(ana.notices()).toEqual([]);
    expect(ana.space(notebook).capability).toBeNull();
    // Ana made the keys as she went: others make new ones, which she does not know.
    const current = ben.space(notebook).currentKey;
    expect(current?.epoch).toBe(3);
    const known = ana.store.spaces.keys(ben.space(notebook).id).map(({ epoch }) => epoch);
    expect(known).toEqual([1, 2]);
    await ben.write(note, " two");
    await world.settle();
    expect(await ana.reads(note)).toBe("one");
  });

  it("is refused for a notebook that nobody else has", async () => {
    await using three = await setupThree("leave alone", engines);
    const { world, ben } = three;
    const [own] = (await ben.device.notebooks()).filter(({ role }) => role === "admin");
    expect(await world.refusalOf(ben.device.leaveNotebook(own?.id ?? ""))).toBe("refused");
  });
});

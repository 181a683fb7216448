/** Links with an end: by time, by number, by hand; and keys that are renewed by themselves. */
import { beforeAll, describe, expect, it } from "vitest";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { parseLink } from "#client/crypto/link.ts";
import { firstNotebook, logOf, PeopleWorld, setupThree, type Person } from "./people-world.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

const dayMs = 86_400_000;

async function setupOne(seed: string) {
  const world = await PeopleWorld.start(seed, engines);
  const ana = await world.person("Ana");
  const notebook = await firstNotebook(ana);
  return { world, ana, notebook, [Symbol.asyncDispose]: () => world.end() };
}

async function linksOf({ device }: Person, notebook: string) {
  return (await device.sharing(notebook)).links;
}

function rotations(person: Person, notebook: string): number {
  return logOf(person, notebook).filter((type) => type.startsWith("rotate")).length;
}

describe("a link for one person", { timeout: 60_000 }, () => {
  it("lets one in, is told as used up, and its key is taken out of the notebook", async () => {
    await using one = await setupOne("single");
    const { world, ana, notebook } = one;
    const { link, id } = await world.during(ana.device.share(notebook, "edit", { maxJoins: 1 }));
    expect(await linksOf(ana, notebook)).toMatchObject([
      { id, role: "edit", maxJoins: 1, expiresAt: null, joins: 0, state: "live", link },
    ]);
    const ben = await world.person("Ben");
    const cem = await world.person("Cem");
    await world.during(ben.device.join(link));
    expect(await world.refusalOf(cem.device.join(link))).toBe("link-spent");
    await world.pass(120_000);
    expect(await linksOf(ana, notebook)).toMatchObject([
      { id, role: "edit", joins: 1, state: "spent", link: null },
    ]);
    expect(rotations(ana, notebook)).toBe(2);
    expect(await world.refusalOf(cem.device.previewLink(link))).toBe("link-spent");
    const { id: note } = await ben.device.createNote({ notebook, title: "From Ben" });
    await world.settle();
    expect(await ana.device.readNote(note)).toMatchObject({ title: "From Ben" });
  });

  it("is ended once, however many devices of those who manage the notebook see it", async () => {
    await using one = await setupOne("storm");
    const { world, ana, notebook } = one;
    const words = (await ana.device.words())?.join(" ") ?? "";
    const others: Person[] = [];
    for (const name of ["Laptop", "Tablet", "Phone"]) {
      const device = await world.person(name);
      await world.during(device.device.restore(words));
      others.push(device);
    }
    await world.settle();
    const { link } = await world.during(ana.device.share(notebook, "read", { maxJoins: 1 }));
    const ben = await world.person("Ben");
    await world.during(ben.device.join(link));
    await world.pass(300_000);
    for (const person of [ana, ...others]) expect(rotations(person, notebook)).toBe(2);
    expect(ben.space(notebook).currentKey?.epoch).toBe(2);
  });

  it("has its end told to whoever asks for nonsense", async () => {
    await using one = await setupOne("terms");
    const { world, ana, notebook } = one;
    const now = world.world.timeline.now();
    const wrong = [
      { maxJoins: 0 },
      { maxJoins: 1.5 },
      { maxJoins: 70_000 },
      { expiresAt: now - 1 },
      { expiresAt: Number.NaN },
    ];
    for (const terms of wrong) {
      expect(await world.refusalOf(ana.device.share(notebook, "edit", terms))).toBe("bad-input");
    }
    expect(await world.refusalOf(ana.device.share(notebook, "admin"))).toBe("bad-input");
    expect(await linksOf(ana, notebook)).toEqual([]);
  });
});

describe("a link with an end in time", { timeout: 60_000 }, () => {
  it("lets nobody in after it, and is taken out of the notebook", async () => {
    await using one = await setupOne("expiry");
    const { world, ana, notebook } = one;
    const expiresAt = world.world.timeline.now() + 60_000;
    const { link } = await world.during(ana.device.share(notebook, "edit", { expiresAt }));
    const ben = await world.person("Ben");
    await world.during(ben.device.join(link));
    await world.pass(60_000);
    const cem = await world.person("Cem");
    expect(await world.refusalOf(cem.device.join(link))).toBe("link-spent");
    await world.pass(1_000_000);
    expect(await linksOf(ana, notebook)).toMatchObject([
      { state: "expired", joins: 1, link: null },
    ]);
    expect(rotations(ana, notebook)).toBe(2);
    expect(ben.space(notebook).currentKey?.epoch).toBe(2);
  });
});

describe("a link", { timeout: 60_000 }, () => {
  it("is shown again on every device of whoever made it, and on nobody else's", async () => {
    await using three = await setupThree("shown again", engines);
    const { world, ana, ben, notebook, link } = three;
    const words = (await ana.device.words())?.join(" ") ?? "";
    const laptop = await world.person("Laptop");
    await world.during(laptop.device.restore(words));
    await world.settle();
    expect((await linksOf(laptop, notebook))[0]?.link).toBe(link);
    await ana.device.setPersonRole(notebook, ben.idIn(notebook), "admin");
    await world.settle();
    expect((await linksOf(ben, notebook))[0]).toMatchObject({
      state: "live",
      joins: 2,
      link: null,
    });
    await ben.device.revokeLink(notebook, (await linksOf(ben, notebook))[0]?.id ?? "");
    await world.settle();
    expect((await linksOf(laptop, notebook))[0]).toMatchObject({ state: "revoked", link: null });
    const cem = await world.person("Dora");
    const refusal = cem.device.previewLink(link);
    refusal.catch(() => {});
    await world.settle();
    await expect(refusal).rejects.toThrow("withdrawn");
  });

  it("that was cut short is told from one that is over", async () => {
    await using one = await setupOne("cut");
    const { world, ana, notebook } = one;
    const { link } = await world.during(ana.device.share(notebook, "read"));
    for (const cut of [
      link.slice(0, -3),
      link.slice(0, -50),
      link.replace("#1r", "#9r"),
      "",
      "https://x/#",
    ]) {
      expect(parseLink(cut).ok).toBe(false);
      expect(await world.refusalOf(ana.device.previewLink(cut))).toBe("bad-link");
    }
  });
});

describe("a notebook's keys", { timeout: 60_000 }, () => {
  it("are renewed when it is time, by one of the devices that are online", async () => {
    await using three = await setupThree("renewal", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    expect((await ana.device.sharing(notebook)).renewal).toMatchObject({ everyDays: null });
    await world.passClosed(8 * dayMs, ana, ben, cem);
    await world.pass(120_000);
    expect(rotations(ana, notebook)).toBe(1);
    await ana.device.setRenewal(notebook, 7);
    await world.pass(120_000);
    expect(rotations(ana, notebook)).toBe(2);
    await world.passClosed(7 * dayMs - 1_800_000, ana, ben, cem);
    await world.pass(600_000);
    expect(rotations(ana, notebook)).toBe(2);
    await world.pass(3_000_000);
    expect(rotations(ana, notebook)).toBe(3);
    const { renewal } = await ana.device.sharing(notebook);
    expect(renewal.everyDays).toBe(7);
    expect(renewal.lastAt).toBeGreaterThan(world.world.timeline.now() - dayMs);
    await ben.write(note, " two");
    await world.settle();
    expect(await ana.reads(note)).toBe("one two");
    await ana.device.setRenewal(notebook, null);
    await world.passClosed(30 * dayMs, ana, ben, cem);
    await world.pass(120_000);
    expect(rotations(ana, notebook)).toBe(3);
    expect(await world.refusalOf(ben.device.setRenewal(notebook, 7))).toBe("no-access");
    const odd = ana.device.setRenewal(notebook, 8 as 7);
    expect(await world.refusalOf(odd)).toBe("bad-input");
  });

  it("are not renewed on a device that is offline, but as soon as it is back", async () => {
    await using one = await setupOne("renewal offline");
    const { world, ana, notebook } = one;
    await ana.device.setRenewal(notebook, 30);
    await world.settle();
    ana.goOffline();
    await world.passClosed(31 * dayMs, ana);
    await world.pass(1_000_000);
    expect(rotations(ana, notebook)).toBe(1);
    ana.goOnline();
    await world.pass(1_200_000);
    expect(rotations(ana, notebook)).toBe(2);
  });
});

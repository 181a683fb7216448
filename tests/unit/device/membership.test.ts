/** Administrators change who has access, one after the other and at once, online and not. */
import { beforeAll, describe, expect, it } from "vitest";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { linkIds, logOf, setupThree, type Person, type Three } from "./people-world.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

function epochs(notebook: string, ...members: readonly Person[]): readonly number[] {
  return members.map((member) => member.space(notebook).currentKey?.epoch ?? 0);
}

describe("removing somebody", { timeout: 60_000 }, () => {
  it("gives everybody who stays a new key, and the removed one none", async () => {
    await using three = await setupThree("remove", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    await ana.device.removePerson(notebook, cem.idIn(notebook));
    await world.settle();
    expect(epochs(notebook, ana, ben, cem)).toEqual([2, 2, 0]);
    await ana.write(note, " two");
    await ben.write(note, " three");
    await world.settle();
    const text = await ana.reads(note);
    expect(text).toContain("two");
    expect(text).toContain("three");
    expect(await ben.reads(note)).toBe(text);
    expect(await cem.reads(note)).toBe("one");
    expect(await cem.device.notebooks()).toContainEqual(
      expect.objectContaining({ id: notebook, state: "ended" }),
    );
  });

  it("ends the link they came by, so that they cannot come in again", async () => {
    await using three = await setupThree("no way back", engines);
    const { world, ana, cem, notebook, link } = three;
    await ana.device.removePerson(notebook, cem.idIn(notebook));
    await world.settle();
    const dora = await world.person("Dora");
    expect(await world.refusalOf(dora.device.join(link))).toBe("link-spent");
    expect(linkIds(ana, notebook)).toHaveLength(1);
  });

  it("is nobody's business who does not manage the notebook, and again is harmless", async () => {
    await using three = await setupThree("not admin", engines);
    const { world, ana, ben, cem, notebook } = three;
    const ids = { ana: ana.idIn(notebook), cem: cem.idIn(notebook) };
    expect(await world.refusalOf(ben.device.removePerson(notebook, ids.ana))).toBe("no-access");
    expect(await world.refusalOf(ana.device.removePerson(notebook, ids.ana))).toBe("bad-input");
    expect(await world.refusalOf(ana.device.removePerson(notebook, "ab"))).toBe("bad-input");
    await ana.device.removePerson(notebook, ids.cem);
    await ana.device.removePerson(notebook, ids.cem);
    expect(logOf(ana, notebook).filter((type) => type.startsWith("rotate"))).toHaveLength(2);
  });

  it("is done offline, and what was written meanwhile goes out under the new key", async () => {
    await using three = await setupThree("offline", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    ana.goOffline();
    await world.settle();
    await ana.write(note, " before");
    await ana.device.removePerson(notebook, cem.idIn(notebook));
    await ana.write(note, " after");
    await ben.write(note, " meanwhile");
    await world.settle();
    expect(await cem.reads(note)).toContain("meanwhile");
    ana.goOnline();
    await world.pass(120_000);
    expect(epochs(notebook, ana, ben, cem)).toEqual([2, 2, 0]);
    const text = await ana.reads(note);
    for (const word of ["before", "after", "meanwhile"]) expect(text).toContain(word);
    expect(await ben.reads(note)).toBe(text);
    expect(await cem.reads(note)).not.toContain("after");
    expect(ana.store.outbox.depth()).toBe(0);
  });
});

describe("two administrators at once", { timeout: 60_000 }, () => {
  it("removing each other: one is out, the other stays, and nothing waits", async () => {
    await using three = await setupThree("each other", engines);
    const { world, ana, ben, cem, notebook } = three;
    await ana.device.setPersonRole(notebook, ben.idIn(notebook), "admin");
    await world.settle();
    const ids = [ana.idIn(notebook), ben.idIn(notebook)] as const;
    ben.goOffline();
    await world.settle();
    await ben.device.removePerson(notebook, ids[0]);
    await ana.device.removePerson(notebook, ids[1]);
    await world.settle();
    ben.goOnline();
    await world.pass(120_000);
    expect(epochs(notebook, ana, ben, cem)).toEqual([2, 0, 2]);
    expect(logOf(ben, notebook)).toEqual(logOf(ana, notebook));
    expect(ben.notices().join("\n")).toContain("at the same moment");
    expect((await ana.device.notebooks()).find(({ id }) => id === notebook)?.members).toHaveLength(
      2,
    );
  });

  it("leaving: the one who is overtaken stays the notebook's only administrator, and is told", async () => {
    await using three = await setupThree("both leave", engines);
    const { world, ana, ben, notebook } = three;
    await ana.device.setPersonRole(notebook, ben.idIn(notebook), "admin");
    await world.settle();
    ben.goOffline();
    await world.settle();
    await ben.device.leaveNotebook(notebook);
    await ana.device.leaveNotebook(notebook);
    await world.settle();
    ben.goOnline();
    await world.pass(120_000);
    // The first, the one that Ana made as she left, and one that she does not know.
    expect(logOf(ben, notebook).filter((type) => type.startsWith("rotate"))).toHaveLength(3);
    expect(ben.notices().join("\n")).toContain("at the same moment");
    expect(ben.space(notebook).administrator).not.toBeNull();
  });

  it("removing two others: both are out, with one key for those who stay", async () => {
    await using three = await setupThree("two others", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    const dora = await world.person("Dora");
    await world.invite(ana, notebook, "edit", dora);
    await ana.device.setPersonRole(notebook, ben.idIn(notebook), "admin");
    await world.settle();
    ben.goOffline();
    await world.settle();
    await ben.device.removePerson(notebook, cem.idIn(notebook));
    // Sealed under a key that comes to nothing.
    await ben.write(note, " from Ben");
    const { link } = await world.during(ben.device.share(notebook, "read"));
    await ana.device.removePerson(notebook, dora.idIn(notebook));
    await world.settle();
    ben.goOnline();
    await world.pass(120_000);
    expect(epochs(notebook, ana, ben, cem, dora)).toEqual([3, 3, 0, 0]);
    expect(await ana.reads(note)).toContain("from Ben");
    expect(logOf(ben, notebook)).toEqual(logOf(ana, notebook));
    const eve = await world.person("Eve");
    const preview = await world.during(eve.device.previewLink(link));
    expect(preview).toMatchObject({ from: "Ben", role: "read" });
  });

  it("removing the same person: it is done once", async () => {
    await using three = await setupThree("same", engines);
    const { world, ana, ben, cem, notebook } = three;
    await ana.device.setPersonRole(notebook, ben.idIn(notebook), "admin");
    await world.settle();
    ben.goOffline();
    await world.settle();
    await ben.device.removePerson(notebook, cem.idIn(notebook));
    await ana.device.removePerson(notebook, cem.idIn(notebook));
    await world.settle();
    ben.goOnline();
    await world.pass(120_000);
    expect(epochs(notebook, ana, ben, cem)).toEqual([2, 2, 0]);
    expect(ben.notices()).toEqual([]);
  });
});

/** Ben has removed Cem, and is gone; the relay has lost that, and has a link of Dora's, who never knew, in its place. */
async function loseRemoval(three: Three, role: "admin" | "edit") {
  const { world, ana, ben, cem, notebook, note } = three;
  const { relay } = world.world;
  const dora = await world.person("Dora");
  await world.invite(ana, notebook, "edit", dora);
  for (const admin of [ben, dora]) {
    await ana.device.setPersonRole(notebook, admin.idIn(notebook), "admin");
  }
  await world.settle();
  if (role === "edit") await dora.device.setPersonRole(notebook, ana.idIn(notebook), role);
  await world.settle();
  const copy = relay.disk.copy();
  dora.goOffline();
  await world.settle();
  await ben.device.removePerson(notebook, cem.idIn(notebook));
  await world.settle();
  expect(cem.space(notebook).currentKey).toBeNull();
  await ben.sim.kill();
  await world.during(dora.device.share(notebook, "read"));
  // Either would give the record back before another has its place.
  for (const person of [ana, cem]) person.goOffline();
  relay.crash();
  relay.disk = copy;
  await relay.start();
  dora.goOnline();
  await world.settle();
  const people = async (): Promise<readonly string[]> =>
    (await dora.device.sharing(notebook)).people.map(({ name }) => name).toSorted();
  expect(await people()).toEqual(["Ana", "Ben", "Cem", "Dora"]);
  for (const person of [ana, cem]) person.goOnline();
  await ana.write(note, " two");
  await world.pass(180_000);
  return { dora, people };
}

describe("a removal that the relay has lost", { timeout: 60_000 }, () => {
  it("is made again by somebody who manages the notebook and knew of it", async () => {
    await using three = await setupThree("lost removal", engines);
    const { ana, cem, note } = three;
    const { dora, people } = await loseRemoval(three, "admin");
    expect(ana.store.outbox.depth()).toBe(0);
    expect(await people()).toEqual(["Ana", "Ben", "Dora"]);
    expect(await dora.reads(note)).toBe("one two");
    expect(await cem.reads(note)).toBe("one");
  });

  it("keeps what is written back, and says so, until somebody who knew of it comes to manage the notebook", async () => {
    await using three = await setupThree("lost removal, an editor", engines);
    const { world, ana, cem, notebook, note } = three;
    const { dora, people } = await loseRemoval(three, "edit");
    expect(await dora.reads(note)).toBe("one");
    expect((await ana.device.status()).detail).toContain("removed them again");
    expect(ana.notices().join("\n")).toContain("this device cannot make it again");
    await dora.device.setPersonRole(notebook, ana.idIn(notebook), "admin");
    await world.pass(60_000);
    expect(ana.store.outbox.depth()).toBe(0);
    expect(await people()).toEqual(["Ana", "Ben", "Dora"]);
    expect(await dora.reads(note)).toBe("one two");
    expect(await cem.reads(note)).toBe("one");
  });
});

describe("a role", { timeout: 60_000 }, () => {
  it("is raised and lowered, and a notebook keeps somebody who manages it", async () => {
    await using three = await setupThree("roles", engines);
    const { world, ana, ben, notebook, note } = three;
    const ids = { ana: ana.idIn(notebook), ben: ben.idIn(notebook) };
    expect(await world.refusalOf(ana.device.setPersonRole(notebook, ids.ana, "edit"))).toBe(
      "refused",
    );
    await ana.device.setPersonRole(notebook, ids.ben, "read");
    await world.settle();
    expect((await ben.device.openNote(note, "tab")).role).toBe("read");
    expect(await world.refusalOf(ben.write(note, "no"))).toBe("no-access");
    await ana.device.setPersonRole(notebook, ids.ben, "admin");
    await world.settle();
    await ben.device.setPersonRole(notebook, ids.ana, "edit");
    await world.settle();
    expect((await ana.device.openNote(note, "tab")).role).toBe("edit");
    await ana.write(note, " two");
    await world.settle();
    expect(await ben.reads(note)).toBe("one two");
  });
});

describe("a link", { timeout: 60_000 }, () => {
  it("is ended alone: who came by it stays, and another link still lives", async () => {
    await using three = await setupThree("revoke", engines);
    const { world, ana, ben, notebook, note, link } = three;
    const other = await world.invite(ana, notebook, "read");
    const [first] = linkIds(ana, notebook);
    await ana.device.revokeLink(notebook, first ?? "");
    await world.settle();
    const dora = await world.person("Dora");
    expect(await world.refusalOf(dora.device.join(link))).toBe("link-spent");
    await world.during(dora.device.join(other));
    await world.settle();
    await ben.write(note, " two");
    await world.settle();
    expect(await dora.reads(note)).toBe("one two");
  });
});

/** What goes along when notes go elsewhere: their history, who wrote what, their times and marks. */
import { beforeAll, describe, expect, it } from "vitest";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import type { NoteRow } from "#client/device/api.ts";
import { openAccess } from "#tests/support/open-access.ts";
import type { SimRelay } from "#tests/support/world.ts";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { setupThree, type Person, type Three } from "./people-world.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

const otherUrl = "wss://other.test/notes/v1";
const dayMs = 86_400_000;

async function rows({ device }: Person, notebook: string) {
  await device.describeStale();
  return (await device.notes()).filter((row) => row.notebook === notebook);
}

function placed({ title, tags, createdAt, updatedAt, trashed }: NoteRow) {
  return { title, tags, createdAt, updatedAt, trashed };
}

function hashes({ store }: Person, note: string): readonly string[] {
  const doc = parseDocumentId(note);
  if (doc === undefined) throw new Error("a note's id");
  return store.changes
    .ofDocument(doc)
    .map(({ hash }) => toHex(hash))
    .toSorted();
}

/** Without what says on whose word it is. */
async function authors({ device }: Person, note: string) {
  const known = await device.noteAuthors(note);
  return known.map(({ person, name, verified, device: key, fingerprint, changes }) => ({
    person,
    name,
    verified,
    key,
    fingerprint,
    changes,
  }));
}

async function withOtherRelay(three: Three): Promise<SimRelay> {
  const other = three.world.world.addRelay(otherUrl, openAccess);
  await other.start();
  return other;
}

/** Ana's, Ben's and Cem's; written in by Ana and Ben, days ago; pinned by Ana; and one in the trash. */
async function setupPast(seed: string) {
  const three = await setupThree(seed, engines);
  const { world, ana, ben, note, notebook } = three;
  const { heads } = await ana.device.readNote(note);
  await ben.write(note, " two #tools");
  await world.settle();
  await ana.write(note, " three");
  await ana.device.pinNote(note, true);
  const { id: old } = await ben.device.createNote({ notebook, title: "Old", body: "gone" });
  await ben.device.trashNote(old);
  await world.settle();
  await world.passClosed(2 * dayMs, ana, ben, three.cem);
  await world.settle();
  return { ...three, heads, old };
}

describe("a notebook that gets a new home", { timeout: 60_000 }, () => {
  it("takes along every note's whole past, who wrote it, its times and its marks, for everybody", async () => {
    const past = await setupPast("whole past");
    await using _ = past;
    const { world, ana, ben, cem, notebook, note, heads } = past;
    await withOtherRelay(past);
    const people = [ana, ben, cem];
    const before = await Promise.all(
      people.map(async (person) => ({
        hashes: hashes(person, note),
        authors: await authors(person, note),
        pinned: (await rows(person, notebook)).map(({ pinned }) => pinned),
      })),
    );
    // As the one who gives it its new home has it: others received it some milliseconds apart.
    const lists = (await rows(ana, notebook)).map(placed);
    expect(before[0]?.authors.map(({ name, verified }) => [name, verified])).toEqual([
      ["Ana", true],
      ["Ben", true],
    ]);
    expect(lists).toHaveLength(2);
    const { notebook: moved } = await world.during(ana.device.moveHome(notebook, otherUrl));
    await world.settle();
    for (const [ix, person] of people.entries()) {
      const now = await rows(person, moved);
      expect(now.map(placed)).toEqual(lists);
      expect(now.map(({ pinned }) => pinned)).toEqual(before[ix]?.pinned);
      const copy = now.find(({ title }) => title === "Tent")?.id ?? "";
      expect(copy).not.toBe(note);
      expect(hashes(person, copy)).toEqual(before[ix]?.hashes);
      expect((await person.device.readNoteAt(copy, heads)).body).toBe("one");
      expect(await authors(person, copy)).toEqual(before[ix]?.authors);
      const stated = (await person.device.noteAuthors(copy)).map(({ statedBy }) => statedBy);
      expect(stated).toEqual([
        { name: "Ana", self: person === ana },
        { name: "Ana", self: person === ana },
      ]);
    }
    // What is written there is signed there.
    const copy = (await rows(cem, moved)).find(({ title }) => title === "Tent")?.id ?? "";
    await cem.write(copy, " four");
    await world.settle();
    expect((await ana.device.noteAuthors(copy))[0]).toMatchObject({
      person: cem.idIn(moved),
      name: "Cem",
      verified: true,
      changes: 1,
      statedBy: null,
    });
    expect((await ana.device.noteAuthors(copy)).length).toBe(3);
  });

  it("takes along what others had sent to the old relay before anybody is led over, though they never come back", async () => {
    const past = await setupPast("never back");
    await using _ = past;
    const { world, ana, ben, cem, notebook, note } = past;
    const other = await withOtherRelay(past);
    const step = ana.device.moveHome(notebook, otherUrl);
    step.catch(() => undefined);
    while (ana.store.homes.all().length === 0) await world.pass(1);
    other.crash();
    await ben.write(note, " LATE");
    await world.pass(10_000);
    expect(await ana.reads(note)).toContain("LATE");
    await ben.sim.kill();
    await other.start();
    await world.pass(120_000);
    const { notebook: moved } = await world.during(ana.device.moveHome(notebook, otherUrl));
    await world.settle();
    for (const person of [ana, cem]) {
      const [row] = (await rows(person, moved)).filter(({ title }) => title === "Tent");
      expect((await person.reads(row?.id ?? "")).split("LATE")).toHaveLength(2);
    }
    // Once he is back, it is not there twice.
    ben.sim.open();
    await world.pass(120_000);
    const [row] = (await rows(cem, moved)).filter(({ title }) => title === "Tent");
    expect((await cem.reads(row?.id ?? "")).split("LATE")).toHaveLength(2);
    expect(await ben.reads(row?.id ?? "")).toBe(await cem.reads(row?.id ?? ""));
  });

  it("takes along how somebody who was away has arranged it", async () => {
    const past = await setupPast("arranged");
    await using _ = past;
    const { world, ana, ben, cem, notebook, note, old } = past;
    await withOtherRelay(past);
    ben.goOffline();
    await world.settle();
    await ben.device.trashNote(note);
    await ben.device.restoreNote(old);
    await ben.device.renameNotebook(notebook, "Camping");
    await ben.device.setNotebookColour(notebook, 3);
    const { notebook: moved } = await world.during(ana.device.moveHome(notebook, otherUrl));
    await world.settle();
    ben.goOnline();
    await world.pass(240_000);
    for (const person of [ana, ben, cem]) {
      const states = (await rows(person, moved)).map(({ title, trashed }) => [title, trashed]);
      expect(Object.fromEntries(states)).toEqual({ Old: false, Tent: true });
      expect((await person.device.notebooks()).find(({ id }) => id === moved)).toMatchObject({
        name: "Camping",
        colour: 3,
      });
    }
    // What the others do there afterwards stays as they did it.
    const tent = (await rows(cem, moved)).find(({ title }) => title === "Tent")?.id ?? "";
    await cem.device.restoreNote(tent);
    await world.settle();
    await ben.reopen();
    await world.settle();
    expect((await rows(ben, moved)).find(({ id }) => id === tent)?.trashed).toBe(false);
  });
});

describe("the copy of a notebook that ended", { timeout: 60_000 }, () => {
  it("has every note with its past, who wrote it, its times and its mark, once, also when it is asked for again", async () => {
    const past = await setupPast("kept");
    await using _ = past;
    const { world, ana, ben, notebook, note, heads } = past;
    await ben.device.pinNote(note, true);
    ben.goOffline();
    await world.settle();
    await ben.write(note, " unsent");
    const before = { hashes: hashes(ben, note), authors: await authors(ben, note) };
    const [row] = (await rows(ben, notebook)).filter(({ id }) => id === note);
    await ana.device.removePerson(notebook, ben.idIn(notebook));
    await world.settle();
    ben.goOnline();
    await world.settle();
    const kept = await world.during(ben.device.keepCopy(notebook, "Tents, my copy"));
    expect(kept.notes).toBe(1);
    const copies = await rows(ben, kept.notebook);
    expect(copies).toMatchObject([
      { title: "Tent", createdAt: row?.createdAt, updatedAt: row?.updatedAt, pinned: true },
    ]);
    const copy = copies[0]?.id ?? "";
    expect(await ben.reads(copy)).toBe("one two #tools three unsent");
    expect(hashes(ben, copy)).toEqual(before.hashes);
    expect((await ben.device.readNoteAt(copy, heads)).body).toBe("one");
    expect(await authors(ben, copy)).toEqual(before.authors);
    await ben.write(copy, " and on");
    expect(await ben.device.keepCopy(notebook, "Tents, my copy")).toEqual(kept);
    expect(await rows(ben, kept.notebook)).toHaveLength(1);
    await world.settle();
    expect((await ben.device.status()).word).toBe("up-to-date");
    expect(ben.store.inbox.quarantined()).toEqual([]);
  });
});

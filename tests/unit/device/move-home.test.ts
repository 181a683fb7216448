/** A notebook that gets a new home on another relay, and its people, on virtual time. */
import { describe, expect, it } from "vitest";
import { signHome } from "#client/crypto/home-marker.ts";
import type { Device } from "#client/device/device.ts";
import { DeviceDocuments } from "#client/device/documents.ts";
import { notebookIndexGenesis, type NotebookIndex } from "#client/device/index-document.ts";
import { Shelf } from "#client/device/shelf.ts";
import type { Space } from "#client/sync/space.ts";
import { accessCode } from "#relay/protocol/access.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { encodeGenesis } from "#relay/protocol/genesis.ts";
import { openAccess } from "#tests/support/open-access.ts";
import { loadEngines, World, type SimDevice } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";
import { refusalOf } from "./setup-device.ts";

const engines = await loadEngines();
const keep = oneWorld();

const otherUrl = "wss://other.test/notes/v1";
const weeks = 3 * 7 * 24 * 3_600_000;

/** Ana's notebook with a note, Ben who may edit in it, Rea who may read. All know the first relay. */
async function setupShared(seed: string, access = openAccess) {
  const made = new World({ seed, engines, encrypted: false, secrets: ["Kelpie"] });
  keep(made);
  const other = made.addRelay(otherUrl, access);
  await made.relay.start();
  await other.start();
  const [ana, ben, rea] = ["ana", "ben", "rea"].map((name) => made.addDevice(name));
  if (ana === undefined || ben === undefined || rea === undefined) throw new Error("unreachable");
  for (const person of [ana, ben, rea]) person.open().create();
  await made.timeline.advance(2_000);
  const { id: notebook } = await deviceOf(ana).createNotebook("Garden");
  const { id: note } = await deviceOf(ana).createNote({ notebook, title: "Beds", body: "Kelpie" });
  for (const [person, role] of [
    [ben, "edit"],
    [rea, "read"],
  ] as const) {
    const { link } = await made.timeline.during(deviceOf(ana).share(notebook, role));
    await made.timeline.during(deviceOf(person).join(link));
  }
  await made.timeline.advance(10_000);
  return { made, other, ana, ben, rea, notebook, note };
}

describe("a notebook with a new home", { timeout: 60_000 }, () => {
  it("goes there with its people and notes, and each of them sees one notebook", async () => {
    const { made, other, ana, ben, rea, notebook } = await setupShared("with people");
    const { notebook: moved } = await made.timeline.during(
      deviceOf(ana).moveHome(notebook, otherUrl),
    );
    expect(moved).not.toBe(notebook);
    await made.timeline.advance(20_000);
    for (const person of [ana, ben, rea]) {
      expect(await gardens(person)).toMatchObject([{ id: moved, relay: otherUrl }]);
      expect(await texts(person, moved)).toEqual(["Kelpie"]);
      expect((await deviceOf(person).status()).word).toBe("up-to-date");
    }
    expect((await gardens(rea))[0]?.role).toBe("read");
    expect((await gardens(ana))[0]?.members).toHaveLength(3);

    // The old relay is not needed any more.
    made.relay.crash();
    await appendTo(ben, moved, " by Ben");
    await made.timeline.advance(10_000);
    for (const person of [ana, rea]) expect(await texts(person, moved)).toEqual(["Kelpie by Ben"]);
    const [readOnly] = await notesIn(rea, moved);
    expect(await refusalOf(() => appendTo(rea, moved, "x", readOnly?.id))).toBe("no-access");
    expect(other.errors).toEqual([]);
    expect(made.leaks).toEqual([]);
  });

  it("leads somebody over who was away for weeks, with what they wrote meanwhile", async () => {
    const { made, ana, ben, notebook, note } = await setupShared("away for weeks");
    made.network.part("ben", "refuse");
    await append(ben, note, " by Ben");
    await deviceOf(ben).createNote({ notebook, title: "Tools", body: "Rake" });
    const { notebook: moved } = await made.timeline.during(
      deviceOf(ana).moveHome(notebook, otherUrl),
    );
    await appendTo(ana, moved, " Ana");
    await made.timeline.advance(5_000);
    expect(await texts(ben, notebook)).toEqual(["Kelpie by Ben", "Rake"]);
    for (const person of made.devices) await person.kill();
    await made.timeline.advance(weeks);

    made.network.join("ben");
    for (const person of made.devices) person.open();
    await made.timeline.advance(60_000);
    for (const person of [ana, ben]) {
      expect(await gardens(person)).toMatchObject([{ id: moved }]);
      const [beds = "", tools] = await texts(person, moved);
      // Both were appended at the same place, in either order.
      expect(["Kelpie by Ben Ana", "Kelpie Ana by Ben"]).toContain(beds);
      expect(tools).toBe("Rake");
      expect(await texts(person, notebook)).toEqual([]);
    }
    expect(await texts(ana, moved)).toEqual(await texts(ben, moved));
  });

  it("brings along what was typed in a tab that still had the old note open", async () => {
    const { made, ana, ben, notebook, note } = await setupShared("open tab");
    const { notebook: moved } = await made.timeline.during(
      deviceOf(ana).moveHome(notebook, otherUrl),
    );
    await made.timeline.advance(20_000);
    await append(ben, note, " late");
    await append(ben, note, " later");
    await made.timeline.advance(10_000);
    expect(await texts(ana, moved)).toEqual(["Kelpie late later"]);
  });

  it("is found by this person's other devices, those to come and those that are away", async () => {
    const { made, ana, notebook } = await setupShared("own devices");
    const words = ((await deviceOf(ana).words()) ?? []).join(" ");
    const second = made.addDevice("second");
    second.open();
    await made.timeline.advance(2_000);
    await made.timeline.during(deviceOf(second).restore(words));
    await made.timeline.advance(10_000);
    const { notebook: moved } = await made.timeline.during(
      deviceOf(ana).moveHome(notebook, otherUrl),
    );
    const third = made.addDevice("third");
    third.open();
    await made.timeline.advance(2_000);
    await made.timeline.during(deviceOf(third).restore(words));
    await made.timeline.advance(20_000);
    for (const device of [second, third]) {
      expect(await gardens(device)).toMatchObject([{ id: moved, role: "admin" }]);
      expect(await texts(device, moved)).toEqual(["Kelpie"]);
    }
  });

  it("that somebody was removed from meanwhile is told to them, and they keep what they had", async () => {
    const { made, ana, ben, notebook, note } = await setupShared("removed meanwhile");
    made.network.part("ben", "refuse");
    await append(ben, note, " by Ben");
    const { notebook: moved } = await made.timeline.during(
      deviceOf(ana).moveHome(notebook, otherUrl),
    );
    const { capability } = spaceOf(ben, notebook);
    await deviceOf(ana).removePerson(moved, toHex(capability?.sign.publicKey ?? new Uint8Array()));
    await made.timeline.advance(10_000);

    const notices: string[] = [];
    deviceOf(ben).subscribe((event) => {
      if (event.type === "notice") notices.push(event.text);
    });
    made.network.join("ben");
    await made.timeline.advance(120_000);
    expect(notices.at(-1)).toContain("The new home of Garden does not let you in.");
    expect(await gardens(ben)).toMatchObject([{ id: notebook }]);
    expect(await texts(ben, notebook)).toEqual(["Kelpie by Ben"]);
    expect(await texts(ana, moved)).toEqual(["Kelpie"]);
  });

  it("ends the links to the old one, and takes new ones", async () => {
    const { made, ana, notebook } = await setupShared("links");
    const { link: before } = await made.timeline.during(deviceOf(ana).share(notebook, "edit"));
    const { notebook: moved } = await made.timeline.during(
      deviceOf(ana).moveHome(notebook, otherUrl),
    );
    await made.timeline.advance(5_000);
    const cem = made.addDevice("cem");
    cem.open().create();
    await made.timeline.advance(2_000);
    expect(await refusalOf(() => made.timeline.during(deviceOf(cem).join(before)))).toBe(
      "link-spent",
    );
    // By its old id, too: whoever wrote that down still finds it.
    const { link } = await made.timeline.during(deviceOf(ana).share(notebook, "edit"));
    expect(await made.timeline.during(deviceOf(cem).join(link))).toEqual({ notebook: moved });
  });
});

describe("giving a notebook a new home", { timeout: 60_000 }, () => {
  it("goes on by itself after a kill at any step, and makes nothing twice", async () => {
    const { made, other, ana, ben, notebook } = await setupShared("killed");
    await deviceOf(ana).createNote({ notebook, title: "More", body: "Second" });
    await made.timeline.advance(5_000);
    const step = deviceOf(ana).moveHome(notebook, otherUrl);
    step.catch(() => undefined);
    other.crash();
    for (const flushes of [3, 6, 4, 9]) {
      ana.killAfterFlushes(flushes);
      await made.timeline.advance(3_000);
      await ana.kill();
      ana.open();
      if (!other.isUp) await other.start();
      await made.timeline.advance(1_000);
      void deviceOf(ana)
        .moveHome(notebook, otherUrl)
        .catch(() => undefined);
    }
    await made.timeline.advance(120_000);
    await made.timeline.during(deviceOf(ana).moveHome(notebook, otherUrl));
    await made.timeline.advance(20_000);
    for (const person of [ana, ben]) {
      const [garden, ...more] = await gardens(person);
      expect(more).toEqual([]);
      expect(garden?.relay).toBe(otherUrl);
      expect(await texts(person, garden?.id ?? "")).toEqual(["Kelpie", "Second"]);
    }
  });

  it("is refused by a relay that has not let this person in, by who may not, and where nothing answers", async () => {
    const byInvitation = { mode: "invite" as const, guests: true };
    const asksForInvitation = {
      ...openAccess,
      code: accessCode(byInvitation),
      access: byInvitation,
      refusesSpace: () => Promise.resolve("AUTH_REQUIRED" as const),
    };
    const { made, ana, ben, notebook } = await setupShared("refused", asksForInvitation);
    const before = await deviceOf(ana).notebooks();
    const moving = (person: SimDevice, relay: string) =>
      refusalOf(() => made.timeline.during(deviceOf(person).moveHome(notebook, relay)));
    expect(await moving(ana, otherUrl)).toBe("refused");
    expect(await moving(ben, otherUrl)).toBe("no-access");
    expect(await moving(ana, "wss://nowhere.test/v1")).toBe("offline");
    expect(await moving(ana, "not an address")).toBe("bad-relay");
    await made.timeline.advance(10_000);
    expect(await deviceOf(ana).notebooks()).toEqual(before);
    expect((await deviceOf(ana).status()).relays).toHaveLength(1);
  });

  it("changes nothing where it is already", async () => {
    const { made, ana, notebook } = await setupShared("already there");
    const own = made.relay.url;
    expect(await made.timeline.during(deviceOf(ana).moveHome(notebook, own))).toEqual({ notebook });
    const { notebook: moved } = await made.timeline.during(
      deviceOf(ana).moveHome(notebook, otherUrl),
    );
    expect(await made.timeline.during(deviceOf(ana).moveHome(notebook, otherUrl))).toEqual({
      notebook: moved,
    });
  });
});

describe("the marker of a new home", { timeout: 60_000 }, () => {
  it("is followed from an administrator alone", async () => {
    const { made, ana, ben, notebook } = await setupShared("forged");
    await forgeHome(ben, notebook);
    await made.timeline.advance(20_000);
    for (const person of [ana, ben]) {
      expect(await gardens(person)).toMatchObject([{ id: notebook, relay: null }]);
      expect((await deviceOf(person).status()).relays).toHaveLength(1);
    }
  });
});

/** Writes a marker that Ben's own capability signed, as a member with a changed program can. */
async function forgeHome(person: SimDevice, notebook: string): Promise<void> {
  const { running } = person;
  if (running === null) throw new Error("it is not open");
  const { store, device } = running;
  const { ed, automerge } = engines;
  const random = (length: number): Uint8Array => new Uint8Array(length).fill(7);
  const documents = new DeviceDocuments(
    { store, random, clock: Date, damaged: () => undefined, culprits: null },
    automerge,
  );
  const space = spaceOf(person, notebook);
  if (space.capability === null) throw new Error("a joined notebook");
  const { sign } = space.capability;
  const genesis = encodeGenesis({ kind: "notebook", adminPub: sign.publicKey, nonce: random(16) });
  const before = automerge.clone(
    documents.load<NotebookIndex>(space.indexId, notebookIndexGenesis(automerge)),
    { actor: documents.newActor(space, space.indexId, "device") },
  );
  const after = automerge.change(before, (index) => {
    index.home = signHome(ed, sign, space.id, { genesis, relay: otherUrl });
  });
  expect(documents.record(space, space.indexId, before, after)).toHaveLength(1);
  // What was journalled past it is sent with the next thing it writes.
  await device.createNote({ notebook, title: "Sent together" });
}

function spaceOf({ running }: SimDevice, notebook: string): Space {
  if (running === null) throw new Error("it is not open");
  const random = (length: number): Uint8Array => new Uint8Array(length);
  const shelf = new Shelf({ store: running.store, ed: engines.ed, clock: Date, random });
  shelf.openAll();
  return shelf.mustNotebook(notebook);
}

async function gardens(person: SimDevice) {
  return (await deviceOf(person).notebooks()).filter(({ name }) => name === "Garden");
}

async function notesIn(person: SimDevice, notebook: string) {
  await deviceOf(person).describeStale();
  const rows = (await deviceOf(person).notes()).filter((row) => row.notebook === notebook);
  return rows.toSorted((a, b) => (a.title < b.title ? -1 : 1));
}

async function texts(person: SimDevice, notebook: string): Promise<readonly string[]> {
  const rows = await notesIn(person, notebook);
  const read = rows.map(async ({ id }) => (await deviceOf(person).readNote(id)).body);
  return Promise.all(read);
}

async function appendTo(
  person: SimDevice,
  notebook: string,
  text: string,
  note?: string,
): Promise<void> {
  const [first] = await notesIn(person, notebook);
  await append(person, note ?? first?.id ?? "", text);
}

function deviceOf({ name, running }: SimDevice): Device {
  if (running === null) throw new Error(`${name} is not open`);
  return running.device;
}

async function append(device: SimDevice, note: string, text: string): Promise<void> {
  const { body, heads } = await deviceOf(device).readNote(note);
  await deviceOf(device).spliceNote(note, heads, [
    { field: "body", at: body.length, remove: 0, insert: text },
  ]);
}

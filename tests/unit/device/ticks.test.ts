/** Every note tells the truth about itself (P8): saved here, on the relay, seen by another device. On virtual time. */
import { describe, expect, it } from "vitest";
import type { NoteRow } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { MemoryRelayDisk } from "#tests/support/memory-relay-store.ts";
import { loadEngines, World, type SimDevice } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";

const engines = await loadEngines();
const keep = oneWorld();

const second = 1_000;

async function setupPair(seed: string) {
  const made = new World({ seed, engines, encrypted: false, secrets: [] });
  keep(made);
  await made.relay.start();
  const [ana, ben] = [made.addDevice("ana"), made.addDevice("ben")];
  ana.open().create();
  ben.open().create();
  await made.timeline.advance(2 * second);
  await during(made, deviceOf(ben).setDisplayName("Ben"));
  const { id: notebook } = await deviceOf(ana).createNotebook("Garden");
  const { id: note } = await deviceOf(ana).createNote({ notebook, title: "Plan", body: "one" });
  await made.timeline.advance(2 * second);
  const { link } = await during(made, deviceOf(ana).share(notebook, "edit"));
  await during(made, deviceOf(ben).join(link));
  await made.timeline.advance(30 * second);
  return { made, ana, ben, note };
}

/** Lets virtual time pass until the work is done; fails with it. */
async function during<T>(made: World, work: Promise<T>): Promise<T> {
  work.catch(() => {}); // awaited below, when its time has passed
  await made.timeline.advance(10 * second);
  return work;
}

function deviceOf(sim: SimDevice): Device {
  const device = sim.running?.device;
  if (device === undefined) throw new Error(`${sim.name} does not run`);
  return device;
}

async function rowOn(sim: SimDevice, note: string): Promise<NoteRow> {
  const row = (await deviceOf(sim).notes()).find(({ id }) => id === note);
  if (row === undefined) throw new Error(`${sim.name} does not list the note`);
  return row;
}

async function append(sim: SimDevice, note: string, insert: string): Promise<void> {
  const { body, heads } = await deviceOf(sim).readNote(note);
  await deviceOf(sim).spliceNote(note, heads, [
    { field: "body", at: body.length, remove: 0, insert },
  ]);
}

describe("a note", { timeout: 120_000 }, () => {
  it("is seen by another device only once that has read all of it", async () => {
    const { made, ana, ben, note } = await setupPair("seen");
    expect(await rowOn(ana, note)).toMatchObject({ state: "seen-elsewhere", seenBy: ["Ben"] });
    expect((await deviceOf(ana).noteSync(note)).seenBy.map(({ name }) => name)).toEqual(["Ben"]);

    await deviceOf(ben).workOffline(true);
    await append(ana, note, " two");
    expect(await rowOn(ana, note)).toMatchObject({ state: "saved-here", seenBy: [] });
    expect((await rowOn(ana, note)).waiting).toBeGreaterThan(0);
    await made.timeline.advance(30 * second);
    expect(await rowOn(ana, note)).toMatchObject({ state: "on-relay", waiting: 0, seenBy: [] });
    expect((await deviceOf(ana).noteSync(note)).seenBy).toEqual([]);

    await deviceOf(ben).workOffline(false);
    await made.timeline.advance(30 * second);
    expect(await rowOn(ana, note)).toMatchObject({ state: "seen-elsewhere", seenBy: ["Ben"] });
  });

  it("is not seen by whoever had read a log that is not there any more", async () => {
    const { made, ana, ben, note } = await setupPair("wiped");
    // Many entries, which go into few when they are given back.
    for (let ix = 0; ix < 15; ix += 1) {
      await append(ana, note, ".");
      await made.timeline.advance(2 * second);
    }
    await made.timeline.advance(30 * second);
    expect((await rowOn(ana, note)).seenBy).toEqual(["Ben"]);
    await ben.kill();
    made.relay.crash();
    made.relay.disk = new MemoryRelayDisk();
    await made.relay.start();
    await made.timeline.advance(120 * second);
    // In the new log the note stands below where Ben had read the old one; Ben has read nothing of it.
    await append(ana, note, " two");
    await made.timeline.advance(60 * second);
    expect(await rowOn(ana, note)).toMatchObject({ state: "on-relay", seenBy: [] });
    ben.open();
    await made.timeline.advance(60 * second);
    expect(await rowOn(ana, note)).toMatchObject({ state: "seen-elsewhere", seenBy: ["Ben"] });
    expect((await deviceOf(ben).readNote(note)).body).toBe(`one${".".repeat(15)} two`);
  });

  it("with typing that is no change yet is saved here, whatever was seen before", async () => {
    const { ana, note } = await setupPair("typing");
    const session = "5".repeat(32);
    ana.sessions.add(session);
    const { actor } = await deviceOf(ana).openNote(note, session);
    const { heads } = await deviceOf(ana).readNote(note);
    const edits = [{ field: "body" as const, at: 0, remove: 0, insert: "x" }];
    await deviceOf(ana).draft(note, { session, actor, heads, edits });
    expect(await rowOn(ana, note)).toMatchObject({ state: "saved-here", seenBy: [] });
    await deviceOf(ana).commit(note, { session, changes: [], title: "Plan", preview: "one" });
    expect(await rowOn(ana, note)).toMatchObject({ state: "seen-elsewhere", seenBy: ["Ben"] });
  });
});

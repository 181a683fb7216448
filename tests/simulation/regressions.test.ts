/** What the simulation has found, each as the shortest run that shows it. */
import type * as AutomergeModule from "@automerge/automerge/slim";
import { describe, expect, it } from "vitest";
import type { Device } from "#client/device/device.ts";
import type { NoteDocument } from "#client/device/api.ts";
import { plainPreview } from "#client/notes/markdown.ts";
import { loadEngines, World, type SimDevice } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";

const engines = await loadEngines();
const keep = oneWorld();

/** Two devices of one person, both up to date, with one note. */
async function twoDevices(seed: string): Promise<{
  readonly world: World;
  readonly one: SimDevice;
  readonly other: SimDevice;
  readonly note: string;
}> {
  const made = new World({ seed, engines, encrypted: false, secrets: [] });
  keep(made);
  await made.relay.start();
  const one = made.addDevice("one");
  const other = made.addDevice("other");
  const words = one.open().create();
  other.open();
  await made.timeline.advance(2_000);
  const restored = deviceOf(other).restore(words.join(" "));
  await made.timeline.advance(2_000);
  await restored;
  const { id: note } = await deviceOf(one).createNote({ title: "Milk", body: "one" });
  await made.timeline.advance(2_000);
  return { world: made, one, other, note };
}

function deviceOf(sim: SimDevice): Device {
  const device = sim.running?.device;
  if (device === undefined) throw new Error(`${sim.name} does not run`);
  return device;
}

async function append(device: Device, note: string, insert: string): Promise<void> {
  const { body, heads } = await device.readNote(note);
  await device.spliceNote(note, heads, [{ field: "body", at: body.length, remove: 0, insert }]);
}

async function preview(device: Device, note: string): Promise<string | undefined> {
  return (await device.notes()).find(({ id }) => id === note)?.preview;
}

describe("the list", () => {
  it("shows changes although the device was killed at any moment of receiving them", async () => {
    const { world, one, other, note } = await twoDevices("killed while receiving");
    for (let flushes = 1; flushes <= 8; flushes += 1) {
      other.killAfterFlushes(flushes);
      await append(deviceOf(one), note, ` and ${flushes}`);
      await world.timeline.advance(2_000);
      await other.kill();
      other.open();
      await world.timeline.advance(2_000);
      expect(await preview(deviceOf(other), note)).toBe(await preview(deviceOf(one), note));
    }
  });

  it("shows what came from elsewhere although a tab commits without having seen it", async () => {
    const { world, one, other, note } = await twoDevices("late tab");
    const tab = deviceOf(other);
    const { chunks, actor } = await tab.openNote(note, "tab");
    let doc: AutomergeModule.Doc<NoteDocument> = engines.automerge.init<NoteDocument>({ actor });
    for (const chunk of chunks) doc = engines.automerge.loadIncremental(doc, chunk);
    await append(deviceOf(one), note, " and two");
    await world.timeline.advance(2_000);

    const before = engines.automerge.getHeads(doc);
    doc = engines.automerge.change(doc, { time: 0 }, (draft) => {
      engines.automerge.splice(draft, ["body"], 0, 0, "zero and ");
    });
    await tab.commit(note, {
      session: "tab",
      changes: engines.automerge.getChangesSince(doc, before),
      title: doc.title,
      preview: plainPreview(doc),
    });
    await world.timeline.advance(2_000);

    expect(await preview(tab, note)).toBe("zero and one and two");
    expect(await preview(deviceOf(one), note)).toBe("zero and one and two");
  });
});

describe("a notebook that the relay could not take at first", () => {
  it("is taken and read by all devices without anybody connecting anew", async () => {
    const { world, one, other } = await twoDevices("full disk");
    const dialled = world.trace.lines.filter((line) => line.endsWith("dials")).length;
    world.relay.fillDisk(2);
    const made = deviceOf(one).createNotebook("Late");
    await world.timeline.advance(120_000);
    const { id } = await made;
    for (const sim of [one, other]) {
      const names = (await deviceOf(sim).notebooks()).map((notebook) => notebook.name);
      expect(names).toContain("Late");
      expect((await deviceOf(sim).status()).word).toBe("up-to-date");
    }
    expect(world.relay.disk.spaces.has(id)).toBe(true);
    expect(world.trace.lines.filter((line) => line.endsWith("dials"))).toHaveLength(dialled);
  });
});

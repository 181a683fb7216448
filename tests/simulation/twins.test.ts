/** One store, twice: copied, or put back to an older state, and written in on both sides (PROTOCOL §4). */
import type * as AutomergeModule from "@automerge/automerge/slim";
import { describe, expect, it } from "vitest";
import { plainPreview } from "#client/notes/markdown.ts";
import type { NoteDocument } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { loadEngines, World, type SimDevice } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";

const engines = await loadEngines();
const keep = oneWorld();

function deviceOf(sim: SimDevice): Device {
  const device = sim.running?.device;
  if (device === undefined) throw new Error(`${sim.name} does not run`);
  return device;
}

async function append(sim: SimDevice, note: string, insert: string): Promise<void> {
  const { body, heads } = await deviceOf(sim).readNote(note);
  await deviceOf(sim).spliceNote(note, heads, [
    { field: "body", at: body.length, remove: 0, insert },
  ]);
}

async function bodyOf(sim: SimDevice, note: string): Promise<string> {
  return (await deviceOf(sim).readNote(note)).body;
}

/** A tab that stays open: its changes are all by one actor. */
class Tab {
  readonly #sim: SimDevice;
  readonly #note: string;
  readonly #session: string;
  #doc: AutomergeModule.Doc<NoteDocument>;

  constructor(
    sim: SimDevice,
    note: string,
    session: string,
    doc: AutomergeModule.Doc<NoteDocument>,
  ) {
    this.#sim = sim;
    this.#note = note;
    this.#session = session;
    this.#doc = doc;
  }

  static async open(sim: SimDevice, note: string, session: string): Promise<Tab> {
    sim.sessions.add(session);
    const { chunks, actor } = await deviceOf(sim).openNote(note, session);
    const { automerge } = engines;
    const doc = automerge.applyChanges(automerge.init<NoteDocument>({ actor }), [...chunks])[0];
    return new Tab(sim, note, session, doc);
  }

  /** The same tab over a copy of its device, as a copy of a whole machine has it. */
  over(sim: SimDevice): Tab {
    const { automerge } = engines;
    const doc = automerge.clone(this.#doc, { actor: automerge.getActorId(this.#doc) });
    sim.sessions.add(this.#session);
    return new Tab(sim, this.#note, this.#session, doc);
  }

  async type(insert: string): Promise<void> {
    const { automerge } = engines;
    const before = automerge.getHeads(this.#doc);
    this.#doc = automerge.change(this.#doc, { time: 0 }, (draft) => {
      automerge.splice(draft, ["body"], draft.body.length, 0, insert);
    });
    await deviceOf(this.#sim).commit(this.#note, {
      session: this.#session,
      changes: automerge.getChangesSince(this.#doc, before),
      title: this.#doc.title,
      preview: plainPreview(this.#doc),
    });
  }
}

/** A device that has one note open in a tab, a witness of the same person, and a copy of the device's files. */
async function copied(seed: string) {
  const made = new World({ seed, engines, encrypted: false, secrets: [] });
  keep(made);
  const { timeline } = made;
  await made.relay.start();
  const original = made.addDevice("original");
  const words = original.open().create().join(" ");
  await timeline.advance(2_000);
  const witness = made.addDevice("witness");
  witness.open();
  await timeline.advance(2_000);
  const restored = deviceOf(witness).restore(words);
  await timeline.advance(5_000);
  await restored;
  const { id: note } = await deviceOf(original).createNote({ title: "Milk", body: "one" });
  const tab = await Tab.open(original, note, "tab");
  await tab.type(" two");
  await timeline.advance(5_000);
  const files = original.bytes();
  if (files === null) throw new Error("a device has files");
  return { made, original, witness, note, tab, files };
}

/** What is wrong with what they hold: each word is to stand there once, everywhere. */
async function differences(
  sims: readonly SimDevice[],
  note: string,
  words: readonly string[],
): Promise<readonly string[]> {
  const bodies = await Promise.all(sims.map((sim) => bodyOf(sim, note)));
  const found = new Set(bodies).size === 1 ? [] : [`they say ${bodies.join(" | ")}`];
  for (const word of words) {
    const times = (bodies[0]?.split(word).length ?? 0) - 1;
    if (times !== 1) found.push(`${word} stands there ${times} times`);
  }
  for (const sim of sims) {
    const store = sim.running?.store;
    found.push(...(store?.inbox.quarantined() ?? []).map(({ reason }) => `${sim.name}: ${reason}`));
    const { word } = await deviceOf(sim).status();
    if (word !== "up-to-date") found.push(`${sim.name} is ${word}`);
    const errors = store?.syncLog.all().filter(({ level }) => level === "error") ?? [];
    found.push(...errors.map(({ text }) => `${sim.name}: ${text}`));
  }
  return found;
}

describe("yesterday's copy of a store beside the store itself (attack 47)", () => {
  it("takes keys of its own; what both wrote meanwhile is everywhere, once", async () => {
    const { made, original, witness, note, tab, files } = await copied("attack 47");
    const { timeline, network } = made;
    await tab.type(" original");
    await timeline.advance(5_000);
    const copy = made.addDevice("copy", files);
    network.part("copy", "refuse");
    copy.open();
    await timeline.advance(2_000);
    await append(copy, note, " copy");
    await deviceOf(copy).createNote({ title: "Of the copy", body: "of the copy" });
    await append(original, note, " more");
    await timeline.advance(5_000);
    network.join("copy");
    await deviceOf(copy).setOnline(true);
    await timeline.advance(120_000);
    expect(
      await differences([original, copy, witness], note, [
        "one",
        "two",
        "original",
        "copy",
        "more",
      ]),
    ).toEqual([]);
    const titles = (await deviceOf(witness).notes()).map(({ title }) => title);
    expect(titles).toContain("Of the copy");
    // They go on as two devices.
    await append(copy, note, " again-copy");
    await append(original, note, " again-original");
    await timeline.advance(30_000);
    expect(
      await differences([original, copy, witness], note, ["again-copy", "again-original"]),
    ).toEqual([]);
  });

  it("has what it wrote under the same name made again under another, edit by edit", async () => {
    const { made, original, witness, note, tab, files } = await copied("attack 47, one actor");
    const { timeline, network } = made;
    // Both go on typing in what was one tab, out of reach of the relay.
    const copy = made.addDevice("copy", files);
    for (const name of ["original", "copy"]) network.part(name, "refuse");
    copy.sessions.add("tab");
    copy.open();
    await timeline.advance(2_000);
    const twinTab = tab.over(copy);
    for (const word of [" first", " second", " third"]) {
      await tab.type(`${word}-here`);
      await twinTab.type(`${word}-there`);
      await timeline.advance(500);
    }
    await append(copy, note, " on top");
    await timeline.advance(5_000);
    for (const sim of [original, copy]) {
      network.join(sim.name);
      await deviceOf(sim).setOnline(true);
      await timeline.advance(60_000);
    }
    await timeline.advance(60_000);
    const words = ["first", "second", "third"].flatMap((word) => [`${word}-here`, `${word}-there`]);
    expect(await differences([original, copy, witness], note, [...words, "on top"])).toEqual([]);
  });
});

/** What this person's devices tell each other, in the vault, of how far they have read each notebook (PROTOCOL §9). */
import { describe, expect, it } from "vitest";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { equal } from "#relay/protocol/bytes.ts";
import { SelectiveRelay } from "#tests/support/lying-relay.ts";
import { MemoryRelayDisk } from "#tests/support/memory-relay-store.ts";
import { loadEngines, type SimDevice } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";
import {
  append,
  bodyOf,
  deviceOf,
  doubtsOf,
  logOf,
  reconnect,
  storeOf,
  threeDevices,
  type Cast,
} from "./three-devices.ts";

const engines = await loadEngines();
const keep = oneWorld();

const lessWords = "less of a notebook than another device of yours";

function spaceOf(sim: SimDevice, note: string): Uint8Array {
  const doc = parseDocumentId(note) ?? new Uint8Array();
  const space = storeOf(sim).documents.get(doc)?.space;
  if (space === undefined) throw new Error("the note is in a notebook");
  return space;
}

/** A note that says "one two three", of which the vault says how far it was read; nobody but Ada is left, and she is away. */
async function told(seed: string): Promise<Cast & { readonly words: string }> {
  const cast = await threeDevices(seed, engines);
  keep(cast.made);
  const { made, devices, note } = cast;
  const [ada, bob, cyd] = devices;
  await append(ada, note, " two");
  await append(ada, note, " three");
  await made.timeline.advance(5_000);
  // Who stays for a while says how far they have read.
  for (const sim of devices) await sim.kill();
  for (const sim of devices) sim.open();
  await made.timeline.advance(150_000);
  const witness = storeOf(ada).spaceWitnesses.of(spaceOf(ada, note));
  expect(witness?.pos).toBe(storeOf(ada).inbox.cursor(spaceOf(ada, note))?.pos);
  expect(storeOf(bob).spaceWitnesses.of(spaceOf(ada, note))).toMatchObject({
    pos: witness?.pos,
    isMet: true,
  });
  const words = (await deviceOf(ada).words())?.join(" ") ?? "";
  for (const sim of [ada, bob, cyd]) await sim.kill();
  return { ...cast, words };
}

async function restored({ made }: Cast, name: string, words: string): Promise<SimDevice> {
  const sim = made.devices.find((device) => device.name === name) ?? made.addDevice(name);
  sim.open();
  await made.timeline.advance(2_000);
  const done = deviceOf(sim).restore(words);
  done.catch(() => {}); // awaited below, when its time has passed
  await made.timeline.advance(10_000);
  await done;
  return sim;
}

/** A new device of the same person, to which the relay is to show all of the vault and the beginning of the notebook. */
async function shownLess(seed: string) {
  const cast = await told(seed);
  const { made, devices, note, words } = cast;
  const [ada] = devices;
  ada.open();
  await made.timeline.advance(2_000);
  const space = spaceOf(ada, note);
  await ada.kill();
  const dan = made.addDevice("dan");
  let shown = 0;
  const liar = new SelectiveRelay((_item, id) => !equal(id, space) || (shown += 1) <= 4);
  made.network.meddle(dan.name, liar);
  return { cast, dan, space, words };
}

describe("a relay that shows a new device less than another one had read", () => {
  it("is doubted though nobody else is there, and no more when it shows the rest", async () => {
    const { cast, dan, space, words } = await shownLess("witness");
    const { made, note } = cast;
    await restored(cast, "dan", words);
    expect(storeOf(dan).spaceWitnesses.of(space)).toMatchObject({ isMet: false });
    await made.timeline.advance(60_000);
    expect(await doubtsOf(dan)).toHaveLength(1);
    expect((await deviceOf(dan).status()).word).toBe("limited");
    expect(logOf(dan).filter((text) => text.includes(lessWords))).toHaveLength(1);

    made.network.meddle(dan.name, null);
    await reconnect(cast, dan);
    await made.timeline.advance(60_000);
    expect(await bodyOf(dan, note)).toBe("one two three");
    expect(await doubtsOf(dan)).toEqual([]);
    expect((await deviceOf(dan).status()).word).toBe("up-to-date");
    expect(storeOf(dan).spaceWitnesses.of(space)).toMatchObject({ isMet: true });
  });

  it("is doubted by nobody without that word: at first contact nothing else tells", async () => {
    const { cast, dan, words } = await shownLess("no witness");
    const { made } = cast;
    dan.open();
    // As if no device had ever told.
    storeOf(dan).spaceWitnesses.put = () => undefined;
    await made.timeline.advance(2_000);
    const done = deviceOf(dan).restore(words);
    done.catch(() => {}); // awaited below, when its time has passed
    await made.timeline.advance(10_000);
    await done;
    await made.timeline.advance(120_000);
    expect(await doubtsOf(dan)).toEqual([]);
  });
});

describe("a relay that lost everything and was given it back in another order", () => {
  it("is not doubted for what was told of its former log, by devices that were there or come later", async () => {
    const cast = await told("restored");
    const { made, devices, note, words } = cast;
    const [ada, bob] = devices;
    made.relay.crash();
    made.relay.disk = new MemoryRelayDisk();
    await made.relay.start();
    for (const sim of [ada, bob]) sim.open();
    await made.timeline.advance(180_000);
    await append(bob, note, " four");
    await made.timeline.advance(60_000);
    const dan = await restored(cast, "dan", words);
    await made.timeline.advance(120_000);
    for (const sim of [ada, bob, dan]) {
      expect(await bodyOf(sim, note)).toBe("one two three four");
      expect(await doubtsOf(sim)).toEqual([]);
      expect((await deviceOf(sim).status()).word).toBe("up-to-date");
      expect(logOf(sim).filter((text) => text.includes(lessWords))).toEqual([]);
    }
  });
});

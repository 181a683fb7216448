/** A relay that shows an old state of one note in place of what it holds, and what tells. */
import { describe, expect, it } from "vitest";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { defaultSnapshotLimits, type SnapshotLimits } from "#client/device/snapshot-maker.ts";
import { equal } from "#relay/protocol/bytes.ts";
import { entryKinds, parseEntry } from "#relay/protocol/entry.ts";
import { maxMessageBytes } from "#relay/protocol/limits.ts";
import { scripted, type Item } from "#tests/support/lying-relay.ts";
import { loadEngines, type SimDevice } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";
import {
  append,
  bodyOf,
  deviceOf,
  doubtsOf,
  storeOf,
  threeDevices,
  type Cast,
} from "./three-devices.ts";

const engines = await loadEngines();
const keep = oneWorld();

/** Only Ada sums up: what she makes is what the others see. */
const snapshots = (device: string): SnapshotLimits =>
  device === "ada" ? { ...defaultSnapshotLimits, entries: 2, quietMs: 200 } : defaultSnapshotLimits;

function docOf(note: string): Uint8Array {
  const doc = parseDocumentId(note);
  if (doc === undefined) throw new Error("a note's id");
  return doc;
}

function entryIn(item: Item) {
  const entry = item.kind === "entry" ? parseEntry(item.bytes, maxMessageBytes) : null;
  return entry?.ok === true ? entry.value : null;
}

function isSnapshotOf(item: Item, doc: Uint8Array): boolean {
  const entry = entryIn(item);
  return entry !== null && entry.kind === entryKinds.snapshot && equal(entry.docId, doc);
}

interface Replay extends Cast {
  readonly words: string;
  /** Snapshots of the note as Bob saw them pass, the oldest first. */
  readonly snapshots: readonly [Item, ...Item[]];
}

/** A note that says "one a b c d e" and was summed up twice on the way. */
async function summedUp(seed: string): Promise<Replay> {
  const cast = await threeDevices(seed, engines, { snapshots });
  const { made, devices, note } = cast;
  keep(made);
  const [ada, bob] = devices;
  const doc = docOf(note);
  const seen: Item[] = [];
  made.network.meddle(
    bob.name,
    scripted({
      toDevice: (message) => {
        if (message.type === "data")
          seen.push(...message.items.filter((item) => isSnapshotOf(item, doc)));
        return null;
      },
    }),
  );
  for (const word of [" a", " b", " c", " d", " e"]) {
    await append(ada, note, word);
    await made.timeline.advance(40_000);
  }
  made.network.meddle(bob.name, null);
  const [oldest, ...newer] = seen;
  if (oldest === undefined || newer.length !== 1) throw new Error("it was not summed up twice");
  const words = (await deviceOf(ada).words())?.join(" ");
  if (words === undefined) throw new Error("Ada knows her words");
  return { ...cast, words, snapshots: [oldest, ...newer] };
}

/** Another device of the same person, which is shown the oldest snapshot for any newer one. */
async function fresh(replay: Replay): Promise<SimDevice> {
  const { made, note, words, snapshots } = replay;
  const dan = made.addDevice("dan");
  const doc = docOf(note);
  const upTo = snapshots.at(-1)?.pos ?? 0;
  made.network.meddle(
    dan.name,
    scripted({
      toDevice: (message) => {
        if (message.type !== "data") return null;
        const items = message.items.flatMap((item) => {
          if (item.pos > upTo) return [item];
          if (isSnapshotOf(item, doc)) return [snapshots[0]];
          return [item];
        });
        return [{ ...message, items }];
      },
    }),
  );
  dan.open();
  await made.timeline.advance(2_000);
  const restored = deviceOf(dan).restore(words);
  restored.catch(() => {}); // awaited below, when its time has passed
  await made.timeline.advance(3_000);
  await restored;
  return dan;
}

describe("a relay that shows an old snapshot for a newer one (attack 42)", () => {
  it("changes nothing for a device that has the note", async () => {
    const replay = await summedUp("attack 42, known");
    const { made, devices, note, snapshots } = replay;
    const [ada, bob] = devices;
    const before = storeOf(bob).changes.ofDocument(docOf(note)).length;
    let replayed = 0;
    made.network.meddle(
      bob.name,
      scripted({
        toDevice: (message) => {
          const last = message.type === "data" ? message.items.at(-1) : undefined;
          if (message.type !== "data" || last === undefined || replayed > 0) return null;
          replayed += 1;
          const items = [...message.items, { ...snapshots[0], pos: last.pos + 1 }];
          return [{ ...message, items }];
        },
      }),
    );
    await append(ada, note, " f");
    await made.timeline.advance(10_000);
    expect(replayed).toBe(1);
    expect(await bodyOf(bob, note)).toBe("one a b c d e f");
    expect(storeOf(bob).changes.ofDocument(docOf(note))).toHaveLength(before + 1);
    // It is back on the honest log, and writes on.
    await append(bob, note, " g");
    await made.timeline.advance(60_000);
    for (const sim of devices) expect(await bodyOf(sim, note)).toBe("one a b c d e f g");
    expect(storeOf(bob).inbox.quarantined()).toEqual([]);
  });

  it("has a new device ask the others for what lies between it and what came later", async () => {
    const replay = await summedUp("attack 42, fresh");
    const { made, devices, note } = replay;
    const [ada] = devices;
    const dan = await fresh(replay);
    expect((await bodyOf(dan, note)).length).toBeLessThan("one a b c d e".length);
    await append(ada, note, " f");
    await made.timeline.advance(60_000);
    for (const sim of [...devices, dan]) expect(await bodyOf(sim, note)).toBe("one a b c d e f");
    expect(await doubtsOf(dan)).toEqual([]);
  });

  it("and nothing that came later is found out by what the others say they hold", async () => {
    const replay = await summedUp("attack 42, digests");
    const { made, devices, note } = replay;
    const [ada] = devices;
    const dan = await fresh(replay);
    await made.timeline.advance(60_000);
    expect((await bodyOf(dan, note)).length).toBeLessThan("one a b c d e".length);
    // Nobody speaks of this note: nothing tells that it is old.
    expect(await doubtsOf(dan)).toEqual([]);
    const caret = { field: "body" as const, anchor: "1@aa", head: "1@aa" };
    await deviceOf(ada).setCursor(note, "tab", caret);
    await made.timeline.advance(10_000);
    // A relay may take this long.
    expect(await doubtsOf(dan)).toEqual([]);
    await made.timeline.advance(40_000);
    expect(await doubtsOf(dan)).toHaveLength(1);
    expect((await deviceOf(dan).status()).word).toBe("limited");
    expect((await deviceOf(dan).syncReport()).divergence.found).toBe(1);
    expect(await doubtsOf(ada)).toEqual([]);
    // Told the truth of what is written next, it gets the rest, too, and doubts no more.
    made.network.meddle(dan.name, null);
    await append(ada, note, " f");
    await made.timeline.advance(90_000);
    expect(await bodyOf(dan, note)).toBe("one a b c d e f");
    expect(await doubtsOf(dan)).toEqual([]);
  });
});

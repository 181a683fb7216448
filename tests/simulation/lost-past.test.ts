/** A note that was moved brought its past along in a snapshot. A relay that lost that gets it again from whoever holds it. */
import { describe, expect, it } from "vitest";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { equal } from "#relay/protocol/bytes.ts";
import { MemoryRelayDisk } from "#tests/support/memory-relay-store.ts";
import { loadEngines, type SimDevice } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";
import { append, bodyOf, deviceOf, storeOf, threeDevices } from "./three-devices.ts";

const engines = await loadEngines();
const keep = oneWorld();

const lazy = { changes: 500, bytes: 1 << 20, quietMs: 3_000 };
const eager = { changes: 1, bytes: 1, quietMs: 100 };

/** Every change the relay's log brought this device of a note, the moved one's past included, has its place. */
function unplacedOf(sim: SimDevice, note: string): number {
  const doc = parseDocumentId(note) ?? new Uint8Array();
  return storeOf(sim).changes.unplaced(doc).length;
}

describe("the past of a moved note, which nobody can sign again,", () => {
  it.each([
    { who: "its mover", packing: lazy },
    { who: "another device, when its mover is gone", packing: lazy },
    { who: "another device, when its mover is gone", packing: eager },
  ])(
    "is given back to an emptied relay by $who (packing from $packing.changes changes)",
    async ({ who, packing }) => {
      const cast = await threeDevices(`lost past ${who}`, engines, { packing });
      const { made, devices, note } = cast;
      keep(made);
      const [ada, bob, cyd] = devices;
      const { timeline, relay } = made;
      await append(ada, note, " two");
      await append(bob, note, " three");
      await timeline.advance(5_000);
      const { id: other } = await deviceOf(ada).createNotebook("Other");
      const { id: moved } = await deviceOf(ada).moveNote(note, other);
      await timeline.advance(20_000);
      await append(bob, moved, " four");
      await timeline.advance(20_000);
      const text = await bodyOf(cyd, moved);
      for (const word of ["one", "two", "three", "four"]) expect(text).toContain(word);
      const words = (await deviceOf(ada).words())?.join(" ") ?? "";
      if (who !== "its mover") await ada.kill();
      else for (const sim of [bob, cyd]) await sim.kill();
      relay.crash();
      relay.disk = new MemoryRelayDisk();
      await relay.start();
      await timeline.advance(180_000);

      const newcomer = made.addDevice("newcomer");
      newcomer.open();
      await timeline.advance(2_000);
      const restored = deviceOf(newcomer).restore(words);
      restored.catch(() => {}); // awaited below, when its time has passed
      await timeline.advance(10_000);
      await restored;
      await timeline.advance(60_000);
      const left = who === "its mover" ? [ada] : [bob, cyd];
      for (const sim of [...left, newcomer]) {
        expect(await bodyOf(sim, moved)).toBe(text);
        expect(storeOf(sim).losses.all()).toEqual([]);
        expect(unplacedOf(sim, moved)).toBe(0);
        expect(storeOf(sim).inbox.quarantined()).toEqual([]);
        expect((await deviceOf(sim).status()).word).toBe("up-to-date");
      }
      // The second look found it there.
      const kept = [...relay.disk.spaces.values()].flatMap(({ snapshots }) => [
        ...snapshots.values(),
      ]);
      const doc = parseDocumentId(moved);
      expect(kept.filter(({ docId }) => doc !== undefined && equal(docId, doc))).toHaveLength(1);
      await append(newcomer, moved, " five");
      await timeline.advance(20_000);
      for (const sim of left) expect(await bodyOf(sim, moved)).toBe(`${text} five`);
    },
  );
});

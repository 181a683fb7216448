/** Another device's snapshot that leaves out what it says it covers, and the device that holds it goes away meanwhile. */
import { describe, expect, it } from "vitest";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { documentsIn, ownHeads, putSnapshot, spaceIn } from "#tests/support/bad-snapshot.ts";
import { loadEngines } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";
import { append, bodyOf, deviceOf, logOf, storeOf, threeDevices } from "./three-devices.ts";

const engines = await loadEngines();
const keep = oneWorld();

describe("what another device's snapshot leaves out (attack 53)", () => {
  it("is sent again by a device that was killed before it had looked, as soon as it is back", async () => {
    const { made, devices, note } = await threeDevices("covered", engines);
    keep(made);
    const [ada, bob, cyd] = devices;
    const { timeline } = made;
    const doc = parseDocumentId(note) ?? new Uint8Array();
    const store = storeOf(ada);
    const old = (await documentsIn(store)).save(doc);
    await append(bob, note, " two");
    await timeline.advance(5_000);
    const words = (await deviceOf(ada).words())?.join(" ") ?? "";
    await cyd.kill();
    // Bob's change stands below what it covers, and it does not hold it.
    putSnapshot(store, doc, old, ownHeads(store, spaceIn(store, doc), doc, old.changes));
    await append(ada, note, " three");
    await timeline.advance(150);
    expect(storeOf(bob).passedSnapshots.of(doc)).not.toBeNull();
    await bob.kill();
    await ada.kill();
    await timeline.advance(60_000);
    expect(bob.running).toBeNull();

    bob.open();
    await timeline.advance(60_000);
    expect(logOf(bob).filter((text) => text.includes("leaves something out"))).toHaveLength(1);
    expect(storeOf(bob).passedSnapshots.of(doc)).toBeNull();
    // The relay may forget what the snapshot covers: whoever comes reads that, and what stands behind it.
    const dan = made.addDevice("dan");
    dan.open();
    await timeline.advance(2_000);
    const restored = deviceOf(dan).restore(words);
    restored.catch(() => {}); // awaited below, when its time has passed
    await timeline.advance(10_000);
    await restored;
    await timeline.advance(20_000);
    expect(await bodyOf(dan, note)).toBe("one two three");
    expect(await bodyOf(bob, note)).toBe("one two three");
  });
});

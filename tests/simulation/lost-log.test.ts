/** A relay that lost data is given it back by the devices that wrote it (P6). */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import type { Device } from "#client/device/device.ts";
import { MemoryRelayDisk } from "#tests/support/memory-relay-store.ts";
import { loadEngines, World, type Engines, type SimDevice } from "#tests/support/world.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

let world: World | null = null;
afterEach(async () => {
  await world?.end();
  world = null;
});

const lazy = { changes: 500, bytes: 1 << 20, quietMs: 3_000 };
const eager = { changes: 1, bytes: 1, quietMs: 100 };

describe("a relay whose disk (attack 38)", () => {
  it.each([
    { loss: "was put back to an older copy", packing: lazy },
    { loss: "was emptied", packing: lazy },
    { loss: "was put back to an older copy", packing: eager },
    { loss: "was emptied", packing: eager },
  ])(
    "$loss holds everything again once the writers are back (packing from $packing.changes changes)",
    async ({ loss, packing }) => {
      const made = new World({ seed: loss, engines, encrypted: false, packing, secrets: [] });
      world = made;
      const { timeline, relay } = made;
      await relay.start();
      const [one, other, newcomer] = ["one", "other", "newcomer"].map((name) =>
        made.addDevice(name),
      );
      if (one === undefined || other === undefined || newcomer === undefined)
        throw new Error("unreachable");
      const words = one.open().create().join(" ");
      other.open();
      await timeline.advance(2_000);
      await during(made, deviceOf(other).restore(words));
      const { id: note } = await deviceOf(one).createNote({ title: "Milk", body: "one" });
      await timeline.advance(2_000);
      await append(other, note, " two");
      await timeline.advance(2_000);

      const copy = relay.disk.copy();
      await append(one, note, " three");
      await timeline.advance(2_000);
      await append(other, note, " four");
      await timeline.advance(2_000);
      const [notebook] = await deviceOf(one).notebooks();
      const shared = deviceOf(one).share(notebook?.id ?? "", "edit");
      await during(made, shared);

      const doc = parseDocumentId(note);
      const packed = doc === undefined ? null : one.running?.store.changes.packOf(doc);
      expect(packed?.changes ?? 0).toBe(packing === eager ? 4 : 0);
      relay.crash();
      relay.disk = loss === "was emptied" ? new MemoryRelayDisk() : copy;
      await relay.start();
      await timeline.advance(60_000);
      await append(one, note, " five");
      await timeline.advance(60_000);

      newcomer.open();
      await timeline.advance(2_000);
      await during(made, deviceOf(newcomer).restore(words));
      await timeline.advance(30_000);
      for (const device of [one, other, newcomer]) {
        expect((await deviceOf(device).readNote(note)).body).toBe("one two three four five");
        expect((await deviceOf(device).status()).word).toBe("up-to-date");
      }
      // The link that was made after the copy opens, too.
      const { link } = await shared;
      const guest = made.addDevice("guest");
      guest.open().create();
      await timeline.advance(2_000);
      await during(made, deviceOf(guest).join(link));
      await timeline.advance(30_000);
      expect((await deviceOf(guest).readNote(note)).body).toBe("one two three four five");
    },
  );
});

describe("what only somebody else had written, who is away (attack 38)", () => {
  it.each([
    { loss: "an older copy", packing: lazy },
    { loss: "an empty disk", packing: lazy },
    { loss: "an older copy", packing: eager },
    { loss: "an empty disk", packing: eager },
  ])(
    "comes back to a relay with $loss from whoever has it, once, with one message (packing from $packing.changes changes)",
    async ({ loss, packing }) => {
      const made = new World({
        seed: `away ${loss}`,
        engines,
        encrypted: false,
        packing,
        secrets: [],
      });
      world = made;
      const { timeline, relay } = made;
      await relay.start();
      const one = made.addDevice("one");
      const words = one.open().create().join(" ");
      await timeline.advance(2_000);
      const notices = new Map<string, string[]>();
      const others: SimDevice[] = [];
      for (const name of ["other", "third"]) {
        const device = made.addDevice(name);
        others.push(device);
        device.open();
        await timeline.advance(2_000);
        await during(made, deviceOf(device).restore(words));
        const told: string[] = [];
        notices.set(name, told);
        deviceOf(device).subscribe((event) => {
          // Of the devices that come one after another they are told as well.
          if (event.type === "notice" && event.text.startsWith("The relay")) told.push(event.text);
        });
      }
      const [other, third] = others;
      if (other === undefined || third === undefined) throw new Error("unreachable");
      const { id: note } = await deviceOf(one).createNote({ title: "Milk", body: "one" });
      await timeline.advance(2_000);
      await append(other, note, " two");
      await timeline.advance(2_000);
      const copy = relay.disk.copy();
      for (const word of [" three", " four", " five"]) {
        await append(one, note, word);
        await timeline.advance(2_000);
      }
      const { id: late } = await deviceOf(one).createNote({
        title: "Late",
        body: "only one wrote it",
      });
      await timeline.advance(20_000);
      // The only writer never comes back.
      await one.kill();

      relay.crash();
      relay.disk = loss === "an empty disk" ? new MemoryRelayDisk() : copy;
      await relay.start();
      await timeline.advance(120_000);

      const newcomer = made.addDevice("newcomer");
      newcomer.open();
      await timeline.advance(2_000);
      await during(made, deviceOf(newcomer).restore(words));
      await timeline.advance(30_000);
      for (const device of [other, third, newcomer]) {
        expect((await deviceOf(device).readNote(note)).body).toBe("one two three four five");
        expect((await deviceOf(device).readNote(late)).body).toBe("only one wrote it");
        expect((await deviceOf(device).status()).word).toBe("up-to-date");
        expect(device.running?.store.inbox.quarantined()).toEqual([]);
        expect(device.running?.store.losses.all()).toEqual([]);
      }
      const messages = [...notices.values()];
      expect(messages.every((told) => told.length <= 1)).toBe(true);
      expect(new Set(messages.flat())).toEqual(
        new Set(["The relay lost some recent data. This device has put it back."]),
      );
      // Of what neither had written, the first gave it back; the other looked again and sent nothing. Of an empty disk the
      // vault and the notebook are missing, and chance says who is first for each.
      const givers = messages.filter((told) => told.length > 0);
      expect(givers.length).toBeLessThanOrEqual(loss === "an empty disk" ? 2 : 1);
    },
  );
});

/** Lets virtual time pass until the work is done; fails with it. */
async function during(made: World, work: Promise<unknown>): Promise<void> {
  work.catch(() => {}); // awaited below, when its time has passed
  await made.timeline.advance(10_000);
  await work;
}

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

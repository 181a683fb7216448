/** A relay that lost data is given it back by the devices that wrote it (P6). */
import { describe, expect, it } from "vitest";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { equal, parseHex } from "#relay/protocol/bytes.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import type { Device } from "#client/device/device.ts";
import { MemoryRelayDisk } from "#tests/support/memory-relay-store.ts";
import { loadEngines, World, type SimDevice } from "#tests/support/world.ts";
import type { PackingLimits } from "#client/device/compaction.ts";
import { oneWorld } from "#tests/support/one-world.ts";

const engines = await loadEngines();
const keep = oneWorld();

const lazy = { changes: 500, bytes: 1 << 20, quietMs: 3_000 };
const eager = { changes: 1, bytes: 1, quietMs: 100 };

/** A relay, and somebody new to it. */
async function founded(seed: string, packing?: PackingLimits) {
  const made = new World({
    seed,
    engines,
    encrypted: false,
    secrets: [],
    ...(packing === undefined ? {} : { packing }),
  });
  keep(made);
  await made.relay.start();
  const one = made.addDevice("one");
  const words = one.open().create().join(" ");
  await made.timeline.advance(2_000);
  return { made, one, words };
}

/** One more device of the person whose words these are. */
async function another(made: World, name: string, words: string): Promise<SimDevice> {
  const sim = made.addDevice(name);
  sim.open();
  await made.timeline.advance(2_000);
  await during(made, deviceOf(sim).restore(words));
  return sim;
}

/** Somebody else, with notes of their own. */
async function founder(made: World, name: string): Promise<SimDevice> {
  const sim = made.addDevice(name);
  sim.open().create();
  await made.timeline.advance(2_000);
  return sim;
}

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
      keep(made);
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
      const guest = await founder(made, "guest");
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
      const { made, one, words } = await founded(`away ${loss}`, packing);
      const { timeline, relay } = made;
      const notices = new Map<string, string[]>();
      const others: SimDevice[] = [];
      for (const name of ["other", "third"]) {
        const device = await another(made, name, words);
        others.push(device);
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

      const newcomer = await another(made, "newcomer", words);
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

describe("where control records stand in the log", () => {
  it("is what the log that is there now says, also for a device that had only been told by one that is lost", async () => {
    const { made, one, words } = await founded("places");
    const { timeline, relay, network } = made;
    await deviceOf(one).createNote({ title: "Milk", body: "one" });
    await timeline.advance(2_000);
    const late = made.addDevice("late");
    late.open();
    await timeline.advance(2_000);
    // It is let in behind the note, and goes before it has read anything.
    const restored = deviceOf(late)
      .restore(words)
      .then(() => network.part("late", "refuse"));
    await during(made, restored);
    const vault = one.running?.store.spaces.list().find(({ kind }) => kind === "vault")?.id;
    if (vault === undefined) throw new Error("no vault");
    const places = (sim: SimDevice): readonly (number | null)[] | undefined =>
      sim.running?.store.spaces.control(vault).map(({ pos }) => pos);
    const before = places(late);
    expect(late.running?.store.inbox.cursor(vault)).toBeNull();

    relay.crash();
    relay.disk = new MemoryRelayDisk();
    await relay.start();
    await timeline.advance(60_000);
    network.join("late");
    await timeline.advance(60_000);
    expect(places(one)).not.toEqual(before);
    expect(places(late)).toEqual(places(one));
  });
});

describe("what is read of another log than before", () => {
  it("is judged by where records stand in that one, also before they have been read", async () => {
    const { made, one, words } = await founded("another log");
    const { timeline, relay, network } = made;
    const late = await another(made, "late", words);
    const [notebook] = await deviceOf(one).notebooks();
    if (notebook === undefined) throw new Error("no notebook");
    const { id: note } = await deviceOf(one).createNote({ title: "Milk", body: "one" });
    const shared = deviceOf(one).share(notebook.id, "edit");
    await during(made, shared);
    const guest = await founder(made, "guest");
    await during(made, deviceOf(guest).join((await shared).link));
    await timeline.advance(20_000);
    const copy = relay.disk.copy();
    network.part("guest", "refuse");
    await deviceOf(one).revokeLink(notebook.id, (await shared).id);
    // One more: where the newest record stands, a device asks anyway.
    await during(made, deviceOf(one).share(notebook.id, "read"));
    await timeline.advance(20_000);
    for (const name of ["one", "late"]) network.part(name, "refuse");

    relay.crash();
    relay.disk = copy;
    await relay.start();
    network.join("guest");
    // Under the key of before, at places behind the one that the lost record had.
    for (const word of [" two", " three", " four", " five"]) {
      await append(guest, note, word);
      await timeline.advance(5_000);
    }
    network.join("one");
    await timeline.advance(60_000);
    network.join("late");
    await timeline.advance(60_000);
    expect(late.running?.store.inbox.quarantined()).toEqual([]);
    expect((await deviceOf(late).readNote(note)).body).toBe("one two three four five");
  });
});

describe("a change of access that waits on a device", () => {
  it.each(["an older copy", "an empty disk"])(
    "gets to a relay with %s, which lacks what it builds upon",
    async (loss) => {
      const { made, one } = await founded(`waits ${loss}`);
      const { timeline, relay, network } = made;
      const copy = relay.disk.copy();
      const [notebook] = await deviceOf(one).notebooks();
      await during(made, deviceOf(one).share(notebook?.id ?? "", "read"));
      network.part("one", "refuse");
      await timeline.advance(2_000);
      const shared = deviceOf(one).share(notebook?.id ?? "", "edit");
      await during(made, shared);

      relay.crash();
      relay.disk = loss === "an empty disk" ? new MemoryRelayDisk() : copy;
      await relay.start();
      network.join("one");
      await timeline.advance(60_000);
      expect((await deviceOf(one).status()).word).toBe("up-to-date");
      const guest = await founder(made, "guest");
      await during(made, deviceOf(guest).join((await shared).link));
      expect(await deviceOf(guest).notebooks()).toHaveLength(2);
    },
  );
});

describe("a relay that lacks a device's certificate and nothing else", () => {
  it("is given it by the device when it does not take what that wrote", async () => {
    const { made, one } = await founded("certificate");
    const { timeline, relay, network } = made;
    const [notebook] = await deviceOf(one).notebooks();
    const id = parseHex(notebook?.id ?? "");
    if (notebook === undefined || id === null) throw new Error("no notebook");
    const shared = deviceOf(one).share(notebook.id, "edit");
    await during(made, shared);
    const guest = await founder(made, "guest");
    await during(made, deviceOf(guest).join((await shared).link));
    network.part("guest", "refuse");
    const { id: note } = await deviceOf(guest).createNote({
      notebook: notebook.id,
      title: "Eggs",
      body: "by the guest",
    });

    // As where the copy was made between the two.
    relay.crash();
    const kept = relay.disk.spaces.get(notebook.id);
    const { capSecret } = guest.running?.store.spaces.get(id) ?? {};
    if (kept === undefined || capSecret == null) throw new Error("unreachable");
    const { publicKey } = capabilityFrom(engines.ed, capSecret).sign;
    const own = guest.running?.store.spaces
      .certificates(id)
      .find(({ cap }) => equal(cap, publicKey));
    if (own === undefined) throw new Error("unreachable");
    const isOthers = ({ devPub }: { readonly devPub: Uint8Array }) => !equal(devPub, own.dev);
    const { certificates, counters } = kept.stored;
    expect(certificates.every(isOthers)).toBe(false);
    const stored = {
      ...kept.stored,
      certificates: certificates.filter(isOthers),
      counters: counters.filter(isOthers),
    };
    relay.disk.spaces.set(notebook.id, { ...kept, stored });
    await relay.start();
    network.join("guest");
    await timeline.advance(60_000);
    expect((await deviceOf(guest).status()).word).toBe("up-to-date");
    expect((await deviceOf(one).readNote(note)).body).toBe("by the guest");
  });
});

describe("a relay that is emptied again while it is being given back what it had", () => {
  it("gets the certificates once more, also of somebody who is gone: whoever comes later knows who wrote what", async () => {
    const { made, one, words } = await founded("emptied twice");
    const { timeline, relay } = made;
    const [notebook] = await deviceOf(one).notebooks();
    const id = parseHex(notebook?.id ?? "");
    if (notebook === undefined || id === null) throw new Error("no notebook");
    const shared = deviceOf(one).share(notebook.id, "edit");
    await during(made, shared);
    const guest = await founder(made, "guest");
    await during(made, deviceOf(guest).join((await shared).link));
    const { id: note } = await deviceOf(guest).createNote({
      notebook: notebook.id,
      title: "Eggs",
      body: "by the guest",
    });
    await timeline.advance(5_000);
    await guest.kill();
    const certificatesAt = (disk: MemoryRelayDisk): number =>
      disk.spaces.get(notebook.id)?.stored.certificates.length ?? 0;
    expect(certificatesAt(relay.disk)).toBe(2);
    const wasOpen: boolean[] = [];
    for (let times = 0; times < 2; times += 1) {
      wasOpen.push(one.running?.store.losses.of(id) != null);
      relay.crash();
      relay.disk = new MemoryRelayDisk();
      await relay.start();
      while (certificatesAt(relay.disk) < 2) {
        if (timeline.elapsed > 300_000) throw new Error("the certificates are not given back");
        await timeline.advance(100);
      }
    }
    expect(wasOpen).toEqual([false, true]);
    await timeline.advance(60_000);
    const newcomer = made.addDevice("newcomer");
    newcomer.open();
    await during(made, deviceOf(newcomer).restore(words));
    await timeline.advance(30_000);
    expect(newcomer.running?.store.inbox.quarantined()).toEqual([]);
    expect((await deviceOf(newcomer).readNote(note)).body).toBe("by the guest");
  });
});

describe("what comes after a loss at a place where something else stood before", () => {
  it("is asked about by a device that does not know its author, although it had asked at that place", async () => {
    const { made, one } = await founded("asked");
    const { timeline, relay, network } = made;
    const [notebook] = await deviceOf(one).notebooks();
    if (notebook === undefined) throw new Error("no notebook");
    const shared = deviceOf(one).share(notebook.id, "edit");
    await during(made, shared);
    const copy = relay.disk.copy();
    const { id: note } = await deviceOf(one).createNote({ title: "Milk", body: "one" });
    // Each is an entry here; all of them are one when they are given back.
    for (const word of [" two", " three", " four", " five", " six", " seven", " eight"]) {
      await timeline.advance(2_000);
      await append(one, note, word);
    }
    await timeline.advance(2_000);
    /** Somebody comes, writes, and is gone before this device hears of it: nothing but the entry tells of them. */
    const passBy = async (name: string): Promise<string> => {
      network.part("one", "refuse");
      const guest = await founder(made, name);
      await during(made, deviceOf(guest).join((await shared).link));
      const { id } = await deviceOf(guest).createNote({
        notebook: notebook.id,
        title: "Eggs",
        body: `by the ${name}`,
      });
      await timeline.advance(2_000);
      await guest.kill();
      network.join("one");
      await timeline.advance(60_000);
      return id;
    };
    await passBy("first");

    relay.crash();
    relay.disk = copy;
    await relay.start();
    await timeline.advance(60_000);
    const late = await passBy("second");
    expect(one.running?.store.inbox.quarantined()).toEqual([]);
    expect((await deviceOf(one).readNote(late)).body).toBe("by the second");
  });
});

describe("somebody who was let in before a loss that another record took the place of", () => {
  it("is let in again by an administrator who knew of it, and a link for one is spent as before", async () => {
    const { made, one, words } = await founded("let in");
    const { timeline, relay, network } = made;
    const other = await another(made, "other", words);
    await timeline.advance(20_000);
    const [notebook] = await deviceOf(one).notebooks();
    if (notebook === undefined) throw new Error("no notebook");
    const forOne = deviceOf(one).share(notebook.id, "edit", { maxJoins: 1 });
    await during(made, forOne);
    const copy = relay.disk.copy();
    network.part("other", "refuse");
    const guest = await founder(made, "guest");
    // Before the link's end is written.
    const joined = deviceOf(guest).join((await forOne).link);
    await during(made, joined);
    const { id: early } = await deviceOf(guest).createNote({
      notebook: notebook.id,
      title: "Eggs",
      body: "before",
    });
    await timeline.advance(2_000);
    for (const name of ["one", "guest"]) network.part(name, "refuse");
    const elsewhere = deviceOf(other).share(notebook.id, "read");
    await during(made, elsewhere);

    relay.crash();
    relay.disk = copy;
    await relay.start();
    network.join("other");
    await timeline.advance(20_000);
    for (const name of ["guest", "one"]) network.join(name);
    await timeline.advance(120_000);
    const { id: late } = await deviceOf(guest).createNote({
      notebook: notebook.id,
      title: "Eggs",
      body: "after",
    });
    await timeline.advance(60_000);
    for (const sim of [one, other, guest]) {
      expect((await deviceOf(sim).readNote(early)).body).toBe("before");
      expect((await deviceOf(sim).readNote(late)).body).toBe("after");
      expect((await deviceOf(sim).status()).word).toBe("up-to-date");
      expect(sim.running?.store.inbox.quarantined()).toEqual([]);
    }
    const { links } = await deviceOf(one).sharing(notebook.id);
    expect(links.map(({ role, state }) => `${role} ${state}`)).toEqual([
      "edit revoked",
      "read live",
    ]);
  });
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

/** Relays that lie, and devices that find out, lose nothing and say so (PROTOCOL §9). Numbers are those of the attack list. */
import { describe, expect, it } from "vitest";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { admitControl, openAuthority, roleOf } from "#relay/protocol/authority.ts";
import { equal, parseHex, toHex } from "#relay/protocol/bytes.ts";
import { parseControl, roles } from "#relay/protocol/control.ts";
import type { Message } from "#relay/protocol/messages.ts";
import { scripted, SelectiveRelay, type Item } from "#tests/support/lying-relay.ts";
import { loadEngines, World, type SimDevice } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";
import {
  append,
  bodyOf,
  deviceOf,
  doubtsOf,
  isBy,
  keyOf,
  logOf,
  reconnect,
  rowOf,
  storeOf,
  threeDevices,
  type Cast,
} from "./three-devices.ts";

const engines = await loadEngines();
const keep = oneWorld();

async function threeOf(seed: string): Promise<Cast> {
  const cast = await threeDevices(seed, engines);
  keep(cast.made);
  return cast;
}

describe("a relay that keeps back who somebody is", () => {
  it("has what they wrote set aside, until it tells: then it is taken, and nothing is set aside any more", async () => {
    const cast = await threeOf("kept back");
    const { made, devices, note } = cast;
    const [ada] = devices;
    const [notebook] = await deviceOf(ada).notebooks();
    if (notebook === undefined) throw new Error("no notebook");
    const { link } = await made.timeline.during(deviceOf(ada).share(notebook.id, "edit"));
    let keepsBack = true;
    const known = storeOf(ada).spaces.certificates(parseHex(notebook.id) ?? new Uint8Array());
    const isKnown = (certificate: Uint8Array): boolean =>
      known.some(({ bytes }) => equal(bytes, certificate));
    made.network.meddle(
      ada.name,
      scripted({
        toDevice: (message) =>
          keepsBack && message.type === "controlData"
            ? [{ ...message, certificates: message.certificates.filter(isKnown) }]
            : null,
      }),
    );
    await reconnect(cast, ada);
    const guest = made.addDevice("guest");
    guest.open().create();
    await made.timeline.during(deviceOf(guest).join(link));
    await made.timeline.advance(5_000);
    await append(guest, note, " by the guest");
    await made.timeline.advance(20_000);
    expect(storeOf(ada).inbox.quarantined()).toMatchObject([
      { reason: "its author is not known here" },
    ]);
    expect(await bodyOf(ada, note)).toBe("one");
    keepsBack = false;
    await reconnect(cast, ada);
    expect(await bodyOf(ada, note)).toBe("one by the guest");
    expect(storeOf(ada).inbox.quarantined()).toEqual([]);
    expect((await rowOf(ada, note)).awaiting).toBe(0);
  });
});

describe("a relay that leaves an entry out", () => {
  it("and renumbers what follows is found out by what depends on it, and another member gives it (attack 36)", async () => {
    const cast = await threeOf("attack 36");
    const { made, devices, note } = cast;
    const [ada, bob, cyd] = devices;
    const { timeline, network } = made;
    const liar = new SelectiveRelay();
    network.meddle(bob.name, liar);
    await reconnect(cast, bob);
    const author = keyOf(ada, note);
    let dropped = 0;
    liar.keeps = (item) => dropped > 0 || !isBy(item, author) || (dropped += 1) === 0;
    await append(ada, note, " two");
    await timeline.advance(1_000);
    await append(ada, note, " three");
    await timeline.advance(1_000);
    expect(dropped).toBe(1);
    expect(await bodyOf(bob, note)).toBe("one");
    expect((await rowOf(bob, note)).awaiting).toBe(1);
    // Bob writes on meanwhile.
    await append(bob, note, " bob");
    await timeline.advance(30_000);
    expect((await rowOf(bob, note)).awaiting).toBe(0);
    const bodies = await Promise.all([ada, bob, cyd].map((sim) => bodyOf(sim, note)));
    expect(new Set(bodies).size).toBe(1);
    expect(bodies[0]).toContain("two three");
    expect(bodies[0]).toContain("bob");
    expect(storeOf(bob).inbox.quarantined()).toEqual([]);
  });

  it("and does not renumber is asked again, and nothing else happens (attack 36)", async () => {
    const cast = await threeOf("attack 36, a hole");
    const { made, devices, note, notices } = cast;
    const [ada, bob] = devices;
    const author = keyOf(ada, note);
    let dropped = 0;
    const hide = (item: Item): boolean => dropped === 0 && isBy(item, author) && (dropped += 1) > 0;
    made.network.meddle(
      bob.name,
      scripted({
        toDevice: (message) =>
          message.type === "data"
            ? [{ ...message, items: message.items.filter((item) => !hide(item)) }]
            : null,
      }),
    );
    await append(ada, note, " two");
    await made.timeline.advance(1_000);
    await append(ada, note, " three");
    await made.timeline.advance(5_000);
    expect(dropped).toBe(1);
    expect(await bodyOf(bob, note)).toBe("one two three");
    expect(storeOf(bob).losses.all()).toEqual([]);
    expect(notices.get(bob)).toEqual([]);
  });
});

describe("a relay that keeps the newest entries back (attack 37)", () => {
  it("is doubted once another member says how far they have read, and no more when it gives them", async () => {
    const cast = await threeOf("attack 37");
    const { made, devices, note } = cast;
    const [ada, bob] = devices;
    const { timeline, network } = made;
    const liar = new SelectiveRelay();
    network.meddle(bob.name, liar);
    await reconnect(cast, bob);
    const until = timeline.now() + 60_000;
    const held: Item[] = [];
    liar.keeps = (item) => timeline.now() > until || item.kind === "stub" || held.push(item) === 0;
    await append(ada, note, " two");
    await timeline.advance(10_000);
    expect(held.length).toBeGreaterThan(0);
    // Not before an honest relay must have brought it.
    expect(await doubtsOf(bob)).toEqual([]);
    await timeline.advance(25_000);
    const [doubt] = await doubtsOf(bob);
    expect(doubt?.lastConfirmedAt).toBeLessThanOrEqual(timeline.now());
    expect((await deviceOf(bob).status()).word).toBe("limited");
    expect(await doubtsOf(ada)).toEqual([]);
    network.meddle(bob.name, null);
    await reconnect(cast, bob);
    await timeline.advance(40_000);
    expect(await bodyOf(bob, note)).toBe("one two");
    expect(await doubtsOf(bob)).toEqual([]);
    expect((await deviceOf(bob).status()).word).toBe("up-to-date");
  });

  it("is not doubted when nothing happens for an hour", async () => {
    const { made, devices, note } = await threeOf("idle");
    const [ada, bob, cyd] = devices;
    await append(ada, note, " two");
    for (let minutes = 0; minutes < 60; minutes += 1) {
      await made.timeline.advance(60_000);
      for (const sim of [ada, bob, cyd]) expect(await doubtsOf(sim)).toEqual([]);
    }
    for (const sim of devices) {
      const { word, divergence } = await deviceOf(sim).syncReport();
      expect(word).toBe("up-to-date");
      expect(divergence.found).toBe(0);
      expect(divergence.checks).toBeGreaterThan(0);
      expect(logOf(sim).filter((text) => text.includes("newer changes"))).toEqual([]);
    }
  });
});

describe("a relay that shows two devices two logs (attack 39)", () => {
  it("is found out by both as soon as one entry crosses over; both keep all they get, and the proof", async () => {
    const cast = await threeOf("attack 39");
    const { made, devices, note, notices } = cast;
    const [ada, bob] = devices;
    const { timeline, network } = made;
    const [toAda, toBob] = [new SelectiveRelay(), new SelectiveRelay()];
    for (const [sim, liar] of [
      [ada, toAda],
      [bob, toBob],
    ] as const) {
      liar.isSilent = true;
      network.meddle(sim.name, liar);
      await reconnect(cast, sim);
    }
    await append(bob, note, " from the start");
    await timeline.advance(2_000);
    const [adasKey, bobsKey] = [keyOf(ada, note), keyOf(bob, note)];
    let isForked = true;
    toAda.keeps = (item) => !isForked || !isBy(item, bobsKey);
    toBob.keeps = (item) => !isForked || !isBy(item, adasKey);
    for (const word of [" two", " three"]) {
      await append(ada, note, ` ada${word}`);
      await timeline.advance(1_000);
      await append(bob, note, ` bob${word}`);
      await timeline.advance(1_000);
    }
    expect(await bodyOf(ada, note)).not.toContain("bob");
    expect([...(notices.get(ada) ?? []), ...(notices.get(bob) ?? [])]).toEqual([]);
    isForked = false;
    await append(ada, note, " ada four");
    await timeline.advance(1_000);
    await append(bob, note, " bob four");
    await timeline.advance(30_000);
    for (const sim of [ada, bob]) {
      const told = notices.get(sim) ?? [];
      expect(
        told.filter((text) => text.includes("different people different things")),
      ).toHaveLength(1);
      const space = storeOf(sim).documents.get(parseDocumentId(note) ?? new Uint8Array())?.space;
      const evidence = storeOf(sim).evidence.of(space ?? new Uint8Array());
      expect(evidence.map(({ what }) => what)).toContain("fork");
      expect(evidence.every(({ bytes }) => bytes.length > 0)).toBe(true);
      const { word, divergence } = await deviceOf(sim).syncReport();
      expect(word).toBe("needs-you");
      expect(divergence.found).toBeGreaterThan(0);
      expect(divergence.checks).toBeGreaterThan(divergence.found);
    }
    // And nothing is lost: an honest relay brings both together again.
    for (const sim of [ada, bob]) {
      network.meddle(sim.name, null);
      await reconnect(cast, sim);
    }
    await timeline.advance(120_000);
    const bodies = await Promise.all(devices.map((sim) => bodyOf(sim, note)));
    expect(new Set(bodies).size).toBe(1);
    for (const word of ["ada two", "ada three", "ada four", "bob two", "bob three", "bob four"]) {
      expect(bodies[0]).toContain(word);
    }
  });
});

describe("a relay that sends the right entries the wrong way (attack 40)", () => {
  it.each<{ how: string; meddle: (items: readonly Item[]) => readonly Item[] }>([
    { how: "in another order", meddle: (items) => items.toReversed() },
    { how: "twice", meddle: (items) => items.flatMap((item) => [item, item]) },
  ])("$how is understood all the same", async ({ how, meddle }) => {
    const cast = await threeOf(`attack 40 ${how}`);
    const { made, devices, note } = cast;
    const [ada, bob] = devices;
    made.network.part(bob.name, "refuse");
    for (const word of [" two", " three", " four"]) {
      await append(ada, note, word);
      await made.timeline.advance(2_000);
    }
    let meddled = 0;
    made.network.meddle(
      bob.name,
      scripted({
        toDevice: (message) => {
          if (message.type !== "data" || message.items.length < 2 || meddled >= 2) return null;
          meddled += 1;
          return [{ ...message, items: meddle(message.items) }];
        },
      }),
    );
    made.network.join(bob.name);
    await deviceOf(bob).setOnline(true);
    await made.timeline.advance(60_000);
    expect(meddled).toBeGreaterThan(0);
    expect(await bodyOf(bob, note)).toBe("one two three four");
    expect(storeOf(bob).inbox.quarantined()).toEqual([]);
    expect(storeOf(bob).losses.all()).toEqual([]);
  });
});

describe("a relay that puts an entry's content into another (attack 41)", () => {
  it("has it set aside; the note is whole when it tells the truth again", async () => {
    const cast = await threeOf("attack 41");
    const { made, devices, note } = cast;
    const [ada, bob] = devices;
    const { timeline, network } = made;
    const { id: other } = await deviceOf(ada).createNote({ title: "Other", body: "other" });
    await timeline.advance(3_000);
    network.part(bob.name, "refuse");
    await append(ada, note, " two");
    await timeline.advance(1_000);
    await append(ada, other, " two");
    await timeline.advance(1_000);
    const author = keyOf(ada, note);
    let swapped = 0;
    network.meddle(
      bob.name,
      scripted({
        toDevice: (message) => {
          if (message.type !== "data" || swapped > 0) return null;
          const entries = message.items.filter((item) => isBy(item, author));
          const [one, two] = entries;
          if (one === undefined || two === undefined) return null;
          swapped += 1;
          const items = message.items.map((item) => {
            if (item === one) return { ...item, bytes: withBodyOf(one.bytes, two.bytes) };
            return item === two ? { ...item, bytes: withBodyOf(two.bytes, one.bytes) } : item;
          });
          return [{ ...message, items }];
        },
      }),
    );
    network.join(bob.name);
    await deviceOf(bob).setOnline(true);
    await timeline.advance(60_000);
    expect(swapped).toBe(1);
    expect(storeOf(bob).inbox.quarantined().length).toBeGreaterThan(0);
    expect(await bodyOf(bob, note)).toBe("one two");
    expect(await bodyOf(bob, other)).toBe("other two");
  });
});

/** The header of one entry, from there on the other. */
function withBodyOf(header: Uint8Array, body: Uint8Array): Uint8Array {
  const mixed = body.slice();
  mixed.set(header.subarray(0, 96));
  return mixed;
}

describe("what answers in place of the relay (attack 43)", () => {
  it.each<{ what: string; forge: (message: Extract<Message, { type: "welcome" }>) => Message }>([
    {
      what: "with another key",
      forge: (welcome) => ({ ...welcome, relayPub: welcome.relayPub.map((byte) => byte ^ 1) }),
    },
    { what: "an older version", forge: (welcome) => ({ ...welcome, version: 0 }) },
    {
      what: "with looser limits",
      forge: (welcome) => ({ ...welcome, limits: { ...welcome.limits, entryBytes: 1 << 30 } }),
    },
  ])("$what is not talked to", async ({ what, forge }) => {
    const cast = await threeOf(`attack 43 ${what}`);
    const { made, devices, note } = cast;
    const [ada, bob] = devices;
    let isForging = true;
    made.network.meddle(
      bob.name,
      scripted({
        toDevice: (message) => (isForging && message.type === "welcome" ? [forge(message)] : null),
      }),
    );
    await reconnect(cast, bob);
    await append(ada, note, " two");
    await made.timeline.advance(20_000);
    expect((await deviceOf(bob).status()).connected).toBe(false);
    expect(await bodyOf(bob, note)).toBe("one");
    isForging = false;
    await deviceOf(bob).setOnline(true);
    await made.timeline.advance(90_000);
    expect(await bodyOf(bob, note)).toBe("one two");
  });
});

describe("a relay that acknowledges what it does not store (attack 44)", () => {
  it.each([{ later: "nothing else" }, { later: "another entry at that place" }])(
    "is given it again when its log shows $later",
    async ({ later }) => {
      const cast = await threeOf(`attack 44 ${later}`);
      const { made, devices, note } = cast;
      const [ada, bob, cyd] = devices;
      const { timeline, network } = made;
      const head = (): number => {
        const doc = parseDocumentId(note) ?? new Uint8Array();
        const space = storeOf(ada).documents.get(doc)?.space ?? new Uint8Array();
        return storeOf(ada).inbox.cursor(space)?.pos ?? 0;
      };
      let swallowed = 0;
      network.meddle(
        ada.name,
        scripted({
          toRelay: (message, answer) => {
            if (message.type !== "push" || swallowed > 0) return null;
            swallowed += 1;
            const results = message.entries.map((_entry, ix) => ({
              status: 0,
              pos: head() + 1 + ix,
              chain: new Uint8Array(32),
              lastCtr: 0,
            }));
            answer({ type: "pushAck", results });
            return [];
          },
        }),
      );
      await append(ada, note, " two");
      await timeline.advance(2_000);
      expect(swallowed).toBe(1);
      expect((await rowOf(ada, note)).waiting).toBe(0);
      expect(await bodyOf(bob, note)).toBe("one");
      if (later === "nothing else") await reconnect(cast, ada);
      else await append(bob, note, " bob");
      await timeline.advance(60_000);
      for (const sim of [ada, bob, cyd]) expect(await bodyOf(sim, note)).toContain(" two");
      expect((await deviceOf(ada).status()).word).toBe("up-to-date");
      expect(storeOf(ada).losses.all()).toEqual([]);
      expect(new Set(devices.map((sim) => toHex(chainOf(sim, note)))).size).toBe(1);
    },
  );
});

describe("a relay that was put back to before somebody was removed", () => {
  it("gets the removal again from whoever holds it, before anything else", async () => {
    const { made, ada, eve, notebook, note, removal } = await removed("removal lost");
    const { timeline, relay } = made;
    await replaceDisk(made, removal.diskBefore);
    expect(relay.isUp).toBe(true);
    await append(ada, note, " secret");
    await timeline.advance(120_000);
    expect(isIn(ada, notebook, removal.person)).toBe(false);
    expect(await bodyOf(eve, note)).toContain("secret");
    const cyd = removal.device;
    expect(await bodyOf(cyd, note)).not.toContain("secret");
    expect(storeOf(ada).losses.all()).toEqual([]);
  });

  it("and has another record in its place now, is sent nothing before the removal stands again", async () => {
    const { made, ada, bob, eve, notebook, note, removal } = await removed("removal displaced");
    const { timeline, network } = made;
    for (const sim of [ada, eve]) network.part(sim.name, "refuse");
    await replaceDisk(made, removal.diskBefore);
    // An administrator who has not heard of the removal writes in its place.
    network.join(bob.name);
    await deviceOf(bob).setOnline(true);
    await timeline.advance(10_000);
    const shared = deviceOf(bob).share(notebook, "read");
    await timeline.advance(15_000);
    await shared;
    // Somebody who knows better and is no administrator comes first.
    network.join(eve.name);
    await append(eve, note, " secret");
    await deviceOf(eve).setOnline(true);
    await timeline.advance(60_000);
    expect((await rowOf(eve, note)).waiting).toBeGreaterThan(0);
    expect(await bodyOf(bob, note)).not.toContain("secret");
    const held = storeOf(eve)
      .spaces.list()
      .flatMap(({ id }) => storeOf(eve).evidence.of(id));
    expect(held.map(({ what }) => what)).toContain("control-fork");
    // An administrator who knows of it says it anew, and what waited goes out.
    network.join(ada.name);
    await deviceOf(ada).setOnline(true);
    await timeline.advance(180_000);
    for (const sim of [ada, bob, eve]) {
      expect(isIn(sim, notebook, removal.person)).toBe(false);
      expect(await bodyOf(sim, note)).toContain("secret");
      expect((await rowOf(sim, note)).waiting).toBe(0);
    }
    expect(await bodyOf(removal.device, note)).not.toContain("secret");
  });
});

/** Whether a person's capability (hex) has a role, as this device knows. */
function isIn(sim: SimDevice, notebook: string, person: string): boolean {
  const store = storeOf(sim);
  const id = parseHex(notebook) ?? new Uint8Array();
  const row = store.spaces.get(id);
  if (row === null) throw new Error("the notebook is here");
  let verdict = openAuthority(row.genesis);
  for (const { bytes, pos } of store.spaces.control(id)) {
    const parsed = parseControl(bytes);
    if (!parsed.ok || !verdict.ok) throw new Error("a log that was taken in");
    verdict = admitControl(verdict.authority, parsed.value, pos ?? 1e9, null);
  }
  if (!verdict.ok) throw new Error(verdict.why);
  return roleOf(verdict.authority, parseHex(person) ?? new Uint8Array()) !== roles.none;
}

async function replaceDisk(made: World, disk: World["relay"]["disk"]): Promise<void> {
  made.relay.crash();
  made.relay.disk = disk;
  await made.relay.start();
  await made.timeline.advance(5_000);
}

/** Ada and Bob are one person, Eve and Cyd guests who may edit; Ada has removed Cyd while Bob was away. */
async function removed(seed: string) {
  const made = new World({ seed, engines, encrypted: false, secrets: [] });
  keep(made);
  const { timeline, network, relay } = made;
  await relay.start();
  const [ada, bob, eve, cyd] = ["ada", "bob", "eve", "cyd"].map((name) => made.addDevice(name));
  if (ada === undefined || bob === undefined || eve === undefined || cyd === undefined) {
    throw new Error("unreachable");
  }
  const words = ada.open().create().join(" ");
  await timeline.advance(2_000);
  bob.open();
  await timeline.advance(2_000);
  await inTime(made, deviceOf(bob).restore(words));
  const { id: note } = await deviceOf(ada).createNote({ title: "Milk", body: "one" });
  await timeline.advance(2_000);
  const [first] = await deviceOf(ada).notebooks();
  const notebook = first?.id ?? "";
  for (const guest of [eve, cyd]) {
    guest.open().create();
    await timeline.advance(2_000);
    await inTime(made, deviceOf(guest).setDisplayName(guest.name));
    const { link } = await inTime(made, deviceOf(ada).share(notebook, "edit"));
    await inTime(made, deviceOf(guest).join(link));
    await append(guest, note, ` ${guest.name}`);
    await timeline.advance(3_000);
  }
  network.part(bob.name, "refuse");
  const diskBefore = relay.disk.copy();
  const person = lastToJoin(ada, notebook);
  await inTime(made, deviceOf(ada).removePerson(notebook, person));
  await timeline.advance(10_000);
  if (isIn(eve, notebook, person)) throw new Error("eve has heard of the removal");
  return { made, ada, bob, eve, notebook, note, removal: { diskBefore, person, device: cyd } };
}

/** The capability (hex) of whoever joined a notebook last. */
function lastToJoin(sim: SimDevice, notebook: string): string {
  const records = storeOf(sim).spaces.control(parseHex(notebook) ?? new Uint8Array());
  const joined = records.flatMap(({ bytes }) => {
    const parsed = parseControl(bytes);
    return parsed.ok && parsed.value.record.body.type === "join"
      ? [toHex(parsed.value.record.body.signPub)]
      : [];
  });
  return joined.at(-1) ?? "";
}

async function inTime<T>(made: World, work: Promise<T>): Promise<T> {
  work.catch(() => {}); // awaited below, when its time has passed
  await made.timeline.advance(15_000);
  return work;
}

function chainOf(sim: SimDevice, note: string): Uint8Array {
  const doc = parseDocumentId(note) ?? new Uint8Array();
  const space = storeOf(sim).documents.get(doc)?.space ?? new Uint8Array();
  return storeOf(sim).inbox.cursor(space)?.chain ?? new Uint8Array();
}

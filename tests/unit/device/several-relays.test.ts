/** Notebooks of one device on several relays, on virtual time. */
import { describe, expect, it } from "vitest";
import { parseLink } from "#client/crypto/link.ts";
import type { Device } from "#client/device/device.ts";
import { packNotebook, unpackNotebook } from "#client/device/index-document.ts";
import { isMixedContent } from "#client/device/relay-address.ts";
import {
  loadEngines,
  relayUrl,
  World,
  type SimDevice,
  type SimRelay,
} from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";
import { refusalOf } from "./setup-device.ts";

const engines = await loadEngines();
const keep = oneWorld();

const otherUrl = "wss://other.test:8443/notes/v1";
const away = "wss://nowhere.test/v1";

/** Ana at her relay; Ben at another, with a notebook he shares. */
async function setupTwoRelays(seed: string) {
  const made = new World({ seed, engines, encrypted: false, secrets: ["Kelpie"] });
  keep(made);
  const other = made.addRelay(otherUrl);
  await made.relay.start();
  await other.start();
  const ana = made.addDevice("ana");
  const ben = made.addDevice("ben", null, otherUrl);
  ana.open().create();
  ben.open().create();
  await made.timeline.advance(2_000);
  await deviceOf(ana).setDisplayName("Ana");
  const { id: notebook } = await deviceOf(ben).createNotebook("Garden");
  const { id: note } = await deviceOf(ben).createNote({ notebook, title: "Beds", body: "Kelpie" });
  const { link } = await made.timeline.during(deviceOf(ben).share(notebook, "edit"));
  return { made, other, ana, ben, notebook, note, link };
}

/** One more device of this person, up to date. */
async function secondOf(made: World, first: SimDevice): Promise<SimDevice> {
  const words = ((await deviceOf(first).words()) ?? []).join(" ");
  const second = made.addDevice("second");
  second.open();
  await made.timeline.advance(2_000);
  await made.timeline.during(deviceOf(second).restore(words));
  await made.timeline.advance(10_000);
  return second;
}

describe("a link of another relay", { timeout: 60_000 }, () => {
  it("carries the relay's whole address, opens, and both notebooks live at once", async () => {
    const { made, ana, ben, notebook, note, link } = await setupTwoRelays("both live");
    expect(parseLink(link)).toMatchObject({ ok: true, link: { relay: otherUrl } });
    expect(await made.timeline.during(deviceOf(ana).previewLink(link))).toMatchObject({
      name: "Garden",
    });
    expect(await deviceOf(ana).notebooks()).toHaveLength(1);
    await join(made, ana, link);

    await append(ana, note, " by Ana");
    const { id: own } = await deviceOf(ana).createNote({ title: "Mine", body: "Kelpie" });
    await made.timeline.advance(5_000);
    expect((await deviceOf(ben).readNote(note)).body).toBe("Kelpie by Ana");
    const { word, relays } = await deviceOf(ana).status();
    expect(word).toBe("up-to-date");
    expect(relays).toMatchObject([
      { relay: relayUrl, isOwn: true, connected: true, notebooks: 1, waiting: 0 },
      { relay: otherUrl, isOwn: false, connected: true, notebooks: 1, waiting: 0 },
    ]);
    const rows = await deviceOf(ana).notebooks();
    expect(rows.find(({ id }) => id === notebook)?.relay).toBe(otherUrl);
    const states = (await deviceOf(ana).notes()).map(({ id, state }) => [id, state]);
    expect(new Map(states as [string, string][]).get(own)).toBe("on-relay");
    expect(made.leaks).toEqual([]);
  });

  it("brings the notebook to this person's other devices, which reach the relay by themselves", async () => {
    const { made, ana, note, link } = await setupTwoRelays("other devices");
    await join(made, ana, link);
    const second = await secondOf(made, ana);
    expect((await deviceOf(second).readNote(note)).body).toBe("Kelpie");
    await append(second, note, " again");
    await made.timeline.advance(5_000);
    expect((await deviceOf(ana).readNote(note)).body).toBe("Kelpie again");
  });

  it("shows a new name there once, although this person's other device cannot hear of it from their own relay", async () => {
    const { made, other, ana, ben, notebook, link } = await setupTwoRelays("two names");
    await join(made, ana, link);
    const second = await secondOf(made, ana);
    made.relay.crash();
    const written = (): number => other.disk.spaces.get(notebook)?.stored.head ?? 0;
    const before = written();
    await deviceOf(ana).setDisplayName("Anna");
    await made.timeline.advance(20_000);
    expect(written() - before).toBe(1);
    const row = (await deviceOf(ben).notebooks()).find(({ id }) => id === notebook);
    expect(row?.members.map(({ name }) => name)).toContain("Anna");
    // Made meanwhile, under the name that the other device still has.
    const { id: pond } = await deviceOf(second).createNotebook("Pond");
    await made.relay.start();
    await made.timeline.advance(60_000);
    const own = (await deviceOf(second).notebooks()).find(({ id }) => id === pond);
    expect(own?.members.map(({ name }) => name)).toEqual(["Anna"]);
    const { members } =
      (await deviceOf(second).notebooks()).find(({ id }) => id === notebook) ?? {};
    expect(members?.map(({ name }) => name)).toContain("Anna");
    expect(written() - before).toBe(1);
  });

  it("is followed across a restart, with nothing but the store", async () => {
    const { made, ana, note, link } = await setupTwoRelays("restart");
    await join(made, ana, link);
    await ana.kill();
    ana.open();
    await made.timeline.advance(3_000);
    await append(ana, note, " after");
    await made.timeline.advance(3_000);
    expect((await deviceOf(ana).status()).word).toBe("up-to-date");
  });

  it("opens at the own relay where that is the one it names, under another address", async () => {
    const { made, ana, ben, link } = await setupTwoRelays("alias");
    const { id: notebook } = await deviceOf(ana).createNotebook("Pond");
    const own = await made.timeline.during(deviceOf(ana).share(notebook, "edit"));
    const older = `https://old.example/#${fragmentOf(own.link).split(".").slice(0, 3).join(".")}`;
    const cem = made.addDevice("cem");
    cem.open().create();
    await made.timeline.advance(2_000);
    await join(made, cem, older);
    const row = (await deviceOf(cem).notebooks()).find(({ id }) => id === notebook);
    expect(row?.relay).toBeNull();
    expect(await refusalOf(() => made.timeline.during(deviceOf(ben).join(older)))).toBe("offline");
    expect(
      await refusalOf(() => made.timeline.during(deviceOf(ana).join(withRelay(link, away)))),
    ).toBe("offline");
    expect(await deviceOf(ana).notebooks()).toHaveLength(2);
  });

  it("gives a device that knows no relay one of its own, and no relay is taken from one that has", async () => {
    const { made, ana, notebook, link } = await setupTwoRelays("no relay");
    const dee = made.addDevice("dee", null, null);
    dee.open().create();
    await made.timeline.during(deviceOf(dee).previewLink(link));
    expect(deviceOf(dee).relayUrl).toBeNull();
    await join(made, dee, link);
    expect(deviceOf(dee).relayUrl).toBe(otherUrl);
    expect(await deviceOf(dee).status()).toMatchObject({ word: "up-to-date", connected: true });
    const row = (await deviceOf(dee).notebooks()).find(({ id }) => id === notebook);
    expect(row?.relay).toBeNull();
    expect(await refusalOf(() => deviceOf(ana).setRelay(otherUrl))).toBe("bad-relay");
  });

  it("settles an app that came from where no relay is", async () => {
    const { made, link } = await setupTwoRelays("served from elsewhere");
    const eve = made.addDevice("eve", null, away);
    eve.open().create();
    await made.timeline.advance(2_000);
    await join(made, eve, link);
    expect(deviceOf(eve).relayUrl).toBe(otherUrl);
    expect(await deviceOf(eve).status()).toMatchObject({ word: "up-to-date" });
    // Its list of notebooks is there too: the words open it.
    const words = ((await deviceOf(eve).words()) ?? []).join(" ");
    const second = made.addDevice("eve's second", null, otherUrl);
    second.open();
    await made.timeline.advance(2_000);
    await made.timeline.during(deviceOf(second).restore(words));
  });
});

describe("a relay that cannot be reached", { timeout: 60_000 }, () => {
  it("holds nothing up that belongs to another, and is named", async () => {
    const { made, other, ana, note, link } = await setupTwoRelays("one down");
    await join(made, ana, link);
    other.crash();
    await made.timeline.advance(10_000);
    const idle = await deviceOf(ana).status();
    expect(idle).toMatchObject({ word: "saved-here", connected: true, waiting: 0 });
    expect(idle.detail).toContain("other.test:8443");

    const { id: own } = await deviceOf(ana).createNote({ title: "Mine" });
    await append(ana, note, " meanwhile");
    await made.timeline.advance(5_000);
    const status = await deviceOf(ana).status();
    expect(status).toMatchObject({ word: "offline", connected: true });
    expect(status.relays.map(({ waiting }) => waiting)).toEqual([0, status.waiting]);
    const states = new Map(
      (await deviceOf(ana).notes()).map(({ id, state }) => [id, state] as const),
    );
    expect(states.get(own)).toBe("on-relay");
    expect(states.get(note)).toBe("saved-here");

    await other.start();
    await made.timeline.advance(90_000);
    expect(await deviceOf(ana).status()).toMatchObject({ word: "up-to-date", waiting: 0 });
  });

  it("is told in the log by its host", async () => {
    const { made, other, ana, link } = await setupTwoRelays("log");
    await join(made, ana, link);
    other.crash();
    emptied(other);
    await other.start();
    await made.timeline.advance(90_000);
    const lines = (await deviceOf(ana).syncLog()).map(({ text }) => text);
    expect(lines.some((text) => text.startsWith("other.test:8443: "))).toBe(true);
    expect(lines.join("\n")).not.toContain("wss://");
  });
});

describe("what the vault keeps of a notebook", () => {
  const access = { genesis: new Uint8Array(52), capSecret: new Uint8Array(32), addedAt: 7 };

  it("is of the first version at the vault's own relay, so that older devices read on", () => {
    const packed = packNotebook({ ...access, relay: null });
    expect(packed[0]).toBe(1);
    expect(unpackNotebook(packed)).toEqual({ ...access, relay: null });
  });

  it("carries another relay's address, and refuses what is none", () => {
    const packed = packNotebook({ ...access, relay: otherUrl });
    expect(packed[0]).toBe(2);
    expect(unpackNotebook(packed)).toEqual({ ...access, relay: otherUrl });
    for (const relay of ["", "http://other.test/", "ws:", `wss://${"x".repeat(3_000)}/v1`]) {
      expect(unpackNotebook(packNotebook({ ...access, relay }))).toBeNull();
    }
  });
});

describe("an app that came encrypted", () => {
  it.each([
    [true, "wss://app.test/v1", "ws://relay.test/v1"],
    [false, "wss://app.test/v1", "wss://relay.test/v1"],
    [false, "wss://app.test/v1", "ws://localhost:8787/v1"],
    [false, "ws://app.test/v1", "ws://relay.test/v1"],
    [false, null, "ws://relay.test/v1"],
  ])("%s: from %s the browser refuses %s", (isMixed, servedBy, relay) => {
    expect(isMixedContent(servedBy, relay)).toBe(isMixed);
  });
});

async function join(made: World, person: SimDevice, link: string): Promise<void> {
  await made.timeline.during(deviceOf(person).join(link));
  await made.timeline.advance(5_000);
}

function emptied(relay: SimRelay): void {
  relay.disk = new (relay.disk.constructor as new () => SimRelay["disk"])();
}

function fragmentOf(link: string): string {
  return link.slice(link.indexOf("#") + 1);
}

/** The link with another relay's address in it. */
function withRelay(link: string, relay: string): string {
  const parts = link.split(".");
  return [...parts.slice(0, -1), Buffer.from(relay).toString("base64url")].join(".");
}

function deviceOf({ name, running }: SimDevice): Device {
  if (running === null) throw new Error(`${name} is not open`);
  return running.device;
}

async function append(device: SimDevice, note: string, text: string): Promise<void> {
  const { body, heads } = await deviceOf(device).readNote(note);
  await deviceOf(device).spliceNote(note, heads, [
    { field: "body", at: body.length, remove: 0, insert: text },
  ]);
}

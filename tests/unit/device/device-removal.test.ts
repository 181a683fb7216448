/** Removing one of one's own devices: from the vault, and from everything that the vault had let it into. */
import { beforeAll, describe, expect, it } from "vitest";
import { equal } from "#relay/protocol/bytes.ts";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { OwnWorld, type OwnDevice } from "./own-world.ts";

let engines: Engines;

beforeAll(async () => {
  engines = await loadEngines();
});

/** Two devices of one person with a second notebook, all up to date. */
async function setup(seed: string) {
  const own = await OwnWorld.start(seed, engines);
  const { device: desk, words } = await own.first("desk");
  await own.during(desk.device.setDisplayName("Ana"));
  const { id: garden } = await desk.device.createNotebook("Garden");
  const { id: note } = await desk.device.createNote({ notebook: garden, title: "Beds" });
  const phone = await own.restored("phone", words);
  await own.settled(desk, phone);
  return {
    own,
    desk,
    phone,
    words,
    garden,
    note,
    [Symbol.asyncDispose]: () => own[Symbol.asyncDispose](),
  };
}

async function removed(own: OwnWorld, by: OwnDevice, name: string) {
  const { id } = await by.row(name);
  return own.during(by.device.removeDevice(id));
}

describe("a removed device", { timeout: 120_000 }, () => {
  it("is told once, keeps what it has, and neither fetches nor sends anything more (attack 68)", async () => {
    await using made = await setup("told");
    const { own, desk, phone, garden, note } = made;
    phone.goOffline();
    await phone.device.createNote({ notebook: garden, title: "Written meanwhile" });
    expect(await removed(own, desk, "phone")).toEqual({ notebooks: 2, waiting: [] });
    expect(await desk.names()).toEqual(["(words)", "desk"]);
    await desk.device.createNote({ notebook: garden, title: "Not for the phone" });
    await own.settled(desk);

    phone.goOnline();
    await own.pass(60_000);
    expect(phone.notices()).toHaveLength(1);
    expect(phone.notices()[0]).toContain("This device was removed from your devices.");
    expect((await phone.device.info()).removed).toBe(true);
    expect(await phone.device.status()).toMatchObject({ word: "needs-you" });
    expect(await phone.titles()).toEqual(["Beds", "Written meanwhile"]);
    expect((await phone.device.readNote(note)).title).toBe("Beds");
    expect(await desk.titles()).toEqual(["Beds", "Not for the phone"]);

    await phone.reopen();
    await own.pass(60_000);
    expect(phone.notices()).toHaveLength(1);
    expect(await own.refusalOf(removed(own, phone, "desk"))).toBe("no-access");
    expect(await own.refusalOf(phone.device.deviceLink())).toBe("no-access");
  });

  it("leaves the others as they were: they read, write, and name themselves", async () => {
    await using made = await setup("others");
    const { own, desk, phone, garden, words } = made;
    const tablet = await own.restored("tablet", words);
    await own.settled(desk, phone, tablet);
    await removed(own, desk, "phone");
    await own.settled(desk, tablet);
    await tablet.device.createNote({ notebook: garden, title: "By the tablet" });
    await own.settled(tablet, desk);
    expect(await desk.titles()).toEqual(["Beds", "By the tablet"]);
    expect(tablet.notices()).toEqual([]);
    const rows = await tablet.device.notebooks();
    expect(rows.map(({ name }) => name).toSorted()).toEqual(["Garden", "Notes"]);
    for (const row of rows) {
      const members = [{ name: "Ana", self: true }];
      expect(row).toMatchObject({ role: "admin", state: "active", shared: false, members });
    }
  });

  it("does not take along a device that was away meanwhile, nor what that wrote", async () => {
    await using made = await setup("away");
    const { own, desk, garden, words } = made;
    const tablet = await own.restored("tablet", words);
    await own.settled(desk, tablet);
    tablet.goOffline();
    await tablet.device.createNote({ notebook: garden, title: "Written away" });
    await removed(own, desk, "phone");
    tablet.goOnline();
    await own.settled(tablet, desk);
    expect(tablet.notices()).toEqual([]);
    expect(await desk.titles()).toEqual(["Beds", "Written away"]);
  });
});

describe("removing", { timeout: 120_000 }, () => {
  it("is refused for the words, for this device, for no device, and without the relay", async () => {
    await using made = await setup("refused");
    const { own, desk, phone } = made;
    const rows = await desk.device.devices();
    const words = rows.find(({ kind }) => kind === "words")?.id ?? "";
    const self = rows.find((row) => row.self)?.id ?? "";
    const remove = (id: string) => own.refusalOf(desk.device.removeDevice(id));
    expect(await remove(words)).toBe("bad-input");
    expect(await remove(self)).toBe("bad-input");
    expect(await remove("ab")).toBe("bad-input");
    desk.goOffline();
    await own.pass(60_000);
    expect(await remove((await desk.row("phone")).id)).toBe("offline");
    desk.goOnline();
    await own.settled(desk, phone);
    expect(await desk.names()).toEqual(["(words)", "desk", "phone"]);
  });

  it("goes on by itself where the relay fell silent in the middle, and says so", async () => {
    await using made = await setup("silent");
    const { own, desk, phone } = made;
    const { id } = await desk.row("phone");
    desk.goOffline();
    await expect(own.during(desk.device.removeDevice(id))).rejects.toThrow("goes on by itself");
    desk.goOnline();
    await own.pass(120_000);
    expect((await phone.device.info()).removed).toBe(true);
    expect(await desk.names()).toEqual(["(words)", "desk"]);
  });

  it("ends the former access only once the relay has what the vault says of the new one", async () => {
    await using made = await setup("vault first");
    const { own, desk } = made;
    const { outbox, spaces } = desk.store;
    const vault = spaces.list().find(({ kind }) => kind === "vault");
    const depth = outbox.depth.bind(outbox);
    let isHeld = true;
    outbox.depth = (space) =>
      isHeld && space !== undefined && vault !== undefined && equal(space, vault.id)
        ? 1
        : depth(space);
    expect(await removed(own, desk, "phone")).toEqual({ notebooks: 0, waiting: [] });
    expect(await desk.device.accessRenewal()).toMatchObject({ underWay: 2 });
    isHeld = false;
    await desk.device.createNote({ title: "Something moves" });
    await own.settled(desk);
    await own.pass(30_000);
    expect(await desk.device.accessRenewal()).toMatchObject({ underWay: 0 });
  });

  it("leaves one of two that remove each other", async () => {
    await using made = await setup("each other");
    const { own, desk, phone } = made;
    const both = await own.during(
      Promise.allSettled([
        desk.device.removeDevice((await desk.row("phone")).id),
        phone.device.removeDevice((await phone.row("desk")).id),
      ]),
    );
    await own.pass(120_000);
    const isOut = await Promise.all(
      [desk, phone].map(async ({ device }) => (await device.info()).removed),
    );
    expect(isOut.filter((out) => out)).toHaveLength(1);
    expect(both.map(({ status }) => status)).toContain("fulfilled");
    const left = isOut[0] === true ? phone : desk;
    await left.device.createNote({ title: "Still mine" });
    await own.settled(left);
  });
});

describe("a removal that is cut short by a crash", { timeout: 300_000 }, () => {
  const flushes = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15];

  it.each(flushes)(
    "in flush %i goes on when the device is back, and is done in full",
    async (nth) => {
      await using made = await setup(`killed in flush ${nth}`);
      const { own, desk, phone, garden } = made;
      const { id } = await desk.row("phone");
      desk.sim.killAfterFlushes(nth);
      void desk.device.removeDevice(id).catch(() => undefined);
      await own.pass(60_000);
      await desk.reopen();
      await own.pass(120_000);
      if (!(await phone.device.info()).removed) {
        // It was killed before anything was written: nobody asked for it then.
        if (nth > 2) throw new Error("what was written is forgotten");
        await removed(own, desk, "phone");
      }
      await own.pass(60_000);
      const { id: late } = await desk.device.createNote({ notebook: garden, title: "Afterwards" });
      await own.settled(desk);
      await own.pass(30_000);
      expect(await desk.device.accessRenewal()).toEqual({ underWay: 0, waiting: [], requests: [] });
      expect(await own.refusalOf(phone.device.readNote(late))).toBe("no-such-note");
      expect(desk.notices()).toEqual([]);
    },
  );

  it.each(flushes)("in flush %i for good, leaves the other devices with access", async (nth) => {
    await using made = await setup(`gone in flush ${nth}`);
    const { own, desk, phone, garden, words } = made;
    const tablet = await own.restored("tablet", words);
    await own.settled(desk, phone, tablet);
    const { id } = await desk.row("phone");
    desk.sim.killAfterFlushes(nth);
    void desk.device.removeDevice(id).catch(() => undefined);
    await own.pass(60_000);
    await desk.sim.kill();
    await own.pass(10 * 60_000);
    await tablet.device.createNote({ notebook: garden, title: "By the tablet" });
    await own.settled(tablet);
    expect(tablet.notices()).toEqual([]);
    const fresh = await own.restored("fresh", words);
    await own.pass(60_000);
    expect(await fresh.titles()).toEqual(["Beds", "By the tablet"]);
    expect(await tablet.device.accessRenewal()).toMatchObject({ underWay: 0, waiting: [] });
  });
});

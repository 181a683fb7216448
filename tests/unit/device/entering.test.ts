/** Coming into a vault: by the words, by the link another device shows, and back after a theft. */
import { beforeAll, describe, expect, it } from "vitest";
import { backupKeyOf } from "#client/device/backup.ts";
import { formatLink, parseLink } from "#client/crypto/link.ts";
import { wordsOf } from "#client/crypto/phrase.ts";
import { parseControl } from "#relay/protocol/control.ts";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { OwnWorld, type OwnDevice } from "./own-world.ts";

let engines: Engines;

beforeAll(async () => {
  engines = await loadEngines();
});

/** One device with two notebooks and a note, up to date. */
async function setup(seed: string) {
  const own = await OwnWorld.start(seed, engines);
  const { device: desk, words } = await own.first("desk");
  const { id: garden } = await desk.device.createNotebook("Garden");
  await desk.device.createNote({ notebook: garden, title: "Beds" });
  await own.settled(desk);
  return { own, desk, words, garden, [Symbol.asyncDispose]: () => own[Symbol.asyncDispose]() };
}

describe("the words", { timeout: 120_000 }, () => {
  it("tell what they lead to, and change nothing (attack 63)", async () => {
    await using made = await setup("preview");
    const { own, desk, words } = made;
    const second = await own.restored("second", words);
    await own.settled(desk, second);
    const empty = await own.empty("empty");
    const { id } = (await empty.device.notebooks())[0] ?? { id: "" };
    const before = empty.store.spaces.list().length;
    const found = await own.during(empty.device.previewWords(words));
    expect(found).toMatchObject({ notebooks: 2, devices: 2 });
    const ageMs = own.world.timeline.now() - (found.lastChangeAt ?? 0);
    expect(ageMs).toBeGreaterThanOrEqual(0);
    expect(ageMs).toBeLessThan(60 * 60_000);
    expect((await empty.device.notebooks()).map((row) => row.id)).toEqual([id]);
    expect(empty.store.spaces.list()).toHaveLength(before);
    expect(await desk.names()).toEqual(["(words)", "desk", "second"]);
  });

  it("of nobody are told apart, before and instead of restoring, and make no second vault (attack 63)", async () => {
    await using made = await setup("nobody");
    const { own } = made;
    const empty = await own.empty("empty");
    const strange = wordsOf(new Uint8Array(32).fill(7)).join(" ");
    const spaces = empty.store.spaces.list().map(({ id }) => id);
    const nothing = "nothing was found under them";
    await expect(own.during(empty.device.previewWords(strange))).rejects.toThrow(nothing);
    await expect(own.during(empty.device.restore(strange))).rejects.toThrow(nothing);
    expect(await own.refusalOf(empty.device.previewWords("abandon abandon"))).toBe("bad-words");
    expect(empty.store.spaces.list().map(({ id }) => id)).toEqual(spaces);
    const asksFor = async (phrase: string) =>
      own.during(empty.device.previewWords(phrase)).catch((error: Error) => error.message);
    expect(await asksFor(made.words.replace(/^\w+/, "abandn"))).toContain("not in the list");
  });

  it("bring a removed device back", async () => {
    await using made = await setup("back");
    const { own, desk, words, garden } = made;
    const second = await own.restored("second", words);
    await own.settled(desk, second);
    await own.during(desk.device.removeDevice((await desk.row("second")).id));
    await own.settled(desk);
    await desk.device.createNote({ notebook: garden, title: "While it was out" });
    await own.settled(desk);
    await own.pass(60_000);
    expect((await second.device.info()).removed).toBe(true);

    await own.during(second.device.restore(words));
    await own.settled(second, desk);
    await own.pass(60_000);
    expect((await second.device.info()).removed).toBe(false);
    expect(await second.titles()).toEqual(["Beds", "While it was out"]);
    expect(await desk.names()).toEqual(["(words)", "desk", "second"]);
    await second.device.createNote({ notebook: garden, title: "By the second" });
    await own.settled(second, desk);
    expect(await desk.titles()).toContain("By the second");
  });
});

describe("the link that another device shows", { timeout: 120_000 }, () => {
  it("makes an empty device one of the same person's, once", async () => {
    await using made = await setup("device link");
    const { own, desk, garden } = made;
    const { link, expiresAt } = await own.during(desk.device.deviceLink());
    expect(expiresAt - own.world.timeline.now()).toBeLessThanOrEqual(10 * 60_000);
    const phone = await own.empty("phone");
    await own.during(phone.device.becomeDevice(link));
    await own.settled(phone, desk);
    expect(await phone.titles()).toEqual(["Beds"]);
    expect(await desk.names()).toEqual(["(words)", "desk", "phone"]);
    expect(desk.newDeviceNotices).toBe(1);
    expect(phone.newDeviceNotices).toBe(0);
    await phone.device.createNote({ notebook: garden, title: "By the phone" });
    await own.settled(phone, desk);
    expect(await desk.titles()).toEqual(["Beds", "By the phone"]);

    // The words were never typed here; its backups open with them all the same.
    const key = backupKeyOf(desk.store);
    expect(key).not.toBeNull();
    expect(backupKeyOf(phone.store)).toEqual(key);

    const late = await own.empty("late");
    expect(await own.refusalOf(late.device.becomeDevice(link))).toBe("link-spent");
    // The device that came by it manages the vault as any other.
    await own.during(phone.device.removeDevice((await phone.row("desk")).id));
    await own.pass(60_000);
    expect((await desk.device.info()).removed).toBe(true);
  });

  it.each(["is withdrawn", "is replaced by another", "has lain for ten minutes"])(
    "opens nothing any more when it %s",
    async (why) => {
      await using made = await setup(`link ${why}`);
      const { own, desk } = made;
      const { link } = await own.during(desk.device.deviceLink());
      if (why === "is withdrawn") await desk.device.cancelDeviceLink();
      else if (why === "is replaced by another") await own.during(desk.device.deviceLink());
      else await own.pass(10 * 60_000 + 30_000);
      await own.pass(30_000);
      const phone = await own.empty("phone");
      expect(await own.refusalOf(phone.device.becomeDevice(link))).toBe("link-spent");
      expect(await desk.names()).toEqual(["(words)", "desk"]);
    },
  );

  it("is ended by another device where the one that showed it is gone", async () => {
    await using made = await setup("link of a lost device");
    const { own, desk, words } = made;
    const tablet = await own.restored("tablet", words);
    await own.settled(desk, tablet);
    const { link } = await own.during(desk.device.deviceLink());
    await desk.sim.kill();
    await own.pass(13 * 60_000);
    const phone = await own.empty("phone");
    expect(await own.refusalOf(phone.device.becomeDevice(link))).toBe("link-spent");
    // Not only has its time passed: whoever kept it could read the vault until it was ended.
    const vault = tablet.store.spaces.list().find(({ kind }) => kind === "vault");
    const records = tablet.store.spaces.control(vault?.id ?? new Uint8Array());
    const last = parseControl(records.at(-1)?.bytes ?? new Uint8Array());
    expect(last.ok && last.value.record.body.type).toBe("rotate");
  });

  it("is told apart from a notebook's, both ways, and replaces nothing that was written", async () => {
    await using made = await setup("kinds of links");
    const { own, desk, garden } = made;
    const notebookLink = (await own.during(desk.device.share(garden, "edit"))).link;
    const { link } = await own.during(desk.device.deviceLink());
    const phone = await own.empty("phone");
    expect(await own.refusalOf(phone.device.becomeDevice(notebookLink))).toBe("bad-link");
    expect(await own.refusalOf(phone.device.join(link))).toBe("bad-link");
    const parsed = parseLink(notebookLink);
    if (!parsed.ok) throw new Error("our own link parses");
    const disguised = formatLink("https://relay.test/", { ...parsed.link, role: "device" });
    expect(await own.refusalOf(phone.device.becomeDevice(disguised))).toBe("bad-link");
    expect(await own.refusalOf(phone.device.becomeDevice(link.slice(0, -9)))).toBe("bad-link");
    await phone.device.createNote({ title: "Mine" });
    expect(await own.refusalOf(phone.device.becomeDevice(link))).toBe("refused");
    expect(await phone.titles()).toEqual(["Mine"]);
  });
});

describe("a stolen device (attack 68)", { timeout: 120_000 }, () => {
  async function setupTheft(seed: string) {
    const made = await setup(seed);
    const thief = await made.own.restored("stolen", made.words);
    await made.own.settled(made.desk, thief);
    return { ...made, thief };
  }

  async function expectShutOut(own: OwnWorld, thief: OwnDevice, by: OwnDevice, garden: string) {
    const { id: secret } = await by.device.createNote({
      notebook: garden,
      title: "Not for the thief",
    });
    await own.settled(by);
    await own.pass(60_000);
    expect(await own.refusalOf(thief.device.readNote(secret))).toBe("no-such-note");
    expect((await thief.device.info()).removed).toBe(true);
    await thief.device
      .createNote({ notebook: garden, title: "By the thief" })
      .catch(() => undefined);
    await own.pass(60_000);
    expect(await by.titles()).not.toContain("By the thief");
  }

  it("is shut out of the vault and every notebook with the words, from a device that is left", async () => {
    await using made = await setupTheft("theft");
    const { own, desk, words, garden, thief } = made;
    // Whoever takes the words, or a device, and adds one of theirs, is heard of.
    expect(desk.newDeviceNotices).toBe(1);
    const answer = await own.during(desk.device.shutOthersOut(words));
    expect(answer).toEqual({ notebooks: 2, waiting: [] });
    await own.settled(desk);
    expect(await desk.names()).toEqual(["(words)", "desk"]);
    await expectShutOut(own, thief, desk, garden);
  });

  it("is shut out from a new device, when none is left", async () => {
    await using made = await setupTheft("theft of the only one");
    const { own, desk, words, garden, thief } = made;
    await desk.sim.kill();
    const fresh = await own.empty("fresh");
    const answer = await own.during(fresh.device.shutOthersOut(words));
    expect(answer).toEqual({ notebooks: 2, waiting: [] });
    await own.settled(fresh);
    expect(await fresh.names()).toEqual(["(words)", "fresh"]);
    expect(await fresh.titles()).toEqual(["Beds"]);
    await expectShutOut(own, thief, fresh, garden);
  });

  it("cannot shut the owner out, though it was first to remove every other device", async () => {
    await using made = await setupTheft("quick thief");
    const { own, desk, words, thief } = made;
    await own.during(thief.device.removeDevice((await thief.row("desk")).id));
    await own.pass(60_000);
    expect((await desk.device.info()).removed).toBe(true);

    await own.during(desk.device.shutOthersOut(words));
    await own.settled(desk);
    await own.pass(120_000);
    expect((await desk.device.info()).removed).toBe(false);
    expect((await thief.device.info()).removed).toBe(true);
    expect(await desk.names()).toEqual(["(words)", "desk"]);
    const rows = await desk.device.notebooks();
    expect(rows.map(({ state, role }) => `${role} ${state}`)).toEqual([
      "admin active",
      "admin active",
    ]);
    await expectShutOut(own, thief, desk, made.garden);
  });

  it("needs the words: others' open nothing", async () => {
    await using made = await setupTheft("wrong words");
    const { own, desk, thief } = made;
    const others = wordsOf(new Uint8Array(32).fill(9)).join(" ");
    expect(await own.refusalOf(thief.device.shutOthersOut(others))).toBe("refused");
    expect(await desk.names()).toEqual(["(words)", "desk", "stolen"]);
  });
});

/** Fresh access to notebooks of others, after one of one's own devices was removed. */
import { beforeAll, describe, expect, it } from "vitest";
import { parseLine } from "#client/cli/command-line.ts";
import { runCommand } from "#client/cli/commands.ts";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { OwnWorld, type OwnDevice } from "./own-world.ts";

let engines: Engines;

beforeAll(async () => {
  engines = await loadEngines();
});

/** Ana manages a notebook; Ben is in it with two devices, of which he loses the phone. */
async function setup(role: "read" | "edit") {
  const own = await OwnWorld.start(`renewal ${role}`, engines);
  const { device: ana } = await own.first("ana");
  await own.during(ana.device.setDisplayName("Ana"));
  const { id: garden } = await ana.device.createNotebook("Garden");
  const { id: note } = await ana.device.createNote({ notebook: garden, title: "Beds" });
  await own.settled(ana);
  const { link } = await own.during(ana.device.share(garden, role));
  const { device: ben, words } = await own.first("ben");
  await own.during(ben.device.setDisplayName("Ben"));
  await own.during(ben.device.join(link));
  await own.settled(ben);
  const phone = await own.restored("ben's phone", words);
  await own.settled(ana, ben, phone);
  const { id } = await ben.row("ben's phone");
  const lost = () => own.during(ben.device.removeDevice(id));
  return {
    own,
    ana,
    ben,
    phone,
    garden,
    note,
    lost,
    [Symbol.asyncDispose]: () => own[Symbol.asyncDispose](),
  };
}

async function canWrite(own: OwnWorld, device: OwnDevice, notebook: string, title: string) {
  await device.device.createNote({ notebook, title });
  await own.settled(device);
}

describe("a member who lost a device", { timeout: 120_000 }, () => {
  it("is listed as waiting until somebody who manages the notebook lets the new access in", async () => {
    await using made = await setup("edit");
    const { own, ana, ben, phone, garden, lost } = made;
    expect(await lost()).toEqual({ notebooks: 1, waiting: ["Garden"] });
    await own.settled(ben, ana);
    expect(ana.notices()).toEqual([
      "Ben has removed one of their devices and asks you to renew their access to Garden.",
    ]);
    const [waits] = (await ben.device.accessRenewal()).waiting;
    expect(waits).toMatchObject({ notebook: garden, name: "Garden", asked: true });
    // Until then the access that the phone knows, too, is the only one there is.
    await canWrite(own, ben, garden, "Still by Ben");
    await ben.reopen();
    await own.settled(ben);
    expect((await ben.device.accessRenewal()).waiting).toEqual([waits]);

    const [asks, ...others] = (await ana.device.accessRenewal()).requests;
    expect(others).toEqual([]);
    expect(asks).toMatchObject({ notebook: garden, name: "Ben", fingerprint: waits?.fingerprint });
    await own.during(ana.device.grantRenewal(garden, asks?.renewed ?? ""));
    await own.settled(ana, ben);
    await own.pass(60_000);
    expect(await ana.device.accessRenewal()).toMatchObject({ requests: [] });
    expect(await ben.device.accessRenewal()).toMatchObject({ underWay: 0, waiting: [] });
    await canWrite(own, ben, garden, "Afterwards");
    await own.settled(ana);
    expect(await ana.titles()).toEqual(["Afterwards", "Beds", "Still by Ben"]);
    expect(await phone.titles()).not.toContain("Afterwards");
    const members = (await ana.device.notebooks()).find(({ id }) => id === garden)?.members;
    expect(members?.map(({ name }) => name).toSorted()).toEqual(["Ana", "Ben"]);
    const again = ana.device.grantRenewal(garden, asks?.renewed ?? "");
    expect(await own.refusalOf(again)).toBe("bad-input");
  });

  it("is seen and let in by command, too", async () => {
    await using made = await setup("edit");
    const { own, ana, ben, garden, lost } = made;
    await lost();
    await own.settled(ben, ana);
    const command = (device: OwnDevice, ...args: readonly string[]) => {
      const parsed = parseLine(["--home", "here", "renewals", ...args]);
      if (parsed.type !== "run" || parsed.line.command.name !== "renewals") {
        throw new Error("it is a command");
      }
      return own.during(runCommand(device.device, own.world.timeline, parsed.line.command, ""));
    };
    expect((await command(ben)).text).toMatch(
      /^Garden: those who manage it are asked to renew your access {2}[0-9a-f ]{39}\n$/,
    );
    const { text } = await command(ana);
    expect(text).toMatch(/^[0-9a-f]{12} {2}Ben asks in Garden {2}[0-9a-f ]{39}\n$/);
    const { text: said, code } = await command(ana, "grant", text.slice(0, 12));
    expect([said, code]).toEqual([
      "Ben comes in with the new key; what was used before opens nothing any more.\n",
      0,
    ]);
    await own.settled(ana, ben);
    await own.pass(60_000);
    expect((await command(ben)).text).toBe("");
    await canWrite(own, ben, garden, "Afterwards");
    expect(await own.refusalOf(command(ana, "grant", text.slice(0, 12)))).toBe("bad-input");
  });

  it("who may only read cannot ask in the notebook, is told so, and reads on", async () => {
    await using made = await setup("read");
    const { own, ana, ben, garden, lost } = made;
    expect(await lost()).toEqual({ notebooks: 1, waiting: ["Garden"] });
    await own.settled(ana, ben);
    expect((await ben.device.accessRenewal()).waiting).toMatchObject([
      { notebook: garden, asked: false },
    ]);
    expect((await ana.device.accessRenewal()).requests).toEqual([]);
    await canWrite(own, ana, garden, "Later");
    await own.settled(ben);
    expect(await ben.titles()).toEqual(["Beds", "Later"]);
  });
});

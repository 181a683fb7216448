/** Two devices of one person that come into a notebook by different links before they know of each other's way. */
import { beforeAll, describe, expect, it } from "vitest";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { OwnWorld, type OwnDevice } from "./own-world.ts";

let engines: Engines;

beforeAll(async () => {
  engines = await loadEngines();
});

/** Ana's notebook, with a link to read and one to edit; Ben has two devices and is not in it yet. */
async function setup(seed: string) {
  const own = await OwnWorld.start(seed, engines);
  const { device: ana } = await own.first("ana");
  await own.during(ana.device.setDisplayName("Ana"));
  const { id: garden } = await ana.device.createNotebook("Garden");
  await ana.device.createNote({ notebook: garden, title: "Beds" });
  await own.settled(ana);
  const { link: readLink } = await own.during(ana.device.share(garden, "read"));
  const { link: editLink } = await own.during(ana.device.share(garden, "edit"));
  const { device: laptop, words } = await own.first("laptop");
  await own.during(laptop.device.setDisplayName("Ben"));
  const { id: note } = await laptop.device.createNote({ title: "Ben's own" });
  await own.settled(laptop);
  const phone = await own.restored("phone", words);
  await own.settled(ana, laptop, phone);
  return {
    own,
    ana,
    laptop,
    phone,
    garden,
    note,
    readLink,
    editLink,
    [Symbol.asyncDispose]: () => own[Symbol.asyncDispose](),
  };
}

type Setup = Awaited<ReturnType<typeof setup>>;

async function roleIn({ garden }: Setup, { device }: OwnDevice): Promise<string | undefined> {
  return (await device.notebooks()).find(({ id }) => id === garden)?.role;
}

describe("two devices that join by different links at once", { timeout: 120_000 }, () => {
  // Which of the two the vault names last is for its clocks to say: that of the device that wrote more in it.
  it.each(["reads", "edits"] as const)(
    "both edit, where the vault says last what the one uses that %s, and nothing waits",
    async (last) => {
      await using made = await setup(`two ways in, last one ${last}`);
      const { own, ana, laptop, phone, garden, note, readLink, editLink } = made;
      const busy = last === "reads" ? phone : laptop;
      for (const pinned of [true, false, true]) await busy.device.pinNote(note, pinned);

      await own.during(Promise.all([phone.device.join(readLink), laptop.device.join(editLink)]));
      await laptop.device.createNote({ notebook: garden, title: "By the laptop" });
      await own.settled(laptop, phone);
      await own.pass(5000);

      expect(await roleIn(made, laptop)).toBe("edit");
      expect(await roleIn(made, phone)).toBe("edit");
      await phone.device.createNote({ notebook: garden, title: "By the phone" });
      await own.settled(laptop, phone, ana);
      expect(await ana.titles()).toEqual(["Beds", "By the laptop", "By the phone"]);
      expect(laptop.store.outbox.depth()).toBe(0);
    },
  );
});

/** A person's devices as each of them lists them. */
import { beforeAll, describe, expect, it } from "vitest";
import type { DeviceRow } from "#client/device/api.ts";
import { isNews } from "#client/device/own-devices.ts";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { OwnWorld } from "./own-world.ts";

const hourMs = 3_600_000;

let engines: Engines;

beforeAll(async () => {
  engines = await loadEngines();
});

/** Two devices of one person, up to date. */
async function setupTwo() {
  const own = await OwnWorld.start("own devices", engines);
  const { device: desk, words } = await own.first("desk");
  const phone = await own.restored("phone", words);
  await own.settled(desk);
  return { own, desk, phone, [Symbol.asyncDispose]: () => own[Symbol.asyncDispose]() };
}

describe("a person's devices", { timeout: 60_000 }, () => {
  it("list each other by name, kind and fingerprint, this one first", async () => {
    await using two = await setupTwo();
    const onDesk = await two.desk.device.devices();
    const onPhone = await two.phone.device.devices();
    const shown = ({ name, self, kind }: DeviceRow): string =>
      `${name} ${kind}${self ? ", this one" : ""}`;
    expect(onDesk.map(shown)).toEqual(["desk device, this one", " words", "phone device"]);
    expect(onPhone.map(shown)).toEqual(["phone device, this one", " words", "desk device"]);
    const told = ({ id, fingerprint }: DeviceRow): string => `${id} ${fingerprint}`;
    expect(onDesk.map(told).toSorted()).toEqual(onPhone.map(told).toSorted());
    for (const { fingerprint } of onDesk) {
      expect(fingerprint).toMatch(/^([0-9a-f]{4} ){7}[0-9a-f]{4}$/);
    }
  });

  it("see the name that one of them was given, as one line", async () => {
    await using two = await setupTwo();
    const { own, desk, phone } = two;
    await own.during(phone.device.setDeviceName("  Ana’s\nphone "));
    await own.settled(phone, desk);
    expect(await desk.row("Ana’s phone")).toMatchObject({ self: false });
    expect(await own.refusalOf(phone.device.setDeviceName(" \n "))).toBe("bad-input");
    // It stays so after a restart, whatever the platform says.
    await phone.reopen();
    await own.settled(phone);
    expect(await phone.row("Ana’s phone")).toMatchObject({ self: true });
  });

  it("say that they were here on coming online after an hour, and not more often", async () => {
    await using two = await setupTwo();
    const { own, desk, phone } = two;
    const seen = async (): Promise<number | null> => {
      await own.settled(desk);
      return (await desk.row("phone")).lastSeenAt;
    };
    const isToldAfter = async (act: () => Promise<void>): Promise<boolean> => {
      const before = await seen();
      await act();
      return (await seen()) !== before;
    };
    const away = async (forMs: number): Promise<void> => {
      phone.goOffline();
      await own.pass(forMs);
      phone.goOnline();
      await own.settled(phone);
    };
    expect(await isToldAfter(() => away(hourMs / 2))).toBe(false);
    expect(await isToldAfter(() => away(hourMs))).toBe(true);
    expect(await isToldAfter(() => away(hourMs / 2))).toBe(false);
  });

  it("say it once a day while they stay", () => {
    expect(isNews(hourMs, false)).toBe(true);
    expect(isNews(hourMs - 1, false)).toBe(false);
    expect(isNews(24 * hourMs, true)).toBe(true);
    expect(isNews(24 * hourMs - 1, true)).toBe(false);
  });
});

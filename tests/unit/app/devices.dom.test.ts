// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import type { DeviceRow } from "#client/device/api.ts";
import type { FakeDevice } from "#tests/support/fake-device.ts";

import { click, named, setupScreen, shown, textOf, type } from "./screen.ts";

function row(fields: Partial<DeviceRow>): DeviceRow {
  return {
    id: "d".repeat(64),
    name: "Laptop",
    self: false,
    addedAt: 0,
    lastSeenAt: null,
    fingerprint: "9c1e 44b0 e27a 01d8 5f3c 77a9 12be c06d",
    kind: "device",
    ...fields,
  };
}

async function setupSettings(arrange: (device: FakeDevice) => void = () => {}) {
  const parts = await setupScreen((device) => {
    device.devicesNow = [
      row({ id: "1", name: "Laptop", self: true }),
      row({ id: "2", name: "Phone", lastSeenAt: Date.UTC(2026, 5, 1, 11, 55) }),
      row({ id: "3", name: "", kind: "words" }),
    ];
    arrange(device);
  });
  parts.app.navigation.show({ type: "settings" });
  await shown();
  return parts;
}

function section(): string {
  const heading = [...document.querySelectorAll("dialog h3")].find(
    (title) => textOf(title) === "Your devices",
  );
  return textOf(heading?.parentElement ?? null);
}

describe("the list of one's devices", () => {
  it("names each, when it was last seen, and which one this is", async () => {
    await setupSettings();
    expect(section()).toContain("Phone seen 5 min ago");
    expect(section()).toContain("this device");
    expect(named("input", "Name of this device")).toHaveProperty("value", "Laptop");
    expect(document.querySelectorAll("dialog button[aria-label^='Remove ']")).toHaveLength(1);
  });

  it("takes a new name for this one", async () => {
    const { device } = await setupSettings();
    await type(named("input", "Name of this device"), " Work ");
    expect(device.devicesNow[0]?.name).toBe("Work");
  });

  it("says what removing means before it is done, and afterwards which notebooks wait", async () => {
    const { device } = await setupSettings();
    await click("button", "Remove Phone");
    expect(section()).toContain("What has already arrived there stays");
    expect(device.devicesNow).toHaveLength(3);
    device.renewalNow = {
      underWay: 1,
      waiting: [{ notebook: "n", name: "Choir", fingerprint: "1111 2222", asked: false }],
      requests: [],
    };
    await click("dialog .more button", "Remove Phone");
    expect(device.devicesNow.map(({ id }) => id)).toEqual(["1", "3"]);
    expect(section()).toContain("Phone is removed.");
    expect(section()).toContain("One notebook gets new keys as soon as the relay can be reached");
    expect(section()).toContain("In “Choir” somebody who administers it has to let this device in");
    expect(section()).toContain("1111 2222");
  });

  it("keeps a device that could not be removed, and says why", async () => {
    const { device } = await setupSettings();
    device.refusals.set("removeDevice", { code: "offline", message: "You are offline." });
    await click("button", "Remove Phone");
    await click("dialog .more button", "Remove Phone");
    expect(section()).toContain("You are offline.");
    expect(device.devicesNow).toHaveLength(3);
  });
});

describe("a device that was removed by another one", () => {
  it("says so, and that what is here stays", async () => {
    const { device } = await setupScreen();
    device.infoNow = { ...device.infoNow, removed: true };
    device.emit({ type: "devices" });
    await shown();
    expect(textOf(document.querySelector("[role=alert]"))).toContain(
      "Another of your devices has removed this one. What is here stays readable",
    );
  });
});

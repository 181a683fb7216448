// @vitest-environment happy-dom
import { describe, expect, it } from "vitest";

import { timeLeft } from "#client/app/state/device-words.ts";
import type { DeviceRow } from "#client/device/api.ts";
import type { FakeDevice } from "#tests/support/fake-device.ts";

import { click, named, setupScreen, shown, submit, textOf, type } from "./screen.ts";

const minuteMs = 60_000;

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

describe("adding a device", () => {
  async function setupOffer() {
    const parts = await setupSettings();
    await click("dialog button", "Add a device…");
    return parts;
  }

  it("shows a code for ten minutes, then none", async () => {
    const { clock } = await setupOffer();
    expect(document.querySelector("dialog svg[role=img] path")).toBeTruthy();
    expect(textOf(named("[role=timer]", "Time left"))).toBe("Works once, for 10:00 more");
    await clock.pass(61_000);
    await shown();
    expect(textOf(named("[role=timer]", "Time left"))).toBe("Works once, for 8:59 more");
    await clock.pass(9 * minuteMs);
    await shown();
    expect(document.querySelector("dialog svg[role=img] path")).toBeNull();
    expect(textOf(document.querySelector("dialog"))).toContain("opens nothing any more");
  });

  it("takes the offer back when the sheet is closed", async () => {
    const { device } = await setupOffer();
    expect(device.cancelled).toBe(0);
    await click("dialog button", "Cancel");
    expect(device.cancelled).toBe(1);
  });

  it("says when the other device has come, and takes nothing back then", async () => {
    const { device } = await setupOffer();
    device.devicesNow = [...device.devicesNow, row({ id: "4", name: "Tablet" })];
    device.emit({ type: "devices" });
    await shown();
    expect(textOf(document.querySelector("dialog [role=status]"))).toContain(
      "“Tablet” is one of your devices now",
    );
    await click("dialog button", "Done");
    expect(device.cancelled).toBe(0);
  });
});

describe("a stolen device", () => {
  it("is shut out with the words, all others too, and it is said what that came to", async () => {
    const { device, app } = await setupSettings();
    await click("dialog button", "A device was stolen…");
    await type(named("textarea", "Recovery words"), "legal ".repeat(24));
    await submit("dialog form");
    expect(device.devicesNow.map(({ id }) => id)).toEqual(["1", "3"]);
    expect(textOf(document.querySelector("dialog [role=status]"))).toContain(
      `All your other devices are shut out: they can read nothing new and change nothing. One notebook has new keys.`,
    );
    expect(app.notebooks.rows).toHaveLength(1);
  });

  it("is not shut out by words that are none, and it is said why", async () => {
    const { device } = await setupSettings();
    device.refusals.set("shutOthersOut", { code: "bad-words", message: "Word 3 is not a word." });
    await click("dialog button", "A device was stolen…");
    await type(named("textarea", "Recovery words"), "legal ".repeat(24));
    await submit("dialog form");
    expect(textOf(document.querySelector("dialog [role=alert]"))).toBe("Word 3 is not a word.");
    expect(device.devicesNow).toHaveLength(3);
  });
});

describe("a link from another of one's devices", () => {
  const link = `https://notes.example/#1d.${"s".repeat(43)}.${"i".repeat(43)}`;

  it("is used only after somebody said that this device is theirs", async () => {
    const { app, device } = await setupScreen(undefined, link);
    expect(textOf(document.querySelector("h1"))).toBe("Make this one of your devices?");
    expect(device.became).toBeNull();
    await click("button", "Make it mine");
    expect(device.became).toBe(link);
    expect(app.navigation.link).toBeNull();
  });

  it("replaces no notes that are here", async () => {
    const { device } = await setupScreen((made) => made.addNote({ title: "Mine" }), link);
    expect(textOf(document.querySelector("main"))).toContain("would replace what is here");
    expect(() => named("button", "Make it mine")).toThrow("no button");
    expect(device.became).toBeNull();
  });

  it("that is over says so, and nothing has changed here", async () => {
    const { app, device } = await setupScreen(undefined, link);
    device.refusals.set("becomeDevice", { code: "link-spent", message: "This link has ended." });
    await click("button", "Make it mine");
    expect(textOf(document.querySelector("[role=alert]"))).toBe("This link has ended.");
    expect(app.navigation.link).toBe(link);
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

describe("the time left", () => {
  it("is shown to the second, and never less than none", () => {
    expect(timeLeft(600_000, 0)).toBe("10:00");
    expect(timeLeft(600_000, 594_001)).toBe("0:06");
    expect(timeLeft(600_000, 700_000)).toBe("0:00");
  });
});

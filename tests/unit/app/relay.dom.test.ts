// @vitest-environment happy-dom
import { flushSync, mount, unmount } from "svelte";
import { afterEach, describe, expect, it } from "vitest";

import Root from "#client/app/ui/Root.svelte";
import { accessWords, limitWords, tieWords } from "#client/device/relay-words.ts";
import { defaultLimits } from "#relay/protocol/limits.ts";
import type { FakeDevice } from "#tests/support/fake-device.ts";

import { settled, setupApp } from "./setup-app.ts";

const mounted: Record<string, unknown>[] = [];

afterEach(async () => {
  for (const screen of mounted.splice(0)) await unmount(screen);
  document.body.replaceChildren();
});

async function setupScreen(arrange: (device: FakeDevice) => void = () => {}) {
  const parts = await setupApp((device) => {
    const told = { ...device.relayNow, lastAckAt: null };
    device.relayNow = told;
    arrange(device);
  });
  mounted.push(mount(Root, { target: document.body, props: { app: parts.app } }));
  await parts.app.start({ opensNote: true });
  await shown();
  return parts;
}

async function shown(): Promise<void> {
  await settled();
  flushSync();
}

function textOf(element: Element | null): string {
  return (element?.textContent ?? "").replace(/\s+/g, " ").trim();
}

function button(within: string, name: string): HTMLButtonElement | null {
  const buttons = [...document.querySelectorAll<HTMLButtonElement>(`${within} button`)];
  return buttons.find((element) => textOf(element) === name) ?? null;
}

async function click(element: HTMLElement | null): Promise<void> {
  if (element === null) throw new Error("there is nothing to click");
  element.click();
  await shown();
}

/** What stands beside a name in the sheet, null if the name is not there. */
function fact(name: string): string | null {
  const term = [...document.querySelectorAll("dialog dt")].find((dt) => textOf(dt) === name);
  return term === undefined ? null : textOf(term.nextElementSibling);
}

describe("About this relay", () => {
  it("is reached from Settings and says everything that is known", async () => {
    const { app } = await setupScreen();
    app.navigation.show({ type: "settings" });
    await shown();
    await click(button("dialog", "About this relay"));
    expect(textOf(document.querySelector("dialog h2"))).toBe("About this relay");
    expect(fact("Address")).toBe("relay.example Connected");
    expect(fact("Key")).toContain("3f0a 91c2 77de 0b45 a8e1 5c66 20f9 d413");
    expect(fact("Yours")).toBe(
      "This app came from it.It keeps 2 notebooks of yours.It keeps 1 notebook that others share with you.It has admitted you: this device holds your access key.",
    );
    expect(fact("Stored")).toContain("2.4 MB");
    expect(fact("Stored")).toContain("As the relay counts it");
    expect(fact("Last receipt")).toBe("None yet");
    expect(fact("Access")).toContain("By invitation");
    expect(fact("Limits")).toContain("A notebook: 1.1 GB");
    expect(fact("Version")).toBe("0.2.0");
    expect(document.querySelector("dialog .warning")).toBeNull();
  });

  it("lists the other relays in use, with what waits for each", async () => {
    const other = {
      relay: "wss://other.example/notes/v1",
      isOwn: false,
      word: "offline",
      detail: "",
      connected: false,
      waiting: 2,
      notebooks: 1,
      lastAckAt: null,
    } as const;
    const { app } = await setupScreen((fake) => {
      fake.statusNow = { ...fake.statusNow, relays: [other] };
    });
    app.navigation.show({ type: "relay" });
    await shown();
    const [item, ...more] = document.querySelectorAll("dialog ul[aria-label] li");
    expect(more).toEqual([]);
    expect(textOf(item ?? null)).toBe("other.example Not connected 1 notebook, 2 waiting");
  });

  it("is reached from the footer's panel", async () => {
    await setupScreen();
    await click(document.querySelector<HTMLButtonElement>(".footer .status button"));
    await click(button(".footer", "About this relay"));
    expect(textOf(document.querySelector("dialog h2"))).toBe("About this relay");
  });

  it("says why what it shows is old, and asks again when the connection comes", async () => {
    const trouble = "The relay cannot be asked right now: this is what it said last time.";
    const { app, device } = await setupScreen((fake) => {
      fake.statusNow = { ...fake.statusNow, connected: false };
      fake.relayNow = { ...fake.relayNow, connected: false, trouble };
    });
    app.navigation.show({ type: "relay" });
    await shown();
    expect(textOf(document.querySelector("dialog .warning"))).toBe(trouble);
    expect(fact("Address")).toBe("relay.example Not connected");
    expect(textOf(document.querySelector("dialog"))).toContain("as it told them on");

    device.relayNow = { ...device.relayNow, connected: true, trouble: "" };
    device.setStatus({ connected: true });
    await shown();
    expect(document.querySelector("dialog .warning")).toBeNull();
    expect(fact("Address")).toBe("relay.example Connected");
  });

  it("shows no row for what was never told, and offers nothing where no relay is known", async () => {
    const { app, device } = await setupScreen((fake) => {
      fake.relayNow = {
        ...fake.relayNow,
        about: null,
        aboutAt: null,
        fingerprint: null,
        stored: null,
        trouble: "The relay does not say anything of itself.",
      };
    });
    app.navigation.show({ type: "relay" });
    await shown();
    expect([fact("Access"), fact("Limits"), fact("Version")]).toEqual([null, null, null]);
    expect(fact("Key")).toContain("Known once");
    expect(fact("Stored")).toContain("Known once");

    device.setStatus({ relay: null, connected: false });
    app.navigation.show({ type: "settings" });
    await shown();
    expect(button("dialog", "About this relay")).toBeNull();
  });
});

describe("a relay in words", () => {
  const about = {
    version: "1",
    protocol: 1,
    access: "open",
    guests: true,
    limits: defaultLimits,
    keyBytes: null,
  } as const;

  it("says who may use it", () => {
    expect(accessWords(about)).toBe("Open: anybody may keep notebooks there.");
    expect(accessWords({ ...about, access: "allowlist", guests: false })).toMatch(
      /^By a list.*Nobody else is served\.$/,
    );
  });

  it("names what one person may keep only where that is limited", () => {
    expect(limitWords(about)[0]).toMatch(/^A notebook/);
    expect(limitWords({ ...about, keyBytes: 4e9 })[0]).toBe("All notebooks of one person: 4.0 GB");
  });

  it("says so where nothing ties this device to it", () => {
    const info = { servesThisApp: false, notebooks: { all: 0, own: 0 }, holdsAccessKey: false };
    expect(tieWords(info)).toEqual(["It keeps no notebook of this device."]);
  });
});

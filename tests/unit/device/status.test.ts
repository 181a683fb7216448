import { describe, expect, it } from "vitest";
import { nodeRandom } from "#client/cli/node-ports.ts";
import type { SyncStatus } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { describeSync } from "#client/device/status-word.ts";
import type { Dial, WireEvents } from "#client/sync/ports.ts";
import { defaultLimits, type Limits } from "#relay/protocol/limits.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { startTestRelay } from "#tests/support/relay.ts";
import { eventually, GatedDial, refusalOf, setupDevice } from "./setup-device.ts";

const somewhere = "ws://relay.test/v1";

/** A socket that does nothing until the test makes it. */
class FakeDial {
  readonly dialled: WireEvents[] = [];
  readonly dial: Dial = (_url, events) => {
    this.dialled.push(events);
    return { send: () => undefined, close: () => undefined };
  };
}

async function setupRelay(limits: Partial<Limits> = {}) {
  const relay = await startTestRelay({ limits: { ...defaultLimits, ...limits } });
  const gate = new GatedDial();
  const fixture = await setupDevice({ relayUrl: relay.url, dial: gate.dial });
  return {
    ...fixture,
    gate,
    async [Symbol.asyncDispose]() {
      await fixture[Symbol.asyncDispose]();
      await relay.stop();
    },
  };
}

function statusWith(device: Device, word: SyncStatus["word"]): Promise<SyncStatus> {
  return eventually(device, async () => {
    const status = await device.status();
    return status.word === word && status;
  });
}

describe("the status of a device", { timeout: 60_000 }, () => {
  it("is saved here without a relay", async () => {
    await using fixture = await setupDevice();
    await fixture.device.createNote({ title: "Tent" });
    const status = await fixture.device.status();
    expect(status).toMatchObject({ word: "saved-here", detail: "", relay: null, connected: false });
    expect(status.waiting).toBeGreaterThan(0);
    expect(status.lastAckAt).toBeNull();
  });

  it("is saved here while the first connection is under way, then offline with the reason", async () => {
    const socket = new FakeDial();
    await using fixture = await setupDevice({ relayUrl: somewhere, dial: socket.dial });
    const { device } = fixture;
    expect(await device.status()).toMatchObject({ word: "saved-here", relay: somewhere });
    socket.dialled[0]?.closed();
    const status = await device.status();
    expect(status.word).toBe("offline");
    expect(status.detail).toContain("the relay cannot be reached");
    expect(status.detail).toContain("saved on this device");
  });

  it("is offline, in other words, when something else answers", async () => {
    const socket = new FakeDial();
    await using fixture = await setupDevice({ relayUrl: somewhere, dial: socket.dial });
    socket.dialled[0]?.opened();
    socket.dialled[0]?.received(new TextEncoder().encode("Welcome to nginx"));
    const status = await fixture.device.status();
    expect(status.word).toBe("offline");
    expect(status.detail).toContain("does not speak like a Sealeaf relay");
  });

  it("refuses what needs the relay while there is none", async () => {
    const socket = new FakeDial();
    const ports = { relayUrl: somewhere, dial: socket.dial, connect: "on-demand" as const };
    await using other = await setupDevice({ fresh: true });
    const words = other.device.create().join(" ");
    await using fixture = await setupDevice(ports);
    expect(socket.dialled).toHaveLength(0);
    const asked = refusalOf(() => fixture.device.restore(words));
    expect(socket.dialled).toHaveLength(1);
    socket.dialled[0]?.closed();
    expect(await asked).toBe("offline");
  });

  it("is sending while the relay has not acknowledged, then up to date", async () => {
    await using fixture = await setupRelay();
    const { device, gate } = fixture;
    expect(await device.settled(20_000)).toBe(true);
    expect(await device.status()).toMatchObject({ word: "up-to-date", waiting: 0, detail: "" });
    gate.shut();
    await device.createNote({ title: "Tent" });
    const sending = await device.status();
    expect(sending).toMatchObject({ word: "sending", connected: true });
    expect(sending.waiting).toBeGreaterThan(0);
    gate.open();
    const status = await statusWith(device, "up-to-date");
    expect(status.waiting).toBe(0);
    expect(status.lastAckAt).not.toBeNull();
  });

  it("is limited when the relay's room is used up, and says that all is saved", async () => {
    await using fixture = await setupRelay({ spaceBytes: 6_000 });
    const { device } = fixture;
    await device.createNote({ title: "Tent", body: noise(20_000) });
    const status = await statusWith(device, "limited");
    expect(status.detail).toContain("used up its room");
    expect(status.detail).toContain("Everything is saved here");
    expect(status.waiting).toBeGreaterThan(0);
  });
});

describe("the word for how synchronising goes", () => {
  const here = { durable: true, full: false, workingOffline: false };
  const open = {
    connected: true,
    failing: false,
    lastFailure: null,
    refusedCode: null,
    stuck: [],
    upToDate: true,
    doubts: [],
    withheld: [],
    inconsistent: false,
  };

  it.each([
    ["up-to-date", open, 0],
    ["sending", open, 1],
    ["saved-here", { ...open, upToDate: false }, 0],
    ["limited", { ...open, refusedCode: refusals.DISK_FULL.code }, 1],
    ["needs-you", { ...open, refusedCode: refusals.ENTRY_TOO_BIG.code }, 1],
    ["needs-you", { ...open, stuck: [{}] }, 0],
    ["needs-you", { ...open, inconsistent: true }, 0],
    ["limited", { ...open, doubts: [{}] }, 0],
    ["needs-you", { ...open, withheld: [{}] }, 1],
    ["up-to-date", { ...open, withheld: [{}] }, 0],
    ["offline", { ...open, connected: false, failing: true }, 1],
    ["saved-here", { ...open, connected: false }, 1],
    // What an old connection was refused says nothing about one that is broken.
    ["offline", { ...open, connected: false, failing: true, refusedCode: 505 }, 1],
  ] as const)("is %s", (word, session, waiting) => {
    const alone = [{ url: somewhere, session, waiting }];
    const described = describeSync(alone, here);
    expect(described.word).toBe(word);
    const isTrouble = !["up-to-date", "sending", "saved-here"].includes(word);
    expect(described.detail !== "").toBe(isTrouble);
    // Without storage the trouble is the same, and nothing is called saved.
    const passing = describeSync(alone, { ...here, durable: false });
    expect(passing.word).toBe(word);
    expect(passing.detail).not.toMatch(/saved/i);
  });
});

describe("the word for how synchronising goes with several relays", () => {
  const here = { durable: true, full: false, workingOffline: false };
  const open = {
    connected: true,
    failing: false,
    lastFailure: null,
    refusedCode: null,
    stuck: [],
    upToDate: true,
    doubts: [],
    withheld: [],
    inconsistent: false,
  };
  const away = { ...open, connected: false, failing: true, upToDate: false };
  const own = { url: "wss://own.test/v1", session: open, waiting: 0 };
  const other = { url: "wss://other.test/sub/v1", session: open, waiting: 0 };

  it.each([
    ["up to date when each is", "up-to-date", own, other],
    [
      "offline where something waits for one that is away",
      "offline",
      own,
      { ...other, session: away, waiting: 2 },
    ],
    [
      "offline when all are away",
      "offline",
      { ...own, session: away },
      { ...other, session: away },
    ],
    [
      "not up to date while one is away that nothing waits for",
      "saved-here",
      own,
      { ...other, session: away },
    ],
    [
      "sending to one, whoever else is away",
      "sending",
      { ...own, waiting: 1 },
      { ...other, session: away },
    ],
    [
      "what one of them needs of the person",
      "needs-you",
      { ...own, session: away, waiting: 1 },
      { ...other, session: { ...open, refusedCode: refusals.ENTRY_TOO_BIG.code } },
    ],
    [
      "limited before offline",
      "limited",
      { ...own, session: away, waiting: 1 },
      { ...other, session: { ...open, refusedCode: refusals.DISK_FULL.code } },
    ],
  ] as const)("is %s", (_what, word, first, second) => {
    expect(describeSync([first, second], here).word).toBe(word);
  });

  it("names the relay that is meant, and only that", () => {
    const { detail } = describeSync([own, { ...other, session: away, waiting: 2 }], here);
    expect(detail).toContain("other.test");
    expect(detail).not.toContain("own.test");
    expect(detail).toContain("saved on this device");
  });
});

/** Text that no compression makes smaller. */
function noise(characters: number): string {
  return Buffer.from(nodeRandom(characters)).toString("base64").slice(0, characters);
}

/** Bad input by command: one clear sentence each, and nothing changed. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LinkRow, PersonRow } from "#client/device/api.ts";
import { Refusal } from "#client/device/refusal.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import {
  eventually,
  onlyNotebook,
  setupDevice,
  type DeviceFixture,
} from "../device/setup-device.ts";
import { runOnDevice } from "./run-on-device.ts";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startTestRelay();
});
afterAll(() => relay.stop());

const dayMs = 86_400_000;

/** The sentence a command is refused with. */
async function refused(
  fixture: DeviceFixture,
  args: readonly string[],
  input = "",
): Promise<string> {
  try {
    await runOnDevice(fixture, args, input);
  } catch (error) {
    if (error instanceof Refusal) return error.message;
    throw error;
  }
  throw new Error(`${args.join(" ")} was not refused`);
}

async function setupPerson(name: string): Promise<DeviceFixture> {
  const fixture = await setupDevice({ relayUrl: relay.url });
  await fixture.device.setDisplayName(name);
  return fixture;
}

async function share(fixture: DeviceFixture, ...options: readonly string[]): Promise<string> {
  return (await runOnDevice(fixture, ["share", ...options])).text.trim();
}

describe("a link that opens nothing", { timeout: 60_000 }, () => {
  it("is told by why, and joins nothing", async () => {
    await using ana = await setupPerson("Ana");
    await using ben = await setupPerson("Ben");
    await using eve = await setupPerson("Eve");
    const link = await share(ana);
    const once = await share(ana, "--once");
    await runOnDevice(ben, ["join", once]);
    const revoked = await share(ana);
    const links = (await runOnDevice(ana, ["links"])).json as readonly LinkRow[];
    await runOnDevice(ana, ["revoke", links.find((row) => row.link === revoked)?.id ?? ""]);
    const clock = { now: () => Date.now() - 2 * dayMs };
    await using late = await setupDevice({ relayUrl: relay.url, clock });
    const { id } = await onlyNotebook(late.device);
    const expired = await late.device.share(id, "edit", { expiresAt: clock.now() + dayMs });
    await runOnDevice(late, ["sync"]);
    await runOnDevice(ana, ["sync"]);
    const [address = ""] = link.split("#");

    const before = await eve.device.notebooks();
    for (const [bad, words] of [
      [link.slice(0, -4), /damaged/],
      [link.slice(0, -50), /damaged/],
      ["", /not a share link|damaged|link/],
      [once, /has let in as many people as it may\. Ask for a new one\./],
      [revoked, /has been withdrawn\. Ask for a new one\./],
      [expired.link, /its time is over\. Ask for a new one\./],
      [`${address}#1e.${"A".repeat(43)}.${"A".repeat(43)}`, /not at its relay/],
    ] as const) {
      expect(await refused(eve, ["join", bad])).toMatch(words);
      expect(await eve.device.notebooks()).toEqual(before);
    }
    // Nothing of them is in the way of the right one.
    await runOnDevice(eve, ["join", link]);
    expect(await eve.device.notebooks()).toHaveLength(before.length + 1);
  });

  it("leads to another relay: that one is named, where it does not answer", async () => {
    await using ana = await setupPerson("Ana");
    await using eve = await setupPerson("Eve");
    const link = await share(ana);
    const other = Buffer.from("ws://127.0.0.1:9/v1").toString("base64url");
    const [role, secret] = link.split("#")[1]?.split(".") ?? [];
    const elsewhere = `http://127.0.0.1:9/#${[role, secret, "A".repeat(43), other].join(".")}`;
    const before = await eve.device.notebooks();
    expect(await refused(eve, ["join", elsewhere])).toMatch(/127\.0\.0\.1:9/);
    expect(await eve.device.notebooks()).toEqual(before);
    expect((await eve.device.status()).relays).toHaveLength(1);
  });
});

describe("words that open nothing", { timeout: 60_000 }, () => {
  it("are told by what is wrong with them, and replace nothing", async () => {
    await using ana = await setupPerson("Ana");
    await using ben = await setupPerson("Ben");
    const words = (await ana.device.words()) ?? [];
    await runOnDevice(ana, ["sync"]);
    const swapped = words.with(0, words[1] ?? "").with(1, words[0] ?? "");
    const isSame = words[0] === words[1];
    const before = [
      await ben.device.info(),
      await ben.device.notebooks(),
      await ben.device.words(),
    ];
    for (const [bad, what] of [
      [words.with(3, "abandonn").join(" "), /Word 4 \(“abandonn”\) is not in the list\. .*abandon/],
      ...(isSame
        ? []
        : ([[swapped.join(" "), /do not belong together|nothing was found/i]] as const)),
      [`${"abandon ".repeat(11)}about`, /These are 12 words; there must be 24\. Words of another/],
      [`${"abandon ".repeat(23)}art`, /nothing was found/i],
    ] as const) {
      expect(await refused(ben, ["restore", "--yes"], bad)).toMatch(what);
      expect([
        await ben.device.info(),
        await ben.device.notebooks(),
        await ben.device.words(),
      ]).toEqual(before);
    }
  });
});

describe("names", { timeout: 60_000 }, () => {
  it("of 10,000 characters, with markup, or of another member, are one short line that is nobody else's", async () => {
    await using ana = await setupPerson("Ana");
    await using ben = await setupPerson("Ben");
    await runOnDevice(ben, ["join", await share(ana)]);
    await runOnDevice(ben, ["sync"]);
    const people = async (): Promise<readonly PersonRow[]> =>
      (await runOnDevice(ana, ["people"])).json as readonly PersonRow[];
    await runOnDevice(ben, ["name", `<b>${"x".repeat(10_000)}</b>\u202e\n`]);
    const long = await eventually(ana.device, async () =>
      (await people()).map(({ name }) => name).find((name) => name.startsWith("<")),
    );
    expect(long).toMatch(/^<b>x+$/);
    expect(new TextEncoder().encode(long).length).toBeLessThanOrEqual(120);
    await runOnDevice(ben, ["name", "Ana"]);
    const alike = await eventually(ana.device, async () => {
      const names = (await people()).map(({ name }) => name);
      return names.every((name) => name.startsWith("Ana")) && names;
    });
    expect(alike).toHaveLength(2);
    for (const name of alike) expect(name).toMatch(/^Ana \([0-9a-f]{4} [0-9a-f]{4}\)$/);
    expect(new Set(alike).size).toBe(2);
    // Who is meant by what both are called is asked.
    expect(await refused(ana, ["remove", "Ana"])).toMatch(/Nobody with access is called “Ana”/);
    expect(await refused(ben, ["name", "\u200b"])).toMatch(/at least one visible character/);
    expect((await ben.device.info()).displayName).toBe("Ana");
    expect(await refused(ana, ["delete-notebook", "<b>"])).toMatch(/no such notebook/);
  });
});

describe("two people who remove each other at once", { timeout: 60_000 }, () => {
  it("are told which of them is out, and the other goes on", async () => {
    await using ana = await setupPerson("Ana");
    await using ben = await setupPerson("Ben");
    const { id: notebook } = await onlyNotebook(ana.device);
    await runOnDevice(ben, ["join", await share(ana)]);
    await runOnDevice(ben, ["sync"]);
    await runOnDevice(ana, ["sync"]);
    await runOnDevice(ana, ["role", "Ben", "admin"]);
    await runOnDevice(ben, ["sync"]);
    const answers = await Promise.allSettled([
      runOnDevice(ana, ["remove", "Ben", notebook]),
      runOnDevice(ben, ["remove", "Ana", notebook]),
    ]);
    // Whom the other's step has reached already is refused in words.
    for (const answer of answers) {
      const word: unknown = answer.status === "rejected" ? answer.reason : null;
      expect(word === null || word instanceof Refusal).toBe(true);
    }
    const stateIn = async ({ device }: DeviceFixture) =>
      (await device.notebooks()).find(({ id }) => id === notebook)?.state;
    const ended = await Promise.race(
      [ana, ben].map((person) =>
        eventually(person.device, async () => (await stateIn(person)) === "ended" && person),
      ),
    );
    const stays = ended === ana ? ben : ana;
    await runOnDevice(stays, ["sync"]);
    expect(await stateIn(stays)).toBe("active");
    expect((await runOnDevice(stays, ["people", notebook])).json).toHaveLength(1);
    const told = ended.events.flatMap((event) => (event.type === "notice" ? [event.text] : []));
    expect(told.join("\n")).toMatch(/You no longer have access to Notes|at the same moment/);
    expect((await stays.device.status()).waiting).toBe(0);
  });
});

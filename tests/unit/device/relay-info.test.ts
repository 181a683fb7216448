/** What a device can say of its relay: asked now, from last time, and where what it hears cannot be believed. */
import { describe, expect, it } from "vitest";
import { fingerprintOf } from "#client/device/fingerprint.ts";
import { parseAbout } from "#client/device/relay-about.ts";
import { pageReader } from "#client/device/read-page.ts";
import { toBase64url } from "#relay/protocol/bytes.ts";
import { defaultLimits } from "#relay/protocol/limits.ts";
import { startTestRelay } from "#tests/support/relay.ts";
import { setupDevice } from "./setup-device.ts";

const patienceMs = 20_000;
const readPage = pageReader((url) => fetch(url));
const unreachable = async (): Promise<never> => {
  throw new Error("nothing answers");
};

const sound = {
  name: "sealeaf",
  version: "0.1.0",
  protocol: 1,
  relayKey: "0123 4567 89ab cdef 0123 4567 89ab cdef",
  access: "open",
  guests: true,
  limits: defaultLimits,
  keyBytes: null,
};

describe("a device at its relay", { timeout: 30_000 }, () => {
  it("says what the relay tells, the key it proved, and what it keeps", async () => {
    const relay = await startTestRelay({ settings: { access: "invite" } });
    await using ana = await setupDevice({ relayUrl: relay.url, servedBy: relay.url, readPage });
    expect(await ana.device.relayInfo()).toMatchObject({
      holdsAccessKey: false,
      lastAckAt: null,
      stored: null,
    });
    await ana.device.redeemInvite(toBase64url(relay.firstInvite ?? new Uint8Array()));
    expect(await ana.device.settled(patienceMs)).toBe(true);
    const info = await ana.device.relayInfo();
    const told = parseAbout(await (await fetch(`${relay.httpUrl}/relay.json`)).text());
    expect(told).toMatchObject({ type: "told", fingerprint: info.fingerprint });
    expect(info).toMatchObject({
      relay: relay.url,
      address: `${relay.httpUrl}/`,
      connected: true,
      about: { version: "0.0.0-test", access: "invite", limits: defaultLimits },
      trouble: "",
      servesThisApp: true,
      notebooks: { all: 1, own: 1 },
      holdsAccessKey: true,
      lastAckAt: expect.any(Number),
    });

    const before = info.stored?.bytes ?? 0;
    expect(before).toBeGreaterThan(0);
    // Random, so that no packing makes it smaller.
    const body = Buffer.from(crypto.getRandomValues(new Uint8Array(30_000))).toString("base64");
    await ana.device.createNote({ title: "Long", body });
    expect(await ana.device.settled(patienceMs)).toBe(true);
    const after = (await ana.device.relayInfo()).stored?.bytes ?? 0;
    expect(after - before).toBeGreaterThan(30_000);
    expect(after - before).toBeLessThan(60_000);
    await relay.stop();
  });

  it("says away from it what it knew, since when, and across a restart", async () => {
    const relay = await startTestRelay();
    const first = await setupDevice({ relayUrl: relay.url, readPage });
    expect(await first.device.settled(patienceMs)).toBe(true);
    const known = await first.device.relayInfo();
    await first[Symbol.asyncDispose]();
    await relay.stop();

    await using later = await setupDevice({ relayUrl: relay.url, files: first.files, readPage });
    const info = await later.device.relayInfo();
    expect(info).toEqual({ ...known, connected: false, trouble: expect.any(String) });
    expect(info.trouble).toContain("this is what it said last time");
    expect(info.stored?.bytes).toBeGreaterThan(0);
    expect(info.lastAckAt).not.toBeNull();
    expect((await later.device.status()).lastAckAt).toBe(info.lastAckAt);
  });

  it("is told in a sentence that there is no page, or none of a relay, or of another key", async () => {
    const relay = await startTestRelay();
    let page: string | null = null;
    await using ana = await setupDevice({ relayUrl: relay.url, readPage: async () => page });
    expect(await ana.device.settled(patienceMs)).toBe(true);
    const silent = await ana.device.relayInfo();
    expect(silent).toMatchObject({ about: null, aboutAt: null, connected: true });
    expect(silent.trouble).toContain("does not say anything of itself");
    expect(silent.stored).not.toBeNull();

    page = "<!doctype html><title>Welcome</title>";
    expect(await ana.device.relayInfo()).toMatchObject({
      about: null,
      trouble: expect.stringContaining("no description of a Sealeaf relay"),
    });
    page = JSON.stringify(sound);
    expect(await ana.device.relayInfo()).toMatchObject({
      fingerprint: silent.fingerprint,
      about: { version: "0.1.0" },
      trouble: expect.stringContaining("another key"),
    });
    await relay.stop();
  });

  it("answers without a relay, and at one it has never met", async () => {
    await using alone = await setupDevice();
    expect(await alone.device.relayInfo()).toMatchObject({ relay: null, about: null });
    await using ana = await setupDevice({
      relayUrl: "ws://relay.test/v1",
      readPage: unreachable,
      dial: (_url, events) => {
        queueMicrotask(() => events.closed());
        return { send: () => undefined, close: () => undefined };
      },
    });
    const info = await ana.device.relayInfo();
    expect(info).toMatchObject({ fingerprint: null, about: null, stored: null, connected: false });
    expect(info.trouble).toContain("not known yet");
  });
});

describe("what a relay says of itself", () => {
  it("is taken as it is where every part has its form", () => {
    expect(parseAbout(JSON.stringify(sound))).toMatchObject({
      type: "told",
      about: { version: "0.1.0", limits: defaultLimits, keyBytes: null },
    });
    expect(parseAbout(JSON.stringify({ ...sound, later: 1 })).type).toBe("told");
  });

  it.each([
    ["", ""],
    ["no object", "[]"],
    ["another program", JSON.stringify({ ...sound, name: "other" })],
    ["markup for a version", JSON.stringify({ ...sound, version: "<b>1</b>" })],
    ["an endless version", JSON.stringify({ ...sound, version: "1".repeat(41) })],
    ["another access", JSON.stringify({ ...sound, access: "friends" })],
    ["half a key", JSON.stringify({ ...sound, relayKey: "0123" })],
    ["a limit less", JSON.stringify({ ...sound, limits: { ...defaultLimits, blobBytes: -1 } })],
    ["a limit missing", JSON.stringify({ ...sound, limits: {} })],
    ["a quota in words", JSON.stringify({ ...sound, keyBytes: "much" })],
    ["more than anybody reads", JSON.stringify({ ...sound, more: "x".repeat(70_000) })],
  ])("is refused with %s", (_what, text) => {
    expect(parseAbout(text)).toEqual({ type: "nonsense" });
  });

  it("shows a key as 32 hex digits in groups of four", () => {
    expect(fingerprintOf(new Uint8Array(32))).toBe("6668 7aad f862 bd77 6c8f c18b 8e9f 8e20");
  });
});

describe("reading a relay's page", () => {
  it("takes a gateway's trouble for no answer, and a missing page for none", async () => {
    const answering = (status: number, body: string): ReturnType<typeof pageReader> =>
      pageReader(async () => new Response(body, { status }));
    await expect(answering(502, "bad gateway")("x")).rejects.toThrow("502");
    expect(await answering(404, "none")("x")).toBeNull();
    expect(await answering(200, "text")("x")).toBe("text");
  });

  it("stops reading a page that does not end", async () => {
    let pulled = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        pulled += 1;
        controller.enqueue(new Uint8Array(16 << 10).fill(120));
      },
    });
    const text = await pageReader(async () => new Response(endless))("x");
    expect(text?.length).toBe(64 << 10);
    expect(pulled).toBeLessThan(8);
  });
});

/** Devices of one person at a relay that admits by invitation. */
import { describe, expect, it } from "vitest";
import { toBase64url } from "#relay/protocol/bytes.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import { eventually, onlyNotebook, refusalOf, setupDevice } from "./setup-device.ts";

const patienceMs = 20_000;
const unknown = "AAAAAAAAAAAAAAAAAAAAAA";

async function setupRelay(): Promise<{ relay: TestRelay; invite: string } & AsyncDisposable> {
  const relay = await startTestRelay({ settings: { access: "invite" } });
  const invite = toBase64url(relay.firstInvite ?? new Uint8Array());
  return { relay, invite, [Symbol.asyncDispose]: () => relay.stop() };
}

describe("a device without an invitation", () => {
  it("[AUTH-4] keeps its notebook and what is written, says what is missing, and sends all once it is let in", async () => {
    await using at = await setupRelay();
    await using ana = await setupDevice({ relayUrl: at.relay.url });
    await ana.device.createNote({ title: "Tent", body: "Two poles" });
    await eventually(ana.device, async () => (await ana.device.status()).word === "needs-you");
    expect((await ana.device.status()).detail).toContain("ask whoever runs it for an invitation");
    expect(await refusalOf(() => ana.device.redeemInvite(unknown))).toBe("refused");
    expect(await refusalOf(() => ana.device.redeemInvite("x"))).toBe("bad-input");

    await ana.device.redeemInvite(` ${at.invite}\n`);
    expect(await ana.device.settled(patienceMs)).toBe(true);
    expect((await ana.device.status()).word).toBe("up-to-date");
  });
});

describe("another device of somebody who was invited", () => {
  it("makes notebooks with the key that the vault brings", async () => {
    await using at = await setupRelay();
    await using first = await setupDevice({ relayUrl: at.relay.url });
    const words = await first.device.words();
    await first.device.redeemInvite(at.invite);
    expect(await first.device.settled(patienceMs)).toBe(true);

    await using second = await setupDevice({ relayUrl: at.relay.url });
    await second.device.restore((words ?? []).join(" "));
    expect(await second.device.settled(patienceMs)).toBe(true);
    await second.device.createNotebook("By the second");
    expect(await second.device.settled(patienceMs)).toBe(true);
    expect((await second.device.status()).word).toBe("up-to-date");
    await eventually(first.device, async () =>
      (await first.device.notebooks()).some(({ name }) => name === "By the second"),
    );
  });
});

describe("a relay by invitation beside one's own", { timeout: 60_000 }, () => {
  it("keeps a notebook once its invitation is redeemed, and refuses it before", async () => {
    const own = await startTestRelay();
    await using at = await setupRelay();
    await using ana = await setupDevice({ relayUrl: own.url });
    const { id } = await onlyNotebook(ana.device);
    const move = (): Promise<{ notebook: string }> => ana.device.moveHome(id, at.relay.url);
    expect(await refusalOf(move)).toBe("refused");
    expect(await onlyNotebook(ana.device)).toMatchObject({ id, relay: null });

    await ana.device.redeemInvite(at.invite, at.relay.url);
    const { notebook } = await move();
    expect(await onlyNotebook(ana.device)).toMatchObject({ id: notebook, relay: at.relay.url });
    expect(await ana.device.settled(patienceMs)).toBe(true);
    await own.stop();
  });
});

describe("an open relay", () => {
  it("needs no invitation, and says so", async () => {
    const relay = await startTestRelay();
    await using ana = await setupDevice({ relayUrl: relay.url });
    await expect(ana.device.redeemInvite(unknown)).rejects.toThrow("open to everybody");
    await relay.stop();
  });
});

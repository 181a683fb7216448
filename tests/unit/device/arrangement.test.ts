import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { liesIn, parentsIn } from "#client/device/nesting.ts";
import { packParent, parentKey, type VaultIndex } from "#client/device/index-document.ts";
import { parseHex } from "#relay/protocol/bytes.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import { eventually, onlyNotebook, refusalOf, setupDevice } from "./setup-device.ts";

let relay: TestRelay;

beforeAll(async () => {
  relay = await startTestRelay();
});
afterAll(() => relay.stop());

const rowOf = async (
  device: Awaited<ReturnType<typeof setupDevice>>["device"],
  id: string,
): Promise<{ colour: number | null; parent: string | null } | undefined> =>
  (await device.notebooks()).find((row) => row.id === id);

describe("notebooks", { timeout: 60_000 }, () => {
  it("have a colour that everybody in them sees, and lie in others for their owner's devices alone", async () => {
    await using ana = await setupDevice({ relayUrl: relay.url, fresh: true });
    const words = ana.device.create().join(" ");
    await ana.device.describeStale();
    const { id: outer } = await onlyNotebook(ana.device);
    const { id: inner } = await ana.device.createNotebook("Camping");
    await ana.device.setNotebookColour(inner, 5);
    await ana.device.nestNotebook(inner, outer);
    expect(await rowOf(ana.device, inner)).toMatchObject({ colour: 5, parent: outer });
    const { link } = await ana.device.share(inner, "edit");
    expect(await ana.device.settled(20_000)).toBe(true);

    await using ben = await setupDevice({ relayUrl: relay.url });
    await ben.device.join(link);
    await eventually(ben.device, async () => (await rowOf(ben.device, inner))?.colour === 5);
    expect(await rowOf(ben.device, inner)).toMatchObject({ parent: null });

    await using second = await setupDevice({ relayUrl: relay.url, fresh: true });
    await second.device.restore(words);
    await eventually(second.device, async () => (await rowOf(second.device, inner))?.colour === 5);
    expect(await rowOf(second.device, inner)).toMatchObject({ parent: outer });
    await second.device.nestNotebook(inner, null);
    await ben.device.setNotebookColour(inner, null);
    await eventually(ana.device, async () => {
      const row = await rowOf(ana.device, inner);
      return row?.parent === null && row.colour === null;
    });
  });

  it("are never put into themselves, and have no ninth colour", async () => {
    await using ana = await setupDevice();
    const { id: a } = await onlyNotebook(ana.device);
    const { id: b } = await ana.device.createNotebook("B");
    const { id: c } = await ana.device.createNotebook("C");
    await ana.device.nestNotebook(b, a);
    await ana.device.nestNotebook(c, b);
    for (const step of [
      () => ana.device.nestNotebook(a, a),
      () => ana.device.nestNotebook(a, c),
      () => ana.device.setNotebookColour(a, 8),
      () => ana.device.setNotebookColour(a, 0.5),
    ]) {
      expect(await refusalOf(step)).toBe("bad-input");
    }
    expect(await rowOf(ana.device, c)).toEqual(expect.objectContaining({ parent: b }));
  });

  it("that two devices put into each other lie on their own, those below them stay below them", () => {
    const [a, b, c] = ["aa", "bb", "cc"].map((byte) => byte.repeat(32)) as [string, string, string];
    const vault = {
      [parentKey(a)]: packParent(bytes(b)),
      [parentKey(b)]: packParent(bytes(a)),
      [parentKey(c)]: packParent(bytes(a)),
    } as unknown as VaultIndex;
    const parents = parentsIn(vault);
    expect([...parents]).toEqual([[c, a]]);
    expect(liesIn(parents, c, a)).toBe(true);
    expect(liesIn(parents, a, c)).toBe(false);
  });
});

function bytes(hex: string): Uint8Array {
  const parsed = parseHex(hex);
  if (parsed === null) throw new Error("hex");
  return parsed;
}

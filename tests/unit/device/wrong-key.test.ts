/** An administrator who gives one member another key than everybody else. */
import { beforeAll, describe, expect, it } from "vitest";
import { nodeRandom } from "#client/cli/node-ports.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import { keyCommitOf } from "#client/crypto/derive.ts";
import { rotate } from "#client/crypto/space-keys.ts";
import { signControl } from "#relay/protocol/control.ts";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { setupThree, type Person } from "./people-world.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

/** A rotation whose key for one member is not the one it commits to, waiting in Ana's log. */
function cheat(ana: Person, notebook: string, victim: string): void {
  const space = ana.space(notebook);
  const secret = ana.store.spaces.get(space.id)?.capSecret;
  const key = space.currentKey;
  if (secret === undefined || secret === null || key === null) throw new Error("Ana manages it");
  const { ed } = engines;
  const { sign } = capabilityFrom(ed, secret);
  const place = space.controlPlace(0);
  // Both begin with the same ephemeral, so that the victim can open what is meant for them.
  const ephemeral = nodeRandom(32);
  const rotation = () => {
    const drawn = [ephemeral];
    const random = (length: number): Uint8Array => drawn.pop() ?? nodeRandom(length);
    return rotate({ ed, random }, place, sign, key.key, []);
  };
  const honest = rotation();
  const other = rotation();
  const [{ body }, { body: otherBody }] = [honest.signed.record, other.signed.record];
  if (body.type !== "rotate" || otherBody.type !== "rotate") throw new Error("rotations");
  const capIx = space.authority.capabilities.findIndex(
    ({ signPub }) => Buffer.from(signPub).toString("hex") === victim,
  );
  const wrong = otherBody.keys.find((sealed) => sealed.capIx === capIx);
  if (wrong === undefined) throw new Error("the victim has a key");
  const keys = body.keys.map((sealed) => (sealed.capIx === capIx ? wrong : sealed));
  const forged = signControl({ ...honest.signed.record, body: { ...body, keys } }, (message) =>
    ed.sign(sign.seed, message),
  );
  const { epochAfter, ctrlSeq } = forged.record;
  const commit = keyCommitOf(space.id, epochAfter, honest.epochKey);
  ana.store.spaces.putKey(space.id, commit, epochAfter, honest.epochKey);
  ana.store.spaces.addControl(space.id, ctrlSeq, forged.bytes, null, forged.hash);
}

describe("a key that is not the notebook's", { timeout: 60_000 }, () => {
  it("is refused with the administrator's name, ends nobody's access, and is made good by the next (attack 55)", async () => {
    await using three = await setupThree("wrong key", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    cheat(ana, notebook, ben.idIn(notebook));
    await ana.reopen();
    await world.settle();
    expect(ana.space(notebook).currentKey?.epoch).toBe(2);
    expect(cem.space(notebook).currentKey?.epoch).toBe(2);
    expect(ben.space(notebook).currentKey).toBeNull();
    expect(ben.notices()).toHaveLength(1);
    expect(ben.notices()[0]).toContain("Ana gave this device a key that is not the notebook's");
    const row = (await ben.device.notebooks()).find(({ id }) => id === notebook);
    expect(row?.state).toBe("active");
    expect(await ben.reads(note)).toBe("one");

    await ana.device.setPersonRole(notebook, cem.idIn(notebook), "read");
    await ana.write(note, " two");
    await world.pass(600_000);
    expect(ben.space(notebook).currentKey?.epoch).toBe(3);
    await ben.write(note, " three");
    await world.settle();
    expect(await ana.reads(note)).toContain("three");
  });
});

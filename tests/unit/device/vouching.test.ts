/** A relay that lost its log is given back who came by a link that has expired since: an administrator vouches for them. */
import { beforeAll, describe, expect, it } from "vitest";
import { MemoryRelayDisk } from "#tests/support/memory-relay-store.ts";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { firstNotebook, logOf, PeopleWorld } from "./people-world.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

const hourMs = 3_600_000;

/** Ben has come by Ana's link, which has expired since; the relay has lost everything. */
async function lostAfterExpiry(seed: string) {
  const world = await PeopleWorld.start(seed, engines);
  const ana = await world.person("Ana");
  const ben = await world.person("Ben");
  const notebook = await firstNotebook(ana);
  const { id: note } = await ana.device.createNote({ title: "Tent", body: "one" });
  const expiresAt = world.world.timeline.now() + hourMs;
  const { link } = await world.during(ana.device.share(notebook, "edit", { expiresAt }));
  await world.during(ben.device.join(link));
  await world.settle();
  await ben.write(note, " ben");
  await world.settle();
  for (const person of [ana, ben]) person.goOffline();
  await world.pass(2 * hourMs);
  const { relay } = world.world;
  relay.crash();
  relay.disk = new MemoryRelayDisk();
  await relay.start();
  return { world, ana, ben, notebook, note, [Symbol.asyncDispose]: () => world.end() };
}

/** The records behind the first JOIN, without what became of them. */
function afterJoin(log: readonly string[]): readonly string[] {
  const kinds = log.map((record) => record.replace(" (waits)", ""));
  return kinds.slice(kinds.indexOf("join") + 1);
}

describe("who came by a link that has expired", { timeout: 60_000 }, () => {
  it("is in again at a relay that lost its log when an administrator comes back; both read and write", async () => {
    await using made = await lostAfterExpiry("vouched");
    const { world, ana, ben, notebook, note } = made;
    for (const person of [ana, ben]) person.goOnline();
    await world.pass(300_000);
    const log = logOf(ana, notebook);
    expect(log.filter((record) => record.endsWith("(waits)"))).toEqual([]);
    expect(afterJoin(log)).toContain("rotate");
    expect(ana.store.losses.all()).toEqual([]);
    await ben.write(note, " again");
    await ana.write(note, " ana");
    await world.pass(60_000);
    expect(await ana.reads(note)).toBe(await ben.reads(note));
    for (const word of ["one", "ben", "again", "ana"]) {
      expect(await ana.reads(note)).toContain(word);
    }
    expect(ben.space(notebook).currentKey?.epoch).toBe(ana.space(notebook).currentKey?.epoch);
  });

  it("cannot vouch for themselves: what they write waits, and is sent when an administrator has come", async () => {
    await using made = await lostAfterExpiry("not vouched");
    const { world, ana, ben, notebook, note } = made;
    ben.goOnline();
    await ben.write(note, " waiting");
    await world.pass(300_000);
    expect(afterJoin(logOf(ben, notebook))).toEqual([]);
    expect(ben.store.outbox.depth()).toBeGreaterThan(0);
    expect(await ben.reads(note)).toBe("one ben waiting");
    ana.goOnline();
    await world.pass(600_000);
    expect(await ana.reads(note)).toBe("one ben waiting");
    expect(ben.store.outbox.depth()).toBe(0);
    // Once: a fresh key for each try would be a record for each.
    const rotations = afterJoin(logOf(ana, notebook)).filter((record) => record === "rotate");
    expect(rotations.length).toBeLessThanOrEqual(2);
  });
});

/** A relay that helps somebody against the others: what it slips in is believed by nobody, what it keeps back is noticed. */
import { beforeAll, describe, expect, it } from "vitest";
import { nodeRandom } from "#client/cli/node-ports.ts";
import type { NoteDocument } from "#client/device/api.ts";
import { sealWaiting } from "#client/sync/outgoing.ts";
import { parseEntry } from "#relay/protocol/entry.ts";
import { refusals } from "#relay/protocol/errors.ts";
import { defaultLimits, maxMessageBytes } from "#relay/protocol/limits.ts";
import { Colluder } from "#tests/support/colluder.ts";
import { loadEngines, type Engines } from "#tests/support/world.ts";
import { setupThree, type Person } from "./people-world.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

/** What a changed program would send of what waits on this device, under the newest key it has. */
function sealedBy(person: Person, notebook: string): readonly Uint8Array[] {
  const space = person.space(notebook);
  sealWaiting(person.store, space, nodeRandom, defaultLimits.entryBytes, 1_000);
  return person.store.outbox.sealed(space.id).map(({ bytes }) => bytes);
}

/** As many changes as there are words, as a tab hands them over. */
async function writeEach(
  { device }: Person,
  note: string,
  words: readonly string[],
): Promise<void> {
  const { automerge } = engines;
  const { chunks, actor } = await device.openNote(note, "tab");
  const opened = chunks.reduce(
    (doc, chunk) => automerge.loadIncremental(doc, chunk),
    automerge.init<NoteDocument>({ actor }),
  );
  const before = automerge.getHeads(opened);
  let doc = opened;
  for (const word of words) {
    doc = automerge.change(doc, { time: 0 }, (draft) => {
      automerge.splice(draft, ["body"], draft.body.length, 0, word);
    });
  }
  const changes = automerge.getChangesSince(doc, before);
  await device.commit(note, { session: "tab", changes, title: "Tent", preview: "" });
}

/** At the next position of the log, as that person has read it. */
function slipIn(at: Colluder, person: Person, notebook: string, bytes: Uint8Array): void {
  at.slipIn((person.store.inbox.cursor(person.space(notebook).id)?.pos ?? 0) + 1, bytes);
}

function reasons({ store }: Person): readonly string[] {
  return store.inbox.quarantined().map(({ reason }) => reason);
}

function epochOf(bytes: Uint8Array): number {
  const entry = parseEntry(bytes, maxMessageBytes);
  if (!entry.ok) throw new Error(entry.error);
  return entry.value.epoch;
}

describe("a relay that helps one against the others", { timeout: 60_000 }, () => {
  it("slips in what a removed member writes under the old key, and nobody believes it (attack 56)", async () => {
    await using three = await setupThree("old epoch", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    const spaceId = ana.space(notebook).id;
    const colluder = new Colluder(spaceId);
    world.world.network.meddle("Ben", colluder);
    await ben.reopen();
    await world.settle();
    cem.goOffline();
    await world.settle();
    await cem.write(note, " from Cem");
    const [forged] = sealedBy(cem, notebook);
    if (forged === undefined) throw new Error("Cem has written");
    expect(epochOf(forged)).toBe(1);
    await ana.device.removePerson(notebook, cem.idIn(notebook));
    await world.settle();
    slipIn(colluder, ben, notebook, forged);
    await world.pass(60_000);
    expect(reasons(ben)).toEqual(["its author may not write here"]);
    expect(await ben.reads(note)).toBe("one");
  });

  it("slips in what a reader writes, which the relay itself would refuse, and nobody believes it (attack 57)", async () => {
    await using three = await setupThree("forging reader", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    const spaceId = ana.space(notebook).id;
    const atAna = new Colluder(spaceId);
    const atCem = new Colluder(spaceId);
    world.world.network.meddle("Ana", atAna);
    world.world.network.meddle("Cem", atCem);
    await ana.reopen();
    await cem.reopen();
    ben.goOffline();
    await world.settle();
    await ben.write(note, " forged");
    await ana.device.setPersonRole(notebook, ben.idIn(notebook), "read");
    await world.settle();
    ben.goOnline();
    await world.pass(120_000);
    expect(ben.store.outbox.depth()).toBe(1);
    const [forged] = sealedBy(ben, notebook);
    if (forged === undefined) throw new Error("Ben has written");
    expect(epochOf(forged)).toBe(2);

    const atBen = new Colluder(spaceId);
    world.world.network.meddle("Ben", atBen);
    atBen.push(forged);
    await world.pass(60_000);
    expect(atBen.statuses).toEqual([refusals.NOT_A_WRITER.code]);
    slipIn(atAna, ana, notebook, forged);
    slipIn(atCem, cem, notebook, forged);
    await world.pass(60_000);
    for (const person of [ana, cem]) {
      expect(reasons(person)).toEqual(["its author may not write here"]);
      expect(await person.reads(note)).toBe("one");
    }
    expect(await ben.reads(note)).toBe("one forged");
  });

  it("keeps a removal back, which a member's later entry tells, and nothing leaves under the old key (attack 45)", async () => {
    await using three = await setupThree("withheld", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    const spaceId = ana.space(notebook).id;
    const atAna = new Colluder(spaceId);
    const atBen = new Colluder(spaceId);
    world.world.network.meddle("Ana", atAna);
    world.world.network.meddle("Ben", atBen);
    await ben.reopen();
    await world.settle();
    atBen.isWithholding = true;
    await ana.device.removePerson(notebook, cem.idIn(notebook));
    await world.settle();
    await ana.write(note, " two");
    await world.settle();
    const later = atAna.pushed.findLast((bytes) => epochOf(bytes) === 2);
    if (later === undefined) throw new Error("Ana has written under the new key");
    expect(ben.space(notebook).authority.epoch).toBe(1);

    slipIn(atBen, ben, notebook, later);
    await world.settle();
    const before = atBen.pushed.length;
    await ben.write(note, " secret");
    await world.pass(300_000);
    await ben.reopen();
    await world.pass(300_000);
    expect(atBen.pushed).toHaveLength(before);
    expect(ben.space(notebook).authority.epoch).toBe(1);
    const log = await ben.device.syncLog();
    expect(log.filter(({ text }) => text.includes("keeps back who has access"))).toHaveLength(1);

    atBen.isWithholding = false;
    await world.pass(600_000);
    expect(atBen.pushed.slice(before).map(epochOf)).not.toContain(1);
    expect(await ana.reads(note)).toContain("secret");
    expect(await ben.reads(note)).toBe(await ana.reads(note));
    expect(await cem.reads(note)).toBe("one");
  });
});

describe("what was sealed before a rotation", { timeout: 60_000 }, () => {
  it("is sealed anew, 500 edits of it, and all arrive once, in their order (attack 58)", async () => {
    await using three = await setupThree("stale", engines);
    const { world, ana, ben, cem, notebook, note } = three;
    ben.goOffline();
    await world.settle();
    const words = Array.from({ length: 500 }, (_, ix) => ` w${ix}`);
    for (let at = 0; at < words.length; at += 50) {
      await writeEach(ben, note, words.slice(at, at + 50));
      // As if they had been about to be sent.
      sealedBy(ben, notebook);
    }
    const sealed = sealedBy(ben, notebook);
    expect(sealed.map(epochOf)).toEqual(Array.from({ length: 10 }, () => 1));
    await ana.device.removePerson(notebook, cem.idIn(notebook));
    await world.settle();
    ben.goOnline();
    await world.pass(300_000);
    expect(await ana.reads(note)).toBe(`one${words.join("")}`);
    expect(ben.store.outbox.depth()).toBe(0);
    const author = (await ana.device.noteAuthors(note)).find(({ name }) => name === "Ben");
    expect(author?.changes).toBe(500);
  });
});

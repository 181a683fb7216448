/** Edits of one passage that two devices made without knowing of each other (P9), on virtual time. */
import { describe, expect, it } from "vitest";
import type { ConflictRow } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import { loadEngines, World, type SimDevice } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";
import { refusalOf } from "./setup-device.ts";

const engines = await loadEngines();
const keep = oneWorld();

const plan = "The north side is wet.\n\nBeds: two of them.\n\n- [ ] order seeds\n- [ ] call Ben";
const second = 1_000;
const day = 24 * 60 * 60 * second;

async function setupPair(seed: string) {
  const made = new World({ seed, engines, encrypted: false, secrets: [] });
  keep(made);
  await made.relay.start();
  const [ana, ben] = [made.addDevice("ana"), made.addDevice("ben")];
  ana.open().create();
  ben.open().create();
  await made.timeline.advance(2 * second);
  await during(made, deviceOf(ana).setDisplayName("Ana"));
  await during(made, deviceOf(ben).setDisplayName("Ben"));
  const { id: notebook } = await deviceOf(ana).createNotebook("Garden");
  const { id: note } = await deviceOf(ana).createNote({ notebook, title: "Plan", body: plan });
  await made.timeline.advance(2 * second);
  const { link } = await during(made, deviceOf(ana).share(notebook, "edit"));
  await during(made, deviceOf(ben).join(link));
  await made.timeline.advance(10 * second);
  return { made, ana, ben, note };
}

/** Lets virtual time pass until the work is done; fails with it. */
async function during<T>(made: World, work: Promise<T>): Promise<T> {
  work.catch(() => {}); // awaited below, when its time has passed
  await made.timeline.advance(10 * second);
  return work;
}

function deviceOf(sim: SimDevice): Device {
  const device = sim.running?.device;
  if (device === undefined) throw new Error(`${sim.name} does not run`);
  return device;
}

async function replace(sim: SimDevice, note: string, from: string, to: string): Promise<void> {
  const { body, heads } = await deviceOf(sim).readNote(note);
  const at = body.indexOf(from);
  if (at < 0) throw new Error(`nothing says "${from}"`);
  await deviceOf(sim).spliceNote(note, heads, [
    { field: "body", at, remove: from.length, insert: to },
  ]);
}

/** What a tab does that has been open since `heads`. */
async function replaceAt(
  sim: SimDevice,
  note: string,
  heads: readonly string[],
  [from, to]: readonly [string, string],
): Promise<void> {
  const { body } = await deviceOf(sim).readNoteAt(note, heads);
  const at = body.indexOf(from);
  await deviceOf(sim).spliceNote(note, heads, [
    { field: "body", at, remove: from.length, insert: to },
  ]);
}

/** Both work offline, edit, and meet again. */
async function apart(
  { made, ana, ben }: Awaited<ReturnType<typeof setupPair>>,
  edit: () => Promise<void>,
): Promise<void> {
  for (const sim of [ana, ben]) await deviceOf(sim).workOffline(true);
  await edit();
  for (const sim of [ana, ben]) {
    await deviceOf(sim).workOffline(false);
    await made.timeline.advance(10 * second);
  }
}

function said(parts: ConflictRow["ours"], type: "added" | "removed"): string {
  return parts.flatMap((part) => (part.type === type ? part.text : [])).join("|");
}

describe("two edits of one passage, neither knowing the other", { timeout: 120_000 }, () => {
  it("are listed on both devices alike, with a small diff, while both stay in the note", async () => {
    const pair = await setupPair("one passage");
    const { ana, ben, note } = pair;
    await apart(pair, async () => {
      await replace(ana, note, "two", "three");
      await replace(ben, note, "them.", "them, raised.");
    });
    const [onAna, ...moreOnAna] = await deviceOf(ana).conflicts();
    const [onBen, ...moreOnBen] = await deviceOf(ben).conflicts(note);
    expect([...moreOnAna, ...moreOnBen]).toEqual([]);
    if (onAna === undefined || onBen === undefined) throw new Error("not listed");
    expect(onAna).toMatchObject({ note, field: "body", line: 2, reviewed: false, times: 1 });
    expect(onAna.with).toBe("Ben");
    expect(onBen.with).toBe("Ana");
    expect(onBen.id).toBe(onAna.id);
    expect(onBen.heads).toEqual({
      base: onAna.heads.base,
      ours: onAna.heads.theirs,
      theirs: onAna.heads.ours,
    });
    expect(said(onAna.ours, "added")).toBe("three");
    expect(said(onAna.ours, "removed")).toBe("two");
    expect(said(onAna.theirs, "added")).toBe("them, raised.");
    expect(onBen.ours).toEqual(onAna.theirs);
    const { body } = await deviceOf(ana).readNote(note);
    expect(body).toContain("three of them, raised");
    expect((await deviceOf(ben).readNote(note)).body).toBe(body);
    for (const sim of [ana, ben]) {
      const report = await deviceOf(sim).syncReport();
      expect(report).toMatchObject({
        word: "up-to-date",
        conflicts: { found: 1, open: 1, reviewed: 0 },
      });
      expect(report.log.map(({ text }) => text).join("\n")).toContain("listed for review");
      expect(JSON.stringify(report)).not.toContain("raised");
    }
  });

  it("are listed once however often they are taken apart into entries and put together", async () => {
    const pair = await setupPair("one at a time");
    const { made, ana, ben, note } = pair;
    await deviceOf(ben).workOffline(true);
    await replace(ben, note, "two of them", "two big ones");
    for (const word of ["three", "four", "five"]) {
      const { body } = await deviceOf(ana).readNote(note);
      const before = /Beds: (\w+)/.exec(body)?.[1] ?? "";
      await replace(ana, note, `Beds: ${before}`, `Beds: ${word}`);
      await made.timeline.advance(3 * second);
    }
    await deviceOf(ben).workOffline(false);
    await made.timeline.advance(20 * second);
    expect(await deviceOf(ana).conflicts()).toHaveLength(1);
    expect(await deviceOf(ben).conflicts()).toHaveLength(1);
    expect((await deviceOf(ben).conflicts())[0]?.id).toBe((await deviceOf(ana).conflicts())[0]?.id);
  });

  it("are listed where the later one was typed in a tab that had not shown the earlier", async () => {
    const { made, ana, ben, note } = await setupPair("a late tab");
    const { heads } = await deviceOf(ana).readNote(note);
    await replace(ben, note, "order seeds", "order many seeds");
    await made.timeline.advance(5 * second);
    await replaceAt(ana, note, heads, ["order seeds", "order two seeds"]);
    await made.timeline.advance(5 * second);
    expect(await deviceOf(ana).conflicts()).toHaveLength(1);
    expect(await deviceOf(ben).conflicts()).toHaveLength(1);
  });

  it("are listed in the title as well", async () => {
    const pair = await setupPair("title");
    const { ana, ben, note } = pair;
    const rename = async (sim: SimDevice, insert: string): Promise<void> => {
      const { title, heads } = await deviceOf(sim).readNote(note);
      await deviceOf(sim).spliceNote(note, heads, [
        { field: "title", at: 0, remove: title.length, insert },
      ]);
    };
    await apart(pair, async () => {
      await rename(ana, "Spring");
      await rename(ben, "Summer");
    });
    expect(await deviceOf(ana).conflicts()).toMatchObject([{ field: "title" }]);
  });

  it("are one entry for two who write side by side, with how often they met", async () => {
    const { made, ana, ben, note } = await setupPair("side by side");
    for (let turn = 0; turn < 5; turn += 1) {
      const [onAna, onBen] = await Promise.all([
        deviceOf(ana).readNote(note),
        deviceOf(ben).readNote(note),
      ]);
      await replaceAt(ana, note, onAna.heads, ["side is", `side ${turn} is`]);
      await replaceAt(ben, note, onBen.heads, ["wet.", `wet ${turn}.`]);
      await made.timeline.advance(5 * second);
    }
    const rows = await deviceOf(ana).conflicts();
    expect(rows).toHaveLength(1);
    expect(rows[0]?.times).toBe(5);
  });

  it("are found after a restart if nobody looked before", async () => {
    const pair = await setupPair("restart");
    const { made, ana, ben, note } = pair;
    await deviceOf(ben).workOffline(true);
    await replace(ana, note, "two of them", "three of them");
    await made.timeline.advance(2 * second);
    await replace(ben, note, "two of them", "no more");
    await deviceOf(ben).workOffline(false);
    const doc = parseDocumentId(note);
    if (doc === undefined) throw new Error("no id");
    // Until the two have met, and before the device has had an idle moment.
    for (let ms = 0; ms < 5_000 && ben.running?.store.merges.of(doc).length === 0; ms += 10) {
      await made.timeline.advance(10);
    }
    expect(ben.running?.store.merges.of(doc)).toHaveLength(1);
    expect(await deviceOf(ben).conflicts()).toEqual([]);
    await ben.kill();
    ben.open();
    await made.timeline.advance(10 * second);
    expect(await deviceOf(ben).conflicts()).toHaveLength(1);
    expect(ben.running?.store.merges.of(doc)).toEqual([]);
  });
});

describe("nothing is listed", { timeout: 120_000 }, () => {
  it("of edits in different paragraphs", async () => {
    const pair = await setupPair("two paragraphs");
    const { ana, ben, note } = pair;
    await apart(pair, async () => {
      await replace(ana, note, "north", "south");
      await replace(ben, note, "two of", "three of");
    });
    for (const sim of [ana, ben]) {
      expect(await deviceOf(sim).conflicts()).toEqual([]);
      expect((await deviceOf(sim).readNote(note)).body).toContain("south");
      expect((await deviceOf(sim).readNote(note)).body).toContain("three of");
    }
  });

  it("of two items ticked in one list", async () => {
    const pair = await setupPair("two items");
    const { ana, ben, note } = pair;
    await apart(pair, async () => {
      await replace(ana, note, "[ ] order", "[x] order");
      await replace(ben, note, "[ ] call", "[x] call");
    });
    for (const sim of [ana, ben]) expect(await deviceOf(sim).conflicts()).toEqual([]);
  });

  it("of edits that follow one another, however close", async () => {
    const { made, ana, ben, note } = await setupPair("in turn");
    for (const [sim, from, to] of [
      [ana, "two of", "three of"],
      [ben, "three of", "four of"],
      [ana, "four of", "five of"],
    ] as const) {
      await replace(sim, note, from, to);
      await made.timeline.advance(5 * second);
    }
    for (const sim of [ana, ben]) expect(await deviceOf(sim).conflicts()).toEqual([]);
  });

  it("on a device that only fetched what the others wrote", async () => {
    const pair = await setupPair("a third");
    const { made, ana, ben, note } = pair;
    await apart(pair, async () => {
      await replace(ana, note, "two of", "three of");
      await replace(ben, note, "two of", "four of");
    });
    const third = made.addDevice("third");
    third.open().create();
    await made.timeline.advance(2 * second);
    const [, notebook] = await deviceOf(ana).notebooks();
    const { link } = await during(made, deviceOf(ana).share(notebook?.id ?? "", "read"));
    await during(made, deviceOf(third).join(link));
    await made.timeline.advance(10 * second);
    expect((await deviceOf(third).readNote(note)).body).toContain("Beds");
    expect(await deviceOf(third).conflicts()).toEqual([]);
    expect(await deviceOf(ana).conflicts()).toHaveLength(1);
  });
});

describe("what is listed", { timeout: 120_000 }, () => {
  it("is marked when somebody has reviewed it, and goes when it was kept long enough", async () => {
    const pair = await setupPair("reviewed");
    const { made, ana, ben, note } = pair;
    await apart(pair, async () => {
      await replace(ana, note, "two of", "three of");
      await replace(ben, note, "two of", "four of");
    });
    const device = deviceOf(ana);
    const id = (await device.conflicts())[0]?.id ?? "";
    await device.markReviewed(id);
    await device.markReviewed(id);
    expect(await device.conflicts()).toMatchObject([{ id, reviewed: true }]);
    expect((await device.syncReport()).conflicts).toEqual({ found: 1, open: 0, reviewed: 1 });
    expect(await refusalOf(() => device.markReviewed("00"))).toBe("bad-input");
    expect(await refusalOf(() => device.markReviewed("no hex"))).toBe("bad-input");

    await device.setRetention({ ...(await device.retention()), conflictDays: 30 });
    await device.tidy(1_000);
    expect(await device.conflicts()).toHaveLength(1);
    await ben.kill();
    await ana.kill();
    await made.timeline.advance(31 * day);
    ana.open();
    await made.timeline.advance(60 * second);
    expect(await deviceOf(ana).conflicts()).toEqual([]);
  });

  it("is deleted with its note", async () => {
    const pair = await setupPair("purged");
    const { ana, ben, note } = pair;
    await apart(pair, async () => {
      await replace(ana, note, "two of", "three of");
      await replace(ben, note, "two of", "four of");
    });
    await deviceOf(ana).trashNote(note);
    await deviceOf(ana).purgeNote(note, true);
    expect(await deviceOf(ana).conflicts()).toEqual([]);
  });
});

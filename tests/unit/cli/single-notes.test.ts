/** One note that is shared alone, who wrote it, and what lists elsewhere are told, by command. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NotebookRow, NoteRow } from "#client/device/api.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import { eventually, setupDevice, type DeviceFixture } from "../device/setup-device.ts";
import { runOnDevice } from "./run-on-device.ts";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startTestRelay();
});
afterAll(() => relay.stop());

async function setupPerson(name: string): Promise<DeviceFixture> {
  const fixture = await setupDevice({ relayUrl: relay.url });
  await fixture.device.setDisplayName(name);
  return fixture;
}

describe("a note that is shared alone by command", { timeout: 60_000 }, () => {
  it("is listed where it was, marked, with no notebook of its own, and stands for what was made for it", async () => {
    await using ana = await setupPerson("Ana");
    await using ben = await setupPerson("Ben");
    const { id } = (await runOnDevice(ana, ["new", "--title", "Plan"], "Beds")).json as NoteRow;
    const { text: link } = await runOnDevice(ana, ["share", "--note", id]);
    const before = (await runOnDevice(ana, ["notebooks"])).json as readonly NotebookRow[];
    expect(before.map(({ name }) => name)).toEqual(["Notes"]);
    const { text, json } = await runOnDevice(ana, ["ls"]);
    expect(text).toMatch(/Plan {2}shared\n$/);
    const [row] = json as readonly NoteRow[];
    expect(row).toMatchObject({ title: "Plan", sharedAlone: true });
    await runOnDevice(ana, ["sync"]);

    await runOnDevice(ben, ["join", link.trim()]);
    await eventually(ben.device, async () => (await ben.device.notes()).some(({ here }) => here));
    expect((await runOnDevice(ben, ["ls"])).text).toContain("Plan  shared");
    expect((await runOnDevice(ben, ["notebooks"])).json).toHaveLength(1);
    await runOnDevice(ana, ["sync"]);
    const people = (await runOnDevice(ana, ["people", row?.id ?? ""])).text;
    expect(people).toContain("Ana (you)");
    expect(people).toContain("Ben");
    // Sharing it again makes nothing new.
    await runOnDevice(ana, ["share", "--note", row?.id ?? "", "--read"]);
    expect(await ana.device.notebooks()).toHaveLength(2);
    const authors = (await runOnDevice(ben, ["authors", row?.id ?? ""])).text;
    expect(authors).toMatch(
      /^Ana {2}\d+ changes? {2}([0-9a-f]{4} ?){8} {2}as Ana brought it here\n$/,
    );
  });
});

describe("an exchange by command", { timeout: 60_000 }, () => {
  it("ends when the relay has the cards that lists elsewhere show", async () => {
    await using ana = await setupPerson("Ana");
    await runOnDevice(ana, ["new", "--title", "Plan"], "Beds");
    expect((await runOnDevice(ana, ["sync"])).code).toBe(0);
    const rows = await ana.device.notes();
    const behind = ana.store.cards.behind(0, 100).documents.map(({ doc }) => String(doc));
    expect(rows).toHaveLength(1);
    const notes = ana.store.notes.list().map(({ doc }) => String(doc));
    expect(notes.filter((doc) => behind.includes(doc))).toEqual([]);
  });
});

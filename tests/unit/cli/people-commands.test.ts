/** The commands about people and links, between two devices and a relay. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { LinkRow, NotebookRow, PersonRow } from "#client/device/api.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import {
  eventually,
  onlyNotebook,
  refusalOf,
  setupDevice,
  type DeviceFixture,
} from "../device/setup-device.ts";
import { runOnDevice } from "./run-on-device.ts";

let relay: TestRelay;
beforeAll(async () => {
  relay = await startTestRelay();
});
afterAll(() => relay.stop());

/** Standard output and what --json prints; trouble is an error here. */
async function run(fixture: DeviceFixture, ...args: readonly string[]) {
  const { text, json, trouble } = await runOnDevice(fixture, args);
  expect(trouble).toBe("");
  return { text, json };
}

async function setupPerson(name: string): Promise<DeviceFixture> {
  const fixture = await setupDevice({ relayUrl: relay.url });
  await fixture.device.setDisplayName(name);
  return fixture;
}

/** Until the notebook is like this on the device: what others did arrives in its time. */
function sees(
  { device }: DeviceFixture,
  notebook: string,
  what: Partial<NotebookRow>,
): Promise<unknown> {
  return eventually(device, async () =>
    (await device.notebooks()).find(
      (row) =>
        row.id === notebook &&
        (what.state === undefined || row.state === what.state) &&
        (what.role === undefined || row.role === what.role),
    ),
  );
}

describe("on the command line", { timeout: 60_000 }, () => {
  it("a notebook is shared, its people are shown, made more of, and removed", async () => {
    await using ana = await setupPerson("Ana");
    await using ben = await setupPerson("Ben");
    const { id: notebook } = await onlyNotebook(ana.device);
    const { text } = await run(ana, "share", "--read", "--once", "--expires", "7d");
    const link = text.trim();
    await run(ben, "join", link);
    await eventually(ana.device, async () => (await ana.device.sharing(notebook)).people[1]?.name);

    const rows = (await run(ana, "people")).json as readonly PersonRow[];
    expect(rows.map(({ role }) => role)).toEqual(["admin", "read"]);
    const [, guest] = rows;
    if (guest === undefined) throw new Error("Ben has joined");
    const listed = await run(ana, "people");
    expect(listed.text).toContain(`${guest.id.slice(0, 12)}  read`);
    expect(listed.text).toContain(guest.fingerprint);
    const [row] = (await run(ana, "links")).json as readonly LinkRow[];
    expect(row).toMatchObject({ role: "read", maxJoins: 1, joins: 1, state: "spent" });

    await run(ana, "role", guest.id.slice(0, 8), "edit");
    await sees(ben, notebook, { role: "edit" });
    const { id: note } = await ben.device.createNote({ notebook, title: "From Ben" });
    await run(ben, "sync");
    await eventually(ana.device, async () => {
      const row = (await ana.device.notes()).find(({ id }) => id === note);
      return row?.title === "From Ben";
    });
    await eventually(ana.device, async () =>
      (await ana.device.sharing(notebook)).people.some(({ name }) => name === "Ben"),
    );

    expect((await run(ana, "remove", "Ben")).text).toContain("keep what they had");
    await sees(ben, notebook, { state: "ended" });
    expect(await refusalOf(() => ben.device.createNote({ notebook }))).toBe("no-access");
    expect(await refusalOf(() => run(ana, "remove", "Ben"))).toBe("bad-input");
  });

  it("a link is withdrawn, a notebook left, deleted and brought back", async () => {
    await using ana = await setupPerson("Ana");
    await using ben = await setupPerson("Ben");
    const { id: notebook } = await onlyNotebook(ana.device);
    const link = (await run(ana, "share")).text.trim();
    await run(ben, "join", link);
    await run(ben, "sync");
    await run(ana, "sync");
    await run(ana, "revoke", link);
    await using cem = await setupPerson("Cem");
    expect(await refusalOf(() => run(cem, "join", link))).toBe("link-spent");
    expect(await refusalOf(() => run(ana, "revoke", "abcdef"))).toBe("bad-input");

    await run(ana, "delete-notebook", notebook);
    await sees(ben, notebook, { state: "deleted" });
    await run(ana, "restore-notebook", notebook);
    expect((await onlyNotebook(ana.device)).state).toBe("active");
    await run(ben, "leave", notebook);
    expect((await ben.device.notebooks()).find(({ id }) => id === notebook)?.state).toBe("ended");
    expect(await refusalOf(() => run(ana, "leave", "nonsense"))).toBe("no-such-notebook");
    expect(await refusalOf(() => run(ana, "remove", "x".repeat(10_000)))).toBe("bad-input");
  });
});

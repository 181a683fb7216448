import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeAutomerge, nodeEd25519, nodeRandom } from "#client/cli/node-ports.ts";
import { formatLink, parseLink } from "#client/crypto/link.ts";
import { signProfile } from "#client/crypto/profile.ts";
import { DeviceDocuments } from "#client/device/documents.ts";
import { notebookIndexGenesis, type NotebookIndex } from "#client/device/index-document.ts";
import { Shelf } from "#client/device/shelf.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";
import {
  eventually,
  filesAfterCrash,
  onlyNotebook,
  refusalOf,
  setupDevice,
  type DeviceFixture,
} from "./setup-device.ts";

let relay: TestRelay;

beforeAll(async () => {
  relay = await startTestRelay();
});
afterAll(() => relay.stop());

/** Long enough for a loaded machine; nothing waits this long when it works. */
const patienceMs = 20_000;

async function setupPerson(name: string): Promise<DeviceFixture> {
  const fixture = await setupDevice({ relayUrl: relay.url });
  await fixture.device.setDisplayName(name);
  return fixture;
}

/** Ana's notebook with one note, and Ben, who followed her link. */
async function setupPair(role: "read" | "edit") {
  const ana = await setupPerson("Ana");
  const ben = await setupPerson("Ben");
  const { id: notebook } = await onlyNotebook(ana.device);
  const { id } = await ana.device.createNote({ title: "Tent", body: "Two poles" });
  const { link } = await ana.device.share(notebook, role);
  await settled(ana);
  await ben.device.join(link);
  await settled(ben);
  return {
    ana,
    ben,
    notebook,
    id,
    link,
    async [Symbol.asyncDispose]() {
      await ana[Symbol.asyncDispose]();
      await ben[Symbol.asyncDispose]();
    },
  };
}

async function settled(...people: readonly DeviceFixture[]): Promise<void> {
  for (const { device } of people) expect(await device.settled(patienceMs)).toBe(true);
}

async function memberNames({ device }: DeviceFixture, notebook: string): Promise<string[]> {
  const row = (await device.notebooks()).find(({ id }) => id === notebook);
  return (row?.members ?? []).map(({ name }) => name).toSorted();
}

describe("a shared notebook", { timeout: 60_000 }, () => {
  it("is told by its link, joined, and written in by both", async () => {
    await using ana = await setupPerson("Ana");
    await using ben = await setupPerson("Ben");
    const { id: notebook } = await onlyNotebook(ana.device);
    await ana.device.renameNotebook(notebook, "Camping");
    const { id } = await ana.device.createNote({ title: "Tent", body: "Two poles" });
    const { link } = await ana.device.share(notebook, "edit");
    await settled(ana);
    expect(link.startsWith(relay.httpUrl)).toBe(true);
    const preview = {
      notebook,
      name: "Camping",
      from: "Ana",
      role: "edit",
      notes: 1,
      single: false,
    };
    expect(await ben.device.previewLink(link)).toEqual({ ...preview, alreadyJoined: false });
    expect(await ben.device.join(link)).toEqual({ notebook });
    expect(await ben.device.join(link)).toEqual({ notebook });
    expect(await ben.device.previewLink(link)).toEqual({ ...preview, alreadyJoined: true });
    await settled(ben);
    await ben.device.describeStale();
    expect(await ben.device.notes()).toMatchObject([{ id, title: "Tent", notebook }]);

    const { heads } = await ben.device.readNote(id);
    await ben.device.spliceNote(id, heads, [{ field: "body", at: 0, remove: 3, insert: "Three" }]);
    await eventually(
      ana.device,
      async () => (await ana.device.readNote(id)).body === "Three poles",
    );
    // What somebody writes says how far they have read.
    await ana.device.createNote({ notebook, title: "Stove" });
    const row = await eventually(ben.device, async () => {
      const note = (await ben.device.notes()).find((row) => row.id === id);
      return note?.state === "seen-elsewhere" && note;
    });
    expect(row).toMatchObject({ waiting: 0, seenBy: ["Ana"] });
    await ana.device.trashNote(id);
    await eventually(ben.device, async () =>
      (await ben.device.notes()).some((note) => note.id === id && note.trashed),
    );
  });

  it("lets those who may only read read", async () => {
    await using pair = await setupPair("read");
    const { ben, id, notebook } = pair;
    expect((await ben.device.openNote(id, "tab")).role).toBe("read");
    const steps = [
      () => ben.device.createNote({ notebook }),
      () => ben.device.draft(id, { session: "tab", actor: "ab", heads: [], edits: [] }),
      () => ben.device.commit(id, { session: "tab", changes: [], title: "", preview: "" }),
      () => ben.device.trashNote(id),
      () => ben.device.renameNotebook(notebook, "Mine"),
      () => ben.device.share(notebook, "edit"),
    ];
    for (const step of steps) expect(await refusalOf(step)).toBe("no-access");
    expect((await ben.device.readNote(id)).body).toBe("Two poles");
  });

  it("shows the names its members signed, and ignores forged ones", async () => {
    await using pair = await setupPair("edit");
    const { ana, ben, notebook, link } = pair;
    const sees = (person: DeviceFixture, names: string): Promise<boolean> =>
      eventually(person.device, async () => (await memberNames(person, notebook)).join() === names);
    await Promise.all([sees(ana, "Ana,Ben"), sees(ben, "Ana,Ben")]);
    await ana.device.close();
    expect(await forgeName(ben, notebook, "Mallory")).toBe(true);
    await ben.device.createNote({ notebook, title: "Sent together" });
    await settled(ben);

    await using cem = await setupPerson("Cem");
    await cem.device.join(link);
    await sees(cem, "Ben,Cem,somebody");
    // Ana's own device sets right what was forged in her place.
    await using back = await setupDevice({ files: filesAfterCrash(ana), relayUrl: relay.url });
    await Promise.all([sees(back, "Ana,Ben,Cem"), sees(cem, "Ana,Ben,Cem")]);
  });

  it("is refused to a link that opens nothing", async () => {
    await using pair = await setupPair("edit");
    const { ana, link } = pair;
    const parsed = parseLink(link);
    if (!parsed.ok) throw new Error("our own link parses");
    await using cem = await setupPerson("Cem");
    const follow = (changed: Partial<typeof parsed.link>) =>
      refusalOf(() =>
        cem.device.join(formatLink(`${relay.httpUrl}/`, { ...parsed.link, ...changed })),
      );
    expect(await follow({ secret: nodeRandom(32) })).toBe("link-spent");
    expect(await follow({ spaceId: nodeRandom(32) })).toBe("bad-link");
    const elsewhere = (text: string): string => text.replace(/\/\/[^/]*/, "//elsewhere.test");
    const older = { ...parsed.link, relay: null };
    const unknown = formatLink(relay.httpUrl, { ...older, spaceId: nodeRandom(32) });
    expect(await refusalOf(() => cem.device.join(elsewhere(unknown)))).toBe("offline");
    expect(await refusalOf(() => cem.device.setRelay("ws://elsewhere.test/v1"))).toBe("bad-relay");
    expect(await memberNames(ana, pair.notebook)).toEqual(["Ana", "Ben"]);
    // Another address of the same relay, a proxy's perhaps, is no reason to refuse.
    await cem.device.join(elsewhere(formatLink(relay.httpUrl, older)));
    await settled(cem);
    expect((await cem.device.notebooks()).map(({ id }) => id)).toContain(pair.notebook);
  });
});

describe("the words", { timeout: 60_000 }, () => {
  it("make an empty device one of the same person's", async () => {
    await using first = await setupDevice({ relayUrl: relay.url, fresh: true });
    const words = first.device.create().join(" ");
    await first.device.setDisplayName("Ana");
    const { id } = await first.device.createNote({ title: "Tent" });
    await settled(first);

    await using second = await setupDevice({ relayUrl: relay.url });
    await second.device.restore(words);
    await second.device.restore(words);
    await settled(second);
    await eventually(second.device, async () => (await second.device.notes())[0]?.title === "Tent");
    expect((await second.device.info()).displayName).toBe("Ana");
    expect(await onlyNotebook(second.device)).toMatchObject({ name: "Notes", role: "admin" });
    const { id: fromSecond } = await second.device.createNote({ title: "Stove" });
    await eventually(first.device, async () =>
      (await first.device.notes()).some((note) => note.id === fromSecond && note.title === "Stove"),
    );
    const [seenBySecond] = (await first.device.notes()).filter((note) => note.id === id);
    expect(seenBySecond).toMatchObject({ state: "seen-elsewhere", seenBy: ["another device"] });
  });

  it("replace nothing that was written, and are told apart from words nobody uses", async () => {
    await using other = await setupDevice({ fresh: true });
    const words = other.device.create().join(" ");
    await using written = await setupDevice({ relayUrl: relay.url });
    expect(await refusalOf(() => written.device.restore(words))).toBe("bad-link");
    await written.device.createNote({ title: "Mine" });
    expect(await refusalOf(() => written.device.restore(words))).toBe("refused");
    expect(await written.device.notes()).toMatchObject([{ title: "Mine" }]);
  });
});

/**
 * Puts a name under the capability of the notebook's founder, as a member with a changed program can.
 * Answers whether it stands there.
 */
async function forgeName(
  { store }: DeviceFixture,
  notebook: string,
  name: string,
): Promise<boolean> {
  const ed = nodeEd25519();
  const automerge = await nodeAutomerge();
  const ports = {
    store,
    random: nodeRandom,
    clock: Date,
    damaged: () => undefined,
    culprits: null,
  };
  const documents = new DeviceDocuments(ports, automerge);
  const shelf = new Shelf({ store, ed, clock: Date, random: nodeRandom });
  shelf.openAll();
  const space = shelf.mustNotebook(notebook);
  const [founder] = space.authority.capabilities;
  if (founder === undefined || space.capability === null) throw new Error("a joined notebook");
  const { sign } = space.capability;
  const before = automerge.clone(
    documents.load<NotebookIndex>(space.indexId, notebookIndexGenesis(automerge)),
    { actor: documents.newActor(space, space.indexId, "device") },
  );
  const after = automerge.change(before, (index) => {
    index.members[toHex(founder.signPub)] = signProfile(ed, sign, space.id, name);
  });
  return documents.record(space, space.indexId, before, after).length === 1;
}

/** Changes that no document survives are set aside, one by one; everything else goes on (PROTOCOL §6). */
import * as A from "@automerge/automerge/slim";
import { beforeAll, describe, expect, it } from "vitest";
import { parseDocumentId } from "#crdt-store/document-id.ts";
import type { NoteDocument } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";
import {
  altered,
  alterations,
  harmOf,
  isSignable,
  type Harm,
} from "#tests/support/hostile-changes.ts";
import { filesAfterCrash, setupDevice, type DeviceFixture } from "./setup-device.ts";

beforeAll(loadAutomerge);

/** A note that says "hello", and all that its author could do to it with one altered change. */
async function hostile(device: Device, harm: Harm) {
  const { id } = await device.createNote({ title: "Target", body: "hello" });
  const { chunks } = await device.openNote(id, "reader");
  const base = A.applyChanges(A.init<NoteDocument>(), [...chunks])[0];
  const model = spliced(base, "02".repeat(16));
  const places = alterations(model).filter((place) => harmOf(base, altered(model, place)) === harm);
  return { id, base, places };
}

function spliced(base: A.Doc<NoteDocument>, actor: string): Uint8Array {
  const copy = A.clone(base, { actor });
  const before = A.getHeads(copy);
  const after = A.change(copy, { time: 0 }, (draft) => A.splice(draft, ["body"], 0, 0, "victim"));
  const [change] = A.getChangesSince(after, before);
  if (change === undefined) throw new Error("a change was made");
  return change;
}

/** Signed and journalled as the device's own, as a member with a changed client would. Answers whether it was taken. */
async function commit(device: Device, id: string, change: Uint8Array, session: string) {
  try {
    await device.commit(id, { session, changes: [change], title: "Target", preview: "" });
    return true;
  } catch {
    return false; // not even its author's device takes it: no change of its actor any more
  }
}

async function afflicted(fixture: DeviceFixture, harm: Harm) {
  const { device } = fixture;
  const { id, base, places } = await hostile(device, harm);
  let planted = 0;
  for (const [ix, place] of places.entries()) {
    const session = `villain ${ix}`;
    const { actor } = await device.openNote(id, session);
    const genuine = spliced(base, actor);
    const change = altered(genuine, place);
    if (!isSignable(change, genuine) || harmOf(base, change) !== harm) continue;
    if (await commit(device, id, change, session)) planted += 1;
  }
  return { id, planted };
}

async function rowOf(device: Device, id: string) {
  return (await device.notes()).find((row) => row.id === id);
}

describe("changes that make Automerge panic (attack 49)", { timeout: 120_000 }, () => {
  it("are all set aside; the note opens, is edited, and opens again after a restart", async () => {
    await using fixture = await setupDevice();
    const { device, store } = fixture;
    const { id, planted } = await afflicted(fixture, "panics");
    expect(planted).toBeGreaterThan(40);
    const { body, heads } = await device.readNote(id);
    expect(body).toBe("hello");
    await device.spliceNote(id, heads, [{ field: "body", at: 5, remove: 0, insert: " world" }]);
    expect((await device.readNote(id)).body).toBe("hello world");
    await device.describeStale();
    expect(await rowOf(device, id)).toMatchObject({ quarantined: planted, preview: "hello world" });
    const doc = parseDocumentId(id) ?? new Uint8Array();
    expect(
      store.inbox.quarantined().filter(({ reason }) => reason === "not-applicable"),
    ).toHaveLength(planted);
    expect(store.inbox.quarantined().every(({ signer }) => signer !== null)).toBe(true);

    await using again = await setupDevice({ files: filesAfterCrash(fixture) });
    expect((await again.device.readNote(id)).body).toBe("hello world");
    expect(again.store.refused.interrupted()).toEqual([]);
    expect(again.store.inbox.quarantined()).toHaveLength(planted);
    // A tab is given nothing that it could panic on.
    const { chunks } = await again.device.openNote(id, "tab");
    const opened = A.applyChanges(A.init<NoteDocument>(), [...chunks])[0];
    expect(opened.body).toBe("hello world");
    expect(again.store.changes.awaited(doc)).toEqual([]);
  });
});

describe("changes with which a document cannot be saved (attack 50)", { timeout: 60_000 }, () => {
  it("are found before anything is packed, and the rest is packed without them", async () => {
    const packing = { changes: 1, bytes: 1, quietMs: 1 };
    await using fixture = await setupDevice({ packing });
    const { device, store } = fixture;
    const { id, planted } = await afflicted(fixture, "unloadable");
    expect(planted).toBeGreaterThan(3);
    const doc = parseDocumentId(id) ?? new Uint8Array();
    for (let rounds = 0; rounds < 3 * planted; rounds += 1) await device.tidy(60_000);
    const { body, heads } = await device.readNote(id);
    expect(body).toContain("hello");
    expect(store.inbox.quarantined().map(({ reason }) => reason)).toContain("not-savable");
    await device.spliceNote(id, heads, [{ field: "body", at: 0, remove: 0, insert: "still " }]);
    expect((await device.readNote(id)).body).toContain("still ");
    // What is in use was proved to open.
    const snapshots = store.snapshots.keys(doc).map((key) => store.snapshots.get(doc, key));
    expect(snapshots.length).toBeGreaterThan(0);
    for (const snapshot of snapshots) {
      const held = A.load(snapshot?.bytes ?? new Uint8Array());
      expect(A.getHeads(held).length).toBeGreaterThan(0);
    }
  });

  it("come back when somebody has built upon them", async () => {
    await using fixture = await setupDevice({ packing: { changes: 1, bytes: 1, quietMs: 1 } });
    const { device, store } = fixture;
    const { id, base, places } = await hostile(device, "unloadable");
    const { actor } = await device.openNote(id, "villain");
    const genuine = spliced(base, actor);
    const change = places
      .map((place) => altered(genuine, place))
      .find((made) => isSignable(made, genuine) && harmOf(base, made) === "unloadable");
    if (change === undefined) throw new Error("there is such a change");
    // A tab has it in its document before it is found.
    const { actor: typist } = await device.openNote(id, "tab");
    const open = A.clone(A.applyChanges(A.clone(base), [change])[0], { actor: typist });
    expect(await commit(device, id, change, "villain")).toBe(true);
    for (let rounds = 0; rounds < 4; rounds += 1) await device.tidy(60_000);
    expect(store.inbox.quarantined().map(({ reason }) => reason)).toContain("not-savable");
    const before = A.getHeads(open);
    const after = A.change(open, { time: 0 }, (draft) => {
      A.splice(draft, ["body"], 0, 0, "typed ");
    });
    expect(
      await commit(device, id, A.getChangesSince(after, before)[0] ?? new Uint8Array(), "tab"),
    ).toBe(true);
    expect((await device.readNote(id)).body).toContain("typed ");
    expect(store.inbox.quarantined()).toEqual([]);
  });
});

describe("a process that ended while it applied something (attack 52)", () => {
  it("is followed by one that sets that aside, once, and applies the rest", async () => {
    await using fixture = await setupDevice();
    const { device, store } = fixture;
    const { id } = await device.createNote({ title: "Target", body: "hello" });
    await device.describeStale();
    const doc = parseDocumentId(id) ?? new Uint8Array();
    const { actor } = await device.openNote(id, "one");
    const base = A.applyChanges(
      A.init<NoteDocument>(),
      (await device.openNote(id, "reader")).chunks.slice(),
    )[0];
    expect(await commit(device, id, spliced(base, actor), "one")).toBe(true);
    const { actor: second } = await device.openNote(id, "two");
    expect(await commit(device, id, spliced(base, second), "two")).toBe(true);
    const [, first] = store.changes.ofDocument(doc);
    if (first === undefined) throw new Error("two were committed");
    // As a process leaves it that was killed with this one in its hands.
    store.refused.trying(doc, first.hash);
    await using again = await setupDevice({ files: filesAfterCrash(fixture) });
    expect((await again.device.readNote(id)).body).toBe("victimhello");
    expect(again.store.inbox.quarantined().map(({ reason }) => reason)).toEqual(["interrupted"]);
    await using third = await setupDevice({ files: filesAfterCrash(again) });
    expect(third.store.inbox.quarantined()).toHaveLength(1);
    expect(third.store.refused.interrupted()).toEqual([]);
    expect(await rowOf(third.device, id)).toMatchObject({ quarantined: 1 });
  });

  it("and had not said on what, is followed by one that tries bit by bit and finds nothing to blame", async () => {
    await using fixture = await setupDevice();
    const { device, store } = fixture;
    const { id } = await device.createNote({ title: "Target", body: "hello" });
    const doc = parseDocumentId(id) ?? new Uint8Array();
    store.refused.trying(doc, new Uint8Array(0));
    await using again = await setupDevice({ files: filesAfterCrash(fixture) });
    expect((await again.device.readNote(id)).body).toBe("hello");
    expect(again.store.inbox.quarantined()).toEqual([]);
    expect(again.store.refused.interrupted()).toEqual([]);
  });
});

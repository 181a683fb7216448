import { describe, expect, it } from "vitest";

import { keptChainTags } from "#crdt-store/inbox.ts";
import { FaultyFiles } from "#crdt-store/files/faulty.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { createPageCodec } from "#crdt-store/files/page-codec.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import {
  bytesFor,
  doc,
  journalled,
  key,
  reopen,
  seededBytes,
  setupStore,
  space,
  typedChanges,
} from "./store-fixtures.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const otherDoc = bytesFor("other document", 16);
const dev = bytesFor("device");

async function setupTyped(words = ["one ", "two ", "three "]) {
  const fixture = await setupStore();
  const changes = await typedChanges(words);
  return { ...fixture, changes, hashes: changes.map((change) => change.hash) };
}

describe("the change journal", () => {
  it("adds each change once and says which were new", async () => {
    const { store, changes, hashes } = await setupTyped();
    const [first, ...rest] = changes.map((change) => journalled(change));
    if (first === undefined) throw new Error("no change");
    expect(store.changes.insert([first])).toEqual(hashes.slice(0, 1));
    expect(store.changes.insert([first, ...rest, first])).toEqual(hashes.slice(1));
    expect(store.changes.insert([first, ...rest])).toEqual([]);
    expect(store.changes.bytesOfDocument(doc)).toEqual(changes.map((change) => change.bytes));
    expect(store.changes.insert([{ ...first, doc: otherDoc }])).toEqual(hashes.slice(0, 1));
    expect(store.changes.documents().map(hex).toSorted()).toEqual(
      [hex(doc), hex(otherDoc)].toSorted(),
    );
  });

  it("fills in the position and signer of a known change, and keeps the first ones", async () => {
    const { store, changes } = await setupTyped(["one "]);
    const [change] = changes;
    if (change === undefined) throw new Error("no change");
    store.changes.insert([journalled(change)]);
    store.changes.insert([journalled(change, { local: false, pos: 7, signer: dev })]);
    store.changes.insert([
      journalled(change, { local: false, pos: 9, signer: bytesFor("another") }),
    ]);
    expect(store.changes.ofDocument(doc)).toMatchObject([
      { hash: change.hash, bytes: change.bytes, pos: 7, local: true, signer: dev },
    ]);
  });

  it("knows the heads whatever the order of arrival, and what is awaited", async () => {
    const { store, changes, hashes } = await setupTyped();
    const [one, two, three] = changes.map((change) => journalled(change));
    if (!one || !two || !three) throw new Error("no changes");
    expect(store.changes.heads(doc)).toEqual([]);
    store.changes.insert([three]);
    expect(store.changes.heads(doc)).toEqual([three.hash]);
    expect(store.changes.awaited(doc)).toEqual([two.hash]);
    store.changes.insert([one]);
    expect(store.changes.heads(doc).map(hex)).toEqual([one.hash, three.hash].map(hex).toSorted());
    store.changes.insert([two]);
    expect(store.changes.heads(doc)).toEqual([three.hash]);
    expect(store.changes.awaited(doc)).toEqual([]);
    expect(store.changes.missing(doc, [...hashes, dev])).toEqual([dev]);
    expect(store.changes.beyond(doc, [two.hash]).map(({ hash }) => hash)).toEqual([three.hash]);
  });

  it("forgets the heads of a transaction that did not commit", async () => {
    const { store, changes } = await setupTyped();
    const [one, two] = changes.map((change) => journalled(change));
    if (!one || !two) throw new Error("no changes");
    store.changes.insert([one]);
    expect(store.changes.heads(doc)).toEqual([one.hash]);
    expect(() =>
      store.transaction(() => {
        store.changes.insert([two]);
        throw new Error("not after all");
      }),
    ).toThrow("not after all");
    expect(store.changes.heads(doc)).toEqual([one.hash]);
  });

  it("answers by actor and seq, with both changes of a twin", async () => {
    const { store, changes } = await setupTyped();
    const twin = (await typedChanges(["another"]))[0];
    const [first, , third] = changes;
    if (!twin || !first || !third) throw new Error("no changes");
    store.changes.insert([...changes, twin].map((change) => journalled(change)));
    expect(store.changes.lastSeq(doc, first.actor)).toBe(third.seq);
    expect(store.changes.lastSeq(doc, bytesFor("nobody", 16))).toBe(0);
    expect(store.changes.byActorSeq(doc, first.actor, 1)).toEqual([first.hash, twin.hash]);
  });

  it("knows how far the relay has a document", async () => {
    const { store, changes, hashes } = await setupTyped();
    store.changes.insert(changes.map((change) => journalled(change)));
    const positions = (): unknown => Object.fromEntries(store.changes.lastPositions());
    expect(positions()).toEqual({ [hex(doc)]: { pos: null, unplaced: 3 } });
    store.changes.setPosition(doc, hashes.slice(0, 2), 12);
    store.changes.insert(changes.map((change) => journalled(change, { doc: otherDoc, pos: 7 })));
    const known = {
      [hex(doc)]: { pos: 12, unplaced: 1 },
      [hex(otherDoc)]: { pos: 7, unplaced: 0 },
    };
    expect(positions()).toEqual(known);
    expect(() =>
      store.transaction(() => {
        store.changes.setPosition(doc, hashes, 20);
        expect(positions()).toMatchObject({ [hex(doc)]: { pos: 20, unplaced: 0 } });
        throw new Error("not committed");
      }),
    ).toThrow("not committed");
    expect(positions()).toEqual(known);
    store.clear();
    expect(positions()).toEqual({});
  });

  /** Three changes, the bytes of one of them zeroed in a way that the page codec cannot see: a fault of this program, say. */
  async function setupDamaged(seq: number) {
    const files = new MemoryFiles();
    const { store, clock } = await setupStore({ files });
    const changes = await typedChanges(["one ", "two ", "three "]);
    store.changes.insert(changes.map((change) => journalled(change, { signer: dev })));
    store.close();
    const engine = await loadNodeEngine();
    const sqlite = Sqlite.open({ engine, files, codec: notesCodec() });
    sqlite.run("UPDATE change SET bytes = zeroblob(length) WHERE seq = ?", [seq]);
    sqlite.close();
    return { again: reopen(engine, files, key, clock), changes };
  }

  it("moves a damaged row to quarantine and answers the others", async () => {
    const { again, changes } = await setupDamaged(2);
    expect(again.changes.ofDocument(doc)).toHaveLength(2);
    expect(again.changes.ofDocument(doc)).toHaveLength(2);
    expect(again.inbox.quarantined()).toMatchObject([{ reason: "damaged-row", doc, signer: dev }]);
    expect(again.changes.awaited(doc)).toEqual([changes[1]?.hash]);
    // The same change from somewhere else is as good as new.
    expect(again.changes.insert(changes.map((change) => journalled(change)))).toHaveLength(1);
    expect(again.changes.bytesOfDocument(doc)).toHaveLength(3);
  });

  it("gives the number of a damaged row to no other: a pack that is being made may end there", async () => {
    const { again, changes } = await setupDamaged(3);
    expect(again.changes.ofDocument(doc).map(({ row }) => row)).toEqual([1, 2]);
    again.changes.insert(changes.map((change) => journalled(change)));
    expect(again.changes.ofDocument(doc).map(({ row }) => row)).toEqual([1, 2, 4]);
  });
});

describe("the outbox", () => {
  it("groups what waits by document, the longest waiting first", async () => {
    const { store, changes, hashes } = await setupTyped();
    const [one, two, three] = hashes;
    if (!one || !two || !three) throw new Error("no changes");
    store.changes.insert(
      changes.map((change, index) => journalled(change, { doc: index === 1 ? otherDoc : doc })),
    );
    store.outbox.add(space, otherDoc, [two]);
    store.outbox.add(space, doc, [three, one]);
    store.outbox.add(space, doc, [one]);
    expect(store.outbox.pending(space)).toEqual([
      { doc, hashes: [one, three] },
      { doc: otherDoc, hashes: [two] },
    ]);
    expect(store.outbox.pending(bytesFor("another space"))).toEqual([]);
    expect(store.outbox.depth(space)).toBe(3);
    expect(store.outbox.depth()).toBe(3);
    expect(store.outbox.waitingDocuments()).toEqual([doc, otherDoc]);
  });

  it("takes no change that is not in the journal", async () => {
    const { store, hashes } = await setupTyped();
    expect(() => store.outbox.add(space, doc, hashes)).toThrow("in the journal");
    expect(store.outbox.depth()).toBe(0);
  });

  it("keeps a sealed entry byte for byte until it is acknowledged, once", async () => {
    const { store, files, changes, hashes } = await setupTyped();
    store.changes.insert(changes.map((change) => journalled(change)));
    store.outbox.add(space, doc, hashes);
    const entry = {
      space,
      ctr: store.outbox.nextCounter(space),
      entryId: bytesFor("entry"),
      doc,
      bytes: bytesFor("sealed"),
      hashes,
    };
    store.outbox.seal(entry);
    expect(store.outbox.pending(space)).toEqual([]);
    expect(store.outbox.depth(space)).toBe(3);

    const afterCrash = reopen(await loadNodeEngine(), new MemoryFiles(files.snapshot()));
    expect(afterCrash.outbox.sealed(space)).toEqual([entry]);
    expect(afterCrash.outbox.acknowledge(space, entry.entryId, 44)).toBe(true);
    expect(afterCrash.outbox.acknowledge(space, entry.entryId, 44)).toBe(true);
    expect(afterCrash.outbox.acknowledge(space, bytesFor("unknown"), 45)).toBe(false);
    expect(afterCrash.outbox.depth(space)).toBe(0);
    expect(afterCrash.outbox.sealed(space)).toEqual([]);
    expect(afterCrash.outbox.lastRelayed(doc)).toBe(44);
    expect(afterCrash.outbox.lastRelayed(otherDoc)).toBeNull();
    expect(afterCrash.changes.lastPositions().get(hex(doc))).toEqual({ pos: 44, unplaced: 0 });
  });

  it("takes an entry back to be sealed anew, and no acknowledgement of the old one counts", async () => {
    const { store, changes, hashes } = await setupTyped();
    store.changes.insert(changes.map((change) => journalled(change)));
    store.outbox.add(space, doc, hashes);
    const entry = {
      space,
      ctr: 1,
      entryId: bytesFor("entry"),
      doc,
      bytes: bytesFor("sealed"),
      hashes,
    };
    store.outbox.seal(entry);
    expect(store.outbox.unseal(space, entry.entryId)).toBe(true);
    expect(store.outbox.unseal(space, entry.entryId)).toBe(false);
    expect(store.outbox.pending(space)).toEqual([{ doc, hashes }]);
    expect(store.outbox.sealed(space)).toEqual([]);
    expect(store.outbox.acknowledge(space, entry.entryId, 9)).toBe(false);
    store.outbox.seal({ ...entry, ctr: 2, entryId: bytesFor("second") });
    expect(store.outbox.sealed(space).map((sealed) => sealed.ctr)).toEqual([2]);
  });

  it("counts up per space, over a crash too", async () => {
    const { store, files } = await setupStore();
    expect([store.outbox.nextCounter(space), store.outbox.nextCounter(space)]).toEqual([1, 2]);
    expect(store.outbox.nextCounter(bytesFor("another space"))).toBe(1);
    const afterCrash = reopen(await loadNodeEngine(), new MemoryFiles(files.snapshot()));
    expect(afterCrash.outbox.nextCounter(space)).toBe(3);
  });

  it("and the journal change together or not at all, also when the power fails in between", async () => {
    const engine = await loadNodeEngine();
    const [change] = await typedChanges(["one "]);
    if (change === undefined) throw new Error("no change");
    let kept = 0;
    for (let steps = 0; steps < 40; steps += 1) {
      const files = new FaultyFiles(() => 0.6);
      reopen(engine, files).close();
      const store = reopen(engine, files);
      files.failAfter(steps);
      try {
        store.transaction(() => {
          store.changes.insert([journalled(change)]);
          store.outbox.add(space, doc, [change.hash]);
        });
      } catch {
        // The power is off.
      }
      files.losePower();
      const after = reopen(engine, files);
      const rows = after.changes.bytesOfDocument(doc).length;
      expect(after.outbox.depth()).toBe(rows);
      kept += rows;
      after.close();
    }
    expect(kept).toBeGreaterThan(0);
    expect(kept).toBeLessThan(40);
  });
});

describe("the inbox", () => {
  const chain = (pos: number) => bytesFor(`chain ${pos}`);

  it("moves the cursor forward only, and takes repetition for granted", async () => {
    const { store } = await setupStore();
    expect(store.inbox.cursor(space)).toBeNull();
    for (const pos of [1, 2, 3, 3, 2]) store.inbox.advance(space, pos, chain(pos));
    expect(store.inbox.cursor(space)).toEqual({ pos: 3, chain: chain(3) });
    expect(store.inbox.chainAt(space, 2)).toEqual(chain(2));
    expect(store.inbox.chainAt(space, 9)).toBeNull();
    expect(() => store.inbox.advance(space, 2, chain(99))).toThrow("another chain");
  });

  it("can be put back when the relay's log turns out to be another", async () => {
    const { store } = await setupStore();
    for (const pos of [1, 2, 3]) store.inbox.advance(space, pos, chain(pos));
    store.inbox.rewind(space, 1, chain(1));
    expect(store.inbox.cursor(space)).toEqual({ pos: 1, chain: chain(1) });
    expect(store.inbox.chainAt(space, 3)).toBeNull();
    store.inbox.advance(space, 2, chain(22));
    expect(store.inbox.cursor(space)).toEqual({ pos: 2, chain: chain(22) });
  });

  it("goes on awaiting what stands below the place it is put back to, of documents that were only listed", async () => {
    const { store } = await setupStore();
    const [listed, passedBy] = [bytesFor("listed").slice(0, 16), bytesFor("passed").slice(0, 16)];
    store.inbox.advance(space, 9, chain(9));
    store.awaited.add({ doc: listed, space, pos: 8, entryId: null, listed: true });
    store.awaited.add({ doc: passedBy, space, pos: 7, entryId: bytesFor("e"), listed: false });
    store.inbox.rewind(space, 5, chain(5));
    expect(store.awaited.of(listed)).toMatchObject([{ pos: 0, listed: true }]);
    store.inbox.rewind(space, 3, chain(3));
    expect(store.awaited.of(listed)).toMatchObject([{ pos: 0, listed: true }]);
    expect(store.awaited.of(passedBy)).toEqual([]);
    // From the beginning everything passes by again.
    store.inbox.rewind(space, 0, chain(0));
    expect(store.awaited.all()).toEqual([]);
  });

  it("keeps the last chain tags only", async () => {
    const { store } = await setupStore();
    store.inbox.advance(space, 1, chain(1));
    store.inbox.advance(space, 2, chain(2));
    store.inbox.advance(space, keptChainTags + 1, chain(3));
    expect(store.inbox.chainAt(space, 1)).toBeNull();
    expect(store.inbox.chainAt(space, 2)).toEqual(chain(2));
  });

  it("keeps the farthest frontier of each device, and when it was heard", async () => {
    const { store, clock } = await setupStore();
    store.inbox.setFrontier(space, dev, 5);
    clock.time = 2_000;
    store.inbox.setFrontier(space, dev, 4);
    expect(store.inbox.frontiers(space)).toEqual([{ dev, pos: 5, at: 1_000 }]);
    store.inbox.setFrontier(space, dev, 6);
    expect(store.inbox.frontiers(space)).toEqual([{ dev, pos: 6, at: 2_000 }]);
  });

  it("takes back that others read further when the log is another one", async () => {
    const { store } = await setupStore();
    const [near, far] = [bytesFor("near"), bytesFor("far")];
    store.inbox.setFrontier(space, near, 2);
    store.inbox.setFrontier(space, far, 9);
    store.inbox.rewind(space, 3, chain(3));
    const told = store.inbox.frontiers(space).map(({ pos }) => pos);
    expect(new Set(told)).toEqual(new Set([2, 3]));
  });

  it("keeps what is quarantined, as it came", async () => {
    const { store } = await setupStore();
    const item = {
      space,
      pos: 3,
      doc,
      entryId: bytesFor("entry"),
      reason: "bad-checksum",
      bytes: new Uint8Array([1, 2]),
      signer: dev,
    };
    store.inbox.quarantine(item);
    expect(store.inbox.quarantined()).toEqual([{ ...item, id: 1, at: 1_000 }]);
    store.inbox.quarantine({ ...item, pos: 4 });
    store.inbox.quarantine({ ...item, pos: 5, doc: null });
    expect(store.inbox.quarantinedByDocument()).toEqual([{ doc, entries: 2 }]);
  });
});

describe("spaces", () => {
  const notebook = {
    id: space,
    kind: "notebook",
    genesis: bytesFor("genesis", 20),
    capSecret: bytesFor("cap"),
    role: "admin",
    state: "active",
    relayUrl: null,
    createdAt: 5,
  } as const;

  it("are kept and changed in part", async () => {
    const { store } = await setupStore();
    store.spaces.put(notebook);
    store.spaces.update(space, { state: "ended", relayUrl: "wss://relay.example" });
    expect(store.spaces.list()).toEqual([
      { ...notebook, state: "ended", relayUrl: "wss://relay.example" },
    ]);
    expect(store.spaces.get(bytesFor("unknown"))).toBeNull();
    expect(() => store.spaces.update(bytesFor("unknown"), { role: "read" })).toThrow("not stored");
  });

  it("keep their control log in order and report a second record with one number", async () => {
    const { store } = await setupStore();
    const record = (name: string) => [bytesFor(name), null, bytesFor(`hash ${name}`)] as const;
    expect(store.spaces.addControl(space, 2, ...record("b"))).toBe("added");
    expect(store.spaces.addControl(space, 1, ...record("a"))).toBe("added");
    expect(store.spaces.addControl(space, 2, bytesFor("b"), 17, bytesFor("hash b"))).toBe("known");
    expect(store.spaces.addControl(space, 2, ...record("c"))).toBe("conflict");
    expect(store.spaces.control(space).map(({ seq, pos }) => ({ seq, pos }))).toEqual([
      { seq: 1, pos: null },
      { seq: 2, pos: 17 },
    ]);
    expect(store.spaces.controlHead(space)?.hash).toEqual(bytesFor("hash b"));
    expect(store.spaces.controlHead(bytesFor("unknown"))).toBeNull();
  });

  it("keep certificates, with whether the relay has them, and keys", async () => {
    const { store } = await setupStore();
    store.spaces.addCertificate(space, dev, bytesFor("cap"), bytesFor("cert"));
    store.spaces.markCertificatePushed(space, dev, bytesFor("cap"));
    store.spaces.addCertificate(space, dev, bytesFor("cap"), bytesFor("cert"));
    expect(store.spaces.certificates(space)).toEqual([
      { dev, cap: bytesFor("cap"), bytes: bytesFor("cert"), pushed: true },
    ]);
    store.spaces.putKey(space, bytesFor("commit 2"), 2, bytesFor("key 2"));
    store.spaces.putKey(space, bytesFor("commit 1"), 1, bytesFor("key 1"));
    expect(store.spaces.keys(space).map((epochKey) => epochKey.epoch)).toEqual([1, 2]);
  });
});

describe("documents, drafts, notes and the rest", () => {
  it("know the space, origin, signed heads and own actors of a document", async () => {
    const { store } = await setupStore();
    store.documents.add({ doc, space, kind: "note", origin: null });
    store.documents.add({
      doc,
      space: bytesFor("elsewhere"),
      kind: "note",
      origin: bytesFor("origin"),
    });
    expect(store.documents.get(doc)).toEqual({
      doc,
      space,
      kind: "note",
      origin: bytesFor("origin"),
    });
    expect(store.documents.ofSpace(space)).toHaveLength(1);
    const head = (seq: number) => ({
      actor: bytesFor("actor", 16),
      seq,
      hash: bytesFor(`hash ${seq}`),
      nonce: bytesFor("nonce", 16),
      dev,
      sig: bytesFor(`sig ${seq}`),
    });
    for (const seq of [1, 9, 4]) store.documents.addHead(doc, head(seq));
    expect(store.documents.headsOf(doc)).toEqual([head(9)]);
    expect(store.documents.headOf(doc, bytesFor("actor", 16), 4)).toEqual(head(4));
    expect(store.documents.headOf(doc, bytesFor("actor", 16), 5)).toBeNull();
    const own = { actor: bytesFor("actor", 16), nonce: bytesFor("nonce", 16), session: "tab 1" };
    store.documents.addActor(doc, own);
    expect(store.documents.actor(doc, own.actor)).toEqual(own);
    expect(store.documents.actorsOf(doc)).toEqual([own]);
  });

  it("keep one draft per document and session", async () => {
    const { store } = await setupStore();
    const draft = {
      doc,
      session: "tab 1",
      actor: bytesFor("actor", 16),
      heads: [dev, space],
      edits: '[[0,0,"a"]]',
      at: 1,
    };
    store.drafts.put(draft);
    store.drafts.put({ ...draft, edits: "[]", at: 2 });
    store.drafts.put({ ...draft, session: "tab 2", at: 1 });
    expect(store.drafts.of(doc).map(({ session, edits }) => ({ session, edits }))).toEqual([
      { session: "tab 2", edits: draft.edits },
      { session: "tab 1", edits: "[]" },
    ]);
    store.drafts.remove(doc, "tab 1");
    expect(store.drafts.all()).toEqual([{ ...draft, session: "tab 2" }]);
  });

  it("list notes by their last change, apart from the trash", async () => {
    const { store, clock } = await setupStore();
    const note = {
      doc,
      space,
      title: "A",
      preview: "a",
      tags: ["spring"],
      createdAt: 1,
      updatedAt: 1,
      trashedAt: null,
      movedTo: null,
      listed: true,
      stale: false,
    };
    store.notes.upsert(note);
    store.notes.upsert({ ...note, doc: otherDoc, updatedAt: 2 });
    store.notes.upsert({ ...note, doc: bytesFor("trashed", 16), trashedAt: 3 });
    expect(store.notes.list().map((row) => row.doc)).toEqual([otherDoc, doc]);
    expect(store.notes.list({ trashed: true })).toHaveLength(1);
    store.notes.upsert({ ...note, doc: bytesFor("moved", 16), movedTo: otherDoc });
    expect(store.notes.countBySpace()).toEqual([{ space, notes: 2 }]);
    store.notes.markStale(doc);
    expect(store.notes.stale(10)).toEqual([doc]);
    store.notes.upsert({ ...note, title: "B" });
    expect(store.notes.get(doc)).toEqual({ ...note, title: "B", version: clock.time + 1 });
    store.notes.remove(doc);
    expect(store.notes.get(doc)).toBeNull();
  });

  it("give a note another version when its document changes, and only then", async () => {
    const { store, clock } = await setupStore();
    const times = { createdAt: 1, updatedAt: 1, trashedAt: null };
    const said = { title: "A", preview: "a", tags: [] };
    const note = { doc, space, ...said, ...times, movedTo: null, listed: true, stale: false };
    const version = (): number | undefined => store.notes.get(doc)?.version;
    const told: Uint8Array[] = [];
    store.notes.onChange((changed) => told.push(changed));
    store.notes.upsert(note);
    const first = version();
    store.notes.upsert(note);
    store.notes.upsert(note);
    expect(version()).toBe((first ?? 0) + 2);
    clock.time = 5_000;
    store.notes.upsert(note);
    expect(version()).toBe(5_000);
    clock.time = 10;
    store.notes.describe(doc, { ...said, tags: ["spring", "beds/north"] });
    store.notes.place(doc, { ...note, trashedAt: 7 });
    expect(store.notes.get(doc)).toMatchObject({ trashedAt: 7, tags: ["spring", "beds/north"] });
    expect(version()).toBe(5_000);
    store.notes.upsert(note);
    expect(version()).toBe(5_001);
    store.notes.remove(doc);
    expect(told).toHaveLength(8);
  });

  it("keep what a person has pinned, and say what became different", async () => {
    const { store } = await setupStore();
    expect(store.pins.replace([doc, otherDoc])).toEqual([doc, otherDoc]);
    expect(store.pins.replace([otherDoc])).toEqual([doc]);
    expect([store.pins.has(doc), store.pins.has(otherDoc)]).toEqual([false, true]);
    expect(store.pins.all()).toEqual([otherDoc]);
  });

  it("keep settings, and the last 500 lines of the sync log", async () => {
    const { store } = await setupStore();
    store.settings.put("theme", new Uint8Array([1]));
    store.settings.put("theme", new Uint8Array([2]));
    expect(store.settings.get("theme")).toEqual(new Uint8Array([2]));
    store.settings.remove("theme");
    expect(store.settings.get("theme")).toBeNull();
    store.transaction(() => {
      for (let line = 1; line <= 510; line += 1) store.syncLog.add("info", `line ${line}`);
    });
    expect(store.syncLog.all()).toHaveLength(500);
    expect(store.syncLog.all()[0]?.text).toBe("line 11");
  });

  it("keep removed snapshots as a fallback until a later one is confirmed", async () => {
    const { store } = await setupStore();
    const snapshot = (name: string) => ({
      key: name,
      heads: [bytesFor(name)],
      bytes: bytesFor(name, 20),
    });
    for (const name of ["a", "b", "c", "d"]) store.snapshots.put(doc, snapshot(name));
    for (const name of ["a", "b", "c"]) store.snapshots.remove(doc, name);
    expect(store.snapshots.latest(doc)).toEqual(snapshot("d"));
    expect(store.snapshots.get(doc, "a")).toBeNull();
    expect(store.snapshots.get(doc, "b")).toEqual(snapshot("b"));
    store.snapshots.removeAll(doc);
    expect(store.snapshots.latest(doc)).toEqual(snapshot("d"));
    store.snapshots.confirm(doc, "d");
    expect(store.snapshots.get(doc, "c")).toBeNull();
    expect(store.snapshots.latest(otherDoc)).toBeNull();
  });
});

/** The codec that the store itself uses, to reach the tables behind its back. */
function notesCodec() {
  return createPageCodec({
    key,
    databaseId: bytesFor("sealeaf/1/database\0notes", 16),
    random: seededBytes(9),
  });
}

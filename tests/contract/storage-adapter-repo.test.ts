import * as Automerge from "@automerge/automerge/slim";
import { parseAutomergeUrl, Repo, type DocHandle } from "@automerge/automerge-repo/slim";
import { beforeAll, describe, expect, it } from "vitest";

import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { StorageAdapter } from "#crdt-store/storage-adapter.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";

interface Note {
  text: string;
}

async function setupRepo(files = new MemoryFiles()) {
  const store = openStore({
    engine: await loadNodeEngine(),
    files,
    key: new Uint8Array(32).fill(3),
    clock: { now: () => 0 },
    random: (count) => crypto.getRandomValues(new Uint8Array(count)),
  });
  return {
    store,
    files,
    repo: new Repo({ storage: new StorageAdapter(store, { spaceOf: () => null }) }),
  };
}

async function typeNote(repo: Repo, words: readonly string[]): Promise<DocHandle<Note>> {
  const handle = repo.create<Note>({ text: "" });
  for (const word of words) {
    handle.change((note) => Automerge.splice(note, ["text"], note.text.length, 0, word));
    await repo.flush([handle.documentId]);
  }
  return handle;
}

/** The text that a new Repo over the same store shows. */
async function reload(store: Store, handle: DocHandle<Note>): Promise<string> {
  const repo = new Repo({ storage: new StorageAdapter(store, { spaceOf: () => null }) });
  return (await repo.find<Note>(handle.url)).doc().text;
}

const words = Array.from({ length: 40 }, (_, index) => `word${index} ${"x".repeat(60)} `);

beforeAll(loadAutomerge);

describe("automerge-repo over the store", () => {
  it("finds a note again in a new process", async () => {
    const { store, files, repo } = await setupRepo();
    const handle = await typeNote(repo, words);
    const crashed = new MemoryFiles(files.snapshot());
    const { store: reopened } = await setupRepo(crashed);
    expect(await reload(reopened, handle)).toBe(words.join(""));
    store.close();
    reopened.close();
  });

  it("keeps every change as a row of the journal, and a known one only once", async () => {
    const { store, repo } = await setupRepo();
    const handle = await typeNote(repo, words);
    const { binaryDocumentId: doc } = parseAutomergeUrl(handle.url);
    const saved = Automerge.saveSince(handle.doc(), []);
    const adapter = new StorageAdapter(store, { spaceOf: () => null });
    const all = Automerge.getAllChanges(handle.doc());
    await adapter.save([handle.documentId, "incremental", "all"], joined(all));
    await adapter.save([handle.documentId, "incremental", "again"], joined(all));
    await adapter.save([handle.documentId, "snapshot", "s"], saved);
    expect(store.changes.bytesOfDocument(doc)).toHaveLength(all.length);
    expect(store.changes.heads(doc).map((hash) => Buffer.from(hash).toString("hex"))).toEqual(
      Automerge.getHeads(handle.doc()),
    );
    expect(await reload(store, handle)).toBe(words.join(""));
  });

  it("sends only what the snapshot lacks, and all of it", async () => {
    const { store, repo } = await setupRepo();
    const handle = await typeNote(repo, words.slice(0, 30));
    const early = Automerge.save(handle.doc());
    for (const word of words.slice(30)) {
      handle.change((note) => Automerge.splice(note, ["text"], note.text.length, 0, word));
    }
    const adapter = new StorageAdapter(store, { spaceOf: () => null });
    const id = handle.documentId;
    await adapter.removeRange([id]);
    await adapter.save([id, "incremental", "all"], joined(Automerge.getAllChanges(handle.doc())));
    await adapter.save([id, "snapshot", "early"], early);
    const [snapshot, journal] = await adapter.loadRange([id]);
    expect(snapshot?.data).toEqual(early);
    const loaded = Automerge.loadIncremental(
      Automerge.load<Note>(snapshot?.data ?? new Uint8Array()),
      journal?.data ?? new Uint8Array(),
    );
    expect(loaded.text).toBe(words.join(""));
    // Ten changes of about 200 bytes, not forty.
    expect(journal?.data?.length).toBeLessThan(
      joined(Automerge.getAllChanges(handle.doc())).length / 2,
    );
  });

  it("answers one snapshot's remainder also when a newer snapshot comes between the two calls", async () => {
    const { store, repo } = await setupRepo();
    const handle = await typeNote(repo, words.slice(0, 3));
    const id = handle.documentId;
    const adapter = new StorageAdapter(store, { spaceOf: () => null });
    const otherTab = new StorageAdapter(store, { spaceOf: () => null });
    await adapter.save([id, "snapshot", "one"], Automerge.save(handle.doc()));
    const [snapshot] = await adapter.loadRange([id, "snapshot"]);
    handle.change((note) => Automerge.splice(note, ["text"], 0, 0, "later "));
    await otherTab.save([id, "incremental", "i"], joined(Automerge.getAllChanges(handle.doc())));
    await otherTab.save([id, "snapshot", "two"], Automerge.save(handle.doc()));
    const [journal] = await adapter.loadRange([id, "incremental"]);
    const loaded = Automerge.loadIncremental(
      Automerge.load<Note>(snapshot?.data ?? new Uint8Array()),
      journal?.data ?? new Uint8Array(),
    );
    expect(loaded.text).toMatch(/^later word0/);
  });

  it("loses no good change to a bad one beside it, unlike automerge-repo's own loading", async () => {
    const { store, repo } = await setupRepo();
    const handle = await typeNote(repo, words.slice(0, 5));
    const [first, ...rest] = Automerge.getAllChanges(handle.doc());
    const good = joined([first ?? new Uint8Array(), ...rest]);
    const bad = (rest[0] ?? new Uint8Array()).slice(0, -3);
    const stock = Automerge.loadIncremental(
      Automerge.init<Note>(),
      joined([first ?? new Uint8Array(), bad, ...rest]),
    );
    expect(stock.text ?? "").not.toContain("word4");

    const empty = await setupRepo();
    const adapter = new StorageAdapter(empty.store, { spaceOf: () => null });
    const id = handle.documentId;
    await adapter.save([id, "incremental", "bad"], bad);
    await adapter.save([id, "incremental", "mixed"], joined([first ?? new Uint8Array(), bad]));
    await adapter.save([id, "incremental", "good"], good);
    expect(await reload(empty.store, handle)).toBe(words.slice(0, 5).join(""));
    expect(empty.store.inbox.quarantined().map((item) => item.reason)).toEqual([
      "storage-truncated",
      "storage-truncated",
    ]);
    store.close();
  });

  it("falls back to the journal when the snapshot is damaged", async () => {
    const { store, repo } = await setupRepo();
    const handle = await typeNote(repo, words.slice(0, 5));
    const adapter = new StorageAdapter(store, { spaceOf: () => null });
    const id = handle.documentId;
    const { binaryDocumentId: doc } = parseAutomergeUrl(handle.url);
    await adapter.save([id, "incremental", "all"], joined(Automerge.getAllChanges(handle.doc())));
    await adapter.removeRange([id, "snapshot"]);
    const damaged = Automerge.save(handle.doc());
    damaged[damaged.length - 1] = (damaged.at(-1) ?? 0) ^ 1;
    await adapter.save([id, "snapshot", "damaged"], damaged);
    expect(store.snapshots.get(doc, "damaged")).toBeNull();
    expect(await reload(store, handle)).toBe(words.slice(0, 5).join(""));
  });
});

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

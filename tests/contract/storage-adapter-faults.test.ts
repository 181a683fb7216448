import { createHash } from "node:crypto";

import * as Automerge from "@automerge/automerge/slim";
import {
  parseAutomergeUrl,
  Repo,
  type AutomergeUrl,
  type Chunk,
  type DocHandle,
  type StorageAdapterInterface,
  type StorageKey,
} from "@automerge/automerge-repo/slim";
import { beforeAll, describe, expect, it } from "vitest";

import { FaultyFiles } from "#crdt-store/files/faulty.ts";
import type { FileSet } from "#crdt-store/files/file.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { StorageAdapter, type StorageAdapterOptions } from "#crdt-store/storage-adapter.ts";
import type { StoreError } from "#crdt-store/store-error.ts";
import { openStore } from "#crdt-store/store.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";
import { deferred } from "#tests/support/deferred.ts";

/*
 * What automerge-repo 2.5.6 does to a storage that takes it at its word, and what it cannot do to ours. Each control runs
 * the same on a storage like the stock ones.
 */

// Generous: a ceiling, not a measurement.
const timeout = 60_000;

interface Note {
  text: string;
}

// Text that does not compress: below 1 KiB automerge-repo saves nothing but snapshots.
const words = Array.from({ length: 16 }, (_, index) => {
  const noise = createHash("sha512").update(`noise ${index}`).digest("hex");
  return `word${index} ${noise} `;
});

/** Keys and values as they come; what is removed is gone. */
class StockStorage implements StorageAdapterInterface {
  readonly chunks = new Map<string, { readonly key: StorageKey; data: Uint8Array }>();

  async load(key: StorageKey) {
    return this.chunks.get(key.join("/"))?.data;
  }

  async save(key: StorageKey, data: Uint8Array) {
    this.chunks.set(key.join("/"), { key, data });
  }

  async remove(key: StorageKey) {
    this.chunks.delete(key.join("/"));
  }

  async loadRange(prefix: StorageKey): Promise<Chunk[]> {
    return this.#under(prefix).map(({ key, data }) => ({ key, data }));
  }

  async removeRange(prefix: StorageKey) {
    for (const { key } of this.#under(prefix)) this.chunks.delete(key.join("/"));
  }

  incrementals() {
    return [...this.chunks.values()].filter(({ key }) => key[1] === "incremental");
  }

  #under(prefix: StorageKey) {
    return [...this.chunks.values()].filter(({ key }) =>
      prefix.every((part, index) => key[index] === part),
    );
  }
}

async function openOurs(
  files: FileSet = new MemoryFiles(),
  more: Partial<StorageAdapterOptions> = {},
) {
  const store = openStore({
    engine: await loadNodeEngine(),
    files,
    key: null,
    clock: { now: () => 0 },
    random: (count) => crypto.getRandomValues(new Uint8Array(count)),
  });
  return { store, storage: new StorageAdapter(store, { spaceOf: () => null, ...more }) };
}

async function typeNote(repo: Repo, typed: readonly string[]): Promise<DocHandle<Note>> {
  const handle = repo.create<Note>({ text: "" });
  await append(repo, handle, typed);
  return handle;
}

async function append(repo: Repo, handle: DocHandle<Note>, typed: readonly string[]) {
  for (const word of typed) {
    handle.change((note) => Automerge.splice(note, ["text"], note.text.length, 0, word));
    await repo.flush([handle.documentId]);
  }
}

/** What a new process reads. */
async function read(storage: StorageAdapterInterface, url: AutomergeUrl): Promise<string> {
  const handle = await new Repo({ storage }).find<Note>(url);
  return handle.doc().text ?? "";
}

async function spoilRows(files: MemoryFiles, sql: string): Promise<void> {
  const sqlite = Sqlite.open({ engine: await loadNodeEngine(), files, codec: null });
  sqlite.run(sql);
  sqlite.close();
}

beforeAll(loadAutomerge);

describe("a truncated incremental", () => {
  it(
    "makes a stock storage drop the good ones beside it, and the next compaction deletes them",
    { timeout },
    async () => {
      const storage = new StockStorage();
      const handle = await typeNote(new Repo({ storage }), words);
      const [first] = storage.incrementals();
      if (first === undefined) throw new Error("there are incrementals");
      const whole = first.data;
      first.data = whole.slice(0, -3);
      const repo = new Repo({ storage });
      const again = await repo.find<Note>(handle.url);
      expect(again.doc().text).not.toContain("word15");
      const before = storage.incrementals().length;
      await append(repo, again, words.slice(0, 12));
      expect(storage.incrementals().length).toBeLessThan(before + 12);
      await storage.save(first.key, whole);
      expect(await read(storage, handle.url)).not.toContain("word15");
    },
  );

  it(
    "costs ours the one change until it comes again, whatever is compacted meanwhile",
    { timeout },
    async () => {
      const files = new MemoryFiles();
      const { store, storage } = await openOurs(files);
      const handle = await typeNote(new Repo({ storage }), words);
      const { binaryDocumentId: doc } = parseAutomergeUrl(handle.url);
      const [, spoilt] = store.changes.bytesOfDocument(doc).reverse();
      if (spoilt === undefined) throw new Error("the note has changes in the journal");
      const rows = store.changes.bytesOfDocument(doc).length;
      store.close();
      await spoilRows(
        files,
        "UPDATE change SET bytes = substr(bytes, 1, length - 3) WHERE id = (SELECT max(id) - 1 FROM change)",
      );
      const reopened = await openOurs(files);
      const repo = new Repo({ storage: reopened.storage });
      const again = await repo.find<Note>(handle.url);
      expect(again.doc().text).toContain("word13");
      expect(reopened.store.inbox.quarantined().map(({ reason }) => reason)).toEqual([
        "damaged-row",
      ]);
      await append(repo, again, words.slice(0, 8));
      expect(reopened.store.changes.bytesOfDocument(doc).length).toBeGreaterThanOrEqual(rows - 1);
      await reopened.storage.save([handle.documentId, "incremental", "again"], spoilt);
      const text = await read(reopened.storage, handle.url);
      expect(text.match(/word1[0-5]/g)).toHaveLength(6);
      reopened.store.close();
    },
  );
});

describe("a save on a full disk", () => {
  const full = Object.assign(new Error("no space"), { code: "ENOSPC" });
  const bytes = new Uint8Array([1, 2, 3]);

  it("rejects where nobody retries it, and automerge-repo would drop that", async () => {
    const files = new FaultyFiles(() => 0);
    const { store, storage } = await openOurs(files);
    files.before = failWrites(full);
    await expect(storage.save(["a", "b", "c"], bytes)).rejects.toMatchObject({ type: "disk-full" });
    files.before = () => undefined;
    expect(await storage.load(["a", "b", "c"])).toBeUndefined();
    store.close();
  });

  it("is told of and goes on by itself once there is space, also under a Repo", async () => {
    const files = new FaultyFiles(() => 0);
    const told: StoreError["type"][] = [];
    const asked = deferred<void>();
    const space = deferred<void>();
    const { store, storage } = await openOurs(files, {
      retry(error) {
        told.push(error.type);
        asked.resolve();
        return space.promise;
      },
    });
    const repo = new Repo({ storage });
    const handle = await typeNote(repo, words.slice(0, 3));
    files.before = failWrites(full);
    const flushed = append(repo, handle, ["the last word"]);
    await asked.promise;
    expect(new Set(told)).toEqual(new Set(["disk-full"]));
    files.before = () => undefined;
    space.resolve();
    await flushed;
    expect(await read(storage, handle.url)).toContain("the last word");
    store.close();
  });

  function failWrites(error: Error): FaultyFiles["before"] {
    return ({ type }) => {
      if (type === "write") throw error;
    };
  }
});

describe("a snapshot that turns out to be damaged", () => {
  const key = (handle: DocHandle<Note>, name: string) => [handle.documentId, "snapshot", name];

  async function saveTwo(storage: StorageAdapterInterface, handle: DocHandle<Note>) {
    const first = Automerge.save(handle.doc());
    handle.change((note) => Automerge.splice(note, ["text"], 0, 0, "later "));
    const second = Automerge.save(handle.doc());
    await storage.save(key(handle, "first"), first);
    await storage.save(key(handle, "second"), second);
    await storage.remove(key(handle, "first"));
  }

  it("is all that a stock storage has: its predecessor was removed on trust", async () => {
    const handle = await typeNote(new Repo(), []);
    const storage = new StockStorage();
    await saveTwo(storage, handle);
    expect([...storage.chunks.keys()]).toEqual([key(handle, "second").join("/")]);
  });

  it("makes ours fall back to the one before, which removing had only marked", async () => {
    const files = new MemoryFiles();
    const { store, storage } = await openOurs(files);
    const handle = await typeNote(new Repo(), words.slice(0, 5));
    await saveTwo(storage, handle);
    store.close();
    await spoilRows(files, "UPDATE snapshot SET bytes = zeroblob(9) WHERE key = 'second'");
    const reopened = await openOurs(files);
    expect(await read(reopened.storage, handle.url)).toBe(words.slice(0, 5).join(""));
    reopened.store.close();
  });
});

describe("changes that came before what they depend on", () => {
  it("are not in what automerge-repo saves next", async () => {
    const [first, second] = await twoChanges();
    const [orphaned] = Automerge.applyChanges(Automerge.init<Note>(), [second]);
    expect(Automerge.saveSince(orphaned, [])).toHaveLength(0);
    expect(first).not.toHaveLength(0);
  });

  it("are kept by ours and there once the others come", async () => {
    const files = new MemoryFiles();
    const { store, storage } = await openOurs(files);
    const handle = new Repo().create<Note>();
    const [first, second] = await twoChanges();
    await storage.save([handle.documentId, "incremental", "2"], second);
    store.close();
    const reopened = await openOurs(files);
    await reopened.storage.save([handle.documentId, "incremental", "1"], first);
    expect(await read(reopened.storage, handle.url)).toBe("one two");
    reopened.store.close();
  });

  async function twoChanges(): Promise<[Uint8Array, Uint8Array]> {
    const one = Automerge.change(Automerge.init<Note>(), { time: 0 }, (note) => {
      note.text = "one";
    });
    const two = Automerge.change(one, { time: 0 }, (note) =>
      Automerge.splice(note, ["text"], 3, 0, " two"),
    );
    const [first, second] = Automerge.getAllChanges(two);
    if (first === undefined || second === undefined) throw new Error("two edits are two changes");
    return [first, second];
  }
});

it("an imported document is there in a new process", async () => {
  const { store, storage } = await openOurs();
  const repo = new Repo({ storage });
  const source = Automerge.from<{ text: string }>({ text: "brought along" });
  const handle = repo.import<Note>(Automerge.save(source));
  await repo.flush([handle.documentId]);
  expect(await read(storage, handle.url)).toBe("brought along");
  store.close();
});

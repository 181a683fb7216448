/**
 * Words that must not be found in a device's files, and the work that leaves them everywhere in its databases: written,
 * changed, deleted, rolled back, checkpointed and left in the log. A new database joins the list of them.
 */
import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import type { FileSet } from "#crdt-store/files/file.ts";
import { SearchIndex } from "#crdt-store/search-index.ts";
import { openStore, type Store } from "#crdt-store/store.ts";

/** What people wrote. */
const written = [
  "heronsecret",
  "titlesecret",
  "tagsecret",
  "draftsecret",
  "logsecret",
  "removedsecret",
];
/** What SQLite writes by itself into every database. */
const ofSqlite = ["SQLite format", "CREATE TABLE"];

export interface Database {
  readonly name: string;
  /** What stands in its files in clear, of {@link written}, of SQLite, and names of tables and columns. */
  readonly canaries: readonly string[];
  /** Opens it in the files and works; the answer closes it. Once more on the same files is another process. */
  readonly work: (options: WorkOptions) => () => void;
}

interface WorkOptions {
  readonly engine: SqliteEngine;
  readonly files: FileSet;
  readonly key: Uint8Array | null;
  readonly random: (count: number) => Uint8Array;
}

export const databases: readonly Database[] = [
  {
    name: "notes",
    canaries: [...written, ...ofSqlite, "sync_log", "hash_prefix", "quarantine"],
    work(options) {
      const store = openStore({ ...options, clock: { now: () => 1_000 } });
      workOnNotes(store);
      return () => store.close();
    },
  },
  {
    name: "index",
    canaries: ["heronsecret", "titlesecret", "tagsecret", ...ofSqlite, "note_text"],
    work(options) {
      const index = SearchIndex.open(options);
      workOnIndex(index);
      return () => index.close();
    },
  },
];

/** Which of the words stand in the bytes. */
export function foundIn(bytes: Uint8Array, words: readonly string[]): string[] {
  // One character per byte, so that a word of ASCII is found wherever it begins.
  const text = new TextDecoder("latin1").decode(bytes);
  return words.filter((word) => text.includes(word));
}

const doc = new Uint8Array(16).fill(5);
const space = new Uint8Array(32).fill(6);
const many = (word: string): Uint8Array => new TextEncoder().encode(`${word} `.repeat(2_000));

function workOnNotes(store: Store): void {
  const note = {
    doc,
    space,
    title: "titlesecret",
    preview: "heronsecret stands in the reeds",
    tags: ["tagsecret"],
    createdAt: 1,
    updatedAt: 1,
    trashedAt: null,
    movedTo: null,
    listed: true,
    stale: false,
  };
  store.notes.upsert(note);
  store.drafts.put({ doc, session: "s", actor: doc, heads: [], edits: "draftsecret", at: 1 });
  store.snapshots.put(doc, { key: "one", heads: [], bytes: many("heronsecret") });
  store.snapshots.put(doc, { key: "one", heads: [], bytes: many("removedsecret") });
  store.keyValues.put(["removedsecret"], many("removedsecret"));
  store.syncLog.add("info", "logsecret");
  store.inbox.quarantine({
    space,
    pos: 1,
    doc,
    entryId: null,
    reason: "a test",
    bytes: many("heronsecret"),
    signer: null,
  });
  try {
    store.transaction(() => {
      store.settings.put("removedsecret", many("removedsecret"));
      throw new Error("undone");
    });
  } catch {
    // That it was undone is what leaves its pages in the log.
  }
  store.keyValues.remove(["removedsecret"]);
  store.syncLog.add("info", "logsecret again");
}

function workOnIndex(index: SearchIndex): void {
  const entry = (number: number, body: string) => ({
    doc: new Uint8Array(16).fill(number),
    version: 1,
    space,
    updatedAt: number,
    trashed: false,
    pinned: false,
    title: `titlesecret ${number}`,
    body,
    tags: [{ name: "tagsecret", key: "tagsecret" }],
  });
  index.put([entry(1, "heronsecret stands in the reeds"), entry(2, "removedsecret")]);
  index.remove([new Uint8Array(16).fill(2)]);
  index.put([entry(1, "heronsecret flies away")]);
  index.tidy();
}

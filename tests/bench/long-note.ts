/** What a note with 260,000 edits costs: to open, as it is and packed, and to type in. */
import * as A from "@automerge/automerge/slim";

import { createNoteDocuments } from "#client/app/state/note-documents.ts";
import type { NoteDocument } from "#client/device/api.ts";
import { parseChange } from "#crdt-store/chunks.ts";
import { documentIdToText } from "#crdt-store/document-id.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { historyEdits, longHistory } from "./long-history.ts";
import type { Measurement } from "./measurement.ts";
import { benchTyping } from "./typing.ts";

const doc = new Uint8Array(16).fill(7);
const space = new Uint8Array(32).fill(9);
const repeats = 3;
/** Opening every row takes long, and is no budget. */
const rowRepeats = 1;

export async function benchLongNote(): Promise<Measurement[]> {
  const saved = longHistory();
  const files = new MemoryFiles();
  const rows = await inStore(files, (store) => {
    insertAll(store, saved);
    return compareOpening(store, saved, rowRepeats);
  });
  const rowBytes = await bytesInUse(files);
  const packed = await inStore(files, (store) => {
    pack(store, saved);
    return compareOpening(store, saved, repeats);
  });
  const packedBytes = await bytesInUse(files);
  const ratio = packed.note / packed.alone;
  return [
    {
      name: `Automerge load alone, ${historyEdits.toLocaleString("en")} edits`,
      ms: packed.alone,
    },
    {
      name: "note: open to its text, packed",
      ms: packed.note,
      ratio,
      note: "Automerge load alone",
      budget: { figure: ratio, must: 1.2, aim: 1, unit: "×" },
    },
    {
      name: "note: open to its text, every change a row",
      ms: rows.note,
      ratio: rows.note / rows.alone,
      note: "Automerge load alone",
    },
    {
      name: "store: the note packed",
      ratio: packedBytes / rowBytes,
      note: `every change a row; ${megabytes(packedBytes)} of ${megabytes(rowBytes)} MB`,
    },
    ...(await benchTyping(saved)),
  ];
}

async function inStore<Result>(files: MemoryFiles, act: (store: Store) => Result): Promise<Result> {
  const random = (count: number): Uint8Array => new Uint8Array(count);
  const engine = await loadNodeEngine();
  const store = openStore({ engine, files, key: null, clock: Date, random });
  try {
    return act(store);
  } finally {
    store.close();
  }
}

function insertAll(store: Store, saved: Uint8Array): void {
  const document = A.load<NoteDocument>(saved);
  const changes = A.getAllChanges(document).map((bytes, number) => {
    const parsed = parseChange(bytes);
    if (parsed.type === "failed") throw new Error(`a change is ${parsed.failure.type}`);
    const facts = { doc, space, pos: number + 1, signer: null, local: false, opCount: 1, at: 0 };
    return { ...parsed.change, ...facts };
  });
  A.free(document);
  store.changes.insert(changes);
}

/** As client/device/compaction.ts leaves it; that it proves what it packs is tested elsewhere. */
function pack(store: Store, saved: Uint8Array): void {
  const rows = store.changes.ofDocument(doc);
  const heads = store.changes.heads(doc);
  const key = store.snapshots.putUnproved(doc, heads, saved);
  const proved = new Set(rows.map(({ hash }) => Buffer.from(hash).toString("hex")));
  const through = rows.at(-1)?.row ?? 0;
  store.changes.pack(doc, { snapshot: key, through, proved, given: new Set() });
  store.snapshots.adopt(doc, key);
}

/** In turns, so that a machine that slows down slows both. */
function compareOpening(
  store: Store,
  saved: Uint8Array,
  rounds: number,
): { alone: number; note: number } {
  const alone: number[] = [];
  const note: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    alone.push(timeOf(() => A.free(A.load<NoteDocument>(saved))));
    note.push(timeOf(() => open(store)));
  }
  return { alone: median(alone), note: median(note) };
}

function open(store: Store): void {
  const { snapshot, changes } = store.contentOf(doc);
  const documents = createNoteDocuments();
  const handle = documents.open({
    id: documentIdToText(doc),
    chunks: snapshot === null ? changes : [snapshot.bytes, ...changes],
    actor: "bb".repeat(16),
    notebook: "",
    role: "edit",
    trashed: false,
  });
  if (handle.doc().body.length === 0) throw new Error("the note is empty");
  A.free(handle.doc());
}

/** Without the pages that deleting has left free for what comes next. */
async function bytesInUse(files: MemoryFiles): Promise<number> {
  const sqlite = Sqlite.open({ engine: await loadNodeEngine(), files, codec: null });
  const pages = sqlite.get<{ page_count: number }>("PRAGMA page_count")?.page_count ?? 0;
  const free = sqlite.get<{ freelist_count: number }>("PRAGMA freelist_count")?.freelist_count;
  sqlite.close();
  return (pages - (free ?? 0)) * 4_096;
}

function megabytes(bytes: number): string {
  return (bytes / 1_048_576).toFixed(1);
}

function timeOf(run: () => void): number {
  const start = performance.now();
  run();
  return performance.now() - start;
}

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
}

import { pause } from "#client/worker/browser-timers.ts";
import wasmUrl from "sql.js/dist/sql-wasm-browser.wasm?url";
import { loadEngine, type SqliteEngine } from "#crdt-store/files/engine.ts";
import { closeFiles, fileRoles } from "#crdt-store/files/file.ts";
import { openOpfsFiles, removeOpfsFiles } from "#crdt-store/files/opfs.ts";
import { SearchIndex } from "#crdt-store/search-index.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { timeSearches, type SearchTimes } from "../search-load.ts";
import {
  documentId,
  rawContender,
  storeContender,
  timeCommits,
  type CommitLoad,
} from "../store-load.ts";
import type { BenchAnswer, BenchCall } from "./calls.ts";

declare const self: DedicatedWorkerGlobalScope;

const random = (count: number) => crypto.getRandomValues(new Uint8Array(count));

self.addEventListener("message", ({ data }: MessageEvent<BenchCall>) => {
  perform(data).then(
    (result) => self.postMessage({ result } satisfies BenchAnswer),
    (error: unknown) => self.postMessage({ error: String(error) } satisfies BenchAnswer),
  );
});

function perform(call: BenchCall): Promise<unknown> {
  switch (call.type) {
    case "ready":
      return Promise.resolve(null);
    case "commits":
      return timeStores(call.load, new Uint8Array(call.key));
    case "search":
      return timeSearchesIn("search", new Uint8Array(call.key));
    case "put":
      return putFiles(call.directory, call.from);
    case "open":
      return timeOpening(call.directory, new Uint8Array(call.key));
  }
}

async function timeStores(load: CommitLoad, key: Uint8Array) {
  const directories = ["clear", "sealed", "raw"] as const;
  for (const directory of directories) await removeOpfsFiles(directory);
  const engine = await startEngine();
  const clear = await openIn(engine, "clear", null);
  const sealed = await openIn(engine, "sealed", key);
  const raw = await openOpfsFiles("raw", pause);
  try {
    const contenders = [
      storeContender("sealed", sealed),
      storeContender("clear", clear),
      rawContender("raw", raw.wal),
    ];
    return timeCommits(contenders, load, random);
  } finally {
    clear.close();
    sealed.close();
    closeFiles(raw);
    for (const directory of directories) await removeOpfsFiles(directory);
  }
}

async function timeSearchesIn(directory: string, key: Uint8Array): Promise<SearchTimes> {
  await removeOpfsFiles(directory);
  const engine = await startEngine();
  const open = async (): Promise<SearchIndex> => {
    const files = await openOpfsFiles(directory, pause);
    return SearchIndex.open({ engine, files, key, random });
  };
  try {
    return await timeSearches({ open, random, processorMs: null });
  } finally {
    await removeOpfsFiles(directory);
  }
}

async function putFiles(directory: string, from: string): Promise<null> {
  const files = await openOpfsFiles(directory, pause);
  try {
    for (const role of fileRoles) {
      const response = await fetch(`${from}/${role}`);
      files[role].write(new Uint8Array(await response.arrayBuffer()), 0);
      files[role].flush();
    }
  } finally {
    closeFiles(files);
  }
  return null;
}

/** Leaves the store open: its memory is measured from outside. */
async function timeOpening(directory: string, key: Uint8Array) {
  const started = performance.now();
  const engine = await startEngine();
  const loaded = performance.now();
  const store = await openIn(engine, directory, key);
  const opened = performance.now();
  const found = store.changes.bytesOfDocument(documentId(7)).length;
  const read = performance.now();
  if (found === 0) throw new Error("the note is not there");
  return { engineMs: loaded - started, openMs: opened - loaded, noteMs: read - opened };
}

async function startEngine(): Promise<SqliteEngine> {
  return loadEngine({ wasm: await WebAssembly.compileStreaming(fetch(wasmUrl)), random });
}

async function openIn(
  engine: SqliteEngine,
  directory: string,
  key: Uint8Array | null,
): Promise<Store> {
  const files = await openOpfsFiles(directory, pause);
  return openStore({ engine, files, key, clock: { now: () => 0 }, random });
}

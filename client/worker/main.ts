/** Composition root of the leader's worker: real files, real time, real sockets, one device behind its lock. */
import sqliteWasm from "sql.js/dist/sql-wasm-browser.wasm?url";
import automergeWasm from "@automerge/automerge/automerge.wasm?url";
import { loadEngine, type SqliteEngine } from "#crdt-store/files/engine.ts";
import { closeFiles, type FileSet } from "#crdt-store/files/file.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { openOpfsFiles, hasOpfsFiles, removeOpfsFiles } from "#crdt-store/files/opfs.ts";
import { SearchIndex } from "#crdt-store/search-index.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { wasmArgon2id } from "#client/crypto/argon2id.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import { nobleEd25519 } from "#client/crypto/ed25519.ts";
import { Device } from "#client/device/device.ts";
import type { Automerge } from "#client/device/index-document.ts";
import { pageReader } from "#client/device/read-page.ts";
import { browserTimers, pause } from "./browser-timers.ts";
import { DatabaseKey } from "./database-key.ts";
import { deviceNameOf } from "./device-name.ts";
import { dialWebSocket } from "./dial.ts";
import { indexedDbKeyEntry, onKeysRemoved } from "./key-entry.ts";
import type { KeyKeeper } from "./key-keeper.ts";
import type { RunningDevice } from "./leader.ts";
import { tabLock } from "./lock-names.ts";
import { browserOpener } from "./start-opener.ts";
import { watchStorage } from "./storage-watch.ts";
import { LockableDevice } from "./lockable-device.ts";
import type { LockablePorts, OpenDevice } from "./lockable-device.ts";

declare const self: DedicatedWorkerGlobalScope;

const storeName = "sealeaf-notes";
const indexName = "sealeaf-index";
/** So long a pause between two attempts at the index's files is the end of them: half a second in all. */
const indexPauseMs = 300;
/** By when the pauses between two tries have become so long, a second has passed. */
const longPauseMs = 1_000;
const longestFetchMs = 5_000;

/** Opens the device of this browser, unless it is locked; a first start creates it. */
export async function startDevice(
  keeper: KeyKeeper,
  stall: (stalled: boolean) => void,
): Promise<RunningDevice> {
  const engine = startEngine();
  // Whoever opens the device is told; a locked one may never ask.
  engine.catch(() => {});
  return new LockableDevice({
    key: new DatabaseKey(indexedDbKeyEntry, crypto),
    keeper,
    openFiles: () => openFiles(stall),
    openDevice: async (opened) => openDevice({ ...opened, engine }),
    removeFiles: async () => {
      await removeOpfsFiles(indexName);
      await removeOpfsFiles(storeName);
    },
    watchFiles: (onGone) =>
      watchStorage(
        {
          stillThere: () => hasOpfsFiles(storeName),
          onSign: (listener) => onKeysRemoved(listener, onFault),
          timers: browserTimers,
          onFault,
        },
        onGone,
      ),
    argon2id: wasmArgon2id,
    random,
    timers: browserTimers,
    clock: Date,
    onFault,
  });
}

/** Loads and tries what {@link startDevice} needs, and touches nothing that is stored. */
export async function prepareDevice(): Promise<void> {
  await Promise.all([startEngine(), (automerge ??= loadAutomerge())]);
  // The first keys and signatures of a program are by far its slowest.
  const { seed, publicKey } = capabilityFrom(nobleEd25519, random(32)).sign;
  nobleEd25519.verify(publicKey, seed, nobleEd25519.sign(seed, seed));
}

let engineOfWorker: Promise<SqliteEngine> | null = null;

function startEngine(): Promise<SqliteEngine> {
  engineOfWorker ??= WebAssembly.compileStreaming(fetch(sqliteWasm))
    .then((wasm) => loadEngine({ wasm, random }))
    .catch((error: unknown) => {
      // The next attempt may find the network again.
      engineOfWorker = null;
      throw error;
    });
  return engineOfWorker;
}

async function openDevice({
  files,
  key,
  durable,
  engine,
}: Parameters<LockablePorts["openDevice"]>[0] & {
  readonly engine: Promise<SqliteEngine>;
}): Promise<OpenDevice> {
  const store = await openStoreIn(files, key, engine);
  try {
    const device = Device.open({
      store,
      ed: nobleEd25519,
      clock: Date,
      timers: browserTimers,
      random,
      chance: Math.random,
      dial: dialWebSocket,
      automerge: () => (automerge ??= loadAutomerge()),
      startOpener: browserOpener,
      sessionAlive: isTabAlive,
      deviceName: deviceNameOf(navigator.userAgent),
      relayUrl: relayOfThisPage(),
      servedBy: relayOfThisPage(),
      readPage: pageReader(fetchPage),
      durable,
      connect: "always",
      ...(durable && { disk: diskOfThisOrigin }),
      openScratchStore: async () =>
        openStore({
          engine: await engine,
          files: new MemoryFiles(),
          key: null,
          clock: Date,
          random,
        }),
      openSearchIndex: async () =>
        SearchIndex.open({
          engine: await engine,
          files: durable ? await openIndexFiles() : new MemoryFiles(),
          key,
          random,
        }),
    });
    if (!device.hasIdentity) device.create();
    return {
      api: device,
      subscribe: (listener) => device.subscribe(listener),
      tabGone: (session) => device.tabGone(session),
      close: async () => {
        await device.close();
        store.close();
      },
    };
  } catch (error) {
    store.close();
    throw error;
  }
}

/** What other files of this origin take (the app itself) is not the notes'. */
async function diskOfThisOrigin(): Promise<{ used: null; free: number | null }> {
  const { quota, usage } = await navigator.storage.estimate();
  const isKnown = quota !== undefined && usage !== undefined;
  return { used: null, free: isKnown ? Math.max(0, quota - usage) : null };
}

async function openStoreIn(
  files: FileSet,
  key: Uint8Array | null,
  loading: Promise<SqliteEngine>,
): Promise<Store> {
  let engine: SqliteEngine;
  try {
    engine = await loading;
  } catch (error) {
    closeFiles(files);
    throw error;
  }
  return openStore({ engine, files, key, clock: Date, random });
}

/**
 * The index holds nothing that the notes do not: where its files cannot be had soon, it is made anew in memory. A leader
 * that waits for them could not hand over.
 */
async function openIndexFiles(): Promise<FileSet> {
  const briefly = (ms: number): Promise<void> => {
    if (ms >= indexPauseMs) throw new StoreError("locked", "another worker holds the search index");
    return pause(ms);
  };
  try {
    return await openOpfsFiles(indexName, briefly);
  } catch (error) {
    if (error instanceof StoreError) return new MemoryFiles();
    throw error;
  }
}

type OpenedFiles = Awaited<ReturnType<LockablePorts["openFiles"]>>;

/** Waits as long as another worker has the files open, and says so when that takes long. */
async function openFiles(stall: (stalled: boolean) => void): Promise<OpenedFiles> {
  const wait = (ms: number): Promise<void> => {
    if (ms >= longPauseMs) stall(true);
    return pause(ms);
  };
  for (;;) {
    try {
      const files = await openOpfsFiles(storeName, wait);
      stall(false);
      return { files, durable: true };
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      // A window that keeps nothing still lets one write; the page says so in a banner.
      if (error.type === "no-storage") return { files: new MemoryFiles(), durable: false };
      if (error.type !== "locked") throw error;
    }
  }
}

function random(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}
let automerge: Promise<Automerge> | null = null;

async function loadAutomerge(): Promise<Automerge> {
  const loaded = await import("@automerge/automerge/slim");
  await loaded.initializeWasm(automergeWasm);
  return loaded;
}

async function isTabAlive(session: string): Promise<boolean> {
  const { held = [] } = await navigator.locks.query();
  return held.some(({ name }) => name === tabLock(session));
}

/** The relay serves the app: its address is where this script came from. */
function relayOfThisPage(): string {
  const { protocol, host, pathname } = self.location;
  const folder = /^(.*\/)assets\//.exec(pathname)?.[1] ?? "/";
  return `${protocol === "https:" ? "wss" : "ws"}://${host}${folder}v1`;
}

function fetchPage(url: string): Promise<Response> {
  return fetch(url, { cache: "no-store", signal: AbortSignal.timeout(longestFetchMs) });
}

function onFault(error: unknown): void {
  console.error(error);
}

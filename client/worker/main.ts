/** Composition root of the leader's worker: real files, real time, real sockets, one device. */
import sqliteWasm from "sql.js/dist/sql-wasm-browser.wasm?url";
import automergeWasm from "@automerge/automerge/automerge.wasm?url";
import { loadEngine } from "#crdt-store/files/engine.ts";
import type { FileSet } from "#crdt-store/files/file.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { openOpfsFiles } from "#crdt-store/files/opfs.ts";
import { openStore } from "#crdt-store/store.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { nobleEd25519 } from "#client/crypto/ed25519.ts";
import { Device } from "#client/device/device.ts";
import type { Automerge } from "#client/device/index-document.ts";
import { Refusal } from "#client/device/refusal.ts";
import { dialWebSocket } from "./dial.ts";
import type { RunningDevice } from "./leader.ts";
import { tabLock } from "./lock-names.ts";
import { databaseKey } from "./database-key.ts";

declare const self: DedicatedWorkerGlobalScope;

const storeName = "sealeaf-notes";

/** Opens the store of this browser and wakes the device in it; a first start creates both. */
export async function startDevice(): Promise<RunningDevice> {
  try {
    return await openDevice();
  } catch (error) {
    if (error instanceof StoreError) {
      throw new Refusal({ code: "storage", message: error.message });
    }
    throw error;
  }
}

async function openDevice(): Promise<RunningDevice> {
  const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
  const [engine, { files, key, durable }] = await Promise.all([
    WebAssembly.compileStreaming(fetch(sqliteWasm)).then((wasm) => loadEngine({ wasm, random })),
    openFiles(),
  ]);
  const store = openStore({ engine, files, key, clock: Date, random });
  const device = Device.open({
    store,
    ed: nobleEd25519,
    clock: Date,
    timers: { after: startTimer },
    random,
    chance: Math.random,
    dial: dialWebSocket,
    automerge: () => (automerge ??= loadAutomerge()),
    sessionAlive: isTabAlive,
    relayUrl: relayOfThisPage(),
    durable,
    connect: "always",
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
}

async function openFiles(): Promise<{ files: FileSet; key: Uint8Array | null; durable: boolean }> {
  const wait = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      startTimer(ms, resolve);
    });
  try {
    const files = await openOpfsFiles(storeName, wait);
    return { files, key: await databaseKey(), durable: true };
  } catch (error) {
    // A window that keeps nothing still lets one write; the page says so in a banner.
    if (error instanceof StoreError && error.type === "no-storage") {
      return { files: new MemoryFiles(), key: null, durable: false };
    }
    throw error;
  }
}

let automerge: Promise<Automerge> | null = null;

async function loadAutomerge(): Promise<Automerge> {
  const loaded = await import("@automerge/automerge/slim");
  await loaded.initializeWasm(automergeWasm);
  return loaded;
}

function startTimer(ms: number, callback: () => void): () => void {
  const timer = setTimeout(callback, ms);
  return () => clearTimeout(timer);
}

async function isTabAlive(session: string): Promise<boolean> {
  const { held = [] } = await navigator.locks.query();
  return held.some(({ name }) => name === tabLock(session));
}

/** The relay serves the app: its address is where this script came from. */
function relayOfThisPage(): string {
  const { protocol, host } = self.location;
  return `${protocol === "https:" ? "wss" : "ws"}://${host}/v1`;
}

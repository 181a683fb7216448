/** A home directory: the store of one device on this machine, its key, its lock. */
import { existsSync, statSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { FileSet } from "#crdt-store/files/file.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { loadNodeEngine, lockDirectory, openNodeFiles } from "#crdt-store/files/node.ts";
import { SearchIndex } from "#crdt-store/search-index.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { Device } from "#client/device/device.ts";
import { loadRelay, saveRelay } from "#client/device/identity.ts";
import { pageReader } from "#client/device/read-page.ts";
import { refuse } from "#client/device/refusal.ts";
import { sameRelay } from "#client/device/relay-address.ts";
import { closeKeyToOthers, createHomeKey, readHomeKey, type KeyReader } from "./home-key.ts";
import { diskOf } from "./disk.ts";
import { nodeOpener } from "./start-opener.ts";
import {
  dialNode,
  fetchPage,
  nodeAutomerge,
  nodeEd25519,
  nodeRandom,
  nodeTimers,
} from "./node-ports.ts";

/** Built, it lies beside the program; from source there is none. */
const openerThread = new URL("./opener-thread.js", import.meta.url);

export interface OpenHome {
  readonly device: Device;
  readonly store: Store;
  close(): Promise<void>;
}

export interface HomeOptions {
  readonly dir: string;
  /** Its own from now on, if the home knows none yet; refused if it knows another. */
  readonly relay: string | null;
  readonly connect: "always" | "on-demand";
  readonly keyReader: KeyReader;
}

/** Whether nothing was ever kept there; creates nothing. */
export function isEmptyHome(dir: string): boolean {
  return (statSync(join(dir, "main"), { throwIfNoEntry: false })?.size ?? 0) === 0;
}

/** Runs `act` while no other process has the home. Throws {@link StoreError} `locked` when one has. */
export async function holdHome<T>(dir: string, act: () => Promise<T>): Promise<T> {
  const lock = lockDirectory(dir);
  try {
    return await act();
  } finally {
    lock.release();
  }
}

/**
 * Opens the device of a home, or makes an empty one. Throws {@link StoreError} `locked` when another
 * process has it, and leaves everything as it was on any failure.
 */
export async function openHome(options: HomeOptions): Promise<OpenHome> {
  const { dir, relay, connect, keyReader } = options;
  const lock = lockDirectory(dir);
  let opened: Store | null = null;
  try {
    const engine = await loadNodeEngine();
    const key = await homeKey(dir, keyReader);
    const store = openStore({
      engine,
      files: openNodeFiles(dir),
      key,
      clock: { now: () => Date.now() },
      random: nodeRandom,
    });
    opened = store;
    mustBeRelayOf(store, relay);
    const device = Device.open({
      store,
      ed: nodeEd25519(),
      clock: { now: () => Date.now() },
      timers: nodeTimers,
      random: nodeRandom,
      chance: Math.random,
      dial: dialNode,
      readPage: pageReader(fetchPage),
      automerge: nodeAutomerge,
      ...(existsSync(openerThread) && { startOpener: nodeOpener(openerThread) }),
      // No tab outlives the process that served it.
      sessionAlive: async () => false,
      deviceName: hostname(),
      relayUrl: relay,
      durable: true,
      connect,
      disk: async () => diskOf(dir),
      openScratchStore: async () =>
        openStore({
          engine,
          files: new MemoryFiles(),
          key: null,
          clock: { now: () => Date.now() },
          random: nodeRandom,
        }),
      openSearchIndex: async () =>
        SearchIndex.open({ engine, files: indexFiles(dir), key, random: nodeRandom }),
    });
    // A mistyped relay is forgotten if nothing comes of the home: init or restore decide.
    const rememberRelay = (): void => {
      if (relay !== null && device.hasIdentity && loadRelay(store) === null)
        saveRelay(store, relay);
    };
    rememberRelay();
    return {
      device,
      store,
      close: async () => {
        await device.close();
        rememberRelay();
        store.close();
        lock.release();
      },
    };
  } catch (error) {
    opened?.close();
    lock.release();
    throw error;
  }
}

/** The index holds nothing that the notes do not: a home that refuses its files is searched all the same. */
function indexFiles(dir: string): FileSet {
  try {
    return openNodeFiles(join(dir, "index"));
  } catch {
    return new MemoryFiles();
  }
}

function mustBeRelayOf(store: Store, relay: string | null): void {
  const known = loadRelay(store);
  if (relay === null || known === null || sameRelay(known, relay)) return;
  refuse("bad-relay", otherRelay(known));
}

/** For a home whose own relay is `known` and that is told another. */
export function otherRelay(known: string): string {
  return `This home's own relay is ${known}. Leave --relay out; a notebook on another relay is opened with join.`;
}

/** Made with the home. */
async function homeKey(dir: string, { passphrase, warn }: KeyReader): Promise<Uint8Array> {
  if (isEmptyHome(dir) && !existsSync(join(dir, "key"))) return createHomeKey(dir);
  const key = await readHomeKey(dir, passphrase);
  closeKeyToOthers(dir, warn);
  return key;
}

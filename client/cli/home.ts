/** A home directory: the store of one device on this machine, its key, its lock. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadNodeEngine, lockDirectory, openNodeFiles } from "#crdt-store/files/node.ts";
import { openStore } from "#crdt-store/store.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { Device } from "#client/device/device.ts";
import { refuse } from "#client/device/refusal.ts";
import { dialNode, nodeAutomerge, nodeEd25519, nodeRandom, nodeTimers } from "./node-ports.ts";

export interface OpenHome {
  readonly device: Device;
  close(): Promise<void>;
}

export interface HomeOptions {
  readonly dir: string;
  readonly relay: string | null;
  readonly connect: "always" | "on-demand";
}

/**
 * Opens the device of a home, or makes an empty one. Throws {@link StoreError} `locked` when another
 * process has it, and leaves everything as it was on any failure.
 */
export async function openHome(options: HomeOptions): Promise<OpenHome> {
  const { dir, relay, connect } = options;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const lock = lockDirectory(dir);
  try {
    const engine = await loadNodeEngine();
    const store = openStore({
      engine,
      files: openNodeFiles(dir),
      key: homeKey(dir),
      clock: Date,
      random: nodeRandom,
    });
    const device = Device.open({
      store,
      ed: nodeEd25519(),
      clock: Date,
      timers: nodeTimers,
      random: nodeRandom,
      chance: Math.random,
      dial: dialNode,
      automerge: nodeAutomerge,
      // No tab outlives the process that served it.
      sessionAlive: async () => false,
      relayUrl: null,
      durable: true,
      connect,
    });
    if (relay !== null) device.setRelay(relayAddress(relay));
    return {
      device,
      close: async () => {
        await device.close();
        store.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** The database's key, in a file only its owner can read; made with the home. */
function homeKey(dir: string): Uint8Array {
  const path = join(dir, "key");
  if (existsSync(path)) {
    const key = new Uint8Array(readFileSync(path));
    if (key.length !== 32) {
      throw new StoreError(
        "wrong-key",
        `The key file ${path} is damaged: it must hold 32 bytes. Nothing was changed.`,
      );
    }
    return key;
  }
  const key = nodeRandom(32);
  writeFileSync(path, key, { mode: 0o600, flag: "wx", flush: true });
  return key;
}

/** `http://host:port` or `ws://host:port/v1` as the address to dial. */
export function relayAddress(typed: string): string {
  const url = URL.canParse(typed) ? new URL(typed) : null;
  const scheme =
    url === null
      ? undefined
      : { "http:": "ws:", "https:": "wss:", "ws:": "ws:", "wss:": "wss:" }[url.protocol];
  if (url === null || scheme === undefined) {
    return refuse(
      "bad-relay",
      `“${typed}” is not the address of a relay. It looks like http://localhost:8787 or wss://notes.example.`,
    );
  }
  const path = url.pathname.replace(/\/+$/, "");
  return `${scheme}//${url.host}${path.endsWith("/v1") ? path : `${path}/v1`}`;
}

/** Whole devices in memory, put together as the command line does it. */
import {
  dialNode,
  nodeAutomerge,
  nodeEd25519,
  nodeRandom,
  nodeTimers,
} from "#client/cli/node-ports.ts";
import type { DeviceEvent, DeviceRefusal, NotebookRow } from "#client/device/api.ts";
import { Device } from "#client/device/device.ts";
import type { DevicePorts } from "#client/device/device-ports.ts";
import { Refusal } from "#client/device/refusal.ts";
import type { Dial } from "#client/sync/ports.ts";
import type { FileSet } from "#crdt-store/files/file.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { SearchIndex } from "#crdt-store/search-index.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { deferred } from "#tests/support/deferred.ts";

export interface DeviceFixture extends AsyncDisposable {
  readonly device: Device;
  readonly store: Store;
  readonly files: MemoryFiles;
  /** Tabs that live. */
  readonly sessions: Set<string>;
  /** What the device told since it was opened. */
  readonly events: DeviceEvent[];
}

/** A device that has an identity unless `fresh`; it dials nothing unless it is given a relay. */
export async function setupDevice(
  options: Partial<DevicePorts> & {
    readonly files?: MemoryFiles;
    readonly indexFiles?: FileSet;
    readonly fresh?: boolean;
    /** What opening leaves to the background is still under way. */
    readonly isStarting?: boolean;
  } = {},
): Promise<DeviceFixture> {
  const files = options.files ?? new MemoryFiles();
  const indexFiles = options.indexFiles ?? new MemoryFiles();
  const engine = await loadNodeEngine();
  const store = openStore({ engine, files, key: null, clock: Date, random: nodeRandom });
  const sessions = new Set<string>();
  const device = Device.open({
    store,
    ed: nodeEd25519(),
    clock: Date,
    timers: nodeTimers,
    random: nodeRandom,
    chance: () => 0.5,
    dial: dialNode,
    automerge: nodeAutomerge,
    sessionAlive: async (session) => sessions.has(session),
    deviceName: "Test machine",
    relayUrl: null,
    durable: true,
    connect: "always",
    openScratchStore: async () =>
      openStore({ engine, files: new MemoryFiles(), key: null, clock: Date, random: nodeRandom }),
    openSearchIndex: async () =>
      SearchIndex.open({ engine, files: indexFiles, key: null, random: nodeRandom }),
    ...options,
  });
  const events: DeviceEvent[] = [];
  device.subscribe((event) => events.push(event));
  if (!device.hasIdentity && options.fresh !== true) device.create();
  // Until what creation leaves to the background is done.
  if (device.hasIdentity && options.isStarting !== true) await device.describeStale();
  return {
    device,
    store,
    files,
    sessions,
    events,
    async [Symbol.asyncDispose]() {
      await device.close();
      store.close();
    },
  };
}

/** What a process killed at this moment would leave behind. */
export function filesAfterCrash({ files }: DeviceFixture): MemoryFiles {
  return new MemoryFiles(files.snapshot());
}

/** What `look` finds, as soon as it finds something; it looks again at every event. */
export async function eventually<T>(
  device: Device,
  look: () => Promise<T | null | undefined | false>,
): Promise<T> {
  for (;;) {
    const event = deferred();
    const unsubscribe = device.subscribe(() => event.resolve());
    try {
      const found = await look();
      if (found !== null && found !== undefined && found !== false) return found;
      await event.promise;
    } finally {
      unsubscribe();
    }
  }
}

/** The code a step is refused with, null if it is not. */
export async function refusalOf(step: () => unknown): Promise<DeviceRefusal["code"] | null> {
  try {
    await step();
    return null;
  } catch (error) {
    if (error instanceof Refusal) return error.code;
    throw error;
  }
}

export async function onlyNotebook(device: Device): Promise<NotebookRow> {
  const [notebook, ...others] = await device.notebooks();
  if (notebook === undefined || others.length > 0) throw new Error("not one notebook");
  return notebook;
}

/** Lets everything through, or keeps what a device sends until it is let through again. */
export class GatedDial {
  #isOpen = true;
  #held: (() => void)[] = [];

  readonly dial: Dial = (url, events) => {
    const wire = dialNode(url, events);
    return {
      send: (bytes) => {
        if (this.#isOpen) wire.send(bytes);
        else this.#held.push(() => wire.send(bytes));
      },
      close: () => wire.close(),
    };
  };

  shut(): void {
    this.#isOpen = false;
  }

  open(): void {
    this.#isOpen = true;
    const held = this.#held;
    this.#held = [];
    for (const send of held) send();
  }
}

/**
 * A world in one thread: devices, relays, the network between them, and time. The devices and the
 * relay are the product's own classes; everything they ask the outside for comes from here and
 * follows from the seed.
 */
import { ed25519 } from "@noble/curves/ed25519.js";
import { nodeAutomerge, nodeEd25519 } from "#client/cli/node-ports.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import type { PackingLimits } from "#client/device/compaction.ts";
import { Device } from "#client/device/device.ts";
import type { Automerge } from "#client/device/index-document.ts";
import type { SnapshotLimits } from "#client/device/snapshot-maker.ts";
import type { StartOpener } from "#client/device/opener.ts";
import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import { MemoryFiles, type FileContents } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { defaultLimits, type Limits } from "#relay/protocol/limits.ts";
import { openAccess } from "#tests/support/open-access.ts";
import { Relay } from "#relay/relay.ts";
import type { SpaceWrite } from "#relay/store/store.ts";
import { MemoryRelayDisk, MemoryRelayStore } from "./memory-relay-store.ts";
import { Chance } from "./sim-chance.ts";
import { KillableFiles } from "./sim-files.ts";
import { Network, type Host } from "./sim-network.ts";
import { Timeline, type TimerScope } from "./sim-timeline.ts";
import { Trace } from "./sim-trace.ts";

/** What is loaded once and holds no state between runs. */
export interface Engines {
  readonly sqlite: SqliteEngine;
  readonly automerge: Automerge;
  readonly ed: Ed25519;
}

export async function loadEngines(): Promise<Engines> {
  return {
    sqlite: await loadNodeEngine(),
    automerge: await nodeAutomerge(),
    ed: remembering(nodeEd25519()),
  };
}

const mostRemembered = 20_000;

/**
 * Both are functions of their arguments alone; here six parties ask the same questions in one thread.
 */
function remembering(ed: Ed25519): Ed25519 {
  const keys = new Map<string, Uint8Array>();
  const verdicts = new Map<string, boolean>();
  return {
    ...ed,
    publicKey: (seed) => recall(keys, [seed], () => ed.publicKey(seed)),
    verify: (publicKey, message, signature) =>
      recall(verdicts, [publicKey, signature, message], () =>
        ed.verify(publicKey, message, signature),
      ),
  };
}

function recall<T>(known: Map<string, T>, about: readonly Uint8Array[], find: () => T): T {
  const name = about.map((bytes) => Buffer.from(bytes).toString("latin1")).join("");
  const found = known.get(name) ?? find();
  if (known.size >= mostRemembered) known.clear();
  known.set(name, found);
  return found;
}

export interface WorldOptions {
  readonly seed: string;
  readonly engines: Engines;
  /** Stores encrypted by a key, or in clear. */
  readonly encrypted: boolean;
  readonly limits?: Partial<Limits>;
  /** When devices pack the changes of a document; by default when it is worth it. */
  readonly packing?: PackingLimits;
  /** When each device sums a document up for the relay; by default when it is worth it. */
  readonly snapshots?: (device: string) => SnapshotLimits;
  /** What a device has for Automerge; by default that of the engines. */
  readonly automergeOf?: (device: string) => Automerge;
  /** How each device opens and tries what others made; by default in its own thread. */
  readonly startOpener?: (device: string) => StartOpener;
  /** Strings that must never leave a device. */
  readonly secrets: readonly string[];
  /** Applied to each store a device gets: to plant a fault on purpose. */
  readonly tamper?: (store: Store, device: string) => void;
}

export const relayUrl = "wss://relay.test/v1";

export class World {
  readonly timeline = new Timeline();
  readonly trace: Trace;
  readonly chance: Chance;
  readonly network: Network;
  /** The one that every device knows. */
  readonly relay: SimRelay;
  readonly relays: SimRelay[] = [];
  readonly devices: SimDevice[] = [];
  /** Secrets that were seen on the wire. */
  readonly leaks: string[] = [];
  readonly #options: WorldOptions;
  readonly #secrets: Buffer[];
  /** Those that are bytes, by their hex. */
  readonly #keys = new Set<string>();

  constructor(options: WorldOptions) {
    this.#options = options;
    this.#secrets = options.secrets.map((secret) => Buffer.from(secret));
    this.trace = new Trace(() => this.timeline.elapsed);
    this.chance = new Chance(`seed ${options.seed}`);
    this.network = new Network(this.timeline, this.chance.fork("network"), this.trace, (frame) =>
      this.leaks.push(...this.secretsIn(frame)),
    );
    this.relay = new SimRelay(this, options.engines, this.#limits, relayUrl);
    this.relays.push(this.relay);
  }

  get #limits(): Limits {
    return { ...defaultLimits, ...this.#options.limits };
  }

  /** One more relay, which no device knows by itself. */
  addRelay(url: string, access = openAccess): SimRelay {
    const relay = new SimRelay(this, this.#options.engines, this.#limits, url, access);
    this.relays.push(relay);
    return relay;
  }

  /**
   * A device that has never been opened, or one whose files, not encrypted, are `disk`.
   * @param relay its own, unless its store remembers another
   */
  addDevice(
    name: string,
    disk: FileContents | null = null,
    relay: string | null = relayUrl,
  ): SimDevice {
    const device = new SimDevice(this, name, this.#options, disk, relay);
    this.devices.push(device);
    return device;
  }

  /** From now on these bytes must not leave a device either. */
  addSecret(key: Uint8Array): void {
    const hex = toHex(key);
    if (this.#keys.has(hex)) return;
    this.#keys.add(hex);
    this.#secrets.push(Buffer.from(key));
  }

  /** Whether the devices' files are. */
  get isEncrypted(): boolean {
    return this.#options.encrypted;
  }

  /** Those that are there, a key by its hex. */
  secretsIn(bytes: Uint8Array): string[] {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    return this.#secrets.flatMap((secret) => {
      if (!buffer.includes(secret)) return [];
      const hex = secret.toString("hex");
      return [this.#keys.has(hex) ? `the key ${hex}` : secret.toString()];
    });
  }

  /** Frees what a run holds. */
  async end(): Promise<void> {
    for (const device of this.devices) await device.kill();
    for (const relay of this.relays) relay.crash();
  }
}

/** Appends become durable a little later, those that come together at once, as with a group commit. */
class SyncingStore extends MemoryRelayStore {
  readonly #timers: TimerScope;
  readonly #delay: () => number;
  #isDue = false;

  constructor(disk: MemoryRelayDisk, timers: TimerScope, delay: () => number) {
    super(disk);
    this.isHeld = true;
    this.#timers = timers;
    this.#delay = delay;
  }

  override append(writes: readonly SpaceWrite[]): Promise<void> {
    if (!this.#isDue) {
      this.#isDue = true;
      this.#timers.after(this.#delay(), () => {
        this.#isDue = false;
        this.sync();
      });
    }
    return super.append(writes);
  }
}

export class SimRelay {
  /** Survives crashes. Replace it, while the relay is down, by a copy made before: a restored backup. */
  disk = new MemoryRelayDisk();
  readonly url: string;
  readonly #world: World;
  readonly #engines: Engines;
  readonly #limits: Limits;
  readonly #access: typeof openAccess;
  readonly #chance: Chance;
  #running: { readonly store: MemoryRelayStore; readonly timers: TimerScope } | null = null;
  /** Errors it logged. */
  readonly errors: string[] = [];

  constructor(world: World, engines: Engines, limits: Limits, url: string, access = openAccess) {
    this.#world = world;
    this.#engines = engines;
    this.#limits = limits;
    this.#access = access;
    this.url = url;
    this.#chance = world.chance.fork(url === relayUrl ? "relay" : `relay ${url}`);
  }

  get #host(): string {
    return new URL(this.url).host;
  }

  get isUp(): boolean {
    return this.#running !== null;
  }

  async start(): Promise<void> {
    const { timeline, trace, network } = this.#world;
    const { ed } = this.#engines;
    const timers = timeline.scope();
    const store = new SyncingStore(this.disk, timers, () => this.#chance.between(1, 40));
    const running = { store, timers };
    this.#running = running;
    const { relaySecret, storeId } = await store.identity({
      relaySecret: this.#chance.bytes(32),
      storeId: this.#chance.bytes(16),
    });
    const relay = new Relay({
      store,
      clock: timeline,
      timers,
      random: (length) => this.#chance.bytes(length),
      verify: async (publicKey, message, signature) => ed.verify(publicKey, message, signature),
      identity: {
        relayPub: ed25519.getPublicKey(relaySecret),
        storeId,
        sign: async (message) => ed.sign(relaySecret, message),
      },
      access: this.#access,
      limits: this.#limits,
      log: (level, event) => {
        // What fails because the process ended is not a fault of the relay.
        if (level === "error" && this.#running === running) this.errors.push(event);
      },
      acceptsOrigin: (dialled) => dialled === this.url,
    });
    trace.add("relay starts");
    network.listen(this.#host, (socket) => relay.connect(socket));
  }

  /** The disk is full for the next so many transactions. */
  fillDisk(transactions: number): void {
    for (let left = transactions; left > 0; left -= 1) this.#running?.store.failures.push("full");
  }

  /** The process ends: what its store had not synced is lost. */
  crash(): void {
    if (this.#running === null) return;
    const { store, timers } = this.#running;
    this.#running = null;
    this.#world.trace.add("relay crashes");
    this.#world.network.relayGone(this.#host);
    timers.end();
    store.crash();
  }
}

interface Process {
  readonly device: Device;
  readonly store: Store;
  readonly files: KillableFiles;
  readonly host: Host;
  readonly timers: TimerScope;
}

export class SimDevice {
  readonly name: string;
  /** Tabs that live: their drafts are their own affair. */
  readonly sessions = new Set<string>();
  readonly #world: World;
  readonly #options: WorldOptions;
  readonly #chance: Chance;
  readonly #key: Uint8Array | null;
  readonly #relay: string | null;
  #disk: FileContents | null;
  #process: Process | null = null;

  constructor(
    world: World,
    name: string,
    options: WorldOptions,
    disk: FileContents | null,
    relay: string | null,
  ) {
    this.name = name;
    this.#disk = disk;
    this.#relay = relay;
    this.#world = world;
    this.#options = options;
    this.#chance = world.chance.fork(`device ${name}`);
    this.#key = options.encrypted ? this.#chance.bytes(32) : null;
  }

  /** Null while nothing runs; also once it has been killed inside a step. */
  get running(): { readonly device: Device; readonly store: Store } | null {
    return this.#process === null || this.#process.host.isGone ? null : this.#process;
  }

  /** The bytes of its files. */
  bytes(): FileContents | null {
    return this.#process?.files.remains() ?? this.#disk;
  }

  /** While nothing runs: its files are gone. */
  lose(): void {
    if (this.#process !== null) throw new Error(`${this.name} runs`);
    this.#disk = null;
    this.#world.trace.add(`${this.name} has lost its disk`);
  }

  /** While nothing runs: its files become these, whatever happened to them. */
  give(contents: FileContents): void {
    if (this.#process !== null) throw new Error(`${this.name} runs`);
    this.#disk = contents;
  }

  open(): Device {
    if (this.#process !== null) throw new Error(`${this.name} runs already`);
    const { timeline, network, trace } = this.#world;
    const { sqlite, ed, automerge } = this.#options.engines;
    const random = (length: number): Uint8Array => this.#chance.bytes(length);
    const files = new KillableFiles(this.#disk);
    const store = openStore({ engine: sqlite, files, key: this.#key, clock: timeline, random });
    this.#options.tamper?.(store, this.name);
    const host = { name: this.name, isGone: false };
    const timers = timeline.scope();
    trace.add(`${this.name} opens`);
    const device = Device.open({
      store,
      ed,
      clock: timeline,
      timers,
      random,
      chance: () => this.#chance.next(),
      dial: network.dialFrom(host),
      automerge: async () => this.#options.automergeOf?.(this.name) ?? automerge,
      sessionAlive: async (session) => this.sessions.has(session),
      deviceName: this.name,
      relayUrl: this.#relay,
      durable: true,
      connect: "always",
      ...(this.#options.packing === undefined ? {} : { packing: this.#options.packing }),
      ...(this.#options.snapshots === undefined
        ? {}
        : { snapshots: this.#options.snapshots(this.name) }),
      ...(this.#options.startOpener === undefined
        ? {}
        : { startOpener: this.#options.startOpener(this.name) }),
      openScratchStore: async () =>
        openStore({ engine: sqlite, files: new MemoryFiles(), key: null, clock: timeline, random }),
      openSearchIndex: null,
    });
    this.#process = { device, store, files, host, timers };
    return device;
  }

  /** It is killed in the middle of whatever makes the so-manieth flush from now (0: at once); {@link kill} then clears up. */
  killAfterFlushes(flushes: number): void {
    const process = this.#process;
    if (process === null) return;
    process.files.killAfter(flushes, () => {
      this.#world.trace.add(`${this.name} is killed in the middle of a step`);
      process.host.isGone = true;
      process.timers.end();
    });
  }

  /** The process is gone, without a word to anybody; its files keep what they held. */
  async kill(): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    this.#world.trace.add(`${this.name} is gone`);
    this.#disk = process.files.remains();
    this.#process = null;
    this.sessions.clear();
    process.host.isGone = true;
    process.timers.end();
    this.#world.network.hostGone(process.host);
    // Whatever it still does from here on reaches neither its files nor the network.
    await process.device.close();
    process.store.close();
  }
}

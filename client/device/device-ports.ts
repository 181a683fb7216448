/** What a platform gives a device: everything about time, chance, network and files that it knows. */
import type { SearchIndex } from "#crdt-store/search-index.ts";
import type { Store } from "#crdt-store/store.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import type { Clock, Dial, Random, Timers } from "#client/sync/ports.ts";
import type { PackingLimits } from "./compaction.ts";
import type { Automerge } from "./index-document.ts";
import type { OpenerLimits, StartOpener } from "./opener.ts";
import type { ReadPage } from "./relay-enquiry.ts";
import type { SnapshotLimits } from "./snapshot-maker.ts";

export interface DevicePorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** 0 ≤ x < 1, for jitter. */
  readonly chance: () => number;
  readonly dial: Dial;
  /** Resolves to an initialised Automerge; asked when a document is first needed here. */
  readonly automerge: () => Promise<Automerge>;
  /** Whether the tab behind a session still lives: its draft is then its own affair. */
  readonly sessionAlive: (session: string) => Promise<boolean>;
  /** How the platform calls this device, until its owner says otherwise. */
  readonly deviceName: string;
  /** Where the relay listens (ws:// or wss://), unless the store remembers another. */
  readonly relayUrl: string | null;
  /** False where nothing outlives the window. */
  readonly durable: boolean;
  /** Stay connected from the start, or connect only when a step needs the relay. */
  readonly connect: "always" | "on-demand";
  /** Where the store is, as far as the platform tells: bytes that all files take, and bytes that still can be written. */
  readonly disk?: () => Promise<{ readonly used: number | null; readonly free: number | null }>;
  /** The relay whose app this is; without it none is. */
  readonly servedBy?: string;
  /** Without it what the relay says of itself cannot be read. */
  readonly readPage?: ReadPage;
  /** Starts a thread in which what others made is opened and tried; by default it is done in this one. */
  readonly startOpener?: StartOpener;
  /** How long that may take. */
  readonly opening?: OpenerLimits;
  /** When a document is summed up for the relay; by default when it is worth it. */
  readonly snapshots?: SnapshotLimits;
  /** When a document's changes are packed; by default when it is worth it. */
  readonly packing?: PackingLimits;
  /** An empty store in memory; whoever asks closes it. */
  readonly openScratchStore: () => Promise<Store>;
  /** Asked once, when the index is first needed; null where nothing is to be searched. The device closes it. */
  readonly openSearchIndex: (() => Promise<SearchIndex>) | null;
}

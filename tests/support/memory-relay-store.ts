/**
 * The relay's store in memory, without timers: for simulations, which own time and chance. What an
 * append brought becomes durable at once, or, when held, at `sync`; a crash loses the rest.
 */
import { equal, toHex } from "#relay/protocol/bytes.ts";
import {
  StoreError,
  stubItemBytes,
  type LogItem,
  type LogRow,
  type Place,
  type SpaceWrite,
  type Store,
  type StoredSpace,
  type StoreIdentity,
} from "#relay/store/store.ts";

interface KeptSpace {
  readonly stored: Omit<StoredSpace, "controls">;
  readonly rows: LogRow[];
}

/** What survives a crash. Copying one gives an old backup to restore. */
export class MemoryRelayDisk {
  identity: StoreIdentity | null = null;
  readonly spaces = new Map<string, KeptSpace>();

  copy(): MemoryRelayDisk {
    const copied = new MemoryRelayDisk();
    copied.identity = this.identity;
    for (const [key, { stored, rows }] of this.spaces) {
      copied.spaces.set(key, { stored, rows: [...rows] });
    }
    return copied;
  }

  /** Every byte kept, to look for what must not be there. */
  bytes(): Uint8Array[] {
    return [...this.spaces.values()].flatMap(({ stored, rows }) => [
      stored.genesis,
      ...rows.map((row) => row.bytes),
      ...stored.certificates.map((certificate) => certificate.bytes),
    ]);
  }
}

interface HeldAppend {
  readonly writes: readonly SpaceWrite[];
  readonly resolve: () => void;
  readonly reject: (error: StoreError) => void;
}

export class MemoryRelayStore implements Store {
  readonly #disk: MemoryRelayDisk;
  /** While held, appends wait for `sync`. */
  isHeld = false;
  /** The next appends fail with this, each once. */
  readonly failures: ("full" | "failed")[] = [];
  #held: HeldAppend[] = [];
  #isOpen = true;

  constructor(disk: MemoryRelayDisk = new MemoryRelayDisk()) {
    this.#disk = disk;
  }

  /** Makes durable, in order, what waits. */
  sync(): void {
    const held = this.#held;
    this.#held = [];
    for (const { writes, resolve, reject } of held) {
      const error = this.#keep(writes);
      if (error === null) resolve();
      else reject(error);
    }
  }

  /** The process ends here: what was not durable is gone and is never answered. */
  crash(): void {
    this.#isOpen = false;
    this.#held = [];
  }

  identity(fresh: StoreIdentity): Promise<StoreIdentity> {
    return this.#answer(() => (this.#disk.identity ??= fresh));
  }

  loadSpace(spaceId: Uint8Array): Promise<StoredSpace | null> {
    return this.#answer(() => {
      const kept = this.#find(spaceId);
      if (kept === undefined) return null;
      return { ...kept.stored, controls: controlsOf(kept) };
    });
  }

  append(writes: readonly SpaceWrite[]): Promise<void> {
    if (!this.#isOpen) return Promise.reject(new StoreError("closed", "the store is closed"));
    return new Promise((resolve, reject) => {
      this.#held.push({ writes, resolve, reject });
      if (!this.isHeld) this.sync();
    });
  }

  positionOf(spaceId: Uint8Array, itemId: Uint8Array): Promise<Place | null> {
    return this.#answer(() => {
      const row = this.#find(spaceId)?.rows.find((kept) => equal(kept.itemId, itemId));
      return row === undefined ? null : { pos: row.pos, chain: row.chain };
    });
  }

  chainAt(spaceId: Uint8Array, pos: number): Promise<Uint8Array | null> {
    return this.#answer(() => this.#find(spaceId)?.rows[pos - 1]?.chain ?? null);
  }

  readLog(
    spaceId: Uint8Array,
    after: number,
    upTo: number,
    byteBudget: number,
    what: "bodies" | "stubs",
  ): Promise<readonly LogItem[]> {
    return this.#answer(() => {
      const items = (this.#find(spaceId)?.rows ?? [])
        .slice(after, upTo)
        .map((row) => itemOf(row, what));
      return withinBudget(items, byteBudget, ({ body }) => body?.length ?? stubItemBytes);
    });
  }

  readControls(
    spaceId: Uint8Array,
    fromSeq: number,
    byteBudget: number,
  ): Promise<readonly { pos: number; bytes: Uint8Array }[]> {
    return this.#answer(() => {
      const kept = this.#find(spaceId);
      const controls = kept === undefined ? [] : controlsOf(kept).slice(Math.max(0, fromSeq - 1));
      return withinBudget(controls, byteBudget, ({ bytes }) => bytes.length);
    });
  }

  readCertificates(spaceId: Uint8Array): Promise<readonly Uint8Array[]> {
    return this.#answer(() =>
      (this.#find(spaceId)?.stored.certificates ?? []).map(({ bytes }) => bytes),
    );
  }

  totalBytes(): Promise<number> {
    return this.#answer(() =>
      [...this.#disk.spaces.values()].reduce((sum, { stored }) => sum + stored.countedBytes, 0),
    );
  }

  close(): Promise<void> {
    this.sync();
    this.#isOpen = false;
    return Promise.resolve();
  }

  #answer<T>(read: () => T): Promise<T> {
    if (!this.#isOpen) return Promise.reject(new StoreError("closed", "the store is closed"));
    return Promise.resolve(read());
  }

  #find(spaceId: Uint8Array): KeptSpace | undefined {
    return this.#disk.spaces.get(toHex(spaceId));
  }

  #keep(writes: readonly SpaceWrite[]): StoreError | null {
    const planned = this.failures.shift();
    if (planned !== undefined) return new StoreError(planned, `the append failed: ${planned}`);
    const isCurrent = writes.every(
      ({ spaceId, revision }) => (this.#find(spaceId)?.stored.revision ?? 0) === revision,
    );
    if (!isCurrent) return new StoreError("moved", "the append failed: moved");
    for (const write of writes) {
      const before = this.#find(write.spaceId);
      const counters = new Map(
        [...(before?.stored.counters ?? []), ...write.counters].map((counter) => [
          toHex(counter.devPub),
          counter,
        ]),
      );
      const stored = {
        genesis: write.genesis,
        revision: write.revision + 1,
        head: write.head,
        chain: write.chain,
        countedBytes: write.countedBytes,
        certificates: [...(before?.stored.certificates ?? []), ...write.certificates],
        counters: [...counters.values()],
      };
      const rows = before?.rows ?? [];
      rows.push(...write.rows);
      this.#disk.spaces.set(toHex(write.spaceId), { stored, rows });
    }
    return null;
  }
}

function controlsOf(kept: KeptSpace): { pos: number; bytes: Uint8Array }[] {
  return kept.rows
    .filter(({ kind }) => kind === "control")
    .map(({ pos, bytes }) => ({ pos, bytes }));
}

function itemOf(row: LogRow, what: "bodies" | "stubs"): LogItem {
  const { pos, kind, docId, entryKind, itemId, bytes } = row;
  const body = what === "bodies" || kind === "control" ? bytes : null;
  return { pos, kind, docId, entryKind, size: bytes.length, itemId, body };
}

function withinBudget<T>(
  items: readonly T[],
  byteBudget: number,
  sizeOf: (item: T) => number,
): T[] {
  let bytes = 0;
  const end = items.findIndex((item, ix) => {
    bytes += sizeOf(item);
    return ix > 0 && bytes > byteBudget;
  });
  return end < 0 ? [...items] : items.slice(0, end);
}

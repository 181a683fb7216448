/**
 * The relay's store in memory, without timers: for simulations, which own time and chance. What an
 * append brought becomes durable at once, or, when held, at `sync`; a crash loses the rest.
 */
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { spaceIdOf } from "#relay/protocol/genesis.ts";
import {
  StoreError,
  stubItemBytes,
  type BlobRow,
  type CardRow,
  type Deadlines,
  type DocumentRow,
  type DueInSpace,
  type Forgotten,
  type KeptBody,
  type ListedDocument,
  type LogItem,
  type LogRow,
  type Neighbours,
  type Place,
  type SnapshotRow,
  type SpaceWrite,
  type Store,
  type StoredBlob,
  type StoredDocument,
  type StoredSpace,
  type StoreIdentity,
} from "#relay/store/store.ts";

/** Its bytes are none once they are forgotten. */
interface KeptRow extends LogRow {
  readonly at: number;
  readonly size: number;
}

interface KeptSpace {
  readonly stored: Omit<StoredSpace, "controls">;
  /** By position, in order. */
  readonly rows: Map<number, KeptRow>;
  /** By document id. */
  readonly documents: Map<string, DocumentRow>;
  readonly cards: Map<string, CardRow>;
  /** By position. */
  readonly snapshots: Map<number, SnapshotRow>;
  /** By blob id. */
  readonly blobs: Map<string, BlobRow>;
  /** By blob id and index. */
  readonly chunks: Map<string, Uint8Array>;
}

/** What survives a crash. Copying one gives an old backup to restore. */
export class MemoryRelayDisk {
  identity: StoreIdentity | null = null;
  readonly spaces = new Map<string, KeptSpace>();

  copy(): MemoryRelayDisk {
    const copied = new MemoryRelayDisk();
    copied.identity = this.identity;
    for (const [key, kept] of this.spaces) {
      copied.spaces.set(key, {
        stored: kept.stored,
        rows: new Map(kept.rows),
        documents: new Map(kept.documents),
        cards: new Map(kept.cards),
        snapshots: new Map(kept.snapshots),
        blobs: new Map(kept.blobs),
        chunks: new Map(kept.chunks),
      });
    }
    return copied;
  }

  /** Every byte kept, to look for what must not be there. */
  bytes(): Uint8Array[] {
    return [...this.spaces.values()].flatMap(({ stored, rows, cards, chunks }) => [
      stored.genesis,
      ...[...rows.values()].map((row) => row.bytes),
      ...[...cards.values()].map((card) => card.bytes),
      ...chunks.values(),
      ...stored.certificates.map((certificate) => certificate.bytes),
    ]);
  }
}

interface Held {
  readonly keep: () => boolean;
  readonly resolve: (isKnown: boolean) => void;
  readonly reject: (error: StoreError) => void;
}

export class MemoryRelayStore implements Store {
  readonly neighbours: Neighbours | null = null;
  readonly #disk: MemoryRelayDisk;
  /** While held, appends wait for `sync`. */
  isHeld = false;
  /** The next appends fail with this, each once. */
  readonly failures: ("full" | "failed")[] = [];
  #held: Held[] = [];
  #isOpen = true;

  constructor(disk: MemoryRelayDisk = new MemoryRelayDisk()) {
    this.#disk = disk;
  }

  /** Makes durable, in order, what waits. */
  sync(): void {
    const held = this.#held;
    this.#held = [];
    for (const { keep, resolve, reject } of held) {
      const planned = this.failures.shift();
      try {
        if (planned !== undefined) throw new StoreError(planned, `the append failed: ${planned}`);
        resolve(keep());
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        reject(error);
      }
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

  async append(writes: readonly SpaceWrite[]): Promise<void> {
    await this.#hold(() => this.#keep(writes));
  }

  putChunk(
    spaceId: Uint8Array,
    blobId: Uint8Array,
    index: number,
    bytes: Uint8Array,
  ): Promise<boolean> {
    return this.#hold(() => {
      const kept = this.#find(spaceId);
      if (kept?.blobs.has(toHex(blobId)) !== true) return false;
      kept.chunks.set(chunkKey(blobId, index), bytes);
      return true;
    });
  }

  positionOf(spaceId: Uint8Array, itemId: Uint8Array): Promise<Place | null> {
    return this.#answer(() => {
      const row = this.#rowsOf(spaceId).find((kept) => equal(kept.itemId, itemId));
      return row === undefined ? null : { pos: row.pos, chain: row.chain };
    });
  }

  chainAt(spaceId: Uint8Array, pos: number): Promise<Uint8Array | null> {
    return this.#answer(() => this.#find(spaceId)?.rows.get(pos)?.chain ?? null);
  }

  readLog(
    spaceId: Uint8Array,
    after: number,
    upTo: number,
    byteBudget: number,
    what: "bodies" | "stubs",
  ): Promise<readonly LogItem[]> {
    return this.#answer(() => {
      const items = this.#rowsOf(spaceId)
        .filter(({ pos }) => pos > after && pos <= upTo)
        .map((row) => itemOf(row, what));
      return withinBudget(items, byteBudget, sizeInBudget);
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

  readDocuments(
    spaceId: Uint8Array,
    docIds: readonly Uint8Array[],
  ): Promise<readonly StoredDocument[]> {
    return this.#answer(() =>
      docIds.flatMap((docId): StoredDocument[] => {
        const document = this.#find(spaceId)?.documents.get(toHex(docId));
        const card = this.#find(spaceId)?.cards.get(toHex(docId));
        if (document === undefined) return [];
        if (card === undefined) return [{ ...document, card: null }];
        const { derivedPos, bytes } = card;
        return [{ ...document, card: { derivedPos, size: bytes.length } }];
      }),
    );
  }

  listDocuments(
    spaceId: Uint8Array,
    afterDocId: Uint8Array,
    limit: number,
  ): Promise<readonly ListedDocument[]> {
    return this.#answer(() => {
      const kept = this.#find(spaceId);
      return [...(kept?.documents ?? [])]
        .filter(([key]) => key > toHex(afterDocId))
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .slice(0, limit)
        .map(([key, { docId, lastPos, dropPos, snapshotPos }]) => {
          const whole = this.#documentRows(spaceId, docId);
          const tail = whole.filter(({ pos }) => pos !== snapshotPos);
          return {
            docId,
            lastPos,
            dropPos,
            snapshotPos,
            snapshotSize: kept?.rows.get(snapshotPos)?.size ?? 0,
            tailEntries: tail.length,
            tailBytes: tail.reduce((sum, { size }) => sum + size, 0),
            card: kept?.cards.get(key)?.bytes ?? null,
          };
        });
    });
  }

  readDocument(
    spaceId: Uint8Array,
    docId: Uint8Array,
    after: number,
    byteBudget: number,
  ): Promise<readonly LogItem[]> {
    return this.#answer(() => {
      const items = this.#documentRows(spaceId, docId)
        .filter(({ pos }) => pos > after)
        .map((row) => itemOf(row, "bodies"));
      return withinBudget(items, byteBudget, sizeInBudget);
    });
  }

  readBlob(spaceId: Uint8Array, blobId: Uint8Array): Promise<StoredBlob | null> {
    return this.#answer(() => {
      const kept = this.#find(spaceId);
      const blob = kept?.blobs.get(toHex(blobId));
      if (kept === undefined || blob === undefined) return null;
      return { ...blob, kept: keptChunks(kept, blob) };
    });
  }

  readBlobsOf(spaceId: Uint8Array, docId: Uint8Array | null): Promise<readonly BlobRow[]> {
    return this.#answer(() =>
      [...(this.#find(spaceId)?.blobs.values() ?? [])].filter(
        (blob) => docId === null || equal(blob.docId, docId),
      ),
    );
  }

  readSnapshots(spaceId: Uint8Array, docId: Uint8Array): Promise<readonly SnapshotRow[]> {
    return this.#answer(() =>
      [...(this.#find(spaceId)?.snapshots.values() ?? [])].filter((row) => equal(row.docId, docId)),
    );
  }

  readChunk(spaceId: Uint8Array, blobId: Uint8Array, index: number): Promise<Uint8Array | null> {
    return this.#answer(() => this.#find(spaceId)?.chunks.get(chunkKey(blobId, index)) ?? null);
  }

  listSpaces(
    afterSpaceId: Uint8Array,
    limit: number,
  ): Promise<readonly { spaceId: Uint8Array; deletedAt: number | null }[]> {
    return this.#answer(() =>
      [...this.#disk.spaces]
        .filter(([key]) => key > toHex(afterSpaceId))
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .slice(0, limit)
        .map(([, { stored }]) => ({
          spaceId: spaceIdOf(stored.genesis),
          deletedAt: stored.deletedAt,
        })),
    );
  }

  readDue(spaceId: Uint8Array, deadlines: Deadlines, limit: number): Promise<DueInSpace> {
    return this.#answer(() => {
      const kept = this.#find(spaceId);
      if (kept === undefined) return { snapshots: [], drops: [], stubs: [], blobs: [] };
      const old = [...kept.snapshots.values()].filter(({ at }) => at <= deadlines.snapshots);
      const isDue = (key: string) =>
        old.filter(
          ({ docId, pos }) =>
            toHex(docId) === key && pos > (kept.documents.get(key)?.sweptPos ?? 0),
        ).length > 1;
      const due = new Set([...kept.documents.keys()].filter(isDue).slice(0, limit));
      return {
        snapshots: old.filter(({ docId }) => due.has(toHex(docId))),
        drops: [...kept.documents.values()]
          .filter(
            ({ dropPos, sweptPos, lastAt }) => dropPos > sweptPos && lastAt <= deadlines.drops,
          )
          .slice(0, limit),
        stubs: [...kept.rows.values()]
          .filter(({ bytes, at }) => bytes.length === 0 && at <= deadlines.stubs)
          .map(({ pos }) => pos)
          .slice(0, limit),
        blobs: [...kept.blobs.values()]
          .filter((blob) =>
            blob.droppedAt === null
              ? blob.at <= deadlines.unfinishedBlobs &&
                keptChunks(kept, blob).length < blob.chunks.length
              : blob.droppedAt <= deadlines.droppedBlobs,
          )
          .slice(0, limit),
      };
    });
  }

  readBodies(
    spaceId: Uint8Array,
    docId: Uint8Array | null,
    after: number,
    upTo: number,
    limit: number,
  ): Promise<readonly KeptBody[]> {
    return this.#answer(() =>
      this.#rowsOf(spaceId)
        .filter((row) => row.kind === "entry" && row.bytes.length > 0)
        .filter((row) => docId === null || equal(row.docId, docId))
        .filter(({ pos }) => pos > after && pos <= upTo)
        .slice(0, limit)
        .map((row) => ({
          pos: row.pos,
          docId: row.docId,
          entryKind: row.entryKind,
          itemId: row.itemId,
          size: row.size,
          devPub: row.bytes.slice(56, 88),
        })),
    );
  }

  reclaim(): Promise<boolean> {
    return this.#answer(() => false);
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

  #rowsOf(spaceId: Uint8Array): KeptRow[] {
    return [...(this.#find(spaceId)?.rows.values() ?? [])];
  }

  /** The newest snapshot of a document and what it does not cover, in order. */
  #documentRows(spaceId: Uint8Array, docId: Uint8Array): KeptRow[] {
    const newest = [...(this.#find(spaceId)?.snapshots.values() ?? [])].findLast((snapshot) =>
      equal(snapshot.docId, docId),
    );
    return this.#rowsOf(spaceId).filter(
      (row) =>
        row.kind === "entry" &&
        equal(row.docId, docId) &&
        (newest === undefined ||
          row.pos > newest.coversPos ||
          newest.omitted.some((itemId) => equal(itemId, row.itemId))),
    );
  }

  #hold(keep: () => boolean): Promise<boolean> {
    if (!this.#isOpen) return Promise.reject(new StoreError("closed", "the store is closed"));
    return new Promise((resolve, reject) => {
      this.#held.push({ keep, resolve, reject });
      if (!this.isHeld) this.sync();
    });
  }

  #keep(writes: readonly SpaceWrite[]): boolean {
    const isCurrent = writes.every(
      ({ spaceId, revision }) => (this.#find(spaceId)?.stored.revision ?? 0) === revision,
    );
    if (!isCurrent) throw new StoreError("moved", "the append failed: moved");
    for (const write of writes) this.#keepOne(write);
    return true;
  }

  #keepOne(write: SpaceWrite): void {
    const before = this.#find(write.spaceId);
    const counters = new Map(
      [...(before?.stored.counters ?? []), ...write.counters].map((counter) => [
        toHex(counter.devPub),
        counter,
      ]),
    );
    const kept: KeptSpace = {
      rows: before?.rows ?? new Map(),
      documents: before?.documents ?? new Map(),
      cards: before?.cards ?? new Map(),
      snapshots: before?.snapshots ?? new Map(),
      blobs: before?.blobs ?? new Map(),
      chunks: before?.chunks ?? new Map(),
      stored: {
        genesis: write.genesis,
        revision: write.revision + 1,
        head: write.head,
        chain: write.chain,
        base: write.base,
        countedBytes: write.countedBytes,
        deletedAt: write.deletedAt,
        certificates: [...(before?.stored.certificates ?? []), ...write.certificates],
        counters: [...counters.values()],
      },
    };
    for (const row of write.rows) {
      kept.rows.set(row.pos, { ...row, at: write.at, size: row.bytes.length });
    }
    for (const document of write.documents) kept.documents.set(toHex(document.docId), document);
    for (const card of write.cards) kept.cards.set(toHex(card.docId), card);
    for (const snapshot of write.snapshots) kept.snapshots.set(snapshot.pos, snapshot);
    for (const blob of write.blobs) kept.blobs.set(toHex(blob.blobId), blob);
    forget(kept, write.forgotten);
    this.#disk.spaces.set(toHex(write.spaceId), kept);
  }
}

function forget(kept: KeptSpace, { bodies, stubs, cards, documents, blobs }: Forgotten): void {
  for (const pos of bodies) {
    const row = kept.rows.get(pos);
    if (row?.kind === "entry") kept.rows.set(pos, { ...row, bytes: new Uint8Array(0) });
    kept.snapshots.delete(pos);
  }
  for (const pos of stubs) if (kept.rows.get(pos)?.bytes.length === 0) kept.rows.delete(pos);
  for (const docId of cards) kept.cards.delete(toHex(docId));
  for (const docId of documents) {
    kept.documents.delete(toHex(docId));
    kept.cards.delete(toHex(docId));
    for (const [pos, snapshot] of kept.snapshots) {
      if (equal(snapshot.docId, docId)) kept.snapshots.delete(pos);
    }
  }
  for (const blobId of blobs) {
    const blob = kept.blobs.get(toHex(blobId));
    for (const ix of blob?.chunks.keys() ?? []) kept.chunks.delete(chunkKey(blobId, ix));
    kept.blobs.delete(toHex(blobId));
  }
}

function chunkKey(blobId: Uint8Array, index: number): string {
  return `${toHex(blobId)} ${index}`;
}

function keptChunks(kept: KeptSpace, { blobId, chunks }: BlobRow): number[] {
  return [...chunks.keys()].filter((ix) => kept.chunks.has(chunkKey(blobId, ix)));
}

function controlsOf(kept: KeptSpace): { pos: number; bytes: Uint8Array }[] {
  return [...kept.rows.values()]
    .filter(({ kind }) => kind === "control")
    .map(({ pos, bytes }) => ({ pos, bytes }));
}

function itemOf(row: KeptRow, what: "bodies" | "stubs"): LogItem {
  const { pos, kind, docId, entryKind, size, itemId, bytes } = row;
  const isWhole = (what === "bodies" && bytes.length > 0) || kind === "control";
  return { pos, kind, docId, entryKind, size, itemId, body: isWhole ? bytes : null };
}

function sizeInBudget({ body }: LogItem): number {
  return body?.length ?? stubItemBytes;
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

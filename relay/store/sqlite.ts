/**
 * The default store: SQLite in a worker thread, so that the wait for the disk never stops the event
 * loop. Appends that arrive together, and those that arrive while a transaction is underway, share
 * the next transaction and its fsync.
 */
import { Worker } from "node:worker_threads";
import type { AccessStore } from "#relay/store/access-store.ts";
import { SqliteAccessCalls } from "#relay/store/sqlite-access-calls.ts";
import { answerCall, type Answer, type Call } from "#relay/store/sqlite-calls.ts";
import { openToServe, type OpenedStore } from "#relay/store/sqlite-opening.ts";
import {
  SqliteDatabase,
  type ChunkWrite,
  type Keepable,
  type Outcome,
} from "#relay/store/sqlite-database.ts";
import {
  StoreError,
  type BlobRow,
  type Deadlines,
  type DueInSpace,
  type KeptBody,
  type ListedDocument,
  type LogItem,
  type Place,
  type SnapshotRow,
  type SpaceWrite,
  type Store,
  type StoredBlob,
  type StoredDocument,
  type StoredSpace,
  type StoreIdentity,
} from "#relay/store/store.ts";

export interface SqliteStoreOptions {
  readonly dir: string;
  /** The built worker; null runs the same SQL in this thread, where no worker can be started. */
  readonly workerUrl: URL | null;
}

/** Opens or makes the store in a directory. Rejects with a {@link StoreError} a person understands. */
export async function openSqliteStore(
  options: SqliteStoreOptions,
): Promise<Store & { readonly access: AccessStore }> {
  const caller =
    options.workerUrl === null
      ? new ThreadCaller(() => openToServe(options.dir))
      : new WorkerCaller(options.workerUrl, options.dir);
  await caller.call("open");
  return new SqliteStore(caller);
}

/** The store of an opened file, whose SQL runs in this thread; it closes the file. */
export function sqliteStoreOf(opened: OpenedStore): Store & { readonly access: AccessStore } {
  return new SqliteStore(new ThreadCaller(() => opened));
}

interface Caller {
  call(operation: Call["operation"], ...values: readonly unknown[]): Promise<unknown>;
}

interface Waiting {
  readonly item: Keepable;
  /** @param isKnown false for a chunk of a blob nobody announced */
  readonly resolve: (isKnown: boolean) => void;
  readonly reject: (error: StoreError) => void;
}

class SqliteStore implements Store {
  readonly neighbours = null;
  readonly access: AccessStore;
  readonly #caller: Caller;
  #waiting: Waiting[] = [];
  #flushing: Promise<void> | null = null;

  constructor(caller: Caller) {
    this.#caller = caller;
    this.access = new SqliteAccessCalls((method, values) => caller.call("access", method, values));
  }

  identity(fresh: StoreIdentity): Promise<StoreIdentity> {
    return this.#call("identity", fresh);
  }

  loadSpace(spaceId: Uint8Array): Promise<StoredSpace | null> {
    return this.#call("loadSpace", spaceId);
  }

  async append(writes: readonly SpaceWrite[]): Promise<void> {
    await this.#keep(writes);
  }

  positionOf(spaceId: Uint8Array, itemId: Uint8Array): Promise<Place | null> {
    return this.#call("positionOf", spaceId, itemId);
  }

  chainAt(spaceId: Uint8Array, pos: number): Promise<Uint8Array | null> {
    return this.#call("chainAt", spaceId, pos);
  }

  readLog(
    spaceId: Uint8Array,
    after: number,
    upTo: number,
    byteBudget: number,
    what: "bodies" | "stubs",
  ): Promise<readonly LogItem[]> {
    return this.#call("readLog", spaceId, after, upTo, byteBudget, what);
  }

  readControls(
    spaceId: Uint8Array,
    fromSeq: number,
    byteBudget: number,
  ): Promise<readonly { pos: number; bytes: Uint8Array }[]> {
    return this.#call("readControls", spaceId, fromSeq, byteBudget);
  }

  readCertificates(spaceId: Uint8Array): Promise<readonly Uint8Array[]> {
    return this.#call("readCertificates", spaceId);
  }

  readDocuments(
    spaceId: Uint8Array,
    docIds: readonly Uint8Array[],
  ): Promise<readonly StoredDocument[]> {
    return this.#call("readDocuments", spaceId, docIds);
  }

  listDocuments(
    spaceId: Uint8Array,
    afterDocId: Uint8Array,
    limit: number,
  ): Promise<readonly ListedDocument[]> {
    return this.#call("listDocuments", spaceId, afterDocId, limit);
  }

  readDocument(
    spaceId: Uint8Array,
    docId: Uint8Array,
    after: number,
    byteBudget: number,
  ): Promise<readonly LogItem[]> {
    return this.#call("readDocument", spaceId, docId, after, byteBudget);
  }

  readBlob(spaceId: Uint8Array, blobId: Uint8Array): Promise<StoredBlob | null> {
    return this.#call("readBlob", spaceId, blobId);
  }

  readBlobsOf(spaceId: Uint8Array, docId: Uint8Array | null): Promise<readonly BlobRow[]> {
    return this.#call("readBlobsOf", spaceId, docId);
  }

  readSnapshots(spaceId: Uint8Array, docId: Uint8Array): Promise<readonly SnapshotRow[]> {
    return this.#call("readSnapshots", spaceId, docId);
  }

  putChunk(
    spaceId: Uint8Array,
    blobId: Uint8Array,
    index: number,
    bytes: Uint8Array,
  ): Promise<boolean> {
    const chunk: ChunkWrite = { spaceId, blobId, index, bytes };
    return this.#keep(chunk);
  }

  readChunk(spaceId: Uint8Array, blobId: Uint8Array, index: number): Promise<Uint8Array | null> {
    return this.#call("readChunk", spaceId, blobId, index);
  }

  listSpaces(
    afterSpaceId: Uint8Array,
    limit: number,
  ): Promise<readonly { spaceId: Uint8Array; deletedAt: number | null }[]> {
    return this.#call("listSpaces", afterSpaceId, limit);
  }

  readDue(spaceId: Uint8Array, deadlines: Deadlines, limit: number): Promise<DueInSpace> {
    return this.#call("readDue", spaceId, deadlines, limit);
  }

  readBodies(
    spaceId: Uint8Array,
    docId: Uint8Array | null,
    after: number,
    upTo: number,
    limit: number,
  ): Promise<readonly KeptBody[]> {
    return this.#call("readBodies", spaceId, docId, after, upTo, limit);
  }

  reclaim(): Promise<boolean> {
    return this.#call("reclaim");
  }

  totalBytes(): Promise<number> {
    return this.#call("totalBytes");
  }

  async close(): Promise<void> {
    while (this.#flushing !== null) await this.#flushing;
    await this.#caller.call("close");
  }

  /** The other side is SqliteDatabase: each method answers what its namesake there does. */
  async #call<T>(operation: Call["operation"], ...values: readonly unknown[]): Promise<T> {
    return (await this.#caller.call(operation, ...values)) as T;
  }

  #keep(item: Keepable): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, resolve, reject });
      this.#flushing ??= this.#flush();
    });
  }

  async #flush(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      await this.#keepBatch(batch);
    }
    this.#flushing = null;
  }

  async #keepBatch(batch: readonly Waiting[]): Promise<void> {
    let outcomes: readonly Outcome[];
    try {
      outcomes = await this.#call(
        "keepAll",
        batch.map(({ item }) => item),
      );
    } catch (error) {
      const failure = error instanceof StoreError ? error.failure : "failed";
      outcomes = batch.map(() => failure);
    }
    for (const [ix, { resolve, reject }] of batch.entries()) {
      const outcome = outcomes[ix] ?? "failed";
      if (outcome === "kept" || outcome === "unknown") resolve(outcome === "kept");
      else reject(new StoreError(outcome, `the append failed: ${outcome}`));
    }
  }
}

class ThreadCaller implements Caller {
  readonly #open: () => OpenedStore;
  #database: SqliteDatabase | null = null;
  #isClosed = false;

  constructor(open: () => OpenedStore) {
    this.#open = open;
  }

  call(operation: Call["operation"], ...values: readonly unknown[]): Promise<unknown> {
    if (this.#isClosed) return Promise.reject(closedError());
    const answer = answerCall(
      { id: 0, operation, values },
      () => (this.#database ??= new SqliteDatabase(this.#open())),
    );
    if (operation === "close") this.#isClosed = true;
    return answer.ok
      ? Promise.resolve(answer.value)
      : Promise.reject(new StoreError(answer.failure, answer.message));
  }
}

class WorkerCaller implements Caller {
  readonly #worker: Worker;
  readonly #waiting = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (error: Error) => void }
  >();
  #nextId = 1;
  #isClosed = false;

  constructor(url: URL, dir: string) {
    this.#worker = new Worker(url, { workerData: dir, name: "sqlite" });
    this.#worker.on("message", (answer: Answer) => {
      const waiting = this.#waiting.get(answer.id);
      this.#waiting.delete(answer.id);
      if (answer.ok) waiting?.resolve(answer.value);
      else waiting?.reject(new StoreError(answer.failure, answer.message));
    });
    this.#worker.on("error", () => {
      this.#end();
    });
    this.#worker.on("exit", () => {
      this.#end();
    });
  }

  call(operation: Call["operation"], ...values: readonly unknown[]): Promise<unknown> {
    if (this.#isClosed) return Promise.reject(closedError());
    const call: Call = { id: this.#nextId, operation, values };
    this.#nextId += 1;
    return new Promise((resolve, reject) => {
      this.#waiting.set(call.id, { resolve, reject });
      this.#worker.postMessage(call);
    });
  }

  #end(): void {
    this.#isClosed = true;
    for (const { reject } of this.#waiting.values()) reject(closedError());
    this.#waiting.clear();
  }
}

function closedError(): StoreError {
  return new StoreError("closed", "the store is closed");
}

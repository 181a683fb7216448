import { Answers } from "./answers.ts";
import { Awaited } from "./awaited.ts";
import { BlobChunks } from "./blob-chunks.ts";
import { Cards } from "./cards.ts";
import { ChangeJournal } from "./changes.ts";
import { Conflicts } from "./conflicts.ts";
import { Documents } from "./documents.ts";
import { Drafts } from "./drafts.ts";
import { EvidenceBook } from "./evidence.ts";
import type { SqliteEngine } from "./files/engine.ts";
import { bytesOfFiles, closeFiles, type FileSet } from "./files/file.ts";
import { Homes } from "./homes.ts";
import { Inbox } from "./inbox.ts";
import { KeyValues } from "./key-values.ts";
import { Losses } from "./losses.ts";
import { Merges } from "./merges.ts";
import { Metrics } from "./metrics.ts";
import { MissingChanges } from "./missing-changes.ts";
import { migrate } from "./migrate.ts";
import { notesCodec } from "./database-codec.ts";
import { NotesIndex } from "./notes-index.ts";
import { OutgoingSnapshots } from "./outgoing-snapshots.ts";
import { Outbox } from "./outbox.ts";
import { PassedSnapshots } from "./passed-snapshots.ts";
import { Pins } from "./pins.ts";
import { migrations } from "./schema.ts";
import { Refused } from "./refused.ts";
import { Settings } from "./settings.ts";
import { Snapshots, type Snapshot } from "./snapshots.ts";
import { SpaceWitnesses } from "./space-witnesses.ts";
import { Spaces } from "./spaces.ts";
import { Sqlite } from "./sqlite.ts";
import { measureUse, unusedBytes, type StorageUse } from "./storage-use.ts";
import { auditStore, type StoreAudit } from "./store-audit.ts";
import { StoreCopy } from "./store-copy.ts";
import { StoreError } from "./store-error.ts";
import { SyncLog } from "./sync-log.ts";
import { Tails } from "./tails.ts";
import { Trash } from "./trash.ts";

/** The newest proved snapshot of a document, if any, and the changes it lacks, repeats allowed. */
export interface DocumentContent {
  readonly snapshot: Snapshot | null;
  readonly changes: readonly Uint8Array[];
  /** False when the snapshot that stands for changes without rows is damaged: some are missing then. */
  readonly isWhole: boolean;
}

/** So much must fit before a full disk counts as one with room again. */
const trialBytes = 64 << 10;
const trialSetting = "store/trial";

/** Everything a device remembers. All members are synchronous; combine them with {@link Store.transaction}. */
export class Store {
  readonly answers: Answers;
  readonly awaited: Awaited;
  readonly blobChunks: BlobChunks;
  readonly cards: Cards;
  readonly changes: ChangeJournal;
  readonly snapshots: Snapshots;
  readonly outbox: Outbox;
  readonly outgoingSnapshots: OutgoingSnapshots;
  readonly passedSnapshots: PassedSnapshots;
  readonly tails: Tails;
  readonly inbox: Inbox;
  readonly spaces: Spaces;
  readonly spaceWitnesses: SpaceWitnesses;
  readonly documents: Documents;
  readonly drafts: Drafts;
  readonly notes: NotesIndex;
  readonly pins: Pins;
  readonly homes: Homes;
  readonly settings: Settings;
  readonly merges: Merges;
  readonly conflicts: Conflicts;
  readonly syncLog: SyncLog;
  readonly metrics: Metrics;
  readonly trash: Trash;
  readonly losses: Losses;
  readonly evidence: EvidenceBook;
  readonly missingChanges: MissingChanges;
  readonly refused: Refused;
  readonly keyValues: KeyValues;
  readonly #sqlite: Sqlite;
  readonly #files: FileSet;
  readonly #now: () => number;

  constructor(sqlite: Sqlite, files: FileSet, now: () => number) {
    this.#sqlite = sqlite;
    this.#files = files;
    this.#now = now;
    this.answers = new Answers(sqlite, now);
    this.awaited = new Awaited(sqlite);
    this.blobChunks = new BlobChunks(sqlite);
    this.cards = new Cards(sqlite);
    this.inbox = new Inbox(sqlite, now);
    this.merges = new Merges(sqlite);
    this.conflicts = new Conflicts(sqlite);
    this.changes = new ChangeJournal(sqlite, this.inbox, this.merges);
    this.snapshots = new Snapshots(sqlite, now);
    this.outgoingSnapshots = new OutgoingSnapshots(sqlite);
    this.passedSnapshots = new PassedSnapshots(sqlite);
    this.tails = new Tails(sqlite);
    this.outbox = new Outbox(sqlite, this.changes);
    this.spaces = new Spaces(sqlite);
    this.spaceWitnesses = new SpaceWitnesses(sqlite);
    this.documents = new Documents(sqlite);
    this.drafts = new Drafts(sqlite);
    this.notes = new NotesIndex(sqlite, now);
    this.pins = new Pins(sqlite);
    this.homes = new Homes(sqlite);
    this.settings = new Settings(sqlite);
    this.syncLog = new SyncLog(sqlite, now);
    this.metrics = new Metrics(sqlite, now);
    this.trash = new Trash(sqlite);
    this.losses = new Losses(sqlite);
    this.evidence = new EvidenceBook(sqlite, now);
    this.missingChanges = new MissingChanges(sqlite, now);
    this.refused = new Refused(sqlite);
    this.keyValues = new KeyValues(sqlite);
  }

  /**
   * Runs `act` in one transaction: all of it is durable when this returns, or none if it throws. Calls inside a
   * transaction join it. `act` must be synchronous.
   */
  transaction<Result>(act: () => Result): Result {
    return this.#sqlite.transaction(act);
  }

  /** What a document is loaded from. Reads no more rows than needed, as long as nothing is damaged. */
  contentOf(doc: Uint8Array): DocumentContent {
    const pack = this.changes.packOf(doc);
    const packed = pack === null ? null : this.snapshots.get(doc, pack.snapshot);
    if (pack !== null && packed !== null) {
      const changes = this.changes.bytesOfDocument(doc, pack.through);
      return { snapshot: packed, changes, isWhole: true };
    }
    const snapshot = this.snapshots.latest(doc);
    const changes = this.changes.beyond(doc, snapshot?.heads ?? []);
    return { snapshot, changes: changes.map(({ bytes }) => bytes), isWhole: pack === null };
  }

  /** Whether the relay has acknowledged everything that was written here in a document, and no typing waits. */
  isAcknowledged(doc: Uint8Array): boolean {
    return !(
      this.outbox.isWaiting(doc) ||
      this.changes.hasUnplaced(doc) ||
      this.inbox.holdsUnsent(doc) ||
      this.drafts.of(doc).length > 0
    );
  }

  /**
   * Deletes what is stored of a document, for good, and from then on takes nothing of it in ({@link Trash}). Under which
   * names this device wrote in it is remembered: what comes back is known for its own. Its words are gone from the files
   * after {@link emptyLog}.
   */
  purge(doc: Uint8Array, space: Uint8Array): void {
    this.transaction(() => {
      this.outbox.purge(doc);
      this.changes.purge(doc);
      this.snapshots.purge(doc);
      this.drafts.purge(doc);
      this.awaited.purge(doc);
      this.cards.purge(doc);
      this.outgoingSnapshots.remove(doc);
      this.passedSnapshots.remove(doc);
      this.tails.purge(doc);
      this.inbox.purge(doc);
      this.missingChanges.purge(doc);
      this.merges.remove(doc);
      this.conflicts.purge(doc);
      this.refused.purge(doc);
      this.documents.purgeHeads(doc);
      this.notes.remove(doc);
      this.trash.bury(doc, space, this.#now());
    });
  }

  /** Puts the log into the main file and leaves it without a byte; false while a copy is being made. */
  emptyLog(): boolean {
    return this.#sqlite.emptyLog();
  }

  /**
   * Writes everything anew without the unused pages and shortens the files; false while a copy is being made. Takes as
   * much memory, and for a moment as much room, as everything else in the store takes. Safe at any moment of a crash.
   */
  shrink(): boolean {
    return this.#sqlite.shrink();
  }

  /** Calls `listener` after every transaction that did not commit: what was read in it is void. */
  onRollback(listener: () => void): void {
    this.#sqlite.onRollback(listener);
  }

  /** Whether the last write failed for want of room; the next commit clears it. */
  get isFull(): boolean {
    return this.#sqlite.isFull;
  }

  /** Calls `listener` whenever {@link isFull} has changed, in the middle of a step: it must not use the store then. */
  onFullChange(listener: () => void): void {
    this.#sqlite.onFullChange(listener);
  }

  /** Whether there is room to write, found out by writing something that is gone again when this returns. */
  hasRoom(): boolean {
    try {
      this.transaction(() => {
        this.settings.put(trialSetting, new Uint8Array(trialBytes));
        this.settings.remove(trialSetting);
      });
      return true;
    } catch (error) {
      if (error instanceof StoreError) return false;
      throw error;
    }
  }

  /** What the files take on the disk, in bytes. */
  fileBytes(): number {
    return bytesOfFiles(this.#files);
  }

  /** Inside the files and used again before they grow, in bytes. */
  unusedBytes(): number {
    return unusedBytes(this.#sqlite);
  }

  /** What takes the room. Reads the head of every row. */
  storageUse(): StorageUse {
    return measureUse(this.#sqlite);
  }

  /** Reads every page; throws {@link import("./store-error.ts").StoreError} `corrupt` unless all of it is sound. Slow. */
  checkIntegrity(): void {
    this.#sqlite.checkIntegrity();
  }

  /** A copy of everything as it stands now; one at a time. Close it soon: the log grows meanwhile. */
  beginCopy(): StoreCopy {
    return new StoreCopy(this.#sqlite);
  }

  /** What to look at when something may be wrong. Slow. */
  audit(): StoreAudit {
    return auditStore(this.#sqlite);
  }

  /** Empties every table, for a device that becomes another one. The caller has made sure that nothing is lost. */
  clear(): void {
    this.transaction(() => {
      const tables = this.#sqlite.all<{ name: string }>(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'schema_version' AND name NOT LIKE 'sqlite_%'",
      );
      for (const { name } of tables) this.#sqlite.run(`DELETE FROM "${name}"`);
      this.changes.forget();
      this.losses.forget();
      this.metrics.forget();
      this.missingChanges.forget();
      this.refused.forget();
    });
  }

  /** The clock's time, in ms since 1970. */
  now(): number {
    return this.#now();
  }

  /** Writes the log into the main file and closes the files. */
  close(): void {
    try {
      this.#sqlite.close();
    } finally {
      closeFiles(this.#files);
    }
  }
}

export interface StoreOptions {
  readonly engine: SqliteEngine;
  /** Belong to the store from here on, also if opening fails. */
  readonly files: FileSet;
  /** 32 bytes; null for a store in clear. */
  readonly key: Uint8Array | null;
  readonly clock: { now(): number };
  readonly random: (count: number) => Uint8Array;
}

/**
 * Opens the store in `files`, creating it in empty ones. Throws {@link import("./store-error.ts").StoreError}; nothing
 * stored is deleted or overwritten then, and the files are closed.
 */
export function openStore(options: StoreOptions): Store {
  const { engine, files, key, clock, random } = options;
  const codec = notesCodec(engine, key, random);
  try {
    const sqlite = Sqlite.open({ engine, files, codec });
    try {
      migrate(sqlite, migrations);
    } catch (error) {
      sqlite.abandon();
      throw error;
    }
    return new Store(sqlite, files, () => clock.now());
  } catch (error) {
    closeFiles(files);
    throw error;
  }
}

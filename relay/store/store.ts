/**
 * What a relay remembers, behind a port: every engine keeps the same promises, proved by
 * tests/contract/relay-store.ts. The writer of a space (ledger.ts) decides; a store only keeps.
 */

/** One position of a log, as it is stored. */
export interface LogRow {
  readonly pos: number;
  readonly kind: "entry" | "control";
  /** Zero for a control record. */
  readonly docId: Uint8Array;
  /** Kind of the entry; 0 for a control record. */
  readonly entryKind: number;
  /** Entry id, or the hash of a control record. */
  readonly itemId: Uint8Array;
  readonly chain: Uint8Array;
  /** Verbatim. */
  readonly bytes: Uint8Array;
}

export interface CertificateRow {
  readonly devPub: Uint8Array;
  readonly capPub: Uint8Array;
  /** Verbatim. */
  readonly bytes: Uint8Array;
  /** When it was admitted, in milliseconds since 1970 by the relay's clock, as all times here. */
  readonly at: number;
}

export interface CounterRow {
  readonly devPub: Uint8Array;
  /** The highest counter stored of this device. */
  readonly ctr: number;
  /** Counted bytes of what is still kept of this device. */
  readonly countedBytes: number;
  /** When it last wrote. */
  readonly at: number;
}

/** What the writer has to know of a document; stored as it is given. */
export interface DocumentRow {
  /** 16 bytes. */
  readonly docId: Uint8Array;
  /** Position of its last entry. */
  readonly lastPos: number;
  /** When its last entry was admitted. */
  readonly lastAt: number;
  /** Position of a DROP that is its last entry; 0 for none. */
  readonly dropPos: number;
  /** Position of its newest snapshot; 0 for none. */
  readonly snapshotPos: number;
  /** Position of the snapshot or DROP down to which bodies have been forgotten; 0 for none. */
  readonly sweptPos: number;
  /** Counted bytes of its entries that are still kept. */
  readonly countedBytes: number;
}

/** What the snapshot at `pos` of a document says of itself (docs/protocol.md, SNAP). */
export interface SnapshotRow {
  readonly docId: Uint8Array;
  readonly pos: number;
  readonly coversPos: number;
  /** Entry ids that it does not cover, 32 bytes each. */
  readonly omitted: readonly Uint8Array[];
  /** Hashes of the chunks of its blob, 32 bytes each; none if it is whole in the entry. */
  readonly chunks: readonly Uint8Array[];
  readonly at: number;
}

/** The newest card of a document; a later one takes its place. */
export interface CardRow {
  readonly docId: Uint8Array;
  /** The position it was derived at. */
  readonly derivedPos: number;
  /** The whole entry, verbatim. */
  readonly bytes: Uint8Array;
}

/** A blob as it was announced (docs/protocol.md, BLOB). */
export interface BlobRow {
  /** 16 bytes. */
  readonly blobId: Uint8Array;
  readonly docId: Uint8Array;
  /** Who announced it. */
  readonly devPub: Uint8Array;
  /** Bytes of all its chunks. */
  readonly size: number;
  /** Hashes of its chunks in order, 32 bytes each, at least one. */
  readonly chunks: readonly Uint8Array[];
  /** The head of the log when it was announced. */
  readonly pos: number;
  readonly at: number;
  /** When it was dropped; null while it is wanted. */
  readonly droppedAt: number | null;
}

export interface StoredBlob extends BlobRow {
  /** Indices of the chunks that are kept, ascending. */
  readonly kept: readonly number[];
}

/** What a write lets go of, for good. */
export interface Forgotten {
  /** Positions of entries of which only the stub stays; a snapshot's row goes with its body. */
  readonly bodies: readonly number[];
  /** Positions of which nothing stays. */
  readonly stubs: readonly number[];
  /** Documents of which the card goes. */
  readonly cards: readonly Uint8Array[];
  /** Documents without any trace: row, snapshots and card. */
  readonly documents: readonly Uint8Array[];
  /** Blobs, with their chunks. */
  readonly blobs: readonly Uint8Array[];
}

/** Everything one decision adds to one space and takes from it. */
export interface SpaceWrite {
  readonly spaceId: Uint8Array;
  readonly genesis: Uint8Array;
  /** The revision this was decided on, 0 for a new space: a store at another one refuses. */
  readonly revision: number;
  /** When it was decided: the time of its rows. */
  readonly at: number;
  readonly head: number;
  readonly chain: Uint8Array;
  /** From this position on every position is kept, as an entry, a record or a stub. */
  readonly base: number;
  /** Counted bytes of the space after this write. */
  readonly countedBytes: number;
  /** When the space was deleted; null while it is not. */
  readonly deletedAt: number | null;
  readonly rows: readonly LogRow[];
  readonly certificates: readonly CertificateRow[];
  /** New values; of several for a device the last counts. So do the other rows with a key. */
  readonly counters: readonly CounterRow[];
  readonly documents: readonly DocumentRow[];
  readonly snapshots: readonly SnapshotRow[];
  readonly cards: readonly CardRow[];
  readonly blobs: readonly BlobRow[];
  /** Applied after everything else of this write. */
  readonly forgotten: Forgotten;
}

/** What is needed to go on writing in a space. */
export interface StoredSpace {
  readonly genesis: Uint8Array;
  /** How many writes it has had. */
  readonly revision: number;
  readonly head: number;
  readonly chain: Uint8Array;
  readonly base: number;
  readonly countedBytes: number;
  readonly deletedAt: number | null;
  /** All of them, in order. */
  readonly controls: readonly { readonly pos: number; readonly bytes: Uint8Array }[];
  readonly certificates: readonly CertificateRow[];
  readonly counters: readonly CounterRow[];
}

/** A document as the writer finds it. */
export interface StoredDocument extends DocumentRow {
  readonly card: { readonly derivedPos: number; readonly size: number } | null;
}

/** A document as LIST tells of it. */
export interface ListedDocument {
  readonly docId: Uint8Array;
  readonly lastPos: number;
  readonly dropPos: number;
  readonly snapshotPos: number;
  /** Bytes of the newest snapshot's entry; 0 for none. */
  readonly snapshotSize: number;
  /** Entries that the newest snapshot does not cover, itself not counted, as many bytes as they had. */
  readonly tailEntries: number;
  readonly tailBytes: number;
  /** The newest card, verbatim; null for none. */
  readonly card: Uint8Array | null;
}

/** An entry whose body is kept. */
export interface KeptBody {
  readonly pos: number;
  readonly docId: Uint8Array;
  readonly entryKind: number;
  readonly itemId: Uint8Array;
  readonly size: number;
  readonly devPub: Uint8Array;
}

/** Deadlines of a look for what may be forgotten: what is at most as late as this has waited enough. */
export interface Deadlines {
  readonly snapshots: number;
  readonly drops: number;
  readonly stubs: number;
  readonly droppedBlobs: number;
  /** Of blobs whose chunks never all came. */
  readonly unfinishedBlobs: number;
}

/** What is due in a space: parts of it if there is a lot; asked again once that is gone. */
export interface DueInSpace {
  /** Documents with two snapshots or more that are due and not swept to, with all that are due. */
  readonly snapshots: readonly SnapshotRow[];
  /** Documents with a DROP that is due and not swept to. */
  readonly drops: readonly DocumentRow[];
  /** Positions, ascending, of entries without a body that are due. */
  readonly stubs: readonly number[];
  readonly blobs: readonly BlobRow[];
}

/**
 * One position as it is read back; `body` is null for an entry of which only the stub was asked, or
 * is kept.
 */
export interface LogItem {
  readonly pos: number;
  readonly kind: "entry" | "control";
  readonly docId: Uint8Array;
  readonly entryKind: number;
  /** Bytes of the whole entry or record. */
  readonly size: number;
  readonly itemId: Uint8Array;
  readonly body: Uint8Array | null;
}

export interface Place {
  readonly pos: number;
  readonly chain: Uint8Array;
}

/** Made once per store and kept in it, so that every node on it speaks with one voice. */
export interface StoreIdentity {
  /** Ed25519 secret, 32 bytes. */
  readonly relaySecret: Uint8Array;
  /** 16 bytes. */
  readonly storeId: Uint8Array;
}

/**
 * `moved`: the space is not at the revision the write was decided on; nothing of it was stored.
 * `full`: no room on the disk. `unusable`: the store cannot be opened; the message says why, for a person.
 */
export type StoreFailure = "moved" | "full" | "unusable" | "closed" | "failed";

export class StoreError extends Error {
  readonly failure: StoreFailure;

  constructor(failure: StoreFailure, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StoreError";
    this.failure = failure;
  }
}

/** What a node on a shared store is told of the others. */
export interface NeighbourListener {
  /** A space is at this revision. A hint: it may be lost, late or repeated. */
  onHint(spaceId: Uint8Array, revision: number): void;
  onPresence(presence: NeighbourPresence): void;
  /** Hints may have been lost: the connection that brings them is new. */
  onGap(): void;
}

/** Sealed presence of somebody on another node; never stored, and the first to be dropped. */
export interface NeighbourPresence {
  readonly spaceId: Uint8Array;
  /** Of its sender's subscription. */
  readonly epoch: number;
  readonly sealed: Uint8Array;
}

/** The other nodes of a store that several share. */
export interface Neighbours {
  /** How many writes each space has had by now, 0 for one that nothing is stored in. */
  revisionsOf(spaceIds: readonly Uint8Array[]): Promise<readonly number[]>;
  /** From now until the store closes, also across connections lost. Once per store. */
  listen(listener: NeighbourListener): void;
  /** Tells all other nodes, soon or never. */
  tell(presence: NeighbourPresence): void;
  /** Does the work unless another node is at it. Harmless work only: a lost connection lets others in. */
  alone(work: () => Promise<void>): Promise<void>;
}

export interface Store {
  /** Null for a store that belongs to one process. */
  readonly neighbours: Neighbours | null;
  /** The identity kept here; `fresh` becomes it if there was none. */
  identity(fresh: StoreIdentity): Promise<StoreIdentity>;
  /** Null for a space nothing was ever stored in. */
  loadSpace(spaceId: Uint8Array): Promise<StoredSpace | null>;
  /**
   * Keeps all the writes or none; settled once they are durable. Appends settle in the order they
   * were called in; one that was called before an earlier one of the same space was refused, is
   * refused too. Rejects with a {@link StoreError}.
   */
  append(writes: readonly SpaceWrite[]): Promise<void>;
  /** Where an entry or record stands, or null. */
  positionOf(spaceId: Uint8Array, itemId: Uint8Array): Promise<Place | null>;
  /** The chain at a position that is kept, or null. */
  chainAt(spaceId: Uint8Array, pos: number): Promise<Uint8Array | null>;
  /**
   * Items of (after, upTo] in order, at least one if there is one, then as many as fit in
   * `byteBudget` (a body counts its size, a stub 66 bytes). Below the base there are holes.
   */
  readLog(
    spaceId: Uint8Array,
    after: number,
    upTo: number,
    byteBudget: number,
    what: "bodies" | "stubs",
  ): Promise<readonly LogItem[]>;
  /** Control records from this sequence number on, at least one if there is one, within the budget. */
  readControls(
    spaceId: Uint8Array,
    fromSeq: number,
    byteBudget: number,
  ): Promise<readonly { readonly pos: number; readonly bytes: Uint8Array }[]>;
  readCertificates(spaceId: Uint8Array): Promise<readonly Uint8Array[]>;
  /** Those of the documents that are known, in any order. */
  readDocuments(
    spaceId: Uint8Array,
    docIds: readonly Uint8Array[],
  ): Promise<readonly StoredDocument[]>;
  /** Documents after this id, in order of id; 16 zero bytes stand for the beginning. */
  listDocuments(
    spaceId: Uint8Array,
    afterDocId: Uint8Array,
    limit: number,
  ): Promise<readonly ListedDocument[]>;
  /**
   * A document from what it has to be read: its newest snapshot and the entries that does not cover,
   * all entries if there is none; in order, those after position `after`, within a budget as `readLog`.
   */
  readDocument(
    spaceId: Uint8Array,
    docId: Uint8Array,
    after: number,
    byteBudget: number,
  ): Promise<readonly LogItem[]>;
  readBlob(spaceId: Uint8Array, blobId: Uint8Array): Promise<StoredBlob | null>;
  /** Blobs of a document, or (null) of the whole space, in any order. */
  readBlobsOf(spaceId: Uint8Array, docId: Uint8Array | null): Promise<readonly BlobRow[]>;
  /** Snapshots of a document whose bodies are kept, in order. */
  readSnapshots(spaceId: Uint8Array, docId: Uint8Array): Promise<readonly SnapshotRow[]>;
  /**
   * Keeps a chunk of an announced blob; settled once it is durable. Again is harmless. False if no
   * such blob is announced. Rejects with a {@link StoreError}.
   */
  putChunk(
    spaceId: Uint8Array,
    blobId: Uint8Array,
    index: number,
    bytes: Uint8Array,
  ): Promise<boolean>;
  readChunk(spaceId: Uint8Array, blobId: Uint8Array, index: number): Promise<Uint8Array | null>;
  /** Spaces after this id, in order of id; 32 zero bytes stand for the beginning. */
  listSpaces(
    afterSpaceId: Uint8Array,
    limit: number,
  ): Promise<readonly { readonly spaceId: Uint8Array; readonly deletedAt: number | null }[]>;
  /** What has waited until these deadlines; at most `limit` documents, stubs and blobs. */
  readDue(spaceId: Uint8Array, deadlines: Deadlines, limit: number): Promise<DueInSpace>;
  /** Entries with a body in (after, upTo], in order, of one document or (null) of all. */
  readBodies(
    spaceId: Uint8Array,
    docId: Uint8Array | null,
    after: number,
    upTo: number,
    limit: number,
  ): Promise<readonly KeptBody[]>;
  /** Gives the disk back what was forgotten, a slice at a time; false when there is nothing left. */
  reclaim(): Promise<boolean>;
  /** Counted bytes of all spaces. */
  totalBytes(): Promise<number>;
  /** After what was appended is settled. */
  close(): Promise<void>;
}

/** Bytes a stub takes in DATA, with its item header: what `readLog` counts for one. */
export const stubItemBytes = 66;

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
}

export interface CounterRow {
  readonly devPub: Uint8Array;
  /** The highest counter stored of this device. */
  readonly ctr: number;
}

/** Everything one decision adds to one space. */
export interface SpaceWrite {
  readonly spaceId: Uint8Array;
  readonly genesis: Uint8Array;
  /** The revision this was decided on, 0 for a new space: a store at another one refuses. */
  readonly revision: number;
  readonly head: number;
  readonly chain: Uint8Array;
  /** Counted bytes of the space after this write. */
  readonly countedBytes: number;
  readonly rows: readonly LogRow[];
  readonly certificates: readonly CertificateRow[];
  readonly counters: readonly CounterRow[];
}

/** What is needed to go on writing in a space. */
export interface StoredSpace {
  readonly genesis: Uint8Array;
  /** How many writes it has had. */
  readonly revision: number;
  readonly head: number;
  readonly chain: Uint8Array;
  readonly countedBytes: number;
  /** All of them, in order. */
  readonly controls: readonly { readonly pos: number; readonly bytes: Uint8Array }[];
  readonly certificates: readonly CertificateRow[];
  readonly counters: readonly CounterRow[];
}

/** One position as it is read back; `body` is null for an entry of which only the stub was asked. */
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

export interface Store {
  /** The identity kept here; `fresh` becomes it if there was none. */
  identity(fresh: StoreIdentity): Promise<StoreIdentity>;
  /** Null for a space nothing was ever stored in. */
  loadSpace(spaceId: Uint8Array): Promise<StoredSpace | null>;
  /**
   * Keeps all the writes or none; settled once they are durable. Appends settle in the order they
   * were called in. Rejects with a {@link StoreError}.
   */
  append(writes: readonly SpaceWrite[]): Promise<void>;
  /** Where an entry or record stands, or null. */
  positionOf(spaceId: Uint8Array, itemId: Uint8Array): Promise<Place | null>;
  /** The chain at a stored position, or null. */
  chainAt(spaceId: Uint8Array, pos: number): Promise<Uint8Array | null>;
  /**
   * Items of (after, upTo] in order, at least one if there is one, then as many as fit in
   * `byteBudget` (a body counts its size, a stub 66 bytes).
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
  /** Counted bytes of all spaces. */
  totalBytes(): Promise<number>;
  /** After what was appended is settled. */
  close(): Promise<void>;
}

/** Bytes a stub takes in DATA, with its item header: what `readLog` counts for one. */
export const stubItemBytes = 66;

/** What a session is given, and what it tells the device. */
import type { Card } from "#client/crypto/card.ts";
import type { VouchedChange } from "./intake.ts";
import type { Twin } from "./receiver.ts";
import type { LinkPorts } from "./relay-link.ts";
import type { SnapshotReaderPorts } from "./snapshot-reader.ts";
import type { DisplacedRecord, Space } from "./space.ts";

export interface SessionPorts extends LinkPorts, Pick<SnapshotReaderPorts, "openDocument"> {
  /** Changes from which on a document that comes as a snapshot stays one. */
  readonly longHistory: number;
}

export interface SessionListener {
  /** Connected, disconnected, acknowledged, caught up: anything a status line may tell. */
  progress(): void;
  /**
   * In the transaction that journals changes of this document: what must be kept together with them.
   *
   * @param isNews they were written just now, as far as this device can tell
   */
  journalled(space: Space, docId: Uint8Array, isNews: boolean): void;
  /**
   * In the transaction that journals them: what others made is judged by what it would cost to apply.
   *
   * @returns hashes in hex of those that wait until they were tried
   */
  judge(docId: Uint8Array, changes: readonly VouchedChange[]): ReadonlySet<string>;
  /** Change chunks that are new here, already journalled. */
  changes(space: Space, docId: Uint8Array, changes: readonly Uint8Array[]): void;
  /** In a transaction: what the relay's list says of a note that is not here. */
  listed(space: Space, docId: Uint8Array, card: Card): void;
  /** More or less is missing here than before. */
  fetching(): void;
  /** Members, roles or keys of a space are not what they were. */
  members(space: Space): void;
  presence(space: Space): void;
  ended(space: Space): void;
  /** An administrator's rotation has a key for us that is not the one it commits to. */
  miskeyed(space: Space): void;
  /** Records of ours that others overtook: to be written anew on top of the log. */
  displaced(space: Space, records: readonly DisplacedRecord[]): void;
  /** Packs are marked to become rows again: the relay may have lost some of them. */
  unpack(): void;
  /** Changes of a document that were set aside are what others built upon; in the transaction that takes those in. */
  builtUpon(docId: Uint8Array, hashes: readonly Uint8Array[]): void;
  /** A relay that lost its log does not take back a JOIN whose link has expired since: an administrator has to vouch for it. */
  unvouched(space: Space): void;
  /** A copy of this store is at work beside it: nothing more of the space is taken in before that is seen to. */
  twin(space: Space, twin: Twin): void;
  /** The relay has shown others another log of the space: told once of each. */
  forked(space: Space): void;
  /** A relay lacks what a document came with, which only a snapshot can bring. False if nothing can be done. */
  lostPast(space: Space, doc: Uint8Array): boolean;
  /** What a relay had lost is there again. @param changes how many of them this device gave back */
  madeGood(changes: number): void;
  log(level: "info" | "warning" | "error", text: string): void;
}

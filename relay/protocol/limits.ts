/**
 * Sizes and rates, once for both sides. The relay enforces the advertised ones and tells them in
 * WELCOME and at /relay.json; clients obey what they were told.
 */

export const subprotocol = "sealeaf.v1";
export const protocolVersion = 1;

/** One binary WebSocket message at most: 1 MiB. */
export const maxMessageBytes = 1 << 20;
export const maxPushEntries = 256;
export const maxSubscriptionsPerMessage = 4096;
export const maxPresenceBytes = 2048;
export const maxControlBytes = 256 << 10;
export const maxMetaBytes = 2048;
export const maxCapabilities = 1024;
/** So many of them are the genesis key's to give in a vault: however many devices a thief adds, the words add one more. */
export const vaultReserve = 64;
/** A card is a title, a few lines and tags. */
export const maxCardBytes = 4096;
export const maxErrorDetailBytes = 128;

export interface Limits {
  /** One sealed entry, header and signature included. */
  readonly entryBytes: number;
  /** All stored bytes of a space, blobs included. */
  readonly spaceBytes: number;
  /** Stored entries of one document. */
  readonly documentBytes: number;
  /** One blob, all its chunks. */
  readonly blobBytes: number;
  readonly entriesPerSecond: number;
  readonly entryBurst: number;
  readonly presencePerSecond: number;
  readonly connectionsPerAddress: number;
  /** DATA that may be on its way without CREDIT. */
  readonly windowBytes: number;
  readonly handshakeMs: number;
}

export const defaultLimits: Limits = {
  entryBytes: 256 << 10,
  spaceBytes: 1 << 30,
  documentBytes: 64 << 20,
  blobBytes: 64 << 20,
  entriesPerSecond: 50,
  entryBurst: 500,
  presencePerSecond: 10,
  connectionsPerAddress: 32,
  windowBytes: 4 << 20,
  handshakeMs: 10_000,
};

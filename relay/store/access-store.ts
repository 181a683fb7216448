/**
 * What a relay remembers of those it admits, behind a port: beside the spaces, in the same database.
 * tests/contract/access-store.ts proves that every engine keeps the same promises.
 */

export interface InviteRow {
  /** SHA-256 of the token; the token itself is kept nowhere. */
  readonly tokenHash: Uint8Array;
  /** The operator's own word for it. */
  readonly label: string;
  /** Milliseconds since 1970. */
  readonly madeAt: number;
  /** Not redeemed from then on; null for never. */
  readonly expiresAt: number | null;
}

export interface AccessKeyRow {
  readonly accessPub: Uint8Array;
  /** Of the invitation it came by. */
  readonly label: string;
  readonly admittedAt: number;
}

/** A space's owner and what all spaces of that owner hold. */
export interface Ownership {
  readonly accessPub: Uint8Array;
  readonly countedBytes: number;
}

export interface AccessStore {
  addInvite(invite: InviteRow): Promise<void>;
  /** Those that nobody has redeemed, the oldest first. */
  listInvites(): Promise<readonly InviteRow[]>;
  /**
   * Takes the invitation away and admits the key, both or none; durable when it settles. True also if
   * this key redeemed it before; false if it is unknown, expired, or another's.
   */
  redeemInvite(tokenHash: Uint8Array, accessPub: Uint8Array, now: number): Promise<boolean>;
  /** Null for a key that was never admitted, or no longer is. */
  readAccessKey(accessPub: Uint8Array): Promise<AccessKeyRow | null>;
  listAccessKeys(): Promise<readonly AccessKeyRow[]>;
  /** False if there is none such. What it owns stays. */
  revokeInvite(tokenHash: Uint8Array): Promise<boolean>;
  revokeAccessKey(accessPub: Uint8Array): Promise<boolean>;
  /** Notes whose a space will be; the last word before the space is made counts. */
  claimSpace(spaceId: Uint8Array, accessPub: Uint8Array): Promise<void>;
  /** Null for a space that belongs to nobody. */
  readOwnership(spaceId: Uint8Array): Promise<Ownership | null>;
}

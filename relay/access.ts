/**
 * Who may make spaces here and how much the spaces of one access key may hold; and whether there is
 * room on the disk for more (docs/protocol.md, AUTH and LIM). Control records of spaces that are
 * there pass always: somebody must be removable from a full relay.
 */
import { accessCode, inviteHash, inviteTokenBytes, type Access } from "#relay/protocol/access.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { inDomain } from "#relay/protocol/domain.ts";
import type { RefusalName } from "#relay/protocol/errors.ts";
import { isSoundSigningKey } from "#relay/protocol/keys.ts";
import type { Auth } from "#relay/protocol/messages.ts";
import type { AccessStore } from "#relay/store/access-store.ts";

/** Of 64 letters of base64url the one that a command would take for the beginning of an option. */
const dash = 62;

/** A fresh invitation: 16 random bytes whose text can be typed into any command line, as it begins with no dash. */
export function newInvite(random: (bytes: number) => Uint8Array): Uint8Array {
  for (;;) {
    const token = random(inviteTokenBytes);
    const [first = 0] = token;
    if (first >> 2 !== dash) return token;
  }
}

/** What the relay asks before it takes something in. */
export interface Gate {
  /** Null, or why `bytes` more are not taken into a space that is there. */
  refusesMore(spaceId: Uint8Array, bytes: number): Promise<RefusalName | null>;
  /**
   * Null, or why a new space is not made. If it may be, it will be the access key's.
   * @param accessPub of the connection that makes it; null for a guest's
   */
  refusesSpace(spaceId: Uint8Array, accessPub: Uint8Array | null): Promise<RefusalName | null>;
}

export interface AccessControl extends Gate {
  /** As WELCOME says it. */
  readonly code: number;
  readonly access: Access;
  /**
   * Null if the key is admitted, or why it is not.
   * @param transcript the bodies of HELLO and WELCOME of this connection
   */
  admit(auth: Auth, transcript: Uint8Array): Promise<RefusalName | null>;
}

export interface AccessPorts {
  readonly access: Access;
  readonly allowedKeys: readonly Uint8Array[];
  readonly keyQuotaBytes: number;
  readonly store: AccessStore;
  readonly verify: (
    publicKey: Uint8Array,
    message: Uint8Array,
    signature: Uint8Array,
  ) => Promise<boolean>;
  readonly now: () => number;
  readonly isDiskFull: () => boolean;
}

/** What is counted of a key meanwhile is counted twice at most; then the store is asked again. */
const totalsAreFreshMs = 30_000;
const maxRememberedSpaces = 10_000;

interface Total {
  countedBytes: number;
  readonly readAt: number;
}

export class AccessRules implements AccessControl {
  readonly #ports: AccessPorts;
  /** Key in hex by space; null for a space of nobody. The longest known first. */
  readonly #ownerBySpace = new Map<string, string | null>();
  readonly #totalByOwner = new Map<string, Total>();

  constructor(ports: AccessPorts) {
    this.#ports = ports;
  }

  get access(): Access {
    return this.#ports.access;
  }

  get code(): number {
    return accessCode(this.#ports.access);
  }

  async admit(auth: Auth, transcript: Uint8Array): Promise<RefusalName | null> {
    const { accessPub, token, signature } = auth;
    const message = inDomain("auth", transcript, token);
    const isSigned =
      isSoundSigningKey(accessPub) && (await this.#ports.verify(accessPub, message, signature));
    if (!isSigned) return "AUTH_FAILED";
    if (await this.#isAdmitted(accessPub)) return null;
    if (this.access.mode !== "invite") return "AUTH_FAILED";
    if (token.length !== inviteTokenBytes) return "AUTH_FAILED";
    const { store, now } = this.#ports;
    return (await store.redeemInvite(inviteHash(token), accessPub, now())) ? null : "TOKEN_SPENT";
  }

  async refusesSpace(
    spaceId: Uint8Array,
    accessPub: Uint8Array | null,
  ): Promise<RefusalName | null> {
    if (this.#ports.isDiskFull()) return "DISK_FULL";
    if (this.access.mode === "open") return null;
    if (accessPub === null) return "AUTH_REQUIRED";
    // Asked again: the operator may have revoked it since this connection was admitted.
    if (!(await this.#isAdmitted(accessPub))) return "AUTH_REQUIRED";
    await this.#ports.store.claimSpace(spaceId, accessPub);
    this.#ownerBySpace.delete(toHex(spaceId));
    return this.#hasRoom(await this.#totalOf(spaceId), 0) ? null : "QUOTA_KEY";
  }

  async refusesMore(spaceId: Uint8Array, bytes: number): Promise<RefusalName | null> {
    if (this.#ports.isDiskFull()) return "DISK_FULL";
    if (this.access.mode === "open") return null;
    const total = await this.#totalOf(spaceId);
    if (!this.#hasRoom(total, bytes)) return "QUOTA_KEY";
    if (total !== null) total.countedBytes += bytes;
    return null;
  }

  #hasRoom(total: Total | null, bytes: number): boolean {
    return total === null || total.countedBytes + bytes <= this.#ports.keyQuotaBytes;
  }

  async #isAdmitted(accessPub: Uint8Array): Promise<boolean> {
    if (this.#ports.allowedKeys.some((key) => equal(key, accessPub))) return true;
    if (this.access.mode !== "invite") return false;
    return (await this.#ports.store.readAccessKey(accessPub)) !== null;
  }

  /** What all spaces of this one's owner hold; null if it has none. */
  async #totalOf(spaceId: Uint8Array): Promise<Total | null> {
    const space = toHex(spaceId);
    const known = this.#ownerBySpace.get(space);
    if (known === null) return null;
    const total = known === undefined ? undefined : this.#totalByOwner.get(known);
    const now = this.#ports.now();
    if (total !== undefined && now - total.readAt < totalsAreFreshMs) return total;
    const ownership = await this.#ports.store.readOwnership(spaceId);
    const owner = ownership === null ? null : toHex(ownership.accessPub);
    remember(this.#ownerBySpace, space, owner);
    if (ownership === null || owner === null) return null;
    const fresh = { countedBytes: ownership.countedBytes, readAt: now };
    remember(this.#totalByOwner, owner, fresh);
    return fresh;
  }
}

function remember<T>(map: Map<string, T>, key: string, value: T): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= maxRememberedSpaces) return;
    map.delete(oldest);
  }
}

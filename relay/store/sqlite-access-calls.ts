/** The port of access-store.ts over calls to wherever the SQL runs. */
import type { AccessKeyRow, AccessStore, InviteRow, Ownership } from "#relay/store/access-store.ts";
import type { SqliteAccess } from "#relay/store/sqlite-access.ts";

/** Answers what the method of that name of SqliteAccess does. */
export type CallAccess = (
  method: keyof SqliteAccess,
  values: readonly unknown[],
) => Promise<unknown>;

export class SqliteAccessCalls implements AccessStore {
  readonly #callAny: CallAccess;

  constructor(call: CallAccess) {
    this.#callAny = call;
  }

  addInvite(invite: InviteRow): Promise<void> {
    return this.#call("addInvite", invite);
  }

  listInvites(): Promise<readonly InviteRow[]> {
    return this.#call("listInvites");
  }

  redeemInvite(tokenHash: Uint8Array, accessPub: Uint8Array, now: number): Promise<boolean> {
    return this.#call("redeemInvite", tokenHash, accessPub, now);
  }

  readAccessKey(accessPub: Uint8Array): Promise<AccessKeyRow | null> {
    return this.#call("readAccessKey", accessPub);
  }

  listAccessKeys(): Promise<readonly AccessKeyRow[]> {
    return this.#call("listAccessKeys");
  }

  revokeInvite(tokenHash: Uint8Array): Promise<boolean> {
    return this.#call("revokeInvite", tokenHash);
  }

  revokeAccessKey(accessPub: Uint8Array): Promise<boolean> {
    return this.#call("revokeAccessKey", accessPub);
  }

  claimSpace(spaceId: Uint8Array, accessPub: Uint8Array): Promise<void> {
    return this.#call("claimSpace", spaceId, accessPub);
  }

  readOwnership(spaceId: Uint8Array): Promise<Ownership | null> {
    return this.#call("readOwnership", spaceId);
  }

  /** The other side is SqliteAccess: each method answers what its namesake there does. */
  async #call<T>(method: keyof SqliteAccess, ...values: readonly unknown[]): Promise<T> {
    return (await this.#callAny(method, values)) as T;
  }
}

/**
 * Who may do what in one space, as far as its control log goes. The same pure judgement runs at
 * the relay and on every client (docs/protocol.md, CTRL): a record is taken or refused for a reason,
 * and the next state follows. Signatures are verified by the caller, who has the library for it.
 */
import { equal, toHex } from "./bytes.ts";
import {
  capabilityKinds,
  roles,
  type CapabilityKind,
  type RoleCode,
  type SignedControl,
} from "./control.ts";
import type { RefusalName } from "./errors.ts";
import { parseGenesis, spaceIdOf, type SpaceKind } from "./genesis.ts";
import { isSoundBoxKey, isSoundSigningKey } from "./keys.ts";
import { maxCapabilities, vaultReserve } from "./limits.ts";

export interface Capability {
  readonly signPub: Uint8Array;
  readonly boxPub: Uint8Array;
  readonly kind: CapabilityKind;
  /** The role now; `none` after a ROTATE took it away: that key stays dead. */
  readonly role: RoleCode;
  readonly notAfter: number;
  readonly maxJoins: number;
  readonly joins: number;
  /** Index of the link it came by, null if granted. */
  readonly via: number | null;
}

/** How an epoch ended: entries that name it count only before this position. */
export interface ClosedEpoch {
  readonly endPos: number;
  /** Roles at its end, by capability index. */
  readonly roles: readonly RoleCode[];
}

export interface Authority {
  readonly spaceId: Uint8Array;
  readonly kind: SpaceKind;
  readonly genesisAdmin: Uint8Array;
  readonly ctrlSeq: number;
  /** Hash of the last record; the space id before the first. */
  readonly headHash: Uint8Array;
  /** 0 until the first ROTATE: nothing can be written before there is a key. */
  readonly epoch: number;
  readonly keyCommit: Uint8Array | null;
  readonly readTokenHash: Uint8Array | null;
  readonly capabilities: readonly Capability[];
  readonly closed: ReadonlyMap<number, ClosedEpoch>;
  readonly deleted: boolean;
}

export type Verdict =
  | { readonly ok: true; readonly authority: Authority }
  | { readonly ok: false; readonly refusal: RefusalName; readonly why: string };

/**
 * Whether a signing key may be taken: {@link isSoundSigningKey}, a scalar multiplication of a millisecond
 * or two, unless the caller has judged what it gives before.
 */
export type KeyJudge = (publicKey: Uint8Array) => boolean;

/** The state before any record. Refuses a genesis whose shape or administrator's key is unsound. */
export function openAuthority(
  genesisBytes: Uint8Array,
  isSoundKey: KeyJudge = isSoundSigningKey,
): Verdict {
  const genesis = parseGenesis(genesisBytes);
  if (!genesis.ok) return refuse("BAD_GENESIS", genesis.error);
  if (!isSoundKey(genesis.value.adminPub)) {
    return refuse("BAD_GENESIS", "the administrator's key is unsound");
  }
  const spaceId = spaceIdOf(genesisBytes);
  return {
    ok: true,
    authority: {
      spaceId,
      kind: genesis.value.kind,
      genesisAdmin: genesis.value.adminPub,
      ctrlSeq: 0,
      headHash: spaceId,
      epoch: 0,
      keyCommit: null,
      readTokenHash: null,
      capabilities: [],
      closed: new Map(),
      deleted: false,
    },
  };
}

/**
 * The state after one more record.
 * @param pos the record's position in the log
 * @param now the relay's clock, for `notAfter`; null on a client, which cannot judge it
 */
export function admitControl(
  authority: Authority,
  signed: SignedControl,
  pos: number,
  now: number | null,
  isSoundKey: KeyJudge = isSoundSigningKey,
): Verdict {
  const { record } = signed;
  if (!equal(record.spaceId, authority.spaceId)) return refuse("BAD_CONTROL", "another space");
  if (record.ctrlSeq !== authority.ctrlSeq + 1 || !equal(record.prevCtrlHash, authority.headHash)) {
    return refuse("CTRL_CONFLICT", "not the next record");
  }
  if (authority.deleted && record.body.type !== "restore") {
    return refuse("SPACE_DELETED", "the space is deleted");
  }
  const next = { ...authority, ctrlSeq: record.ctrlSeq, headHash: signed.hash };
  const { body } = record;
  if (body.type !== "rotate" && record.epochAfter !== authority.epoch) {
    return refuse("BAD_CONTROL", "only a rotation changes the epoch");
  }

  switch (body.type) {
    case "grant": {
      if (!isAdmin(authority, record.signerPub)) return refuse("NOT_ADMIN", "not an administrator");
      if (body.role === roles.none) return refuse("BAD_CONTROL", "a grant of nothing");
      const bare = authority.epoch === 0;
      if (bare && !equal(body.signPub, authority.genesisAdmin)) {
        return refuse("BAD_CONTROL", "the first grant is the administrator's own");
      }
      if (bare && (body.sealedKey !== null || body.role !== roles.admin)) {
        return refuse("BAD_CONTROL", "the first grant makes an administrator and has no key");
      }
      if (bare && body.kind === capabilityKinds.link) {
        return refuse("BAD_CONTROL", "a link administers nothing");
      }
      if (!bare && body.sealedKey === null) return refuse("BAD_CONTROL", "a grant without a key");
      const known = indexOfCapability(authority, body.signPub);
      if (known !== null) {
        const before = authority.capabilities[known];
        if (before === undefined || before.role === roles.none) {
          return refuse("BAD_CONTROL", "a revoked key stays dead");
        }
        if (body.role < before.role) return refuse("BAD_CONTROL", "only a rotation lowers a role");
        return accept({
          ...next,
          capabilities: replaceAt(authority.capabilities, known, { ...before, role: body.role }),
        });
      }
      return addCapability(
        next,
        record.signerPub,
        {
          signPub: body.signPub,
          boxPub: body.boxPub,
          kind: body.kind,
          role: body.role,
          notAfter: body.notAfter,
          maxJoins: body.maxJoins,
          joins: 0,
          via: null,
        },
        isSoundKey,
      );
    }
    case "join": {
      const linkIx = indexOfCapability(authority, record.signerPub);
      const link = linkIx === null ? undefined : authority.capabilities[linkIx];
      if (linkIx === null || link === undefined || link.kind !== capabilityKinds.link) {
        return refuse("BAD_CONTROL", "not the key of a link");
      }
      if (link.role === roles.none) return refuse("LINK_SPENT", "the link was withdrawn");
      if (now !== null && link.notAfter !== 0 && now > link.notAfter) {
        return refuse("LINK_SPENT", "the link has expired");
      }
      if (link.maxJoins !== 0 && link.joins >= link.maxJoins) {
        return refuse("LINK_SPENT", "the link has admitted as many people as it may");
      }
      if (indexOfCapability(authority, body.signPub) !== null) {
        return refuse("BAD_CONTROL", "this key is a member already");
      }
      const counted = replaceAt(authority.capabilities, linkIx, { ...link, joins: link.joins + 1 });
      return addCapability(
        { ...next, capabilities: counted },
        record.signerPub,
        {
          signPub: body.signPub,
          boxPub: body.boxPub,
          kind: capabilityKinds.person,
          role: link.role,
          notAfter: 0,
          maxJoins: 0,
          joins: 0,
          via: linkIx,
        },
        isSoundKey,
      );
    }
    case "rotate": {
      if (!isAdmin(authority, record.signerPub)) return refuse("NOT_ADMIN", "not an administrator");
      if (record.epochAfter !== authority.epoch + 1)
        return refuse("BAD_CONTROL", "not the next epoch");
      if ((body.previousKey === null) !== (authority.epoch === 0)) {
        return refuse("BAD_CONTROL", "the previous key belongs in every rotation but the first");
      }
      const lowered = lowerRoles(authority, body.changes);
      if (lowered === null) return refuse("BAD_CONTROL", "a rotation only lowers roles");
      if (!lowered.some(administers)) {
        return refuse("BAD_CONTROL", "a space keeps an administrator");
      }
      const keyed = new Set(body.keys.map((key) => key.capIx));
      const owed = lowered.flatMap((capability, ix) =>
        capability.role === roles.none ? [] : [ix],
      );
      if (
        keyed.size !== body.keys.length ||
        keyed.size !== owed.length ||
        !owed.every((ix) => keyed.has(ix))
      ) {
        return refuse("BAD_CONTROL", "a rotation carries one key for each who stays");
      }
      const closed = new Map(authority.closed);
      if (authority.epoch > 0) {
        closed.set(authority.epoch, {
          endPos: pos,
          roles: authority.capabilities.map((capability) => capability.role),
        });
      }
      return accept({
        ...next,
        epoch: record.epochAfter,
        keyCommit: body.keyCommit,
        readTokenHash: body.readTokenHash,
        capabilities: lowered,
        closed,
      });
    }
    case "delete":
      if (!isAdmin(authority, record.signerPub)) return refuse("NOT_ADMIN", "not an administrator");
      // A device thief must not be able to take everything away.
      if (authority.kind === "vault" && !equal(record.signerPub, authority.genesisAdmin)) {
        return refuse("NOT_ADMIN", "only the words delete a vault");
      }
      return accept({ ...next, deleted: true });
    case "restore":
      if (!isAdmin(authority, record.signerPub)) return refuse("NOT_ADMIN", "not an administrator");
      if (!authority.deleted) return refuse("BAD_CONTROL", "the space is not deleted");
      return accept({ ...next, deleted: false });
  }
}

/** The capability's index (order of GRANT and JOIN), or null. */
export function indexOfCapability(authority: Authority, signPub: Uint8Array): number | null {
  const ix = authority.capabilities.findIndex((capability) => equal(capability.signPub, signPub));
  return ix < 0 ? null : ix;
}

/** The role a capability has now; `none` if unknown or revoked. */
export function roleOf(authority: Authority, signPub: Uint8Array): RoleCode {
  const ix = indexOfCapability(authority, signPub);
  return ix === null ? roles.none : (authority.capabilities[ix]?.role ?? roles.none);
}

/**
 * Whether an entry that names `epoch` and stands at `pos` may come from this capability
 * (docs/protocol.md, RIGHT-1): it had `edit` in that epoch, and the epoch had not ended before.
 */
export function mayWrite(
  authority: Authority,
  capPub: Uint8Array,
  epoch: number,
  pos: number,
): boolean {
  const ix = indexOfCapability(authority, capPub);
  if (ix === null || epoch === 0 || epoch > authority.epoch) return false;
  // A link's key certifies no device: whoever comes by it joins first.
  if (authority.capabilities[ix]?.kind === capabilityKinds.link) return false;
  if (epoch === authority.epoch)
    return (authority.capabilities[ix]?.role ?? roles.none) >= roles.edit;
  const closed = authority.closed.get(epoch);
  return (
    closed !== undefined && pos < closed.endPos && (closed.roles[ix] ?? roles.none) >= roles.edit
  );
}

/** Whether this key may change who has access; before the first record, the genesis key. */
export function isAdmin(authority: Authority, signPub: Uint8Array): boolean {
  if (authority.capabilities.length === 0) return equal(signPub, authority.genesisAdmin);
  const ix = indexOfCapability(authority, signPub);
  const capability = ix === null ? undefined : authority.capabilities[ix];
  return capability !== undefined && administers(capability);
}

/** The key of a link signs nothing but a JOIN, whatever its role: else it could go round its own limits. */
function administers({ role, kind }: Capability): boolean {
  return role === roles.admin && kind !== capabilityKinds.link;
}

/** Null if a change raises a role, names nobody, or touches the owner of a vault. */
function lowerRoles(
  authority: Authority,
  changes: readonly { readonly capIx: number; readonly role: RoleCode }[],
): Capability[] | null {
  const lowered = [...authority.capabilities];
  for (const { capIx, role } of changes) {
    const capability = lowered[capIx];
    if (capability === undefined || role >= capability.role) return null;
    // A device thief must not be able to shut the owner of the words out.
    if (authority.kind === "vault" && equal(capability.signPub, authority.genesisAdmin))
      return null;
    lowered[capIx] = { ...capability, role };
  }
  return lowered;
}

/** @param admittedBy the signer of the record that adds it */
function addCapability(
  authority: Authority,
  admittedBy: Uint8Array,
  capability: Capability,
  isSoundKey: KeyJudge,
): Verdict {
  const isOwners = authority.kind !== "vault" || equal(admittedBy, authority.genesisAdmin);
  const most = isOwners ? maxCapabilities : maxCapabilities - vaultReserve;
  if (authority.capabilities.length >= most) {
    return refuse("TOO_MANY", "the space has as many members and links as it may");
  }
  if (!isSoundKey(capability.signPub) || !isSoundBoxKey(capability.boxPub)) {
    return refuse("BAD_CONTROL", `the key ${toHex(capability.signPub.slice(0, 4))}… is unsound`);
  }
  return accept({ ...authority, capabilities: [...authority.capabilities, capability] });
}

function replaceAt<T>(list: readonly T[], at: number, value: T): readonly T[] {
  return list.map((item, ix) => (ix === at ? value : item));
}

function accept(authority: Authority): Verdict {
  return { ok: true, authority };
}

function refuse(refusal: RefusalName, why: string): Verdict {
  return { ok: false, refusal, why };
}

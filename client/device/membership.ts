/**
 * Writing the control log of a space: letting in, raising, lowering, closing. Each record is kept here
 * as one that waits and judged with at once; where another administrator was faster, what is still
 * wanted of it is written anew on top of theirs.
 */
import type { Store } from "#crdt-store/store.ts";
import { isAdmin, roleOf, type Authority } from "#relay/protocol/authority.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import {
  capabilityKinds,
  roles,
  type GrantBody,
  type JoinBody,
  type RoleCode,
  type RotateBody,
  type SignedControl,
} from "#relay/protocol/control.ts";
import type { HeldCapability } from "#client/crypto/capability.ts";
import { keyCommitOf } from "#client/crypto/derive.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import {
  closeOrReopen,
  grant,
  openMeta,
  rotate,
  type Lowering,
  type NewCapability,
} from "#client/crypto/space-keys.ts";
import type { Clock, Random } from "#client/sync/ports.ts";
import type { DisplacedRecord, Space } from "#client/sync/space.ts";
import type { DeviceEvents } from "./events.ts";
import { refuse } from "./refusal.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { Shelf } from "./shelf.ts";

export interface MembershipPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly random: Random;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly events: DeviceEvents;
}

/** Writing needs `admin` and the key of the epoch; refused with `no-access` without. */
interface Administered {
  readonly signer: HeldCapability;
  readonly key: Uint8Array;
}

/**
 * Every step is in the caller's transaction, and its record goes out with {@link send} after it.
 */
export class Membership {
  readonly #ports: MembershipPorts;
  readonly #store: Store;

  constructor(ports: MembershipPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /** What waits of the space's control log goes to the relay, now or when there is a connection. */
  send(space: Space): void {
    const { desk, events } = this.#ports;
    desk.poke(space);
    events.notify("notebooks");
  }

  /** Lets a capability in, or raises the role of one that is in. */
  grant(space: Space, capability: NewCapability): void {
    const { signer, key } = mustAdminister(space);
    const { ed, random, clock } = this.#ports;
    const place = space.controlPlace(clock.now());
    this.#keep(space, grant({ ed, random }, place, signer.sign, key, capability));
  }

  /** Gives a capability that is in a higher role, `no-access` if it is not in any more. */
  raise(space: Space, signPub: Uint8Array, role: RoleCode): void {
    const known = capabilityOf(space.authority, signPub);
    if (known === undefined || known.role === roles.none) {
      refuse("no-access", "This person does not have access any more. Invite them again.");
    }
    this.grant(space, { ...known, role, meta: new Uint8Array(0) });
  }

  /**
   * A fresh key for everybody who stays. Those lowered to `none` are out for good: neither what is
   * written from now on can be opened by them, nor can they fetch it.
   */
  renewKeys(space: Space, lowered: readonly Lowering[]): void {
    const { signer, key } = mustAdminister(space);
    const { ed, random, clock } = this.#ports;
    const place = space.controlPlace(clock.now());
    const { signed, epochKey } = rotate({ ed, random }, place, signer.sign, key, lowered);
    const { epochAfter } = signed.record;
    const commit = keyCommitOf(space.id, epochAfter, epochKey);
    this.#store.spaces.putKey(space.id, commit, epochAfter, epochKey);
    this.#keep(space, signed);
  }

  /**
   * Builds upon what others wrote in the log, so that a relay which lost it takes it again: a fresh key is what an administrator
   * can always write. Once, as long as the relay has not taken it.
   */
  vouch(space: Space): void {
    const isVouched = space.unconfirmed.waiting.at(-1)?.signed.record.body.type === "rotate";
    if (isVouched || !mayAdminister(space)) return;
    this.#store.transaction(() => this.renewKeys(space, []));
  }

  /** Closes the space for everybody, or opens it again. */
  setDeleted(space: Space, deleted: boolean): void {
    const { signer } = mustAdminister(space);
    const { ed, random, clock } = this.#ports;
    const place = space.controlPlace(clock.now());
    const type = deleted ? "delete" : "restore";
    this.#keep(space, closeOrReopen({ ed, random }, place, signer.sign, type));
  }

  /**
   * Records of ours that another administrator's overtook, and of anybody that a relay has lost and has another in the place
   * of: what is still wanted of them, on top of it.
   */
  writeAnew(space: Space, displaced: readonly DisplacedRecord[]): void {
    const lost = displaced.filter((record) => !this.#writtenAnew(space, record));
    if (lost.length === 0) return;
    const text = lost.some(({ signed }) => isOurs(space, signed)) ? overtaken : lostOfOthers;
    this.#store.syncLog.add("warning", text);
    this.#ports.events.emit({ type: "notice", text });
  }

  /** Whether what the record wanted is so now, by this device's doing or by another's. */
  #writtenAnew(space: Space, { signed, authority }: DisplacedRecord): boolean {
    const { body } = signed.record;
    switch (body.type) {
      case "grant":
        return this.#grantAnew(space, body, authority);
      case "join":
        return this.#admitAnew(space, signed.record.signerPub, body, authority);
      case "rotate":
        return this.#rotateAnew(space, body, authority);
      case "delete":
      case "restore": {
        const deleted = body.type === "delete";
        if (space.authority.deleted === deleted) return true;
        if (!mayAdminister(space)) return false;
        this.setDeleted(space, deleted);
        return true;
      }
    }
  }

  #grantAnew(space: Space, body: GrantBody, then: Authority): boolean {
    const known = capabilityOf(space.authority, body.signPub);
    if (known !== undefined && known.role >= body.role) return true;
    if (known?.role === roles.none || !mayAdminister(space)) return false;
    this.grant(space, { ...body, meta: this.#metaOf(space, body.meta, then) });
    return true;
  }

  /**
   * Somebody who came by a link before the relay lost that: let in anew by whoever may, as long as the link still lets people
   * in. A link for so many people is one of them poorer, which only its own records count: it ends where it was the last.
   */
  #admitAnew(space: Space, linkPub: Uint8Array, body: JoinBody, then: Authority): boolean {
    if (capabilityOf(space.authority, body.signPub) !== undefined) return true;
    const link = capabilityOf(space.authority, linkPub);
    const isOpen =
      link !== undefined &&
      link.role !== roles.none &&
      (link.maxJoins === 0 || link.joins < link.maxJoins);
    // Who may not manage it has no say in this; those who may see to it.
    if (!mayAdminister(space)) return true;
    if (!isOpen) return false;
    this.grant(space, {
      signPub: body.signPub,
      boxPub: body.boxPub,
      role: link.role,
      kind: capabilityKinds.person,
      notAfter: 0,
      maxJoins: 0,
      meta: this.#metaOf(space, body.meta, then),
    });
    // The relay did not take them while it did not know who gave them.
    for (const dev of space.devicesOf(body.signPub)) {
      this.#store.spaces.unpushCertificatesOf(space.id, dev);
    }
    const isLast = link.maxJoins !== 0 && link.joins + 1 >= link.maxJoins;
    if (isLast) this.renewKeys(space, [{ signPub: linkPub, role: roles.none }]);
    return true;
  }

  /** What a record says of whom it lets in; nothing where its key is not here. */
  #metaOf(space: Space, sealed: Uint8Array, { keyCommit }: Authority): Uint8Array {
    // The key of that time may be one of ours that came to nothing.
    const then = this.#store.spaces
      .keys(space.id)
      .find((row) => keyCommit !== null && equal(row.keyCommit, keyCommit));
    const meta = then === undefined ? null : openMeta(space.id, then.key, sealed);
    return meta ?? new Uint8Array(0);
  }

  #rotateAnew(space: Space, body: RotateBody, authority: Authority): boolean {
    const wanted = body.changes.flatMap(({ capIx, role }) => {
      const capability = authority.capabilities[capIx];
      return capability === undefined ? [] : [{ signPub: capability.signPub, role }];
    });
    const left = wanted.filter(({ signPub, role }) => roleOf(space.authority, signPub) > role);
    const isDone =
      left.length === 0 && (wanted.length > 0 || space.authority.epoch >= authority.epoch);
    if (isDone) return true;
    if (!mayAdminister(space) || !keepsAdministrator(space.authority, left)) return false;
    this.renewKeys(space, left);
    return true;
  }

  #keep(space: Space, signed: SignedControl): void {
    this.#ports.shelf.addRecord(space.id, signed);
    space.reload();
    if (space.authority.ctrlSeq !== signed.record.ctrlSeq) {
      throw new Error(`a record of ours would not be admitted in ${toHex(space.id.slice(0, 4))}…`);
    }
  }
}

const overtaken =
  "Somebody else changed who has access at the same moment. Your own change did not fit any more and was not made.";
const lostOfOthers =
  "The relay has lost a change of who has access to a notebook, and this device cannot make it again. Look at who has access with somebody who manages it.";

/** Whether this person made the record, from whichever device. */
function isOurs({ held }: Space, { record }: SignedControl): boolean {
  const by = record.body.type === "join" ? record.body.signPub : record.signerPub;
  return held.some(({ sign }) => equal(sign.publicKey, by));
}

const mayNotManage = "Only an administrator of this notebook can change who has access.";

/** Whether this person may change who has access. */
export function mayAdminister(space: Space): boolean {
  return space.administrator !== null && space.currentKey !== null;
}

/** Whether somebody could still change who has access. */
function keepsAdministrator(authority: Authority, lowered: readonly Lowering[]): boolean {
  return authority.capabilities.some(
    ({ signPub }) =>
      isAdmin(authority, signPub) && !lowered.some((other) => equal(other.signPub, signPub)),
  );
}

function mustAdminister(space: Space): Administered {
  const signer = space.administrator;
  const key = space.currentKey;
  if (signer === null || key === null) refuse("no-access", mayNotManage);
  return { signer, key: key.key };
}

function capabilityOf(authority: Authority, signPub: Uint8Array) {
  return authority.capabilities.find((capability) => equal(capability.signPub, signPub));
}

/** Who has access to a notebook, and what an administrator does about it. */
import type { Store } from "#crdt-store/store.ts";
import { roleOf } from "#relay/protocol/authority.ts";
import { equal, parseHex, toHex } from "#relay/protocol/bytes.ts";
import { capabilityKinds, roles } from "#relay/protocol/control.ts";
import type { Lowering } from "#client/crypto/space-keys.ts";
import type { Space } from "#client/sync/space.ts";
import type { Role } from "./api.ts";
import { mayAdminister, type Membership } from "./membership.ts";
import { refuse } from "./refusal.ts";
import type { Shelf } from "./shelf.ts";

export interface PeoplePorts {
  readonly store: Store;
  readonly shelf: Shelf;
  readonly membership: Membership;
}

type Member = Space["authority"]["capabilities"][number];

export class People {
  readonly #ports: PeoplePorts;
  readonly #store: Store;

  constructor(ports: PeoplePorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /** Ends somebody's access, and that of the links they can still open it with. Again is harmless. */
  remove(notebook: string, person: string): void {
    const space = this.#administered(notebook);
    const { signPub, role } = mustPerson(space, person);
    if (isSelf(space, signPub)) {
      refuse("bad-input", "This is you. Leave the notebook instead.");
    }
    if (role === roles.none) return;
    const links = linksInHandsOf(space, signPub);
    const lowered = [signPub, ...links].map((key) => ({ signPub: key, role: roles.none }));
    this.#renew(space, lowered);
  }

  /** Refused where nobody would be left who may manage the notebook. */
  setRole(notebook: string, person: string, role: Role): void {
    const space = this.#administered(notebook);
    const { signPub, role: before } = mustPerson(space, person);
    const after = roles[role];
    if (before === roles.none) {
      refuse("no-access", "This person does not have access any more. Invite them again.");
    }
    if (before === after) return;
    if (before === roles.admin && administrators(space).length === 1) {
      refuse("refused", "A notebook needs somebody who manages it. Make somebody else one first.");
    }
    if (after < before) {
      this.#renew(space, [{ signPub, role: after }]);
      return;
    }
    const { membership } = this.#ports;
    this.#store.transaction(() => membership.raise(space, signPub, after));
    membership.send(space);
  }

  /** Who came by the link stays. Again is harmless. */
  revokeLink(notebook: string, link: string): void {
    const space = this.#administered(notebook);
    const found = find(space, link);
    if (found === undefined || found.kind !== capabilityKinds.link) {
      refuse("bad-input", "This notebook has no such link.");
    }
    if (found.role === roles.none) return;
    this.#renew(space, [{ signPub: found.signPub, role: roles.none }]);
  }

  #renew(space: Space, lowered: readonly Lowering[]): void {
    const { membership } = this.#ports;
    this.#store.transaction(() => membership.renewKeys(space, lowered));
    membership.send(space);
  }

  /** Refuses with `no-access` whoever does not manage the notebook. */
  #administered(notebook: string): Space {
    const space = this.#ports.shelf.mustNotebook(notebook);
    if (space.authority.deleted) refuse("refused", "This notebook has been deleted.");
    if (!mayAdminister(space)) {
      refuse("no-access", "Only those who manage this notebook can change who has access.");
    }
    return space;
  }
}

/**
 * The links that a member can open: the one they came by, and those they made. Whoever is to be out
 * must not come in again by them.
 */
function linksInHandsOf(space: Space, signPub: Uint8Array): readonly Uint8Array[] {
  const { capabilities } = space.authority;
  const via = find(space, toHex(signPub))?.via ?? null;
  const came = via === null ? undefined : capabilities[via];
  const made = space.records.flatMap(({ record: { body, signerPub } }) =>
    body.type === "grant" && body.kind === capabilityKinds.link && equal(signerPub, signPub)
      ? [body.signPub]
      : [],
  );
  const links = came === undefined ? made : [came.signPub, ...made];
  return links.filter((link) => roleOf(space.authority, link) !== roles.none);
}

function find({ authority }: Space, id: string): Member | undefined {
  const key = parseHex(id);
  return key === null
    ? undefined
    : authority.capabilities.find(({ signPub }) => equal(signPub, key));
}

function mustPerson(space: Space, id: string): Member {
  const found = find(space, id);
  return found === undefined || found.kind === capabilityKinds.link
    ? refuse("bad-input", "Nobody in this notebook is called that.")
    : found;
}

function administrators({ authority }: Space): readonly Member[] {
  return authority.capabilities.filter(
    ({ kind, role }) => kind !== capabilityKinds.link && role === roles.admin,
  );
}

function isSelf(space: Space, signPub: Uint8Array): boolean {
  return space.capability !== null && equal(space.capability.sign.publicKey, signPub);
}

/** Who has access to a notebook, and what an administrator does about it. */
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { capabilityKinds, roles } from "#relay/protocol/control.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { formatLink } from "#client/crypto/link.ts";
import type { Lowering } from "#client/crypto/space-keys.ts";
import type { Clock, Random } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { LinkTerms, RenewalDays, Role, Sharing } from "./api.ts";
import type { DeviceDocuments } from "./documents.ts";
import {
  ownLinkKey,
  packDays,
  packOwnLink,
  keyAgeKey,
  unpackOwnLink,
  type OwnLink,
  type VaultIndex,
} from "./index-document.ts";
import type { Indices } from "./indices.ts";
import { lastRenewalAt, renewalChoices, renewalDaysIn } from "./key-care.ts";
import { mayAdminister, type Membership } from "./membership.ts";
import {
  administrators,
  find,
  isSelf,
  linksIn,
  linksInHandsOf,
  mustPerson,
  peopleIn,
} from "./people-rows.ts";
import { refuse } from "./refusal.ts";
import { appOf } from "./relay-address.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { Shelf } from "./shelf.ts";

export interface PeoplePorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly random: Random;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly indices: Indices;
  readonly membership: Membership;
  /** Where the app was served from, null if it was not. */
  readonly servedBy: string | null;
  readonly documents: () => Promise<DeviceDocuments>;
}

/** As the wire has it: u16. */
const mostJoins = 65_535;

export class People {
  readonly #ports: PeoplePorts;
  readonly #store: Store;

  constructor(ports: PeoplePorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  async sharing(notebook: string): Promise<Sharing> {
    const { shelf, indices, documents, clock } = this.#ports;
    const space = shelf.mustNotebook(notebook);
    const vault = indices.vault.read(await documents());
    const people = peopleIn(space, shelf, this.#store);
    const links = linksIn(space, clock.now()).map((row) => ({
      ...row,
      link: row.state === "live" ? this.#linkAgain(vault, space, row.id) : null,
    }));
    const everyDays = renewalDaysIn(vault, space);
    return {
      people,
      links,
      mayManage: mayAdminister(space),
      renewal: { everyDays, lastAt: lastRenewalAt(space) },
    };
  }

  /** The link again, for the devices of whoever made it. */
  #linkAgain(vault: Readonly<VaultIndex>, space: Space, id: string): string | null {
    const packed = vault[ownLinkKey(id)];
    const own = packed === undefined ? null : unpackOwnLink(packed);
    const relay = this.#ports.desk.relayOf(space);
    return own === null || relay === null ? null : this.#linkText(relay, own);
  }

  #linkText(relay: string, { space, secret, role }: OwnLink): string {
    const app = appOf(this.#ports.servedBy ?? relay);
    return formatLink(app, { role, secret, spaceId: space, relay });
  }

  /** A link that lets whoever holds it in, kept in the vault so that it can be shown again. */
  async share(
    notebook: string,
    role: Role,
    terms: LinkTerms,
    meta: (space: Space) => Uint8Array,
  ): Promise<{ readonly link: string; readonly id: string; readonly space: Space }> {
    const { ed, random, clock, desk, indices, documents, membership } = this.#ports;
    if (role === "admin") {
      refuse(
        "bad-input",
        "A link lets people read or write. Whoever is to manage the notebook joins first and is made a manager then.",
      );
    }
    const limits = mustTerms(terms, clock.now());
    const relay = desk.relayOf(this.#ports.shelf.mustNotebook(notebook));
    if (relay === null) {
      refuse("bad-relay", "Sharing needs a relay, and this device knows none. Give it one first.");
    }
    const space = this.#administered(notebook);
    const loaded = await documents();
    const own = { space: space.id, secret: random(32), role };
    const { sign, box } = capabilityFrom(ed, own.secret);
    const id = toHex(sign.publicKey);
    this.#store.transaction(() => {
      membership.grant(space, {
        signPub: sign.publicKey,
        boxPub: box.publicKey,
        role: roles[role],
        kind: capabilityKinds.link,
        ...limits,
        meta: meta(space),
      });
      indices.vault.edit(loaded, (vault) => {
        vault[ownLinkKey(id)] = packOwnLink(own);
      });
    });
    membership.send(space);
    return { link: this.#linkText(relay, own), id, space };
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

  async setRenewal(notebook: string, everyDays: RenewalDays): Promise<void> {
    const { indices, documents } = this.#ports;
    const space = this.#administered(notebook);
    if (everyDays !== null && !renewalChoices.includes(everyDays)) {
      refuse("bad-input", "Keys are renewed every 7, 30 or 90 days, or never by themselves.");
    }
    const loaded = await documents();
    this.#store.transaction(() =>
      indices.vault.edit(loaded, (vault) => {
        if (everyDays === null) delete vault[keyAgeKey(space.hex)];
        else vault[keyAgeKey(space.hex)] = packDays(everyDays);
      }),
    );
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

/** A link's end, as its GRANT carries it. */
function mustTerms(
  { expiresAt = null, maxJoins = null }: LinkTerms,
  now: number,
): { readonly notAfter: number; readonly maxJoins: number } {
  if (expiresAt !== null && !(Number.isSafeInteger(expiresAt) && expiresAt > now)) {
    refuse("bad-input", "A link can only end at a moment that is still to come.");
  }
  const isCount =
    maxJoins === null || (Number.isInteger(maxJoins) && maxJoins >= 1 && maxJoins <= mostJoins);
  if (!isCount) refuse("bad-input", `A link lets in 1 to ${mostJoins} people, or any number.`);
  return { notAfter: expiresAt ?? 0, maxJoins: maxJoins ?? 0 };
}

/** Who wrote a note, by the signed heads above its changes, never by what Automerge says. */
import type { Store } from "#crdt-store/store.ts";
import { roleOf } from "#relay/protocol/authority.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { roles } from "#relay/protocol/control.ts";
import { fingerprintOf } from "./fingerprint.ts";
import type { Space } from "#client/sync/space.ts";
import type { NoteAuthor } from "./api.ts";
import { loadDisplayName } from "./identity.ts";
import { isSelf } from "./people-rows.ts";
import type { Shelf } from "./shelf.ts";

export interface AuthorsPorts {
  readonly store: Store;
  readonly shelf: Shelf;
}

export class Authors {
  readonly #ports: AuthorsPorts;

  constructor(ports: AuthorsPorts) {
    this.#ports = ports;
  }

  /** One row for each device; whoever wrote last comes first. */
  of(space: Space, doc: Uint8Array): readonly NoteAuthor[] {
    return this.#ports.store.changes
      .signers(doc)
      .map(({ signer, changes, lastAt }) => ({
        ...this.#personOf(space, signer),
        device: signer === null ? "" : toHex(signer),
        fingerprint: signer === null ? "" : fingerprintOf(signer),
        changes,
        lastAt,
      }))
      .toSorted((a, b) => (b.lastAt ?? 0) - (a.lastAt ?? 0));
  }

  /**
   * Anybody can certify any device's key, and somebody who was removed and came back has two of their
   * own: whom it belongs to is certain where only one with access now, or only one ever, did.
   */
  #personOf(
    space: Space,
    signer: Uint8Array | null,
  ): Pick<NoteAuthor, "person" | "name" | "verified"> {
    const ever = signer === null ? [] : space.capabilitiesOf(signer);
    const now = ever.filter((cap) => roleOf(space.authority, cap) !== roles.none);
    const claims = now.length > 0 ? now : ever;
    const person = claims.find((cap) => isSelf(space, cap)) ?? claims[0];
    if (person === undefined) return { person: null, name: "", verified: false };
    const id = toHex(person);
    const { shelf, store } = this.#ports;
    const known = shelf.facts(space.id).members.find(({ cap }) => cap === id)?.name ?? "";
    const name = known === "" && isSelf(space, person) ? loadDisplayName(store) : known;
    return { person: id, name, verified: claims.length === 1 && name !== "" };
  }
}

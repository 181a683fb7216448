/** Who wrote a note, by the signed heads above its changes, never by what Automerge says. */
import type { Store } from "#crdt-store/store.ts";
import { roleOf } from "#relay/protocol/authority.ts";
import { mustHex, toHex } from "#relay/protocol/bytes.ts";
import { roles } from "#relay/protocol/control.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { openPast } from "#client/crypto/past.ts";
import { cleanName } from "#client/crypto/profile.ts";
import type { Space } from "#client/sync/space.ts";
import type { NoteAuthor } from "./api.ts";
import type { DeviceDocuments } from "./documents.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { loadDisplayName } from "./identity.ts";
import { pastKey } from "./index-document.ts";
import type { Indices } from "./indices.ts";
import { isSelf } from "./people-rows.ts";
import type { Shelf } from "./shelf.ts";

export interface AuthorsPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly shelf: Shelf;
  readonly indices: Indices;
}

export class Authors {
  readonly #ports: AuthorsPorts;

  constructor(ports: AuthorsPorts) {
    this.#ports = ports;
  }

  /** One row for each device; whoever wrote last comes first. */
  of(documents: DeviceDocuments, space: Space, doc: Uint8Array): readonly NoteAuthor[] {
    const stated = this.#stated(documents, space, doc);
    const inThePast = stated.reduce((sum, { changes }) => sum + changes, 0);
    const signed = this.#ports.store.changes.signers(doc).flatMap((row): NoteAuthor[] => {
      const { signer, lastAt } = row;
      // What came with a copy bears no signature of this document.
      const changes = row.changes - (signer === null ? inThePast : 0);
      if (changes <= 0) return [];
      const device = signer === null ? "" : toHex(signer);
      const fingerprint = signer === null ? "" : fingerprintOf(signer);
      const person = this.#personOf(space, signer);
      return [{ ...person, device, fingerprint, changes, lastAt, statedBy: null }];
    });
    return [...signed, ...stated].toSorted((a, b) => (b.lastAt ?? 0) - (a.lastAt ?? 0));
  }

  /** Who wrote what a copy began with, as its copier saw it. */
  #stated(documents: DeviceDocuments, space: Space, doc: Uint8Array): readonly NoteAuthor[] {
    const { ed, indices } = this.#ports;
    const packed = indices.read(documents, space)[pastKey(toHex(doc))];
    const origin = space.originOf(doc);
    if (!(packed instanceof Uint8Array) || origin === null) return [];
    const past = openPast(ed, origin.devPub, doc, packed);
    if (past === null) return [];
    const copier = this.#personOf(space, origin.devPub);
    const self = copier.person !== null && isSelf(space, mustHex(copier.person));
    const statedBy = { name: copier.name, self };
    return past.authors.map(({ person, device, name, verified, changes, lastAt }) => ({
      person: person === null ? null : toHex(person),
      name: (person === null ? "" : this.#nameOf(space, person)) || cleanName(name),
      verified,
      device: device === null ? "" : toHex(device),
      fingerprint: device === null ? "" : fingerprintOf(device),
      changes,
      lastAt,
      statedBy,
    }));
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
    const name = this.#nameOf(space, person);
    return { person: toHex(person), name, verified: claims.length === 1 && name !== "" };
  }

  /** As they signed it; "" where nothing is known. */
  #nameOf(space: Space, person: Uint8Array): string {
    const { shelf, store } = this.#ports;
    const id = toHex(person);
    const known = shelf.facts(space.id).members.find(({ cap }) => cap === id)?.name ?? "";
    return known === "" && isSelf(space, person) ? loadDisplayName(store) : known;
  }
}

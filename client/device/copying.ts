/**
 * Documents that begin in another space with all that was written in one of this space: the same Automerge changes under a
 * new id, an origin that names the heads it came with, and a word on who wrote what (docs/decisions/moving.md).
 */
import { parseChange, type Change } from "#crdt-store/chunks.ts";
import type { NoteRow as StoredNote } from "#crdt-store/notes-index.ts";
import type { Store } from "#crdt-store/store.ts";
import { mustHex, toHex } from "#relay/protocol/bytes.ts";
import { documentIdOf } from "#relay/protocol/genesis.ts";
import { docNonceBytes, signOrigin } from "#client/crypto/authorship.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import { mostPastAuthors, signPast } from "#client/crypto/past.ts";
import type { Clock, Random } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { Authors } from "./authors.ts";
import type { DeviceDocuments } from "./documents.ts";
import { packMoment, pastKey } from "./index-document.ts";
import type { Indices } from "./indices.ts";
import { sendPast } from "./past-snapshot.ts";
import type { Shelf } from "./shelf.ts";

export interface CopyingPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly random: Random;
  readonly shelf: Shelf;
  readonly indices: Indices;
  readonly authors: Authors;
}

export interface Copy {
  readonly doc: Uint8Array;
  /** What it begins with; the original stood there. */
  readonly heads: readonly Uint8Array[];
}

export class Copying {
  readonly #ports: CopyingPorts;
  readonly #store: Store;

  constructor(ports: CopyingPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /**
   * A document in `target` that begins with all of this one, its row and its place in the index there; in the caller's
   * transaction. It is sent as a snapshot, and its changes count as unsent until that is acknowledged.
   *
   * @param trashedAt whether it lies in the trash there, and since when
   */
  copy(documents: DeviceDocuments, row: StoredNote, target: Space, trashedAt: number | null): Copy {
    const { ed, random, clock, indices } = this.#ports;
    const docNonce = random(docNonceBytes);
    const doc = documentIdOf(target.id, target.device.publicKey, docNonce);
    const saved = documents.save(row.doc);
    const heads = saved.heads.map(mustHex);
    const changes = saved.changes.map(mustParse);
    const origin = signOrigin(ed, target.device, doc, docNonce, heads);
    this.#store.documents.add({ doc, space: target.id, kind: "note", origin });
    this.#store.changes.insert(
      changes.map((change) => ({
        ...change,
        doc,
        opCount: 0,
        space: target.id,
        pos: null,
        signer: null,
        local: false,
        at: clock.now(),
      })),
    );
    sendPast(this.#store, random, target, doc, {
      document: saved.bytes,
      heads,
      changes: changes.map(({ hash }) => hash),
    });
    this.#store.notes.upsert({ ...row, doc, space: target.id, trashedAt, movedTo: null });
    const past = this.#pastOf(documents, row, target, doc);
    indices.edit(documents, target, (index) => {
      index.notes[toHex(doc)] = packMoment(row.createdAt);
      index[pastKey(toHex(doc))] = past;
      if (trashedAt !== null) index.trash[toHex(doc)] = packMoment(trashedAt);
    });
    return { doc, heads };
  }

  #pastOf(documents: DeviceDocuments, row: StoredNote, target: Space, doc: Uint8Array): Uint8Array {
    const { ed, shelf, authors } = this.#ports;
    const space = shelf.get(row.space);
    const known = space === undefined ? [] : authors.of(documents, space, row.doc);
    return signPast(ed, target.device, doc, {
      updatedAt: row.updatedAt,
      authors: known.slice(0, mostPastAuthors).map((author) => ({
        ...author,
        // What this person only heard of another, others do not hear from them as what they saw.
        verified: author.verified && author.statedBy?.self !== false,
        person: author.person === null ? null : mustHex(author.person),
        device: author.device === "" ? null : mustHex(author.device),
      })),
    });
  }
}

function mustParse(chunk: Uint8Array): Change {
  const parsed = parseChange(chunk);
  if (parsed.type === "failed") throw new Error(`a change in a note is ${parsed.failure.type}`);
  return parsed.change;
}

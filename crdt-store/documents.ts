import type { Sqlite } from "./sqlite.ts";

export interface StoredDocument {
  /** 16 bytes, also the Automerge document id. */
  readonly doc: Uint8Array;
  readonly space: Uint8Array;
  readonly kind: "note" | "index";
  /** The creator's signed origin, verbatim; null until it is known, and for an index. */
  readonly origin: Uint8Array | null;
}

/** A signed head: the device's word for everything the actor wrote up to `seq`. */
export interface SignedHead {
  readonly actor: Uint8Array;
  readonly seq: number;
  readonly hash: Uint8Array;
  readonly nonce: Uint8Array;
  readonly dev: Uint8Array;
  readonly sig: Uint8Array;
}

/** An actor id that this device writes under. */
export interface OwnActor {
  readonly actor: Uint8Array;
  readonly nonce: Uint8Array;
  /** The editing session (a tab) it belongs to. */
  readonly session: string;
}

/** Which document belongs to which space, who signed its history, and under which actors this device writes. */
export class Documents {
  readonly #sqlite: Sqlite;

  constructor(sqlite: Sqlite) {
    this.#sqlite = sqlite;
  }

  /** Adds a document; one that is there keeps its space, and its origin unless it had none. */
  add(document: StoredDocument): void {
    this.#sqlite.run(
      `INSERT INTO document (doc, space, kind, origin) VALUES (?, ?, ?, ?)
       ON CONFLICT (doc) DO UPDATE SET origin = coalesce(document.origin, excluded.origin)`,
      [document.doc, document.space, document.kind, document.origin],
    );
  }

  get(doc: Uint8Array): StoredDocument | null {
    return (
      this.#sqlite.get<StoredDocument>(
        "SELECT doc, space, kind, origin FROM document WHERE doc = ?",
        [doc],
      ) ?? null
    );
  }

  /** The documents of a space. */
  ofSpace(space: Uint8Array): StoredDocument[] {
    return this.#sqlite.all<StoredDocument>(
      "SELECT doc, space, kind, origin FROM document WHERE space = ?",
      [space],
    );
  }

  /** Keeps a signed head; one for the same actor and seq stays as it is. */
  addHead(doc: Uint8Array, head: SignedHead): void {
    this.#sqlite.run(
      `INSERT INTO head (doc, actor, seq, hash, nonce, dev, sig) VALUES (?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT DO NOTHING`,
      [doc, head.actor, head.seq, head.hash, head.nonce, head.dev, head.sig],
    );
  }

  /** The latest head of every actor. */
  headsOf(doc: Uint8Array): SignedHead[] {
    return this.#sqlite.all<SignedHead>(
      `SELECT actor, seq, hash, nonce, dev, sig FROM head AS h WHERE doc = ? AND seq = (
         SELECT max(seq) FROM head WHERE doc = h.doc AND actor = h.actor) ORDER BY actor`,
      [doc],
    );
  }

  headOf(doc: Uint8Array, actor: Uint8Array, seq: number): SignedHead | null {
    return (
      this.#sqlite.get<SignedHead>(
        "SELECT actor, seq, hash, nonce, dev, sig FROM head WHERE doc = ? AND actor = ? AND seq = ?",
        [doc, actor, seq],
      ) ?? null
    );
  }

  /** The seq of an actor's first signed head at or above `seq`; null if none is held. */
  nextHead(doc: Uint8Array, actor: Uint8Array, seq: number): number | null {
    return (
      this.#sqlite.get<{ seq: number | null }>(
        "SELECT min(seq) AS seq FROM head WHERE doc = ? AND actor = ? AND seq >= ?",
        [doc, actor, seq],
      )?.seq ?? null
    );
  }

  /** Deletes the signed heads of a document. */
  purgeHeads(doc: Uint8Array): void {
    this.#sqlite.run("DELETE FROM head WHERE doc = ?", [doc]);
  }

  addActor(doc: Uint8Array, actor: OwnActor): void {
    this.#sqlite.run(
      "INSERT INTO actor (doc, actor, nonce, session) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
      [doc, actor.actor, actor.nonce, actor.session],
    );
  }

  /** The actor, if it is one of this device's own. */
  actor(doc: Uint8Array, actor: Uint8Array): OwnActor | null {
    return (
      this.#sqlite.get<OwnActor>(
        "SELECT actor, nonce, session FROM actor WHERE doc = ? AND actor = ?",
        [doc, actor],
      ) ?? null
    );
  }

  /** This device's own actors in a document. */
  actorsOf(doc: Uint8Array): OwnActor[] {
    return this.#sqlite.all<OwnActor>("SELECT actor, nonce, session FROM actor WHERE doc = ?", [
      doc,
    ]);
  }
}

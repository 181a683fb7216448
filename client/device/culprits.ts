/**
 * Changes that would make a note unreadable: what Automerge panics on or refuses, what makes a document that cannot be loaded
 * once it is saved, and what a process ended on. Each is found, set aside with its author, and not taken in again; the
 * document is built from the journal without it (PROTOCOL §6). What depends on it waits.
 */
import { parseChange, type Change } from "#crdt-store/chunks.ts";
import type { Store } from "#crdt-store/store.ts";
import { concat, equal, toHex } from "#relay/protocol/bytes.ts";
import type { Clock } from "#client/sync/ports.ts";

export interface CulpritsPorts {
  readonly store: Store;
  readonly clock: Clock;
  /** A note is another than it was shown: whoever has it open opens it again. */
  readonly mended: (doc: Uint8Array) => void;
  /** WebAssembly trapped over a document: what did it is to be found elsewhere. */
  readonly trapped: (doc: Uint8Array) => void;
}

/** A document that a process ended on, once or even when it was tried where it can be stopped. */
export interface Suspect {
  readonly doc: Uint8Array;
  readonly isAgain: boolean;
}

/** Reasons in quarantine. */
export const notApplicable = "not-applicable";
export const notSavable = "not-savable";
export const interrupted = "interrupted";
export const tooMuch = "too-much";
/** Not tried yet (trials.ts). */
const onTrial = "on-trial";

/** In place of hashes: all that is new of the document is being tried. */
const allOfIt = Uint8Array.of(1);

type Held = ReturnType<Store["inbox"]["quarantined"]>[number] & { readonly change: Change };

export class Culprits {
  readonly #ports: CulpritsPorts;
  readonly #store: Store;

  constructor(ports: CulpritsPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /** Takes changes out of the journal for good, as far as anybody can tell now. */
  setAside(doc: Uint8Array, changes: readonly Change[], reason: string): void {
    if (changes.length === 0) return;
    this.#store.transaction(() => {
      this.#take(doc, changes, reason);
      this.#tell(changes.length);
    });
    this.#ports.mended(doc);
  }

  /** Takes changes out of the journal until it is known what they do. */
  hold(doc: Uint8Array, changes: readonly Pick<Change, "hash">[]): void {
    this.#store.transaction(() => this.#take(doc, changes, onTrial));
  }

  /** Documents of which something is held. */
  onTrial(): readonly Uint8Array[] {
    const held = this.#store.inbox.quarantined().filter(({ reason }) => reason === onTrial);
    return [...new Map(held.flatMap(({ doc }) => (doc ? [[toHex(doc), doc]] : []))).values()];
  }

  /** What is held of a document. */
  heldOf(doc: Uint8Array): readonly Change[] {
    return this.#held(doc, onTrial).map(({ change }) => change);
  }

  /** What was held does harm, and stays aside. */
  condemn(doc: Uint8Array, changes: readonly Change[], reason: string): void {
    if (changes.length === 0) return;
    const names = new Set(changes.map(({ hash }) => toHex(hash)));
    this.#store.transaction(() => {
      for (const { id, change } of this.#held(doc, onTrial)) {
        if (names.has(toHex(change.hash))) this.#store.inbox.relabel(id, reason);
      }
      this.#tell(changes.length);
    });
    this.#ports.mended(doc);
  }

  /**
   * What was held does no harm: it goes into the journal.
   *
   * @returns their chunks
   */
  letIn(doc: Uint8Array, changes: readonly Change[]): readonly Uint8Array[] {
    const names = new Set(changes.map(({ hash }) => toHex(hash)));
    const found = this.#held(doc, onTrial).filter(({ change }) => names.has(toHex(change.hash)));
    this.#letIn(doc, found);
    return found.map(({ change }) => change.bytes);
  }

  /**
   * Somebody built on changes that were set aside because the document could not be saved with them: they can be applied, and
   * without them what was written since would not be shown. They come back.
   */
  readmit(doc: Uint8Array, deps: readonly Uint8Array[]): void {
    const { refused } = this.#store;
    const wanted = deps.filter((hash) => refused.has(doc, hash));
    if (wanted.length === 0) return;
    const found = this.#held(doc, notSavable).filter(({ change }) =>
      wanted.some((hash) => equal(hash, change.hash)),
    );
    this.#letIn(doc, found);
  }

  /** Whether anything in the journal was written on top of a change. */
  isBuiltUpon(doc: Uint8Array, hash: Uint8Array): boolean {
    return this.#store.changes
      .ofDocument(doc)
      .some(({ deps }) => deps.some((dep) => equal(dep, hash)));
  }

  /**
   * What a process that ended without a word had in its hands. Where it is known which changes, they are set aside; the
   * documents that are to be loaded with care are answered.
   */
  afterCrash(): readonly Suspect[] {
    const suspects = this.#store.refused.interrupted();
    for (const { doc, hashes } of suspects) {
      this.setAside(doc, this.#found(doc, hashes), interrupted);
    }
    return suspects.map(({ doc, hashes }) => ({ doc, isAgain: hashes.length > 0 }));
  }

  /**
   * About to try these alone, or (null) all that is new of the document: if this process ends over it, the next one knows,
   * and sets aside what was named.
   */
  announce(doc: Uint8Array, changes: readonly Pick<Change, "hash">[] | null): void {
    const names = changes === null ? allOfIt : concat(...changes.map(({ hash }) => hash));
    this.#store.refused.trying(doc, names);
  }

  /** WebAssembly trapped over a document. */
  trapped(doc: Uint8Array): void {
    this.#ports.trapped(doc);
  }

  #take(doc: Uint8Array, changes: readonly Pick<Change, "hash">[], reason: string): void {
    for (const { hash } of changes) {
      const row = this.#store.changes.take(doc, hash);
      this.#store.refused.add(doc, hash);
      if (row === null) continue;
      this.#store.inbox.quarantine({
        space: row.space,
        pos: row.pos,
        doc,
        entryId: null,
        reason,
        bytes: row.bytes,
        signer: row.signer,
      });
    }
  }

  #tell(changes: number): void {
    this.#store.syncLog.add(
      "warning",
      changes === 1
        ? "One change of a note could not be applied and is kept aside. The note goes on without it."
        : `${changes} changes of a note could not be applied and are kept aside. The note goes on without them.`,
    );
  }

  #held(doc: Uint8Array, why: string): readonly Held[] {
    return this.#store.inbox.quarantined().flatMap((row) => {
      if (row.doc === null || !equal(row.doc, doc) || row.reason !== why) return [];
      const parsed = parseChange(row.bytes);
      return parsed.type === "failed" ? [] : [{ ...row, change: parsed.change }];
    });
  }

  #letIn(doc: Uint8Array, held: readonly Held[]): void {
    const { refused, inbox, changes, documents } = this.#store;
    for (const { id, change, space, pos, signer } of held) {
      refused.remove(doc, change.hash);
      inbox.release(id);
      changes.insert([
        {
          ...change,
          doc,
          opCount: 0,
          space,
          pos,
          signer,
          local: documents.actor(doc, change.actor) !== null,
          at: this.#ports.clock.now(),
        },
      ]);
    }
  }

  #found(doc: Uint8Array, hashes: Uint8Array): readonly Change[] {
    const wanted = new Set<string>();
    for (let at = 0; at + 32 <= hashes.length; at += 32)
      wanted.add(toHex(hashes.subarray(at, at + 32)));
    if (wanted.size === 0) return [];
    return this.#store.changes.ofDocument(doc).filter(({ hash }) => wanted.has(toHex(hash)));
  }
}

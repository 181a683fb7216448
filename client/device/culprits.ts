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
}

/** Reasons in quarantine. */
export const notApplicable = "not-applicable";
export const notSavable = "not-savable";
export const interrupted = "interrupted";

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
      this.#store.syncLog.add(
        "warning",
        changes.length === 1
          ? "One change of a note could not be applied and is kept aside. The note goes on without it."
          : `${changes.length} changes of a note could not be applied and are kept aside. The note goes on without them.`,
      );
    });
    this.#ports.mended(doc);
  }

  /**
   * Somebody built on changes that were set aside because the document could not be saved with them: they can be applied, and
   * without them what was written since would not be shown. They come back.
   */
  readmit(doc: Uint8Array, deps: readonly Uint8Array[]): void {
    const { refused, inbox, changes } = this.#store;
    const wanted = deps.filter((hash) => refused.has(doc, hash));
    if (wanted.length === 0) return;
    for (const held of inbox.quarantined()) {
      if (held.doc === null || !equal(held.doc, doc) || held.reason !== notSavable) continue;
      const parsed = parseChange(held.bytes);
      if (parsed.type === "failed") continue;
      const { change } = parsed;
      if (!wanted.some((hash) => equal(hash, change.hash))) continue;
      refused.remove(doc, change.hash);
      inbox.release(held.id);
      changes.insert([
        {
          ...change,
          doc,
          opCount: 0,
          space: held.space,
          pos: held.pos,
          signer: held.signer,
          local: this.#store.documents.actor(doc, change.actor) !== null,
          at: this.#ports.clock.now(),
        },
      ]);
    }
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
  afterCrash(): readonly Uint8Array[] {
    const suspects = this.#store.refused.interrupted();
    for (const { doc, hashes } of suspects) {
      this.setAside(doc, this.#found(doc, hashes), interrupted);
    }
    return suspects.map(({ doc }) => doc);
  }

  /** About to apply these alone: if this process ends over them, the next one knows. */
  tryAlone(doc: Uint8Array, changes: readonly Change[]): void {
    this.#store.refused.trying(doc, concat(...changes.map(({ hash }) => hash)));
  }

  #found(doc: Uint8Array, hashes: Uint8Array): readonly Change[] {
    const wanted = new Set<string>();
    for (let at = 0; at + 32 <= hashes.length; at += 32)
      wanted.add(toHex(hashes.subarray(at, at + 32)));
    if (wanted.size === 0) return [];
    return this.#store.changes.ofDocument(doc).filter(({ hash }) => wanted.has(toHex(hash)));
  }
}

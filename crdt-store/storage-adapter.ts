import type { Chunk, StorageAdapterInterface, StorageKey } from "@automerge/automerge-repo/slim";
import { bytesToHex, concatBytes } from "@noble/hashes/utils.js";

import { measureChange, parseSave, type Change } from "./chunks.ts";
import { parseDocumentId } from "./document-id.ts";
import type { Snapshot } from "./snapshots.ts";
import { StoreError } from "./store-error.ts";
import type { Store } from "./store.ts";

export interface StorageAdapterOptions {
  /** The space of a document whose changes come in here; null if it is in none (yet). */
  readonly spaceOf: (doc: Uint8Array) => Uint8Array | null;
  /**
   * Told when a save failed; resolves when it is to be tried again, until which the save is under way. Without it a
   * failed save rejects, which automerge-repo neither handles nor repeats.
   */
  readonly retry?: (error: StoreError) => Promise<void>;
}

/**
 * automerge-repo's storage, seen on the store's tables.
 *
 * | key                        | where it is                                                                    |
 * | [document, "incremental", …] | each change a row of the journal; comes back as one chunk, `journal`          |
 * | [document, "snapshot", …]    | its changes in the journal, all of it among the snapshots; the latest comes back |
 * | anything else                | key and value, verbatim; also the above under what is no document id           |
 *
 * What is saved is durable when the promise resolves. Removing a snapshot only marks it, removing an incremental does
 * nothing: automerge-repo removes chunks that it has not proved to be in the snapshot it wrote. Bytes that are not whole,
 * authentic Automerge chunks go to quarantine, the good ones before them are kept: automerge-repo's loader would skip a
 * bad chunk and everything after it in silence.
 */
export class StorageAdapter implements StorageAdapterInterface {
  readonly #store: Store;
  readonly #options: StorageAdapterOptions;
  // automerge-repo asks for the snapshot and for the incrementals in two calls; another tab may save a newer snapshot
  // between them, and then its changes would be in neither answer.
  readonly #servedSnapshots = new Map<string, readonly Uint8Array[]>();

  constructor(store: Store, options: StorageAdapterOptions) {
    this.#store = store;
    this.#options = options;
  }

  async load(key: StorageKey): Promise<Uint8Array | undefined> {
    const place = placeOf(key);
    if (place.type === "snapshot") {
      return this.#store.snapshots.get(place.doc, place.name)?.bytes;
    }
    if (place.type === "incremental") return this.#loadIncremental(place.doc, place.name);
    return this.#store.keyValues.get(key);
  }

  async save(key: StorageKey, data: Uint8Array): Promise<void> {
    for (;;) {
      try {
        return this.#save(key, data);
      } catch (error) {
        if (!(error instanceof StoreError) || this.#options.retry === undefined) throw error;
        await this.#options.retry(error);
      }
    }
  }

  #save(key: StorageKey, data: Uint8Array): void {
    const place = placeOf(key);
    if (place.type === "other") this.#store.keyValues.put(key, data);
    else this.#saveChunks(place, data);
  }

  async remove(key: StorageKey): Promise<void> {
    const place = placeOf(key);
    if (place.type === "snapshot") this.#store.snapshots.remove(place.doc, place.name);
    else if (place.type === "other") this.#store.keyValues.remove(key);
  }

  async loadRange(keyPrefix: StorageKey): Promise<Chunk[]> {
    const doc = parseDocumentId(keyPrefix[0] ?? "");
    const others = this.#store.keyValues
      .range(keyPrefix)
      .map(({ path, value }) => ({ key: path, data: value }));
    if (doc === undefined || keyPrefix[0] === undefined) return others;
    const range = { doc, text: keyPrefix[0], name: keyPrefix[2] };
    if (keyPrefix.length === 1) {
      const snapshots = this.#snapshotChunks(range);
      return [...snapshots, ...this.#incrementalChunks(range), ...others];
    }
    if (keyPrefix[1] === "snapshot") return this.#snapshotChunks(range);
    if (keyPrefix[1] === "incremental") return this.#incrementalChunks(range);
    return others;
  }

  async removeRange(keyPrefix: StorageKey): Promise<void> {
    const doc = parseDocumentId(keyPrefix[0] ?? "");
    this.#store.transaction(() => {
      if (doc !== undefined && (keyPrefix.length === 1 || keyPrefix[1] === "snapshot")) {
        this.#store.snapshots.removeAll(doc);
      }
      this.#store.keyValues.removeRange(keyPrefix);
    });
  }

  #saveChunks(place: DocumentPlace, data: Uint8Array): void {
    const { doc } = place;
    const parsed = parseSave(data);
    this.#store.transaction(() => {
      const space = this.#store.documents.get(doc)?.space ?? this.#options.spaceOf(doc);
      this.#insert(doc, space, parsed.changes);
      if (parsed.type === "failed") {
        this.#store.inbox.quarantine({
          space,
          pos: null,
          doc,
          entryId: null,
          reason: `storage-${parsed.failure.type}`,
          bytes: data,
          signer: null,
        });
      } else if (parsed.documents.length > 0) {
        // Not the changes saved beside it: they wait for dependencies that the snapshot has not got.
        const heads = parsed.documents.flatMap((document) => document.heads);
        this.#store.snapshots.put(doc, { key: place.name, heads, bytes: data });
      }
    });
  }

  #insert(doc: Uint8Array, space: Uint8Array | null, changes: readonly Change[]): void {
    this.#store.changes.insert(
      changes.map((change) => ({
        ...change,
        doc,
        opCount: measureChange(change)?.operations ?? 0,
        space,
        pos: null,
        signer: null,
        local: true,
        at: this.#store.now(),
      })),
    );
  }

  #snapshotChunks(range: DocumentRange): Chunk[] {
    const served = this.#snapshotsOf(range);
    if (served.length === 0) return [];
    this.#servedSnapshots.set(
      range.text,
      served.flatMap((snapshot) => snapshot.heads),
    );
    return served.map(({ key, bytes }) => ({ key: [range.text, "snapshot", key], data: bytes }));
  }

  /** The latest or the named one, and beside it always the one that stands for changes without rows. */
  #snapshotsOf({ doc, name }: DocumentRange): Snapshot[] {
    const { snapshots, changes } = this.#store;
    const asked = name === undefined ? snapshots.latest(doc) : snapshots.get(doc, name);
    const packed = changes.packOf(doc)?.snapshot;
    const beside =
      packed === undefined || packed === asked?.key ? null : snapshots.get(doc, packed);
    return [asked, beside].filter((snapshot) => snapshot !== null);
  }

  /** The journal without what the snapshot served just before holds already. */
  #incrementalChunks({ doc, text }: DocumentRange): Chunk[] {
    const rest = this.#store.changes
      .beyond(doc, this.#servedSnapshots.get(text) ?? [])
      .map((change) => change.bytes);
    this.#servedSnapshots.delete(text);
    return rest.length === 0
      ? []
      : [{ key: [text, "incremental", "journal"], data: concatBytes(...rest) }];
  }

  #loadIncremental(doc: Uint8Array, name: string): Uint8Array | undefined {
    const all = this.#store.changes.ofDocument(doc);
    if (name === "journal") return concatBytes(...all.map((change) => change.bytes));
    return all.find((change) => bytesToHex(change.hash) === name)?.bytes;
  }
}

interface DocumentPlace {
  readonly type: "snapshot" | "incremental";
  readonly doc: Uint8Array;
  readonly name: string;
}

interface DocumentRange {
  readonly doc: Uint8Array;
  readonly text: string;
  readonly name: string | undefined;
}

function placeOf(key: StorageKey): DocumentPlace | { readonly type: "other" } {
  const [text = "", type, name] = key;
  if (key.length !== 3 || name === undefined) return { type: "other" };
  if (type !== "snapshot" && type !== "incremental") return { type: "other" };
  const doc = parseDocumentId(text);
  return doc === undefined ? { type: "other" } : { type, doc, name };
}

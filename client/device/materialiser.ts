/**
 * The one place where notes that nobody has open are loaded: in idle time, in slices, each document
 * once for everybody who wants to know what it says, and freed right after.
 */
import type * as AutomergeModule from "@automerge/automerge/slim";
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import type { Clock, Timers } from "#client/sync/ports.ts";
import type { NoteDocument } from "./api.ts";
import type { Background } from "./background.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { Automerge } from "./index-document.ts";
import { failureWords } from "./failure-words.ts";

/** Who keeps something that is derived from what notes say: the list's rows, the search index. */
export interface NoteReader {
  /** Up to `most` notes it has to read again, the most urgent first; none when all is read. Asked often. */
  unread(most: number): readonly Uint8Array[];
  /**
   * What a note says now, whoever wanted it; the document is freed when this returns. Runs in a
   * transaction of the notes' store. Once read, or passed over, a note is not to be named as unread
   * until it has changed.
   */
  read(doc: Uint8Array, note: AutomergeModule.Doc<NoteDocument>, automerge: Automerge): void;
  /** The note cannot be loaded. */
  passOver(doc: Uint8Array): void;
}

export interface MaterialiserPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly background: Background;
  readonly documents: () => Promise<DeviceDocuments>;
  /** Something was read. */
  readonly moved: () => void;
}

/** Reading begins this long after the last change: typing goes first. */
const quietMs = 300;
/**
 * A slice ends after the first of these: typing waits for one slice at most, or for one very long note. A shorter one would
 * spend more time on its commit than on its notes.
 */
const sliceMs = 24;
const sliceNotes = 16;
/** So many are announced at once. */
const aheadNotes = 64;
/** A note that takes so long to load rests so many times as long before it is loaded again. */
const longMs = 8;
const restFactor = 20;

export class Materialiser {
  readonly #ports: MaterialiserPorts;
  readonly #readers: NoteReader[] = [];
  /** When notes that took long may be loaded again, by document in hex. */
  readonly #restsUntil = new Map<string, number>();
  /** Notes that were announced and not read yet, in hex. */
  readonly #announced = new Map<string, Uint8Array>();
  #cancelSoon: (() => void) | null = null;
  #closed = false;

  constructor(ports: MaterialiserPorts) {
    this.#ports = ports;
  }

  /** From now on `reader` is given every note that is loaded here. */
  add(reader: NoteReader): void {
    this.#readers.push(reader);
  }

  close(): void {
    const { store } = this.#ports;
    this.#closed = true;
    this.#cancelSoon?.();
    if (this.#announced.size === 0 || store.isFull) return;
    store.transaction(() => {
      for (const doc of this.#announced.values()) store.refused.nothingTried(doc);
    });
  }

  /** Reads what is unread a moment from now, in slices. Called again, the moment begins anew. */
  soon(): void {
    this.#in(quietMs);
  }

  /** Reads everything unread now, for callers that want the whole once. */
  async all(): Promise<void> {
    const documents = await this.#ports.documents();
    for (let left = this.#unread(); left.length > 0; left = this.#unread()) {
      this.#readSlice(documents, left);
    }
  }

  #in(ms: number): void {
    this.#cancelSoon?.();
    if (this.#closed) return;
    this.#cancelSoon = this.#ports.timers.after(ms, () => {
      this.#cancelSoon = null;
      this.#ports.background.add(() => this.#oneSlice());
    });
  }

  async #oneSlice(): Promise<void> {
    const now = this.#ports.clock.now();
    const unread = this.#unread();
    if (unread.length === 0) return;
    const rested = unread.filter((doc) => (this.#restsUntil.get(toHex(doc)) ?? now) <= now);
    if (rested.length > 0) {
      const documents = await this.#ports.documents();
      if (this.#closed) return;
      this.#readSlice(documents, rested);
    }
    // Something asked for later in the meantime goes first.
    if (this.#cancelSoon === null) this.#in(rested.length > 0 ? 0 : this.#untilRested(unread, now));
  }

  #untilRested(docs: readonly Uint8Array[], now: number): number {
    const moments = docs.map((doc) => this.#restsUntil.get(toHex(doc)) ?? now);
    return Math.min(...moments) - now;
  }

  #unread(): readonly Uint8Array[] {
    const found = new Map<string, Uint8Array>();
    // Resting notes must not hide the others.
    const most = aheadNotes + this.#restsUntil.size;
    for (const reader of this.#readers) {
      for (const doc of reader.unread(most)) found.set(toHex(doc), doc);
    }
    return [...found.values()];
  }

  #readSlice(documents: DeviceDocuments, docs: readonly Uint8Array[]): void {
    const { clock, store, moved } = this.#ports;
    const startedAt = clock.now();
    const done = new Set<string>();
    const slice = this.#readable(docs.slice(0, aheadNotes));
    store.transaction(() => {
      for (const doc of slice) {
        if (done.size > 0 && clock.now() - startedAt >= sliceMs) break;
        store.refused.nothingTried(doc);
        this.#readOne(documents, doc);
        done.add(toHex(doc));
      }
    });
    for (const key of done) this.#announced.delete(key);
    const again = this.#readers.flatMap((reader) => reader.unread(1)).map(toHex);
    if (again.some((doc) => done.has(doc))) throw new Error("a note that was read is still unread");
    moved();
  }

  /**
   * The first of these notes that can be read now: should this process end over them, the next one loads with care what was
   * never loaded here. As many as there are are announced to it at once, so that most slices need no commit for it.
   */
  #readable(docs: readonly Uint8Array[]): readonly Uint8Array[] {
    const { refused, changes } = this.#ports.store;
    const isUnannounced = (doc: Uint8Array): boolean =>
      refused.appliedUpTo(doc) < changes.lastRowOf(doc) && !refused.isTried(doc);
    const slice = docs.slice(0, sliceNotes);
    const first = slice.findIndex(isUnannounced);
    if (first !== 0) return first < 0 ? slice : slice.slice(0, first);
    this.#ports.store.transaction(() => {
      for (const doc of docs.filter(isUnannounced)) {
        refused.trying(doc, new Uint8Array(0));
        this.#announced.set(toHex(doc), doc);
      }
    });
    return slice;
  }

  #readOne(documents: DeviceDocuments, doc: Uint8Array): void {
    const { clock, store } = this.#ports;
    const startedAt = clock.now();
    try {
      const note = documents.load<NoteDocument>(doc);
      store.refused.applied(doc, store.changes.lastRowOf(doc));
      try {
        for (const reader of this.#readers) reader.read(doc, note, documents.automerge);
      } finally {
        documents.automerge.free(note);
      }
    } catch (error) {
      for (const reader of this.#readers) reader.passOver(doc);
      store.syncLog.add(
        "error",
        `A note could not be read (${failureWords(error)}). Its changes are kept.`,
      );
    }
    this.#rest(doc, clock.now() - startedAt);
  }

  #rest(doc: Uint8Array, took: number): void {
    const now = this.#ports.clock.now();
    for (const [key, until] of this.#restsUntil) if (until <= now) this.#restsUntil.delete(key);
    if (took > longMs) this.#restsUntil.set(toHex(doc), now + restFactor * took);
  }
}

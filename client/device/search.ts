/**
 * Search: what it finds, and how its index keeps up with the notes.
 *
 * ```
 * a row changes ──▶ touched ──▶ another version than indexed? ──▶ wanted ──▶ read in idle time ──▶ read, waiting
 *                                   only its place is another? ──▶ placed           (materialiser.ts)     │
 *                                   moved away, gone? ──▶ removed                     indexed in slices ◀─┘
 * ```
 *
 * Nothing of this is remembered: on each start every row is compared with the index, so a crash on either side, an index
 * that lost its newest commits, and one that is missing altogether come to the same.
 */
import type * as AutomergeModule from "@automerge/automerge/slim";
import { documentIdToText } from "#crdt-store/document-id.ts";
import type { NoteRow } from "#crdt-store/notes-index.ts";
import type { IndexedNote, IndexQuery, SearchIndex } from "#crdt-store/search-index.ts";
import type { Store } from "#crdt-store/store.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { plainTitle } from "#client/notes/markdown.ts";
import { parseSearchQuery, type SearchNotebook } from "#client/notes/search-query.ts";
import { plainSnippet } from "#client/notes/search-snippet.ts";
import { tagKey, tagsOf } from "#client/notes/tags.ts";
import type { Clock, Timers } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { NoteDocument, SearchAnswer } from "./api.ts";
import type { DeviceEvents } from "./events.ts";
import { failureWords } from "./failure-words.ts";
import type { Materialiser, NoteReader } from "./materialiser.ts";
import { refuse } from "./refusal.ts";
import type { Shelf } from "./shelf.ts";

export interface SearchPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly shelf: Shelf;
  readonly events: DeviceEvents;
  readonly materialiser: Materialiser;
  /** Asked once, when the index is first needed; null where nothing is searched. The index belongs to the search then. */
  readonly openSearchIndex: (() => Promise<SearchIndex>) | null;
}

/** Rows that change together are looked at together. */
const lookAfterMs = 50;
/** A slice of work ends after so long: typing waits for one at most. */
const sliceMs = 8;
/** What one commit of the index holds at most. */
const groupNotes = 16;
const groupCharacters = 32_000;
/** No space, or files that fail: it is tried again after this. */
const restMs = 60_000;
/** An index that is damaged again and again has another cause than an accident. */
const mostRestarts = 3;
const mostHits = 200;
/** A long note that takes so long to index rests so many times as long before it is indexed again. */
const longMs = 30;
const longCharacters = 20_000;
const restFactor = 20;

const unavailable =
  "Search does not work on this device at the moment. Your notes are all there: use the list, or reload.";

export class Search implements NoteReader {
  readonly #ports: SearchPorts;
  readonly #store: Store;
  #opening: Promise<void> | null = null;
  #index: SearchIndex | null = null;
  #closed = false;
  #restarts = 0;
  /** Rows written since they were last compared, by document in hex, as all below. */
  readonly #touched = new Map<string, Uint8Array>();
  readonly #wanted = new Map<string, Uint8Array>();
  readonly #read = new Map<string, IndexedNote>();
  /** When notes that took long may be indexed again, and those of them that have changed since. */
  readonly #restsUntil = new Map<string, number>();
  readonly #resting = new Map<string, { readonly doc: Uint8Array; readonly cancel: () => void }>();
  /** Since the start, until everything there was then is indexed. */
  #isPreparing = true;
  #isTidy = true;
  #isResting = false;
  #cancelNext: (() => void) | null = null;

  constructor(ports: SearchPorts) {
    this.#ports = ports;
    this.#store = ports.store;
    if (ports.openSearchIndex === null) return;
    ports.store.notes.onChange((doc) => this.#touch(doc));
    ports.materialiser.add(this);
  }

  /**
   * Opens the index and lets it catch up, in slices; again is harmless. Resolves when it is open, or cannot be opened.
   * @param anew all rows may be others than they were: they are compared again
   */
  begin(anew = false): Promise<void> {
    if (anew && this.#opening !== null) this.#attempt(() => this.#touchAll());
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** Everything that was written up to now can be found when this resolves. */
  async catchUp(): Promise<void> {
    await this.begin();
    this.#restsUntil.clear();
    for (const [key, { doc, cancel }] of this.#resting) {
      cancel();
      this.#touched.set(key, doc);
    }
    this.#resting.clear();
    while (this.#canWork() && this.#isBehind()) {
      while (this.#canWork() && this.#touched.size > 0) this.#guard(() => this.#compareSlice());
      await this.#ports.materialiser.all();
      while (this.#canWork() && this.#read.size > 0) this.#guard((index) => this.#putGroup(index));
    }
    if (!this.#canWork()) refuse("unavailable", unavailable);
  }

  #canWork(): boolean {
    return this.#index !== null && !this.#closed && !this.#isResting;
  }

  /** Resolves when the files are closed. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#cancelNext?.();
    for (const { cancel } of this.#resting.values()) cancel();
    await this.#opening;
    this.#index?.close();
    this.#index = null;
  }

  /** What the index takes on the disk; 0 before it is needed. */
  fileBytes(): number {
    return this.#index?.fileBytes() ?? 0;
  }

  // ── finding ───────────────────────────────────────────────────────────────────────────────────

  async find(typed: string, most: number): Promise<SearchAnswer> {
    await this.begin();
    const { query, remarks, isEmpty } = this.#understood(typed, Math.min(most, mostHits));
    const preparing = this.#preparing();
    if (isEmpty) return { hits: [], total: 0, isMore: false, remarks, preparing };
    const answer = this.#guard((index) => index.find(query));
    if (answer === null) refuse("unavailable", unavailable);
    const hits = answer.hits.flatMap((hit) => {
      // The index follows a moment later; the rows say what is.
      const row = this.#store.notes.get(hit.doc);
      if (row === null || row.movedTo !== null) return [];
      if ((row.trashedAt !== null) !== query.trashed) return [];
      const { title, excerpt, found } = hit;
      return [{ id: documentIdToText(hit.doc), title, snippet: plainSnippet(excerpt), found }];
    });
    const total = answer.total - (answer.hits.length - hits.length);
    return { hits, total, isMore: answer.isMore, remarks, preparing };
  }

  #understood(
    typed: string,
    most: number,
  ): { query: IndexQuery; remarks: readonly string[]; isEmpty: boolean } {
    const { notebooks, shared, tags, isEmpty, remarks, ...parsed } = parseSearchQuery(typed);
    const { spaces, unknown } = this.#spacesOf(notebooks, shared);
    const query = {
      ...parsed,
      tags: tags.filter((tag) => !tag.isExcluded),
      withoutTags: tags.filter((tag) => tag.isExcluded),
      spaces,
      most,
    };
    const missing = unknown.map((name) => `There is no notebook “${name}”.`);
    return { query, remarks: [...remarks, ...missing], isEmpty };
  }

  #spacesOf(
    wishes: readonly SearchNotebook[],
    shared: boolean | null,
  ): { spaces: readonly Uint8Array[] | null; unknown: readonly string[] } {
    if (wishes.length === 0 && shared === null) return { spaces: null, unknown: [] };
    const { shelf } = this.#ports;
    const all = shelf.spaces().filter((space) => space.kind === "notebook");
    const meets = (space: Space, wish: SearchNotebook): boolean => {
      const name = folded(shelf.facts(space.id).name);
      const wished = folded(wish.name);
      return space.hex === wished || (wish.isPrefix ? name.startsWith(wished) : name === wished);
    };
    const included = wishes.filter((wish) => !wish.isExcluded);
    const spaces = all.filter(
      (space) =>
        (included.length === 0 || included.some((wish) => meets(space, wish))) &&
        !wishes.some((wish) => wish.isExcluded && meets(space, wish)) &&
        (shared === null || shelf.isShared(space) === shared),
    );
    const unknown = wishes.filter((wish) => !all.some((space) => meets(space, wish)));
    return { spaces: spaces.map((space) => space.id), unknown: unknown.map(({ name }) => name) };
  }

  #preparing(): SearchAnswer["preparing"] {
    if (!this.#isPreparing || !this.#isBehind()) return null;
    const total = this.#store.notes.count();
    const left = new Set([...this.#touched.keys(), ...this.#wanted.keys(), ...this.#read.keys()]);
    return { done: Math.max(0, total - left.size), total };
  }

  #isBehind(): boolean {
    return this.#touched.size + this.#wanted.size + this.#read.size > 0;
  }

  // ── NoteReader: what notes say, read for everybody in one place ───────────────────────────────

  unread(most: number): readonly Uint8Array[] {
    if (!this.#canWork()) return [];
    const docs: Uint8Array[] = [];
    for (const doc of this.#wanted.values()) {
      if (docs.length === most) break;
      docs.push(doc);
    }
    return docs;
  }

  read(doc: Uint8Array, note: AutomergeModule.Doc<NoteDocument>): void {
    // Without a body its first change has not arrived; when it does, the row changes.
    if (typeof note.body !== "string" || typeof note.title !== "string") this.#forget(doc);
    else this.#keep(doc, { title: plainTitle(note), body: note.body, tags: tagsOf(note) });
  }

  passOver(doc: Uint8Array): void {
    const row = this.#store.notes.get(doc);
    if (row !== null) this.#keep(doc, { title: row.title, body: row.preview, tags: row.tags });
  }

  #keep(
    doc: Uint8Array,
    said: { readonly title: string; readonly body: string; readonly tags: readonly string[] },
  ): void {
    this.#wanted.delete(toHex(doc));
    const row = this.#store.notes.get(doc);
    if (this.#index === null || row === null || row.movedTo !== null) return;
    const tags = said.tags.map((name) => ({ name, key: tagKey(name) }));
    this.#read.set(toHex(doc), { ...this.#placeOf(row), ...said, tags });
    this.#next();
  }

  #forget(doc: Uint8Array): void {
    this.#wanted.delete(toHex(doc));
    this.#read.delete(toHex(doc));
  }

  // ── keeping up ────────────────────────────────────────────────────────────────────────────────

  async #open(): Promise<void> {
    const { openSearchIndex } = this.#ports;
    if (openSearchIndex === null) return;
    try {
      this.#index = await openSearchIndex();
    } catch (error) {
      this.#log("warning", `Search does not work here (${failureWords(error)}).`);
      return;
    }
    this.#attempt(() => this.#touchAll());
  }

  /** Whatever the index does, it must not take the device with it. */
  #attempt(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.#giveUp(error);
    }
  }

  /** Everything is compared anew, the note changed last first. */
  #touchAll(): void {
    const index = this.#index;
    if (index === null) return;
    for (const doc of this.#store.notes.documents()) this.#touched.set(toHex(doc), doc);
    this.#guard((open) => {
      for (const doc of open.documents()) this.#touched.set(toHex(doc), doc);
    });
    this.#next();
  }

  #touch(doc: Uint8Array): void {
    this.#touched.set(toHex(doc), doc);
    this.#next(lookAfterMs);
  }

  /** Another slice of whatever is to be done, unless one is due already. */
  #next(ms = 0): void {
    if (this.#closed || this.#index === null || this.#cancelNext !== null) return;
    this.#cancelNext = this.#ports.timers.after(this.#isResting ? restMs : ms, () => {
      this.#cancelNext = null;
      this.#isResting = false;
      this.#attempt(() => void this.#guard((index) => this.#slice(index)));
      const isMore = this.#touched.size > 0 || this.#read.size > 0 || !this.#isTidy;
      if (isMore) this.#next();
    });
  }

  #slice(index: SearchIndex): void {
    if (this.#touched.size > 0) this.#compareSlice();
    else if (this.#read.size > 0) this.#putGroup(index);
    else this.#isTidy = !index.tidy();
    if (this.#wanted.size > 0) return;
    if (this.#isPreparing && !this.#isBehind()) {
      this.#isPreparing = false;
      this.#ports.events.notify("search");
    }
  }

  /** Some of what was touched, as far as a slice goes. */
  #compareSlice(): void {
    const { clock, materialiser } = this.#ports;
    const until = clock.now() + sliceMs;
    const before = this.#wanted.size;
    for (const [key, doc] of this.#touched) {
      this.#compare(doc);
      this.#touched.delete(key);
      if (clock.now() >= until) break;
    }
    if (this.#wanted.size > before) materialiser.soon();
  }

  #compare(doc: Uint8Array): void {
    const index = this.#index;
    const key = toHex(doc);
    const row = this.#store.notes.get(doc);
    const entry = index?.entry(doc) ?? null;
    if (row === null || row.movedTo !== null) {
      this.#forget(doc);
      if (entry !== null) index?.remove([doc]);
      return;
    }
    const place = this.#placeOf(row);
    if (entry?.version === row.version) {
      if (isElsewhere(entry, place)) index?.place(place);
    } else if (this.#read.get(key)?.version !== row.version) {
      // What has not arrived cannot be read; when it has, its row changes.
      if (this.#store.changes.knows(doc) && !this.#rests(doc)) this.#wanted.set(key, doc);
    }
  }

  /** A long note that is being written in: it is looked at again when it has rested. */
  #rests(doc: Uint8Array): boolean {
    const { clock, timers } = this.#ports;
    const key = toHex(doc);
    const left = (this.#restsUntil.get(key) ?? 0) - clock.now();
    if (left <= 0) {
      this.#restsUntil.delete(key);
      return false;
    }
    if (this.#resting.has(key)) return true;
    const cancel = timers.after(left, () => {
      this.#resting.delete(key);
      this.#touch(doc);
    });
    this.#resting.set(key, { doc, cancel });
    return true;
  }

  #putGroup(index: SearchIndex): void {
    const group: IndexedNote[] = [];
    let characters = 0;
    for (const note of this.#read.values()) {
      if (group.length === groupNotes || characters > groupCharacters) break;
      group.push(note);
      characters += note.body.length;
    }
    const { clock } = this.#ports;
    const startedAt = clock.now();
    index.put(group);
    const took = clock.now() - startedAt;
    for (const note of group) {
      if (took > longMs && note.body.length > longCharacters) {
        this.#restsUntil.set(toHex(note.doc), clock.now() + restFactor * took);
      }
      // It may have been read again meanwhile.
      if (this.#read.get(toHex(note.doc)) === note) this.#read.delete(toHex(note.doc));
      // It may be another, or elsewhere, since it was read.
      this.#compare(note.doc);
    }
    if (this.#wanted.size > 0) this.#ports.materialiser.soon();
    // One step for each commit, or its trees would pile up and be merged all at once.
    this.#isTidy = !index.tidy();
    this.#ports.events.notify("search");
  }

  #placeOf(row: NoteRow): Omit<IndexedNote, "title" | "body" | "tags"> {
    const { doc, version, space, updatedAt } = row;
    const trashed = row.trashedAt !== null;
    return { doc, version, space, updatedAt, trashed, pinned: this.#store.pins.has(doc) };
  }

  /** What `act` answers; null if there is no index to act on, or none any more. */
  #guard<Result>(act: (index: SearchIndex) => Result): Result | null {
    const index = this.#index;
    if (index === null) return null;
    try {
      return act(index);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      if (error.type === "corrupt" || error.type === "wrong-key") this.#startAnew(index);
      else this.#rest(error);
      return null;
    }
  }

  #rest(error: StoreError): void {
    if (!this.#isResting) {
      this.#log(
        "warning",
        `The search index could not be written (${error.type}): the newest notes may not be found yet.`,
      );
    }
    this.#isResting = true;
    this.#cancelNext?.();
    this.#cancelNext = null;
    this.#next();
  }

  #startAnew(index: SearchIndex): void {
    this.#restarts += 1;
    this.#wanted.clear();
    this.#read.clear();
    try {
      if (this.#restarts > mostRestarts) throw new Error("it was damaged too often");
      index.startAnew();
      this.#log("warning", "The search index was damaged and is made anew. No note is affected.");
      this.#isPreparing = true;
      this.#touchAll();
    } catch (error) {
      this.#giveUp(error);
    }
  }

  /** Until the next start. */
  #giveUp(error: unknown): void {
    const index = this.#index;
    this.#index = null;
    this.#ports.events.notify("search");
    this.#log("error", `Search does not work any more (${failureWords(error)}).`);
    try {
      index?.close();
    } catch {
      // Its files fail too; why it was given up is in the log.
    }
  }

  #log(level: "warning" | "error", text: string): void {
    this.#store.syncLog.add(level, text);
  }
}

type Place = Pick<IndexedNote, "space" | "trashed" | "pinned">;

function isElsewhere(before: Place, after: Place): boolean {
  return (
    before.trashed !== after.trashed ||
    before.pinned !== after.pinned ||
    !equal(before.space, after.space)
  );
}

/** As people compare names: without case and accents. */
function folded(name: string): string {
  return name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/**
 * One note open for editing in one tab: the place where a screen and an Automerge document meet.
 *
 *   screen ──edit()──▶ buffer ──one change per pause──▶ document ──bytes──▶ journal.commit
 *      ▲                  └──────cumulative splices───────────────────────▶ journal.draft
 *      └──onRemote()── patches of one apply ◀── queue ◀── receive()
 *
 * Invariant: `text(field)`, the document's text with the buffer applied, is what the screen shows.
 * So remote changes are only applied when the buffer is empty: it is committed first, and patches
 * of the document are then positions on the screen.
 */
import * as A from "@automerge/automerge/slim";
import type { DocHandle } from "@automerge/automerge-repo/slim";

import type {
  Commit,
  Draft,
  FieldSplice,
  NoteDocument,
  NoteField,
  Splice,
} from "#client/device/api.ts";

import { plainPreview, plainTitle } from "./markdown.ts";
import { inBatches } from "./change-batches.ts";
import {
  applySplices,
  diffTexts,
  mapBack,
  mapThrough,
  normaliseSplices,
  pushSplice,
} from "./text-splices.ts";

/** Time for an open note. */
export interface NoteTimers {
  /** Milliseconds since 1970, with fractions where the platform has them: how long an apply takes is measured with it. */
  now(): number;
  /** Calls `run` once, `ms` from now and never before this call returns; the result cancels. */
  after(ms: number, run: () => void): () => void;
}

/** Where typing becomes durable. Calls arrive in order; each resolves when its argument is on the disk. */
export interface NoteJournal {
  /** Replaces the session's previous draft. Drafts are void once a later commit is stored. */
  draft(draft: Draft): Promise<void>;
  /** Stores the changes (none: the typing undid itself) and drops the session's draft. Repeating is harmless. */
  commit(commit: Commit): Promise<void>;
}

/**
 * "editing": some typing has not been handed to the journal. "saving": all has, not all is acknowledged.
 * "saved-here": every keystroke is covered by an acknowledged draft or commit.
 * "not-saved": the journal refused; nothing is lost while the tab lives, and it is tried again.
 */
export type SavingState = "editing" | "saving" | "saved-here" | "not-saved";

export type NoteFault =
  /** Remote changes that Automerge refused; the document is as it was without them. */
  | {
      readonly type: "bad-changes";
      readonly changes: readonly Uint8Array[];
      readonly error: unknown;
    }
  /** Automerge refused a local change; the typing stays in the buffer and in the draft. */
  | { readonly type: "bad-commit"; readonly error: unknown }
  | { readonly type: "journal"; readonly error: unknown }
  | { readonly type: "listener"; readonly error: unknown };

export interface OpenNoteOptions {
  /** Ready, and from here on edited by this note only: superseded documents are freed. */
  readonly handle: DocHandle<NoteDocument>;
  readonly session: string;
  /** 32 hex digits, never used before: this note's changes are by this actor from seq 1 on. */
  readonly actor: string;
  readonly timers: NoteTimers;
  readonly journal: NoteJournal;
  readonly onFault?: (fault: NoteFault) => void;
}

export type RemoteListener = (field: NoteField, splices: readonly Splice[]) => void;

const fields: readonly NoteField[] = ["title", "body"];

const pauseMs = 300;
const longestGatheringMs = 1000;
// Above 60, not at it: of somebody who types at 50 or 100 keys a second every third or sixth would just miss its change.
// Each change is an entry of some 500 bytes beside what was typed; half of this is how long a key waits.
const presentGatheringMs = 62;
const draftDeadlineMs = 50;
const quietMs = 1000;
const frameMs = 16;
const applyRestFactor = 5;
const longestHoldMs = 2000;
const firstRetryMs = 250;
const longestRetryMs = 5000;

interface PendingCommit {
  readonly changes: readonly Uint8Array[];
  /** How many edits the document held after it. */
  readonly upTo: number;
}

export class OpenNote {
  readonly #handle: DocHandle<NoteDocument>;
  readonly #session: string;
  readonly #actor: string;
  readonly #timers: NoteTimers;
  readonly #journal: NoteJournal;
  readonly #onFault: (fault: NoteFault) => void;

  readonly #text: Record<NoteField, string>;
  #buffer: Record<NoteField, Splice[]> = { title: [], body: [] };
  #bufferSince = 0;
  #lastCommitAt = Number.NEGATIVE_INFINITY;
  #present = false;
  #closed = false;

  // Every edit has a number; what is durable is told by the highest number covered.
  #edits = 0;
  #committed = 0;
  #draftPosted = 0;
  #draftStored = 0;
  // A commit drops the draft stored before it, so an older draft's late answer proves nothing.
  #draftEra = 0;
  #draftsInFlight = 0;
  #draftToDrop = false;
  #commits: PendingCommit[] = [];
  #commitInFlight = false;
  #commitRefused = false;
  #failures = 0;
  #state: SavingState = "saved-here";
  #flushWaiters: { readonly upTo: number; readonly resolve: () => void }[] = [];

  #remote: Uint8Array[] = [];
  #remoteSince = 0;
  #held = false;
  #lastApplyAt = Number.NEGATIVE_INFINITY;
  #lastApplyTook = 0;

  readonly #cancelByTimer = new Map<TimerName, () => void>();
  readonly #remoteListeners = new Set<RemoteListener>();
  readonly #stateListeners = new Set<(state: SavingState) => void>();
  readonly #quietListeners = new Set<() => void>();

  constructor(options: OpenNoteOptions) {
    this.#handle = options.handle;
    this.#session = options.session;
    this.#actor = options.actor;
    this.#timers = options.timers;
    this.#journal = options.journal;
    this.#onFault = options.onFault ?? (() => undefined);
    const { title, body } = this.#handle.doc();
    this.#text = { title, body };
  }

  /** What the screen shows: the document's text with the buffered typing applied. */
  text(field: NoteField): string {
    return this.#text[field];
  }

  /** Hex hashes of the document's newest changes, without the buffered typing. */
  heads(): readonly string[] {
    return A.getHeads(this.#handle.doc());
  }

  get state(): SavingState {
    return this.#state;
  }

  /** Records what somebody typed here; positions count in `text(field)`, each after those before it. */
  edit(field: NoteField, splices: readonly Splice[]): void {
    if (this.#closed) throw new Error("This note is closed: it takes no more typing.");
    checkBounds(this.#text[field].length, splices);

    const wasEmpty = this.#isBufferEmpty();
    this.#text[field] = applySplices(this.#text[field], splices);
    for (const splice of splices) pushSplice(this.#buffer[field], splice);
    this.#edits += 1;
    if (wasEmpty) this.#bufferSince = this.#timers.now();
    this.#scheduleQuiet();
    this.#gather();
    this.#post();
  }

  /** Whether somebody else is in this note: then typing is sent as it happens. */
  setPresent(present: boolean): void {
    this.#present = present;
    if (this.#closed || this.#isBufferEmpty()) return;
    this.#gather();
    this.#post();
  }

  /** Change chunks from elsewhere, in any order, repeats allowed; shown soon, through `onRemote`. */
  receive(changes: readonly Uint8Array[]): void {
    if (this.#closed || changes.length === 0) return;
    if (this.#remote.length === 0) this.#remoteSince = this.#timers.now();
    this.#remote.push(...changes);
    this.#scheduleApply();
  }

  /** While held (an input method is composing) remote changes wait, at most two seconds. */
  setHeld(held: boolean): void {
    this.#held = held;
    if (!this.#closed && this.#remote.length > 0) this.#scheduleApply();
  }

  /** Makes one change of what is buffered. Resolves once everything typed so far is durable, however long that takes. */
  flush(): Promise<void> {
    this.#commitBuffer();
    this.#post();
    if (this.#committed >= this.#edits) return Promise.resolve();
    const upTo = this.#edits;
    return new Promise((resolve) => this.#flushWaiters.push({ upTo, resolve }));
  }

  /** What could not be saved is tried now, whatever pause the failures before have earned. */
  tryAgain(): void {
    if (this.#failures === 0) return;
    this.#cancel("retry");
    this.#commitBuffer();
    this.#post();
  }

  /** Takes no more typing nor remote changes; resolves as `flush` does. */
  close(): Promise<void> {
    const flushed = this.flush();
    this.#closed = true;
    this.#remote = [];
    for (const timer of ["apply", "quiet"] as const) this.#cancel(timer);
    this.#remoteListeners.clear();
    this.#quietListeners.clear();
    return flushed;
  }

  /**
   * Calls back with what the screen must apply to show `text(field)`: positions sequential, one call
   * per field and batch, never from within `edit`. The result unsubscribes.
   */
  onRemote(listener: RemoteListener): () => void {
    this.#remoteListeners.add(listener);
    return () => this.#remoteListeners.delete(listener);
  }

  onState(listener: (state: SavingState) => void): () => void {
    this.#stateListeners.add(listener);
    return () => this.#stateListeners.delete(listener);
  }

  /** Calls back a second after the last typing or remote change: the time to check and tidy. */
  onQuiet(listener: () => void): () => void {
    this.#quietListeners.add(listener);
    return () => this.#quietListeners.delete(listener);
  }

  /** An Automerge cursor for a position of `text(field)`; typing not yet committed counts as where it was inserted. */
  cursorFor(field: NoteField, offset: number): string {
    const document = this.#handle.doc();
    const position = mapBack(offset, this.#buffer[field]);
    return A.getCursor(document, [field], clamp(position, document[field].length));
  }

  /** Where a cursor stands in `text(field)`; null when it names text that has not arrived, or is no cursor. */
  offsetOf(field: NoteField, cursor: string): number | null {
    try {
      // The type of cursors is a brand of plain strings; Automerge itself rejects what is none.
      const position = A.getCursorPosition(this.#handle.doc(), [field], cursor as A.Cursor);
      return mapThrough(position, this.#buffer[field]);
    } catch {
      return null;
    }
  }

  // ── typing → changes ──────────────────────────────────────────────────────────────────────────

  #gather(): void {
    const now = this.#timers.now();
    if (!this.#present) {
      const longest = elapsedFrom(this.#bufferSince, now);
      this.#schedule("commit", Math.min(pauseMs, longestGatheringMs - longest), this.#gathered);
    } else {
      const wait = presentGatheringMs - elapsedFrom(this.#lastCommitAt, now);
      if (wait <= 0) this.#commitBuffer();
      else if (!this.#cancelByTimer.has("present")) this.#schedule("present", wait, this.#gathered);
    }
  }

  readonly #gathered = (): void => {
    this.#commitBuffer();
    this.#post();
  };

  #commitBuffer(): boolean {
    this.#cancel("commit");
    this.#cancel("present");
    if (this.#isBufferEmpty()) return true;

    const normal = this.#normalBuffer(this.#handle.doc());
    const headsBefore = A.getHeads(this.#handle.doc());
    try {
      if (normal.length > 0) this.#change(normal);
    } catch (error) {
      this.#commitRefused = true;
      this.#onFault({ type: "bad-commit", error });
      this.#schedule("commit", longestGatheringMs, this.#gathered);
      return false;
    }
    const changes = A.getChangesSince(this.#handle.doc(), headsBefore);
    this.#commitRefused = false;
    this.#commits.push({ changes, upTo: this.#edits });
    this.#buffer = { title: [], body: [] };
    this.#lastCommitAt = this.#timers.now();
    if (fields.some((field) => this.#text[field] !== this.#handle.doc()[field])) {
      this.#schedule("correction", 0, this.#correctScreen);
    }
    return true;
  }

  #change(splices: readonly FieldSplice[]): void {
    // Loading gives a document a random actor; the device has assigned this session its own.
    if (A.getActorId(this.#handle.doc()) !== this.#actor) {
      this.#handle.update((document) => A.clone(document, { actor: this.#actor }));
    }
    for (const batch of inBatches(splices)) {
      this.#handle.change(
        (draft) => {
          for (const { field, at, remove, insert } of batch) {
            A.splice(draft, [field], at, remove, insert);
          }
        },
        { time: Math.floor(this.#timers.now() / 1000) },
      );
    }
  }

  #normalBuffer(document: A.Doc<NoteDocument>): FieldSplice[] {
    return fields.flatMap((field) =>
      normaliseSplices(document[field], this.#buffer[field]).map((splice) => ({
        field,
        ...splice,
      })),
    );
  }

  #isBufferEmpty(): boolean {
    // Typing that undid itself leaves no splice, yet its edits must be counted as committed.
    return this.#edits === (this.#commits.at(-1)?.upTo ?? this.#committed);
  }

  // A half surrogate pair is the one thing a screen can hold and a document cannot (`normaliseSplices`).
  readonly #correctScreen = (): void => {
    if (!this.#commitBuffer()) return;
    this.#showDocument(new Map());
    this.#post();
  };

  // ── changes and drafts → journal ──────────────────────────────────────────────────────────────

  #post(): void {
    if (!this.#cancelByTimer.has("retry")) {
      if (this.#commits.length > 0) {
        if (!this.#commitInFlight) this.#postCommit();
      } else if (this.#needsDraft() && this.#draftsInFlight === 0) {
        this.#postDraft();
      }
      if (this.#needsDraft() && !this.#cancelByTimer.has("draft")) {
        this.#schedule("draft", draftDeadlineMs, this.#postOverdueDraft);
      }
    }
    this.#settle();
  }

  // Beside somebody else the next change is due sooner than a draft would be.
  #needsDraft(): boolean {
    const commitsSoon = this.#present && !this.#commitRefused;
    return !commitsSoon && !this.#isBufferEmpty() && this.#draftPosted < this.#edits;
  }

  readonly #postOverdueDraft = (): void => {
    // A commit not yet posted would void the draft at once: the commit's answer posts both.
    const waitsForCommit = this.#commits.length > 0 && !this.#commitInFlight;
    const laterCommits = this.#commitInFlight && this.#commits.length > 1;
    const isWaiting = waitsForCommit || laterCommits || this.#cancelByTimer.has("retry");
    if (this.#needsDraft() && !isWaiting) this.#postDraft();
    this.#settle();
  };

  #postCommit(): void {
    const posted = this.#commits;
    const changes = posted.flatMap((commit) => commit.changes);
    const upTo = posted.at(-1)?.upTo ?? this.#committed;
    const { title, body } = this.#handle.doc();
    this.#voidDrafts();
    this.#commitInFlight = true;
    // One entry stands for all that is in flight, so what is committed meanwhile is told apart.
    this.#commits = [{ changes, upTo }];
    // Typing that undid itself has no change, but its draft must not come back.
    const done =
      changes.length === 0 && !this.#draftToDrop
        ? Promise.resolve()
        : invoke(() =>
            this.#journal.commit({
              session: this.#session,
              changes,
              title: plainTitle({ title, body }),
              preview: plainPreview({ title, body }),
            }),
          );
    done.then(
      () => {
        this.#commitInFlight = false;
        this.#commits.shift();
        this.#committed = upTo;
        this.#draftToDrop = this.#draftPosted > upTo;
        this.#succeed();
      },
      (error: unknown) => {
        this.#commitInFlight = false;
        this.#voidDrafts();
        this.#fail(error);
      },
    );
  }

  #postDraft(): void {
    this.#cancel("draft");
    const era = this.#draftEra;
    const upTo = this.#edits;
    const document = this.#handle.doc();
    this.#draftPosted = upTo;
    this.#draftToDrop = true;
    this.#draftsInFlight += 1;
    const draft: Draft = {
      session: this.#session,
      actor: this.#actor,
      heads: A.getHeads(document),
      edits: this.#normalBuffer(document),
    };
    invoke(() => this.#journal.draft(draft)).then(
      () => {
        if (era !== this.#draftEra) return;
        this.#draftsInFlight -= 1;
        this.#draftStored = Math.max(this.#draftStored, upTo);
        this.#succeed();
      },
      (error: unknown) => {
        if (era !== this.#draftEra) return;
        this.#voidDrafts();
        this.#fail(error);
      },
    );
  }

  #voidDrafts(): void {
    this.#cancel("draft");
    this.#draftEra += 1;
    this.#draftsInFlight = 0;
    this.#draftPosted = 0;
    this.#draftStored = 0;
  }

  #succeed(): void {
    this.#failures = 0;
    this.#cancel("retry");
    this.#post();
  }

  #fail(error: unknown): void {
    this.#failures += 1;
    this.#onFault({ type: "journal", error });
    const wait = Math.min(longestRetryMs, firstRetryMs * 2 ** (this.#failures - 1));
    this.#schedule("retry", wait, () => this.#post());
    this.#settle();
  }

  #settle(): void {
    this.#flushWaiters = this.#flushWaiters.filter((waiter) => {
      if (this.#committed < waiter.upTo) return true;
      waiter.resolve();
      return false;
    });
    const state = this.#currentState();
    if (state === this.#state) return;
    this.#state = state;
    for (const listener of this.#stateListeners) this.#tell(() => listener(state));
  }

  #currentState(): SavingState {
    if (this.#failures > 0) return "not-saved";
    // A draft rests on the heads of the commits before it: without them it cannot be replayed.
    const stored =
      this.#commits.length > 0 ? this.#committed : Math.max(this.#committed, this.#draftStored);
    if (stored >= this.#edits) return "saved-here";
    const inFlight = this.#commitInFlight ? (this.#commits[0]?.upTo ?? 0) : 0;
    return Math.max(inFlight, this.#draftPosted) >= this.#edits ? "saving" : "editing";
  }

  // ── remote changes → screen ───────────────────────────────────────────────────────────────────

  #scheduleApply(): void {
    const now = this.#timers.now();
    const rest = Math.max(frameMs, applyRestFactor * this.#lastApplyTook);
    const untilRested = Math.max(0, rest - elapsedFrom(this.#lastApplyAt, now));
    const untilReleased = this.#held ? longestHoldMs - elapsedFrom(this.#remoteSince, now) : 0;
    this.#schedule("apply", Math.max(0, untilRested, untilReleased), this.#applyRemote);
  }

  readonly #applyRemote = (): void => {
    if (this.#remote.length === 0) return;
    if (!this.#commitBuffer()) {
      this.#schedule("apply", longestGatheringMs, this.#applyRemote);
      return;
    }
    const changes = this.#remote;
    this.#remote = [];
    const startedAt = this.#timers.now();
    const patches = this.#applyChanges(changes);
    this.#lastApplyAt = startedAt;
    this.#lastApplyTook = elapsedFrom(startedAt, this.#timers.now());
    this.#showDocument(splicesByField(patches));
    this.#scheduleQuiet();
    this.#post();
  };

  /** All that can be applied is, as one call when all is well; the rest is reported. */
  #applyChanges(changes: readonly Uint8Array[]): A.Patch[] {
    try {
      return this.#swapInCopyWith(changes);
    } catch (error) {
      // After a WebAssembly trap the instance may be damaged: leave it alone and let the owner decide.
      const isTrap = error instanceof Error && error.name === "RuntimeError";
      if (changes.length === 1 || isTrap) {
        this.#onFault({ type: "bad-changes", changes, error });
        return [];
      }
      const half = Math.ceil(changes.length / 2);
      const first = this.#applyChanges(changes.slice(0, half));
      return [...first, ...this.#applyChanges(changes.slice(half))];
    }
  }

  // Automerge applies in place, and a panic in the middle would leave a document nobody can use;
  // a copy costs under a hundredth of the apply.
  #swapInCopyWith(changes: readonly Uint8Array[]): A.Patch[] {
    let patches: A.Patch[] = [];
    const old = this.#handle.doc();
    const copy = A.clone(old, { actor: this.#actor });
    const [applied] = A.applyChanges(copy, [...changes], {
      patchCallback: (received) => (patches = received),
    });
    this.#handle.update(() => applied);
    // Copies are many and large, and the collector does not see WebAssembly memory.
    A.free(old);
    return patches;
  }

  #showDocument(splices: ReadonlyMap<NoteField, readonly Splice[]>): void {
    const document = this.#handle.doc();
    for (const field of fields) {
      const shown = this.#text[field];
      const wanted = document[field];
      const patched = splices.get(field) ?? [];
      // Patches say best what was meant; the difference is right even where they are silent or not splices.
      const exact = applySplices(shown, patched) === wanted ? patched : differences(shown, wanted);
      this.#text[field] = wanted;
      if (exact.length === 0) continue;
      for (const listener of this.#remoteListeners) this.#tell(() => listener(field, exact));
    }
  }

  // ── time ──────────────────────────────────────────────────────────────────────────────────────

  #scheduleQuiet(): void {
    this.#schedule("quiet", quietMs, () => {
      for (const listener of this.#quietListeners) this.#tell(listener);
    });
  }

  #schedule(name: TimerName, ms: number, run: () => void): void {
    this.#cancel(name);
    const cancel = this.#timers.after(Math.max(0, ms), () => {
      this.#cancelByTimer.delete(name);
      run();
    });
    this.#cancelByTimer.set(name, cancel);
  }

  #cancel(name: TimerName): void {
    this.#cancelByTimer.get(name)?.();
    this.#cancelByTimer.delete(name);
  }

  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#onFault({ type: "listener", error });
    }
  }
}

type TimerName = "commit" | "present" | "draft" | "retry" | "apply" | "quiet" | "correction";

function checkBounds(length: number, splices: readonly Splice[]): void {
  let current = length;
  for (const { at, remove, insert } of splices) {
    if (at < 0 || remove < 0 || at + remove > current) {
      throw new RangeError(`Splice at ${at}, removing ${remove}, is outside a text of ${current}.`);
    }
    current += insert.length - remove;
  }
}

function splicesByField(patches: readonly A.Patch[]): Map<NoteField, Splice[]> {
  const byField = new Map<NoteField, Splice[]>();
  for (const patch of patches) {
    const [field, at] = patch.path;
    if ((field !== "title" && field !== "body") || typeof at !== "number") continue;
    const splices = byField.get(field) ?? [];
    if (patch.action === "splice") splices.push({ at, remove: 0, insert: patch.value });
    else if (patch.action === "del") splices.push({ at, remove: patch.length ?? 1, insert: "" });
    byField.set(field, splices);
  }
  return byField;
}

function differences(before: string, after: string): Splice[] {
  const splice = diffTexts(before, after);
  return splice ? [splice] : [];
}

// The wall clock may be set back while a note is open; time then counts as passed.
function elapsedFrom(since: number, now: number): number {
  return now < since ? Number.POSITIVE_INFINITY : now - since;
}

function clamp(value: number, max: number): number {
  return Math.min(Math.max(value, 0), max);
}

function invoke(post: () => Promise<void>): Promise<void> {
  try {
    return post();
  } catch (error) {
    return Promise.reject(error instanceof Error ? error : new Error(String(error)));
  }
}

import type { AutoLock, LockApi, LockEvent, LockState } from "#client/worker/lock-api.ts";

import type { AppParts } from "./app-parts.ts";

/** What the lock asks of this window. */
export interface LockHooks {
  /** Resolves when everything typed here is saved; may take for ever. */
  saved(): Promise<void>;
  /** Whether something typed here could not be saved so far. */
  holdsUnsaved(): boolean;
  /** The notes are open again, and this window still has what it had before. */
  reopened(): void;
}

// Less than the lock itself waits, so that what cannot be saved is told in time.
const savedLimitMs = 2_500;
const inputGapMs = 5_000;
/** Remembered beside the looks of the window, so that a locked one does not show an empty shell first. */
const preference = "has-passphrase";

/** The lock on this browser's notes, as one window sees and works it. */
export class Lock {
  readonly #parts: AppParts;
  readonly #api: LockApi;
  readonly #hooks: LockHooks;
  state = $state.raw<LockState>({ type: "open", hasPassphrase: false, autoLock: null });
  /** Nothing of a note has been in this window yet: there is nothing to forget. */
  #isFresh = true;
  #whenOpen: () => void = () => {};
  #lastInputAt = 0;

  constructor(parts: AppParts, hooks: LockHooks) {
    this.#parts = parts;
    this.#api = parts.lock;
    this.#hooks = hooks;
    if (parts.preferences.get(preference) === "yes") this.state = { type: "locking" };
  }

  get isOpen(): boolean {
    return this.state.type === "open";
  }

  /** Resolves when the notes are open; rejects if they cannot be opened. */
  async opened(): Promise<void> {
    const open = new Promise<void>((resolve) => {
      this.#whenOpen = resolve;
    });
    await this.load();
    await open;
  }

  /** Reads where the lock stands, and makes this window one that is asked before a lock. */
  async load(): Promise<void> {
    this.#become(await this.#api.lockState(this.#parts.session));
  }

  receive(event: LockEvent): void {
    if (event.type === "lock") this.#become(event.lock);
    else this.#startAfresh();
  }

  unlock(passphrase: string): Promise<void> {
    return this.#api.unlock(passphrase);
  }

  lockNow(): Promise<void> {
    return this.#api.lockNow();
  }

  /** `current` null: there is none yet. `next` null: there shall be none. */
  setPassphrase(current: string | null, next: string | null): Promise<void> {
    return this.#api.setPassphrase(current, next);
  }

  setAutoLock(minutes: AutoLock): Promise<void> {
    return this.#api.setAutoLock(minutes);
  }

  wipe(): Promise<void> {
    return this.#api.wipe();
  }

  /** Somebody moves, types or scrolls in this window. */
  noteInput(): void {
    const { state } = this;
    if (state.type !== "open" || state.autoLock === null) return;
    const now = this.#parts.timers.now();
    if (Math.abs(now - this.#lastInputAt) < inputGapMs) return;
    this.#lastInputAt = now;
    this.#watch(this.#api.noteInput());
  }

  #become(next: LockState): void {
    const before = this.state.type;
    this.state = next;
    switch (next.type) {
      case "open":
        this.#parts.preferences.set(preference, next.hasPassphrase ? "yes" : "no");
        this.#whenOpen();
        if (!this.#isFresh && before !== "open") this.#hooks.reopened();
        this.#isFresh = false;
        return;
      case "locking":
        this.#watch(this.#saveBeforeLock());
        return;
      case "locked":
        // The surest way to forget a document is a new page; but never before it is saved.
        if (!this.#isFresh && !this.#hooks.holdsUnsaved()) this.#parts.reload();
        return;
      case "keyless":
        return;
    }
  }

  async #saveBeforeLock(): Promise<void> {
    const isSaved = await new Promise<boolean>((resolve, reject) => {
      const cancel = this.#parts.timers.after(savedLimitMs, () => resolve(false));
      this.#hooks.saved().then(() => {
        cancel();
        resolve(true);
      }, reject);
    });
    await this.#api.readyToLock(this.#parts.session, isSaved);
  }

  #startAfresh(): void {
    this.#parts.preferences.clear();
    this.#parts.reload();
  }

  #watch(work: Promise<unknown>): void {
    work.catch((error: unknown) => this.#parts.onFault(error));
  }
}

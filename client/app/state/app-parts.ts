import type { NoteDocuments } from "#client/app/state/note-documents.ts";
import type { DeviceApi } from "#client/device/api.ts";
import type { LockApi } from "#client/worker/lock-api.ts";
import type { NoteTimers } from "#client/notes/open-note.ts";

import type { StoragePromise } from "./storage.svelte.ts";

/** Small choices about this window's looks; never anything about notes. */
export interface Preferences {
  get(name: string): string | null;
  set(name: string, value: string): void;
  /** All of them, as if this window were the first. */
  clear(): void;
}

/** What the screens need from the outside. */
export interface AppParts {
  readonly device: DeviceApi;
  readonly lock: LockApi;
  /** Names this tab to the device, 32 hex digits. */
  readonly session: string;
  readonly documents: NoteDocuments;
  readonly timers: NoteTimers;
  readonly preferences: Preferences;
  readonly storagePromise: StoragePromise;
  copyText(text: string): Promise<void>;
  /** Offers the text to the person as a file. */
  saveTextFile(name: string, text: string): void;
  /** Loads the page anew: nothing of this one stays in memory. */
  reload(): void;
  /** An exception nobody expected. */
  onFault(error: unknown): void;
}

import type { DeviceApi, NotebookRow, NoteRow } from "#client/device/api.ts";

import type { NoteTimers } from "#client/notes/open-note.ts";

import { selectRows } from "./note-rows.ts";
import type { NoteFilter } from "./note-rows.ts";

/** After reading the rows nothing that happens by itself has them read again for so many times as long. */
const restFactor = 4;
const longestRestMs = 2_000;

/** The rows of every note this device knows, and which of them the list shows. */
export class Notes {
  readonly #device: DeviceApi;
  rows = $state.raw<readonly NoteRow[]>([]);
  filter = $state.raw<NoteFilter>({ type: "all" });
  loaded = $state(false);
  readonly shown = $derived.by(() => selectRows(this.rows, this.filter, this.#notebooks()));
  readonly #rowById = $derived(new Map(this.rows.map((row) => [row.id, row])));

  #loading: Promise<void> | null = null;
  #again: Promise<void> | null = null;

  #inTurn: Promise<void> | null = null;
  #restsUntil = 0;

  readonly #timers: NoteTimers;
  readonly #notebooks: () => readonly NotebookRow[];

  /** @param notebooks all of them, those that were deleted, too */
  constructor(device: DeviceApi, timers: NoteTimers, notebooks: () => readonly NotebookRow[]) {
    this.#device = device;
    this.#timers = timers;
    this.#notebooks = notebooks;
  }

  row(id: string | null): NoteRow | null {
    return id === null ? null : (this.#rowById.get(id) ?? null);
  }

  waitingRows(): readonly NoteRow[] {
    return this.rows.filter((row) => row.waiting > 0);
  }

  /** Resolves when the rows are at least as new as this call; many calls cost two readings. */
  load(): Promise<void> {
    if (this.#loading === null) {
      this.#loading = this.#read().finally(() => (this.#loading = null));
      return this.#loading;
    }
    // The reading under way may have begun before what the caller wants to see.
    this.#again ??= this.#loading
      .catch(() => {})
      .then(() => {
        this.#again = null;
        return this.load();
      });
    return this.#again;
  }

  /** As {@link load}, when its turn comes: thousands of notes that arrive leave time for whoever types. */
  loadInTurn(): Promise<void> {
    this.#inTurn ??= this.#rested().then(() => {
      this.#inTurn = null;
      return this.load();
    });
    return this.#inTurn;
  }

  async #rested(): Promise<void> {
    const left = this.#restsUntil - this.#timers.now();
    if (left > 0) await new Promise<void>((resolve) => void this.#timers.after(left, resolve));
  }

  async #read(): Promise<void> {
    const startedAt = this.#timers.now();
    this.rows = await this.#device.notes();
    this.loaded = true;
    const endedAt = this.#timers.now();
    this.#restsUntil = endedAt + Math.min(restFactor * (endedAt - startedAt), longestRestMs);
  }
}

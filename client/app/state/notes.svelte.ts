import type { DeviceApi, NotebookRow, NoteRow } from "#client/device/api.ts";

import { selectRows } from "./note-rows.ts";
import type { NoteFilter } from "./note-rows.ts";

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

  readonly #notebooks: () => readonly NotebookRow[];

  /** @param notebooks all of them, those that were deleted, too */
  constructor(device: DeviceApi, notebooks: () => readonly NotebookRow[]) {
    this.#device = device;
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

  async #read(): Promise<void> {
    this.rows = await this.#device.notes();
    this.loaded = true;
  }
}

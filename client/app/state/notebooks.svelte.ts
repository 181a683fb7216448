import type { DeviceApi, NotebookRow, NoteRow } from "#client/device/api.ts";

import type { Preferences } from "./app-parts.ts";
import { branchesOf } from "./notebook-tree.ts";

const foldedName = "folded-notebooks";

/** The notebooks this person can open, and those that were deleted and can be brought back. */
export class Notebooks {
  readonly #device: DeviceApi;
  readonly #preferences: Preferences;
  all = $state.raw<readonly NotebookRow[]>([]);
  /** Those whose parts are not listed, in this window. */
  #folded = $state.raw<ReadonlySet<string>>(new Set());
  readonly rows = $derived(this.all.filter(({ state }) => state !== "deleted"));
  readonly deleted = $derived(this.all.filter(({ state }) => state === "deleted"));
  /** Without those that were made for one note, which is shown alone. */
  readonly listed = $derived(this.rows.filter(({ single }) => !single));
  readonly tree = $derived(branchesOf(this.listed, this.#folded));

  constructor(device: DeviceApi, preferences: Preferences) {
    this.#device = device;
    this.#preferences = preferences;
    this.#folded = new Set(preferences.get(foldedName)?.split(" ") ?? []);
  }

  isFolded(id: string): boolean {
    return this.#folded.has(id);
  }

  toggleFolded(id: string): void {
    const others = [...this.#folded].filter((other) => other !== id);
    this.#folded = new Set(this.isFolded(id) ? others : [...others, id]);
    this.#preferences.set(foldedName, [...this.#folded].join(" "));
  }

  row(id: string | null): NotebookRow | null {
    return this.rows.find((row) => row.id === id) ?? null;
  }

  /** Where notes can be written. */
  writable(): readonly NotebookRow[] {
    return this.rows.filter((row) => row.state === "active" && row.role !== "read");
  }

  /** Where a note of that notebook can be moved to; one that is shared alone is only listed elsewhere. */
  targetsFrom(notebook: NotebookRow | null): readonly NotebookRow[] {
    const isSingle = notebook?.single === true;
    const targets = isSingle ? this.listed : this.writable().filter(({ single }) => !single);
    const before = isSingle ? notebook.parent : notebook?.id;
    return targets.filter(({ id, state }) => id !== before && state === "active");
  }

  async load(): Promise<void> {
    this.all = await this.#device.notebooks();
  }
}

export function canEdit(notebook: NotebookRow | null, note: NoteRow | null): boolean {
  if (note?.trashed === true) return false;
  return notebook === null || (notebook.role !== "read" && notebook.state === "active");
}

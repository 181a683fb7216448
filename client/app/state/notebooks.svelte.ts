import type { DeviceApi, NotebookRow, NoteRow } from "#client/device/api.ts";

/** The notebooks this person can open. */
export class Notebooks {
  readonly #device: DeviceApi;
  rows = $state.raw<readonly NotebookRow[]>([]);

  constructor(device: DeviceApi) {
    this.#device = device;
  }

  row(id: string | null): NotebookRow | null {
    return this.rows.find((row) => row.id === id) ?? null;
  }

  /** Where notes can be written or moved to. */
  writable(): readonly NotebookRow[] {
    return this.rows.filter((row) => row.state === "active" && row.role !== "read");
  }

  async load(): Promise<void> {
    this.rows = await this.#device.notebooks();
  }
}

export function canEdit(notebook: NotebookRow | null, note: NoteRow | null): boolean {
  if (note?.trashed === true) return false;
  return notebook === null || (notebook.role !== "read" && notebook.state === "active");
}

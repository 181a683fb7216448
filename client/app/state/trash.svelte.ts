import type {
  DeviceApi,
  EmptiedTrash,
  RetentionSettings,
  TrashedNote,
} from "#client/device/api.ts";

/** What lies in the trash of this device, and how long it and the sync log are kept. */
export class TrashState {
  readonly #device: DeviceApi;
  notes = $state.raw<readonly TrashedNote[]>([]);
  /** Null before it was first asked for. */
  retention = $state.raw<RetentionSettings | null>(null);
  readonly #noteById = $derived(new Map(this.notes.map((note) => [note.id, note])));
  readonly unsent = $derived(this.notes.filter((note) => note.unsent).length);

  constructor(device: DeviceApi) {
    this.#device = device;
  }

  async load(): Promise<void> {
    const [notes, retention] = await Promise.all([this.#device.trash(), this.#device.retention()]);
    this.notes = notes;
    this.retention = retention;
  }

  note(id: string): TrashedNote | null {
    return this.#noteById.get(id) ?? null;
  }

  /** Shown at once; if the device refuses, what holds is shown again. */
  async keep(changed: Partial<RetentionSettings>): Promise<void> {
    if (this.retention === null) return;
    const wanted = { ...this.retention, ...changed };
    this.retention = wanted;
    try {
      await this.#device.setRetention(wanted);
    } finally {
      await this.load();
    }
  }

  async purge(id: string, unsentToo: boolean): Promise<void> {
    await this.#device.purgeNote(id, unsentToo);
    await this.load();
  }

  async empty(unsentToo: boolean): Promise<EmptiedTrash> {
    const emptied = await this.#device.emptyTrash(unsentToo);
    await this.load();
    return emptied;
  }
}

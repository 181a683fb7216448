import type { DeviceApi, Role, Sharing } from "#client/device/api.ts";

import { sentenceOf } from "./refusal.ts";

/** Who can open the notebook that is looked at, and what is done about it. One step at a time. */
export class SharingState {
  readonly #device: DeviceApi;
  /** Null before the first answer. */
  now = $state.raw<Sharing | null>(null);
  isWorking = $state(false);
  /** Why the last step was not carried out. */
  failure = $state<string | null>(null);
  #notebook: string | null = null;

  constructor(device: DeviceApi) {
    this.#device = device;
  }

  /** Looks at a notebook until it is told another one, or null. */
  watch(notebook: string | null): void {
    if (this.#notebook === notebook) return;
    this.#notebook = notebook;
    this.now = null;
    this.failure = null;
    void this.refresh();
  }

  async refresh(): Promise<void> {
    const notebook = this.#notebook;
    if (notebook === null) return;
    try {
      const sharing = await this.#device.sharing(notebook);
      if (notebook === this.#notebook) this.now = sharing;
    } catch (error) {
      this.failure = sentenceOf(error);
    }
  }

  remove(person: string): Promise<boolean> {
    return this.#step((notebook) => this.#device.removePerson(notebook, person));
  }

  setRole(person: string, role: Role): Promise<boolean> {
    return this.#step((notebook) => this.#device.setPersonRole(notebook, person, role));
  }

  revoke(link: string): Promise<boolean> {
    return this.#step((notebook) => this.#device.revokeLink(notebook, link));
  }

  setRenewal(everyDays: Sharing["renewal"]["everyDays"]): Promise<boolean> {
    return this.#step((notebook) => this.#device.setRenewal(notebook, everyDays));
  }

  /** Whether it was carried out; what is true afterwards is read either way. */
  async #step(work: (notebook: string) => Promise<void>): Promise<boolean> {
    const notebook = this.#notebook;
    if (notebook === null || this.isWorking) return false;
    this.isWorking = true;
    this.failure = null;
    try {
      await work(notebook);
      return true;
    } catch (error) {
      this.failure = sentenceOf(error);
      return false;
    } finally {
      await this.refresh();
      this.isWorking = false;
    }
  }
}

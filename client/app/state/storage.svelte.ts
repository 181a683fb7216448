import type { DeviceApi, StorageReport } from "#client/device/api.ts";

import type { Preferences } from "./app-parts.ts";

/** The browser's word that it does not remove what is stored here. */
export interface StoragePromise {
  isGiven(): Promise<boolean>;
  /** Asks for it; Firefox asks the person, and this may never settle. */
  ask(): Promise<boolean>;
}

/** How that stands. `asked`: no answer has come. */
export type Keeping = "not-asked" | "asked" | "promised" | "refused";

export interface StorageParts {
  readonly device: DeviceApi;
  readonly preferences: Preferences;
  readonly storagePromise: StoragePromise;
  onFault(error: unknown): void;
}

const preference = "storage-promise";

/** The room on this device, and whether the browser keeps what is in it. */
export class StorageState {
  readonly #parts: StorageParts;
  report = $state.raw<StorageReport | null>(null);
  keeping = $state<Keeping>("not-asked");

  constructor(parts: StorageParts) {
    this.#parts = parts;
    const remembered = parts.preferences.get(preference);
    if (remembered === "asked" || remembered === "refused") this.keeping = remembered;
  }

  async load(): Promise<void> {
    const { device, storagePromise } = this.#parts;
    const [report, isGiven] = await Promise.all([device.storage(), storagePromise.isGiven()]);
    this.report = report;
    // It may be given or taken back in the browser's own settings at any time.
    if (isGiven) this.#is("promised");
    else if (this.keeping === "promised") this.#is("refused");
  }

  /** Asks the browser to keep what is stored, if it was never asked. Nothing waits for the answer. */
  askOnce(): void {
    if (this.keeping !== "not-asked") return;
    this.#is("asked");
    this.#parts.storagePromise.ask().then(
      (isGiven) => this.#is(isGiven ? "promised" : "refused"),
      (error: unknown) => this.#parts.onFault(error),
    );
  }

  #is(keeping: Keeping): void {
    this.keeping = keeping;
    this.#parts.preferences.set(preference, keeping);
  }
}

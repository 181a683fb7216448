import type { DeviceApi, RelayInfo } from "#client/device/api.ts";

/** What is known of this device's relay, as it was last answered in this tab. */
export class RelayState {
  readonly #device: DeviceApi;
  /** Null before the first answer. */
  info = $state.raw<RelayInfo | null>(null);
  asking = $state(false);

  constructor(device: DeviceApi) {
    this.#device = device;
  }

  /** Asks anew; what was answered before stays until then. */
  async load(): Promise<void> {
    if (this.asking) return;
    this.asking = true;
    try {
      this.info = await this.#device.relayInfo();
    } finally {
      this.asking = false;
    }
  }
}

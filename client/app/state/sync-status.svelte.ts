import type { DeviceApi, SyncStatus } from "#client/device/api.ts";

import { syncSentence, syncText, syncTone } from "./sync-words.ts";
import type { LogLine } from "./sync-words.ts";

// Until the device has answered, nothing is promised about a relay.
const beforeFirstAnswer: SyncStatus = {
  word: "saved-here",
  waiting: 0,
  detail: "",
  relay: null,
  connected: false,
  lastAckAt: null,
  durable: true,
  full: false,
};

/** What the footer and its panel say about saving and sending. */
export class SyncState {
  readonly #device: DeviceApi;
  status = $state.raw<SyncStatus>(beforeFirstAnswer);
  log = $state.raw<readonly LogLine[]>([]);
  readonly text = $derived(syncText(this.status));
  readonly tone = $derived(syncTone(this.status));
  readonly sentence = $derived(syncSentence(this.status));

  constructor(device: DeviceApi) {
    this.#device = device;
  }

  async load(): Promise<void> {
    this.status = await this.#device.status();
  }

  async loadLog(): Promise<void> {
    this.log = await this.#device.syncLog();
  }
}

import type { DeviceApi, SyncReport, SyncStatus } from "#client/device/api.ts";

import { statusWhileTyping, syncSentence, syncText, syncTone } from "./sync-words.ts";

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
  workingOffline: false,
  fetching: null,
  relays: [],
};

/** What the footer and its panel say about saving and sending. */
export class SyncState {
  readonly #device: DeviceApi;
  readonly #isTyping: () => boolean;
  /** As the device said it last. */
  status = $state.raw<SyncStatus>(beforeFirstAnswer);
  /** Null until it was first asked for. */
  report = $state.raw<SyncReport | null>(null);
  /** With what the device has not heard of yet. */
  readonly shown = $derived.by(() => statusWhileTyping(this.status, this.#isTyping()));
  readonly text = $derived(syncText(this.shown));
  readonly tone = $derived(syncTone(this.shown));
  readonly sentence = $derived(syncSentence(this.shown));

  /** @param isTyping whether something was typed that no committed change holds yet */
  constructor(device: DeviceApi, isTyping: () => boolean) {
    this.#device = device;
    this.#isTyping = isTyping;
  }

  async load(): Promise<void> {
    this.status = await this.#device.status();
  }

  async loadReport(): Promise<void> {
    this.report = await this.#device.syncReport();
  }

  async workOffline(offline: boolean): Promise<void> {
    await this.#device.workOffline(offline);
    await this.load();
  }
}

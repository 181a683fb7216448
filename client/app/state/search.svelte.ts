import type { DeviceApi, SearchAnswer, SearchHit } from "#client/device/api.ts";

import { sentenceOf } from "./refusal.ts";

const mostShown = 30;

/** What is looked for in this window, and what the device found. */
export class SearchState {
  readonly #device: DeviceApi;
  text = $state("");
  /** Of the text, or of what it was a moment ago; null before the first one. */
  answer = $state.raw<SearchAnswer | null>(null);
  /** Why there is no answer. */
  failure = $state<string | null>(null);
  readonly isActive = $derived(this.text.trim() !== "");
  readonly hits = $derived<readonly SearchHit[]>(this.answer?.hits ?? []);
  #isAsking = false;
  #isOutdated = false;

  constructor(device: DeviceApi) {
    this.#device = device;
  }

  /** Every keystroke is answered: as long as an answer is on its way, only the newest text waits. */
  type(text: string): void {
    this.text = text;
    if (!this.isActive) this.clear();
    else this.#ask();
  }

  /** What is found may be different by now. */
  refresh(): void {
    if (this.isActive) this.#ask();
  }

  clear(): void {
    this.text = "";
    this.answer = null;
    this.failure = null;
  }

  #ask(): void {
    this.#isOutdated = true;
    if (!this.#isAsking) void this.#answerAll();
  }

  async #answerAll(): Promise<void> {
    this.#isAsking = true;
    while (this.#isOutdated && this.isActive) {
      this.#isOutdated = false;
      await this.#answerOnce(this.text);
    }
    this.#isAsking = false;
  }

  async #answerOnce(text: string): Promise<void> {
    try {
      const answer = await this.#device.search(text, mostShown);
      if (!this.isActive) return;
      this.answer = answer;
      this.failure = null;
    } catch (error) {
      if (!this.isActive) return;
      this.answer = null;
      this.failure = sentenceOf(error);
    }
  }
}

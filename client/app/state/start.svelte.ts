import type { App } from "./app.svelte.ts";

/** What is known before, and even without, a running app: that a newer version waits. */
export class StartState {
  #apply = $state.raw<(() => void) | null>(null);
  #app: App | null = null;

  /** Changes every tab to the version that waits, once there is one. */
  get apply(): (() => void) | null {
    return this.#apply;
  }

  get app(): App | null {
    return this.#app;
  }

  begin(app: App): void {
    this.#app = app;
    app.applyUpdate = this.#apply;
  }

  updateReady(apply: () => void): void {
    this.#apply = apply;
    if (this.#app !== null) this.#app.applyUpdate = apply;
  }
}

/** What a device tells those who listen. After closing it is silent. */
import type { Timers } from "#client/sync/ports.ts";
import type { DeviceEvent, SyncStatus } from "./api.ts";

const notifyAfterMs = 30;

export class DeviceEvents {
  readonly #timers: Timers;
  readonly #status: () => SyncStatus;
  /** Of what is being fetched, as it was told last. */
  #fetched = 0;
  readonly #listeners = new Set<(event: DeviceEvent) => void>();
  readonly #notified = new Map<DeviceEvent["type"], () => void>();
  #closed = false;

  /** @param status asked when a status is to be told */
  constructor(timers: Timers, status: () => SyncStatus) {
    this.#timers = timers;
    this.#status = status;
  }

  subscribe(listener: (event: DeviceEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  emit(event: DeviceEvent): void {
    if (this.#closed) return;
    for (const listener of this.#listeners) listener(event);
  }

  /** Notices of one kind that come together are told once. */
  notify(type: "notes" | "notebooks" | "devices" | "status" | "search" | "fetching"): void {
    if (this.#closed || this.#notified.has(type) || this.#listeners.size === 0) return;
    const cancel = this.#timers.after(notifyAfterMs, () => {
      this.#notified.delete(type);
      if (type === "fetching") this.#emitFetching();
      else this.emit(type === "status" ? { type, status: this.#status() } : { type });
    });
    this.#notified.set(type, cancel);
  }

  #emitFetching(): void {
    const { fetching } = this.#status();
    if (fetching === null && this.#fetched === 0) return;
    this.emit({
      type: "fetching",
      ...(fetching ?? { done: this.#fetched, total: this.#fetched }),
    });
    this.#fetched = fetching?.total ?? 0;
  }

  close(): void {
    this.#closed = true;
    for (const cancel of this.#notified.values()) cancel();
    this.#notified.clear();
  }
}

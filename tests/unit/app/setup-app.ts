import { App } from "#client/app/state/app.svelte.ts";
import type { StoragePromise } from "#client/app/state/storage.svelte.ts";
import { createNoteDocuments } from "#client/app/state/note-documents.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";
import { FakeDevice } from "#tests/support/fake-device.ts";
import { FakeLock } from "#tests/support/fake-lock.ts";

const start = Date.UTC(2026, 5, 1, 12);

/** Time that passes only when a test says so. */
export class HandClock {
  #now = start;
  #timers: { at: number; run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const timer = { at: this.#now + ms, run };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Lets time pass, and between two timers what their promises set in motion. */
  async pass(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settled();
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.at);
      next.run();
      await settled();
    }
    this.#now = end;
    await settled();
  }
}

/** A browser that answers when a test says so. */
export class FakeStoragePromise implements StoragePromise {
  given = false;
  asked = 0;
  answer: (isGiven: boolean) => void = () => {};

  async isGiven(): Promise<boolean> {
    return this.given;
  }

  ask(): Promise<boolean> {
    this.asked += 1;
    return new Promise((resolve) => {
      this.answer = (isGiven) => {
        this.given = isGiven;
        resolve(isGiven);
      };
    });
  }
}

/** Resolves when promises that are ready have run, however long their chain. */
export async function settled(): Promise<void> {
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
}

export async function setupApp(arrange: (device: FakeDevice) => void = () => {}) {
  await loadAutomerge();
  const clock = new HandClock();
  const device = new FakeDevice(() => clock.now());
  arrange(device);
  const lock = new FakeLock();
  let reloads = 0;
  const copied: string[] = [];
  const faults: unknown[] = [];
  const saved: { name: string; text: string }[] = [];
  const preferences = new Map<string, string>();
  const storagePromise = new FakeStoragePromise();
  const app = new App({
    device,
    lock,
    session: "5".repeat(32),
    documents: createNoteDocuments(),
    timers: clock,
    preferences: {
      get: (name) => preferences.get(name) ?? null,
      set: (name, value) => void preferences.set(name, value),
      clear: () => preferences.clear(),
    },
    storagePromise,
    copyText: async (text) => void copied.push(text),
    saveTextFile: (name, text) => void saved.push({ name, text }),
    reload: () => void (reloads += 1),
    onFault: (error) => void faults.push(error),
  });
  device.onEvent((event) => app.receive(event));
  lock.onEvent((event) => app.receive(event));
  return {
    app,
    device,
    lock,
    reloads: () => reloads,
    clock,
    copied,
    saved,
    faults,
    preferences,
    storagePromise,
  };
}

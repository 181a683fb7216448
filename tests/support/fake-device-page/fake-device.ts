/**
 * Stands in for the real device: `info` names the leader, `syncLog` lists the tabs that have gone, and
 * the first leader that is asked to `createNotebook("hang")` never answers.
 */
import type { WorkerApi, WorkerEvent } from "#client/worker/lock-api.ts";
import { WORKER_METHODS } from "#client/worker/device-methods.ts";
import type { RunningDevice } from "#client/worker/leader.ts";
import { Refusal } from "#client/device/refusal.ts";

export function prepareDevice(): Promise<void> {
  return Promise.resolve();
}

export function startDevice(): Promise<RunningDevice> {
  const listeners = new Set<(event: WorkerEvent) => void>();
  const gone: string[] = [];
  const leader = crypto.randomUUID();

  function refuse(): Promise<never> {
    return Promise.reject(new Refusal({ code: "offline", message: "Only a fake device." }));
  }
  const everythingRefused = Object.fromEntries(
    Object.keys(WORKER_METHODS).map((name) => [name, refuse]),
    // Complete by construction: one entry for every method of the interface.
  ) as unknown as WorkerApi;

  const api: WorkerApi = {
    ...everythingRefused,
    setOnline: () => Promise.resolve(),
    setVisible: () => Promise.resolve(),
    info: () =>
      Promise.resolve({
        displayName: leader,
        colour: null,
        words: "saved",
        removed: false,
        durable: true,
      }),
    syncLog: () => Promise.resolve(gone.map((text) => ({ at: 0, level: "info" as const, text }))),
    createNotebook: async (name) => {
      // Counted before anybody hears of it, who may then end this leader.
      const isFirst = name === "hang" && (await timesAsked()) === 1;
      for (const listener of listeners) listener({ type: "notebooks" });
      if (isFirst) await new Promise(() => {});
      return { id: leader };
    },
  };
  return Promise.resolve({
    api,
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    tabGone: (session) => {
      gone.push(session);
    },
    close: () => Promise.resolve(),
  });
}

/** Counted in the cache storage, which outlives a leader. */
async function timesAsked(): Promise<number> {
  const cache = await caches.open("fake-device");
  const before = Number((await (await cache.match("/asked"))?.text()) ?? 0);
  await cache.put("/asked", new Response(String(before + 1)));
  return before + 1;
}

/** The script of a tab's worker: composition of the leader with the browser's ports. */
import { LeaderWorker } from "#client/worker/leader.ts";
import type { TabToWorker } from "#client/worker/leader.ts";
import { openBulletin } from "#client/worker/bulletin.ts";
import { prepareDevice, startDevice } from "#client/worker/main.ts";

declare const self: DedicatedWorkerGlobalScope;

const leader = new LeaderWorker({
  locks: navigator.locks,
  timers: {
    after: (ms, run) => {
      const timer = setTimeout(run, ms);
      return () => clearTimeout(timer);
    },
  },
  bulletin: openBulletin(),
  startDevice,
  prepareDevice,
  postToTab: (message) => self.postMessage(message),
  terminate: () => self.close(),
  onFault: (error) => console.error(error),
});

self.addEventListener("message", ({ data }: MessageEvent<TabToWorker>) => leader.receive(data));

/** The script of a tab's worker: composition of the leader with the browser's ports. */
import { browserTimers } from "#client/worker/browser-timers.ts";
import { LeaderWorker } from "#client/worker/leader.ts";
import type { TabToWorker } from "#client/worker/leader.ts";
import { openBulletin } from "#client/worker/bulletin.ts";
import { prepareDevice, startDevice } from "#client/worker/main.ts";

declare const self: DedicatedWorkerGlobalScope;

const leader = new LeaderWorker({
  locks: navigator.locks,
  timers: browserTimers,
  bulletin: openBulletin(),
  startDevice,
  prepareDevice,
  postToTab: (message) => self.postMessage(message),
  terminate: () => self.close(),
  onFault: (error) => console.error(error),
});

self.addEventListener("message", ({ data }: MessageEvent<TabToWorker>) => leader.receive(data));

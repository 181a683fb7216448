/** Composition of a tab's connection with the browser. */
import { connectTab } from "#client/app/platform/tab-connection.ts";
import type { DeviceConnection } from "#client/app/platform/tab-connection.ts";
import { openBulletin } from "#client/worker/bulletin.ts";
import { browserTimers } from "#client/worker/browser-timers.ts";
import { scriptUrl } from "#client/worker/trusted-types.ts";
import brokerUrl from "../../worker/broker.ts?worker&url";
import entryUrl from "../../worker/entry.ts?worker&url";

/** Connects this tab to the device of this browser; to be called once per page. */
export function connectDevice(): Promise<DeviceConnection> {
  return connectTab({
    session: randomHex(16),
    locks: navigator.locks,
    timers: browserTimers,
    bulletin: openBulletin(),
    startWorker: () => new Worker(scriptUrl(entryUrl), { type: "module", name: "sealeaf" }),
    connectBroker: (name) =>
      typeof SharedWorker === "undefined"
        ? null
        : new SharedWorker(scriptUrl(brokerUrl), { type: "module", name }).port,
    reload: () => location.reload(),
    onFault: (error) => console.error(error),
  });
}

function randomHex(bytes: number): string {
  const random = crypto.getRandomValues(new Uint8Array(bytes));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

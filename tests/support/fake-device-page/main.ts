/** A page with the real connection, worker, broker and service worker over a device that only counts. */
import { connectDevice } from "#client/app/platform/device-connection.ts";
import { watchForUpdates } from "#client/app/platform/update.ts";
import type { DeviceConnection } from "#client/app/platform/tab-connection.ts";

/** Filled in by the build, so that two versions differ. */
declare const PAGE_VERSION: string;

declare global {
  interface Window {
    connection: DeviceConnection;
    events: string[];
    restarts: number;
    pageVersion: string;
    /** Set when a new version waits. */
    applyUpdate: (() => void) | undefined;
  }
}

window.events = [];
window.restarts = 0;
window.pageVersion = PAGE_VERSION;
watchForUpdates({
  onReady: (apply) => {
    window.applyUpdate = apply;
  },
  beforeReload: () => Promise.resolve(),
  onUnavailable: (error) => console.error(error),
});
window.connection = await connectDevice();
window.connection.onEvent((event) => {
  window.events.push(event.type);
});
window.connection.onRestart(() => {
  window.restarts += 1;
});
document.body.dataset["ready"] = "yes";

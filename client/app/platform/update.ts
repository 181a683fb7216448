/**
 * The page's side of the service worker: registers it, notices a new version, changes to it when the
 * person agrees. To be called first thing, before the application starts: a version that cannot start
 * must still be replaceable.
 */
import { TAKE_OVER } from "#client/app/platform/take-over.ts";
import { scriptUrl } from "#client/worker/trusted-types.ts";

export interface UpdateListener {
  /** A new version is verified and waits; `apply` changes every tab to it. */
  onReady(apply: () => void): void;
  /** Called before this tab reloads into the new version: resolves when nothing unsaved is left. */
  beforeReload(): Promise<void>;
  /** Offline use is not available; the application works without. */
  onUnavailable(error: unknown): void;
}

const HOUR_MS = 3_600_000;

export function watchForUpdates(listener: UpdateListener): void {
  if (!("serviceWorker" in navigator)) return;
  const { serviceWorker } = navigator;
  // On the first visit the worker takes control of nothing, and there is nothing to reload.
  if (serviceWorker.controller !== null) reloadOnTakeOver(serviceWorker, listener);
  register(serviceWorker, listener).catch((error: unknown) => listener.onUnavailable(error));
}

function reloadOnTakeOver(serviceWorker: ServiceWorkerContainer, listener: UpdateListener): void {
  serviceWorker.addEventListener(
    "controllerchange",
    () => {
      const reload = (): void => location.reload();
      listener.beforeReload().then(reload, reload);
    },
    { once: true },
  );
}

async function register(
  serviceWorker: ServiceWorkerContainer,
  listener: UpdateListener,
): Promise<void> {
  const registration = await serviceWorker.register(scriptUrl("./sw.js"), {
    updateViaCache: "none",
  });
  offerWaiting(registration, listener);
  registration.addEventListener("updatefound", () => {
    const { installing } = registration;
    installing?.addEventListener("statechange", () => offerWaiting(registration, listener));
  });
  // The browser's own check can come long after a navigation (browsers may defer it).
  const check = (): void => {
    // Offline, or a deployment under way: the next check will tell.
    registration.update().catch(() => {});
  };
  setInterval(check, HOUR_MS);
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") check();
  });
  check();
}

function offerWaiting(registration: ServiceWorkerRegistration, listener: UpdateListener): void {
  const { waiting } = registration;
  if (waiting === null || registration.active === null) return;
  listener.onReady(() => waiting.postMessage(TAKE_OVER));
}

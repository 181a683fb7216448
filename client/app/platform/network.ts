/** What the browser says about the page that decides how hard to try and when to let go. */
export interface PageListener {
  onOnline?(online: boolean): void;
  onVisible?(visible: boolean): void;
  /** The page is asked whether it may go, some milliseconds before it does: true, if the person is to be asked. */
  onAboutToLeave?(): boolean;
  /** The page may not run again: what is buffered is to be written out now. */
  onLeaving?(): void;
  /** The page runs again after it was frozen. */
  onBack?(): void;
  /** The page is left. The browser may keep it as it is, to show it again. */
  onLeft?(): void;
  /** The page that was left is shown again as it was. */
  onReturned?(): void;
}

/** Forwards the browser's events until the returned function is called. */
export function watchPage(listener: PageListener): () => void {
  const stop = new AbortController();
  const { signal } = stop;
  addEventListener("online", () => listener.onOnline?.(true), { signal });
  addEventListener("offline", () => listener.onOnline?.(false), { signal });
  addEventListener(
    "beforeunload",
    (event) => {
      if (listener.onAboutToLeave?.() === true) event.preventDefault();
    },
    { signal },
  );
  addEventListener(
    "pagehide",
    () => {
      listener.onLeaving?.();
      listener.onLeft?.();
    },
    { signal },
  );
  window.addEventListener(
    "pageshow",
    ({ persisted }) => {
      if (persisted) listener.onReturned?.();
    },
    { signal },
  );
  document.addEventListener("freeze", () => listener.onLeaving?.(), { signal });
  document.addEventListener("resume", () => listener.onBack?.(), { signal });
  document.addEventListener("visibilitychange", () => listener.onVisible?.(isVisible()), {
    signal,
  });
  return () => stop.abort();
}

export function isVisible(): boolean {
  return document.visibilityState === "visible";
}

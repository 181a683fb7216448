/** What the browser says about the page that decides how hard to try and when to let go. */
export interface PageListener {
  onOnline?(online: boolean): void;
  onVisible?(visible: boolean): void;
  /** The page is asked whether it may go, some milliseconds before it does; it may yet stay. */
  onAboutToLeave?(): void;
  /** The page may not run again: what is buffered is to be written out now. */
  onLeaving?(): void;
  /** The page runs again after it was frozen or kept aside. */
  onBack?(): void;
  /** The page will never run again. */
  onGone?(): void;
}

/** Forwards the browser's events until the returned function is called. */
export function watchPage(listener: PageListener): () => void {
  const stop = new AbortController();
  const { signal } = stop;
  addEventListener("online", () => listener.onOnline?.(true), { signal });
  addEventListener("offline", () => listener.onOnline?.(false), { signal });
  addEventListener("beforeunload", () => listener.onAboutToLeave?.(), { signal });
  window.addEventListener(
    "pagehide",
    ({ persisted }) => {
      listener.onLeaving?.();
      if (!persisted) listener.onGone?.();
    },
    { signal },
  );
  window.addEventListener(
    "pageshow",
    ({ persisted }) => {
      if (persisted) listener.onBack?.();
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

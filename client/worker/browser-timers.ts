/** The browser's timers as the port that everything below a composition root takes: in pages and workers alike. */
export const browserTimers = {
  /** Calls `run` once after `ms`; the returned function cancels it. */
  after(ms: number, run: () => void): () => void {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
};

/** For what is tried again after a while, as handles of files are that another worker still holds. */
export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    browserTimers.after(ms, resolve);
  });
}

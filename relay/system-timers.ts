/** Node's timers as the port that everything below the composition root takes. */
export const systemTimers = {
  /** Answers a function that cancels. Without a delay it runs after what the network has brought. */
  after: (ms: number, run: () => void): (() => void) => {
    if (ms === 0) {
      const immediate = setImmediate(run);
      return () => {
        clearImmediate(immediate);
      };
    }
    const timer = setTimeout(run, ms);
    return () => {
      clearTimeout(timer);
    };
  },
};

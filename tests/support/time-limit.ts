/** What is asked of another process may never be answered: every such wait ends with words. */

/** Settles as `work` does, or rejects after `limitMs` saying what did not happen. */
export async function within<Result>(
  limitMs: number,
  what: string,
  work: Promise<Result>,
): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: no answer in ${limitMs} ms`)), limitMs);
  });
  try {
    return await Promise.race([work, expired]);
  } finally {
    clearTimeout(timer);
  }
}

const lookPauseMs = 25;

/**
 * Looks again and again until it sees something else than null; after `limitMs` the answer is null. Only for what tells
 * nobody: another program's processes, a server that does not say when it listens, a page in another browser.
 */
export async function lookFor<Seen>(
  limitMs: number,
  look: () => Promise<Seen | null>,
): Promise<Seen | null> {
  const end = performance.now() + limitMs;
  for (;;) {
    const seen = await look();
    if (seen !== null || performance.now() > end) return seen;
    await new Promise((resolve) => {
      setTimeout(resolve, lookPauseMs);
    });
  }
}

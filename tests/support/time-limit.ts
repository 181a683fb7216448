/** What is asked of another process may never be answered: every such wait ends with words. */

import { once } from "node:events";
import { setInterval as ticks } from "node:timers/promises";

/** Settles as `work` does, or rejects after `limitMs` saying what did not happen. */
export async function within<Result>(
  limitMs: number,
  what: string,
  work: Promise<Result>,
): Promise<Result> {
  const expired = once(AbortSignal.timeout(limitMs), "abort").then((): never => {
    throw new Error(`${what}: no answer in ${limitMs} ms`);
  });
  return Promise.race([work, expired]);
}

const lookEveryMs = 25;

/**
 * Looks again and again until it sees something else than null; after `limitMs` the answer is null. Only for what tells
 * nobody: another program's processes, a server that does not say when it listens, a page in another browser.
 */
export async function lookFor<Seen>(
  limitMs: number,
  look: () => Promise<Seen | null>,
): Promise<Seen | null> {
  const end = performance.now() + limitMs;
  for await (const again of ticks(lookEveryMs, look)) {
    const seen = await again();
    if (seen !== null || performance.now() > end) return seen;
  }
  return null;
}

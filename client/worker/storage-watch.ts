/**
 * Notices that the browser has removed the database's files under an open device: site data cleared, or evicted.
 * The open handles then go on as if nothing had happened, and every write succeeds and is lost with the page.
 */
import type { Timers } from "./rpc.ts";

export interface StorageWatchPorts {
  /** Whether the files that were opened still have their names. */
  stillThere(): Promise<boolean>;
  /** Calls back at a sign that something was removed; the returned function ends that. */
  onSign(listener: () => void): () => void;
  readonly timers: Timers;
  readonly onFault: (error: unknown) => void;
}

const lookEveryMs = 10_000;
/** A browser removes one kind of storage after the other, in no order that is promised. */
const lookAgainMs = [0, 500, 2_000] as const;

/** Calls `onGone` once if the files go; the returned function ends the watch. */
export function watchStorage(ports: StorageWatchPorts, onGone: () => void): () => void {
  let isOver = false;
  const cancels = new Set<() => void>();

  function lookAfter(ms: number, then: () => void): void {
    const cancel = ports.timers.after(ms, () => {
      cancels.delete(cancel);
      look().then(then, ports.onFault);
    });
    cancels.add(cancel);
  }

  async function look(): Promise<void> {
    if (isOver || (await ports.stillThere()) || isOver) return;
    stop();
    onGone();
  }

  function lookOnAndOn(): void {
    if (!isOver) lookAfter(lookEveryMs, lookOnAndOn);
  }

  function stop(): void {
    isOver = true;
    stopSigns();
    for (const cancel of cancels) cancel();
  }

  const stopSigns = ports.onSign(() => {
    for (const ms of lookAgainMs) lookAfter(ms, () => {});
  });
  lookOnAndOn();
  return stop;
}

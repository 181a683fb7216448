/** One exchange with the relay, from connecting to knowing how it ended. */
import type { SyncStatus } from "#client/device/api.ts";
import type { Device } from "#client/device/device.ts";
import type { Clock } from "#client/sync/ports.ts";

export interface Exchange {
  /** `refused`: the relay was reached, but something needs the person. `unfinished`: try again later. */
  readonly outcome: "done" | "refused" | "unfinished";
  readonly status: SyncStatus;
}

type Exchanging = Pick<
  Device,
  | "subscribe"
  | "connect"
  | "setOnline"
  | "status"
  | "settled"
  | "describeStale"
  | "sendCards"
  | "info"
>;

/** Without a time limit: so long may nothing at all arrive or be taken. */
const patienceMs = 30_000;
/** A connection that was failing before may be dialled anew first. */
const redialMs = 5_000;
const lookEveryMs = 200;
const cardsWithinMs = 10_000;

/**
 * Sends what waits and takes in what there is.
 * @param timeoutMs keep trying so long; null: until the relay proves unreachable or nothing moves
 */
export async function exchange(
  device: Exchanging,
  clock: Clock,
  timeoutMs: number | null,
): Promise<Exchange> {
  const began = clock.now();
  let movedAt = began;
  const unsubscribe = device.subscribe((event) => {
    if (event.type === "changes") movedAt = clock.now();
  });
  try {
    device.connect();
    await device.setOnline(true);
    let status = await device.status();
    if (status.workingOffline) return { outcome: "unfinished", status };
    const hopelessAfter = isAway(status) ? began + redialMs : began;
    for (;;) {
      const limit = timeoutMs === null ? movedAt + patienceMs : began + timeoutMs;
      const left = limit - clock.now();
      if (left <= 0) return { outcome: "unfinished", status };
      if (await device.settled(Math.min(left, lookEveryMs))) {
        await device.describeStale();
        // The edits are there: what lists show of them must not fail the exchange.
        await device.sendCards(cardsWithinMs);
        return { outcome: "done", status: await device.status() };
      }
      const { waiting } = status;
      status = await device.status();
      if (status.waiting !== waiting) movedAt = clock.now();
      // That it was removed a device says before it has been told by every notebook.
      const isRefused = status.word === "needs-you" && !(await device.info()).removed;
      if (isRefused) return { outcome: "refused", status };
      const isHopeless = isAway(status) && clock.now() >= hopelessAfter;
      if (timeoutMs === null && isHopeless) return { outcome: "unfinished", status };
    }
  } finally {
    unsubscribe();
  }
}

/** Some relay cannot be reached, and with the others there is nothing left to exchange. */
function isAway({ relays }: SyncStatus): boolean {
  const words = relays.map(({ word }) => word);
  return (
    words.includes("offline") && words.every((word) => word === "offline" || word === "up-to-date")
  );
}

/** Notes that are listed and not on this device yet: whether one is, and waiting for one that somebody opens. */
import type { Store } from "#crdt-store/store.ts";
import type { Space } from "#client/sync/space.ts";
import type { Progress } from "./progress.ts";
import type { RelayDesk } from "./relay-desk.ts";

export interface ArrivalPorts {
  readonly store: Store;
  readonly desk: RelayDesk;
  readonly progress: Progress;
}

/** How long somebody who opens a note waits for it; it goes on coming afterwards. */
const withinMs = 15_000;
/** The rest of a note of which something is here is waited for so long: whole it is loaded once, and nobody takes a part for it. */
const wholeWithinMs = 2_000;

export class Arrival {
  readonly #ports: ArrivalPorts;

  constructor(ports: ArrivalPorts) {
    this.#ports = ports;
  }

  /** Whether some of a document that is needed to read it is not here. */
  isMissing(docId: Uint8Array): boolean {
    const { awaited, changes, missingChanges } = this.#ports.store;
    return awaited.has(docId) && (!changes.knows(docId) || missingChanges.countOf(docId) > 0);
  }

  /** Asks for a document before all others; resolves when it is here, or cannot be had now. */
  async of(space: Space, docId: Uint8Array): Promise<void> {
    const { store, desk, progress } = this.#ports;
    const isMissing = this.isMissing(docId);
    if (!isMissing && !store.awaited.has(docId)) return;
    if (isMissing) desk.connect();
    const session = desk.sessionOf(space);
    session?.want(space, docId);
    const isWhole = (): true | null => (session?.isFetching(space, docId) === true ? null : true);
    await progress.until(isWhole, wholeWithinMs);
    const isHere = (): true | null =>
      !this.isMissing(docId) || session === null || session.failing ? true : null;
    await progress.until(isHere, withinMs);
  }
}

/**
 * What is said when access to a space is over. A notebook's may only seem so: another device of this person may have
 * renewed it, and the vault, which says so, may not have been read to its end yet. And a device that was removed from the
 * vault is told that once, not for every notebook.
 */
import type { Store } from "#crdt-store/store.ts";
import type { Space } from "#client/sync/space.ts";
import { roles } from "#relay/protocol/control.ts";
import type { Background } from "./background.ts";
import type { Closing } from "./closing.ts";
import type { DeviceEvents } from "./events.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { Shelf } from "./shelf.ts";
import { removedStatus } from "./status-word.ts";

export interface EndingsPorts {
  readonly store: Store;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly events: DeviceEvents;
  readonly background: Background;
  readonly closing: Closing;
}

/** @param unsent changes that the relay has not taken and will not take */
function keptOf(unsent: number): string {
  const received = "What you had received is still on this device";
  if (unsent === 0) return `${received}.`;
  const changes = unsent === 1 ? "one change" : `${unsent} changes`;
  return `${received}, and so is what you wrote: ${changes} of it could not be sent any more.`;
}

export class Endings {
  readonly #ports: EndingsPorts;
  readonly #store: Store;
  /** Notebooks that seem to have ended. */
  readonly #doubtful = new Set<Space>();

  constructor(ports: EndingsPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /** Whether this device was removed from its owner's devices. */
  get isRemoved(): boolean {
    const { vaultId } = this.#ports.shelf;
    return vaultId !== null && this.#store.spaces.get(vaultId)?.state === "ended";
  }

  /** The relay does not let this device read the space any more. */
  ended(space: Space): void {
    if (space.kind === "vault") this.#vaultEnded(space);
    else this.#doubtful.add(space);
    this.moved();
  }

  /** Something has moved: says what is certain now. */
  moved(): void {
    const { desk, shelf, background } = this.#ports;
    if (this.#doubtful.size === 0) return;
    if (!this.isRemoved && !desk.isCurrent(shelf.vault)) return;
    const certain = [...this.#doubtful];
    this.#doubtful.clear();
    // What the vault said last is taken in in the background.
    background.add(async () => {
      for (const space of certain) await this.#notebookEnded(space);
    });
  }

  #vaultEnded(vault: Space): void {
    if (this.isRemoved) return;
    const { shelf, events } = this.#ports;
    shelf.markEnded(vault);
    const { detail: text } = removedStatus;
    this.#store.syncLog.add("warning", text);
    events.emit({ type: "notice", text });
    events.notify("devices");
    events.notify("notebooks");
  }

  async #notebookEnded(space: Space): Promise<void> {
    const { shelf, events, desk, closing } = this.#ports;
    const hasLeft = await closing.hasLeft(space);
    const isToldBefore = this.#store.spaces.get(space.id)?.state === "ended";
    const isOver =
      space.role === roles.none || space.currentKey === null || space.authority.deleted;
    if (isToldBefore || !isOver) return;
    if (hasLeft) this.#store.transaction(() => shelf.leave(space));
    else shelf.markEnded(space);
    events.notify("notebooks");
    if (this.isRemoved || hasLeft || space.authority.deleted) return;
    const kept = keptOf(this.#store.outbox.depth(space.id));
    const isNewHome = shelf.unready().has(space.hex);
    const over = (what: string): string =>
      isNewHome
        ? `The new home of ${what} does not let you in. ${kept} Ask an administrator for a link to it.`
        : `You no longer have access to ${what}. ${kept}`;
    // The log may be copied into a report: it names no notebook.
    this.#store.syncLog.add("warning", desk.about(space, over("a notebook")));
    events.emit({ type: "notice", text: over(shelf.facts(space.id).name) });
  }
}

/** The end of a notebook: for oneself, for everybody, and its return. */
import type { Store } from "#crdt-store/store.ts";
import { capabilityKinds, roles } from "#relay/protocol/control.ts";
import type { Clock } from "#client/sync/ports.ts";
import type { Space } from "#client/sync/space.ts";
import type { NotebookRow } from "./api.ts";
import type { DeviceDocuments } from "./documents.ts";
import type { DeviceEvents } from "./events.ts";
import type { Indices } from "./indices.ts";
import { mayAdminister, type Membership } from "./membership.ts";
import { administrators, isSelf } from "./people-rows.ts";
import { refuse } from "./refusal.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { Shelf } from "./shelf.ts";

export interface ClosingPorts {
  readonly store: Store;
  readonly clock: Clock;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly indices: Indices;
  readonly membership: Membership;
  readonly events: DeviceEvents;
  readonly documents: () => Promise<DeviceDocuments>;
}

/** The relay forgets a deleted notebook after so long. */
const undoMs = 30 * 86_400_000;

export class Closing {
  readonly #ports: ClosingPorts;
  readonly #store: Store;

  constructor(ports: ClosingPorts) {
    this.#ports = ports;
    this.#store = ports.store;
  }

  /**
   * This person's devices stop following a notebook. Whoever manages it ends their own access; for
   * the others nobody can but those who do.
   */
  async leave(notebook: string): Promise<void> {
    const { shelf, desk, indices, membership, events, documents } = this.#ports;
    const space = shelf.mustNotebook(notebook);
    const loaded = await documents();
    if (indices.vault.hasLeft(loaded, space)) return;
    const isManager = mayAdminister(space) && !space.authority.deleted;
    if (isManager) mustHaveSuccessor(space);
    this.#store.transaction(() => {
      indices.vault.noteLeft(loaded, space);
      if (isManager && space.administrator !== null) {
        const { publicKey } = space.administrator.sign;
        membership.renewKeys(space, [{ signPub: publicKey, role: roles.none }]);
      } else shelf.leave(space);
    });
    // Until the relay has it, it is this device that has to bring it there.
    if (isManager) membership.send(space);
    else desk.forget(space);
    events.notify("notebooks");
  }

  async delete(notebook: string): Promise<void> {
    const space = this.#managed(notebook);
    if (space.authority.deleted) return;
    this.#setDeleted(space, true);
  }

  async restore(notebook: string): Promise<void> {
    const space = this.#managed(notebook);
    const deletedAt = deletedAtOf(space);
    if (deletedAt === null) return;
    if (this.#ports.clock.now() - deletedAt > undoMs) {
      refuse(
        "refused",
        "This notebook was deleted more than 30 days ago and cannot be brought back. What was received of it is still on this device.",
      );
    }
    this.#setDeleted(space, false);
  }

  #setDeleted(space: Space, deleted: boolean): void {
    const { membership } = this.#ports;
    this.#store.transaction(() => membership.setDeleted(space, deleted));
    membership.send(space);
  }

  #managed(notebook: string): Space {
    const space = this.#ports.shelf.mustNotebook(notebook);
    if (!mayAdminister(space)) {
      refuse("no-access", "Only those who manage this notebook can delete it or bring it back.");
    }
    return space;
  }

  /** Whether access was given up by this person: nobody need be told that it is over. */
  async hasLeft(space: Space): Promise<boolean> {
    return this.#ports.indices.vault.hasLeft(await this.#ports.documents(), space);
  }
}

/** Somebody has to manage it, and what nobody else has is deleted rather than left. */
function mustHaveSuccessor(space: Space): void {
  const others = space.authority.capabilities.filter(
    ({ signPub, kind, role }) =>
      kind !== capabilityKinds.link && role !== roles.none && !isSelf(space, signPub),
  );
  if (others.length === 0) {
    refuse("refused", "Nobody else is in this notebook. Delete it if you do not want it any more.");
  }
  if (administrators(space).length === 1) {
    refuse(
      "refused",
      "You are the only one who manages this notebook. Let somebody else manage it first, or delete it.",
    );
  }
}

/** When a notebook was deleted (ms since 1970), as whoever did it says; null while it is not. */
export function deletedAtOf({ authority, records }: Space): number | null {
  if (!authority.deleted) return null;
  return records.findLast(({ record }) => record.body.type === "delete")?.record.timeMs ?? null;
}

export function stateOf(
  space: Space,
  stored: "active" | "ended",
): Pick<NotebookRow, "state" | "deletedAt"> {
  // Who has left is told nothing more, and does not care.
  const deletedAt = space.capability === null ? null : deletedAtOf(space);
  return { state: deletedAt === null ? stored : "deleted", deletedAt };
}

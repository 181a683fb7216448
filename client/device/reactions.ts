/** What follows, in all parts of a device, from what its sessions report and from what is written here. */
import { documentIdToText } from "#crdt-store/document-id.ts";
import { equal } from "#relay/protocol/bytes.ts";
import type { SessionListener } from "#client/sync/session-listener.ts";
import type { Space } from "#client/sync/space.ts";
import type { DeviceParts } from "./device-parts.ts";

export class Reactions {
  readonly #parts: () => DeviceParts;

  /** @param parts asked only once they are all there */
  constructor(parts: () => DeviceParts) {
    this.#parts = parts;
  }

  /** Of every session with a relay. */
  get sessionListener(): SessionListener {
    return {
      progress: () => this.progressed(),
      journalled: (space, docId, isNews) => this.journalled(space, docId, isNews),
      judge: (docId, changes) => this.#parts().trials.judge(docId, changes),
      listed: (space, docId, card) => {
        if (isIndexOf(space, docId) || space.kind === "vault") return;
        this.#parts().rows.listed(space, docId, card);
      },
      fetching: () => this.#fetchingMoved(),
      changes: (space, docId, changes) => this.received(space, docId, changes),
      members: (space) => {
        space.reload();
        this.accessMoved(space);
        this.#parts().events.notify("notebooks");
      },
      presence: (space) => this.#parts().carets.changed(space),
      ended: (space) => this.#parts().endings.ended(space),
      miskeyed: (space) => this.#parts().warnings.miskeyed(space),
      displaced: (space, records) => this.#parts().membership.writeAnew(space, records),
      unpack: () => {
        const { background, compaction } = this.#parts();
        background.add(() => compaction.unpackMarked());
      },
      builtUpon: (docId, hashes) => this.#parts().culprits.readmit(docId, hashes),
      twin: (space, twin) => this.#parts().twins.meet(space, twin),
      unvouched: (space) => this.#parts().membership.vouch(space),
      forked: () => this.#parts().warnings.forked(),
      lostPast: (space, docId) => this.#parts().lostPasts.giveBack(space, docId),
      madeGood: (changes) => this.#madeGood(changes),
      log: (level, text) => this.#parts().store.syncLog.add(level, text),
    };
  }

  /** Something was written here: tell the lists, and the relay. */
  changedHere(space: Space): void {
    const { shelf, homes, desk, materialiser } = this.#parts();
    // In a tab that was open before the notebook had a new home.
    if (shelf.successorOf(space) !== null) homes.goOnSoon();
    desk.poke(space);
    materialiser.soon();
    this.progressed();
  }

  progressed(): void {
    const parts = this.#parts();
    parts.homes.moved();
    parts.snapshots.soon();
    parts.moving.soon();
    parts.progress.moved();
    parts.ownDevices.moved();
    parts.endings.moved();
    parts.removal.moved();
    parts.renewal.moved();
    parts.compaction.soon();
    parts.events.notify("status");
    parts.events.notify("notes");
  }

  /** Who may open a space, or what with, is not what it was. */
  accessMoved(space: Space): void {
    const { renewal, keyCare, ownDevices, events, deviceLinks } = this.#parts();
    if (space.kind !== "vault") {
      renewal.changed(space);
      keyCare.soon();
      this.#useStrongest([space]);
      return;
    }
    ownDevices.logMoved();
    events.notify("devices");
    deviceLinks.moved();
  }

  /** Something of a note was set aside: whoever has it open opens it without that. */
  mended(doc: Uint8Array): void {
    const { events } = this.#parts();
    events.emit({ type: "mended", id: documentIdToText(doc) });
    events.notify("notes");
  }

  /** In the transaction that journals changes by others. */
  journalled(space: Space, docId: Uint8Array, isNews: boolean): void {
    if (!isIndexOf(space, docId)) this.#parts().rows.markStale(space, docId, isNews);
  }

  /** Changes by others can be applied. */
  received(space: Space, docId: Uint8Array, changes: readonly Uint8Array[]): void {
    const { clock, background, events, materialiser } = this.#parts();
    if (isIndexOf(space, docId)) {
      background.add(() => this.#indexArrived(space));
      return;
    }
    const arrivedAt = clock.now();
    const id = documentIdToText(docId);
    // Of what stays in its snapshot there are none: nobody can have it open.
    if (changes.length > 0) {
      events.emit({ type: "changes", id, session: null, changes, arrivedAt });
    }
    materialiser.soon();
    events.notify("notes");
  }

  async #indexArrived(space: Space): Promise<void> {
    const { indices, renewal, homes, documents } = this.#parts();
    const loaded = await documents.loaded();
    indices.reload(loaded, space);
    renewal.indexRead(loaded, space);
    homes.look(loaded, space);
    if (space.kind === "vault") this.#useStrongest(this.#parts().shelf.spaces());
  }

  /** Of what opens a notebook for this person, what may do most in it. */
  #useStrongest(spaces: readonly Space[]): void {
    const { shelf, indices, documents, background } = this.#parts();
    for (const space of spaces) {
      if (space.kind === "vault" || shelf.strongerFormer(space) === null) continue;
      background.add(async () => indices.vault.useStrongest(await documents.loaded(), space));
    }
  }

  /** What a relay had lost is there again, perhaps in another order: other devices are not to miss what they were told. */
  #madeGood(changes: number): void {
    const { witnesses, warnings } = this.#parts();
    warnings.madeGood(changes);
    witnesses.tellSoon();
  }

  #fetchingMoved(): void {
    const { progress, events } = this.#parts();
    progress.moved();
    events.notify("fetching");
    events.notify("status");
    events.notify("notes");
    events.notify("notebooks");
  }
}

function isIndexOf(space: Space, docId: Uint8Array): boolean {
  return equal(docId, space.indexId);
}

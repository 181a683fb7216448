/**
 * A copy of this store goes on beside it. This one takes keys of its own, makes again what it wrote under a name that the
 * copy has used as well, and reads on.
 */
import type { Store } from "#crdt-store/store.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import type { Clock, Random } from "#client/sync/ports.ts";
import { readFirstFromNowOn } from "#client/sync/reads-first.ts";
import type { Twin } from "#client/sync/receiver.ts";
import type { Space } from "#client/sync/space.ts";
import type { Background } from "./background.ts";
import type { DeviceDocuments } from "./documents.ts";
import { loadIdentity } from "./identity.ts";
import { takeNewIncarnation } from "./incarnation.ts";
import type { Indices } from "./indices.ts";
import { reAuthor } from "./re-author.ts";
import type { RelayDesk } from "./relay-desk.ts";
import type { Shelf } from "./shelf.ts";

export interface TwinsPorts {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly clock: Clock;
  readonly random: Random;
  readonly shelf: Shelf;
  readonly desk: RelayDesk;
  readonly indices: Indices;
  readonly background: Background;
  readonly documents: () => Promise<DeviceDocuments>;
  /** Whoever has this document open opens it anew. */
  readonly mended: (doc: Uint8Array) => void;
}

export class Twins {
  readonly #ports: TwinsPorts;
  /** One is being seen to. */
  #meets = false;

  constructor(ports: TwinsPorts) {
    this.#ports = ports;
  }

  meet(space: Space, twin: Twin): void {
    const { desk, background } = this.#ports;
    if (this.#meets) return;
    this.#meets = true;
    desk.disconnect();
    background.add(() => this.#part(space, twin));
  }

  async #part({ id, hex }: Space, { collision }: Twin): Promise<void> {
    const { store, shelf, desk, indices } = this.#ports;
    const documents = await this.#ports.documents();
    try {
      store.transaction(() => {
        readFirstFromNowOn(store);
        const before = loadIdentity(store);
        if (before !== null && collision === null) takeNewIncarnation(this.#ports, before);
        shelf.reopen();
        const space = shelf.get(id);
        if (space === undefined) throw new Error(`the space ${hex} is not open any more`);
        if (collision !== null) reAuthor({ ...this.#ports, documents }, space, collision);
      });
      store.syncLog.add(
        "warning",
        "These notes were copied or put back to an older state, and both copies were written in. This one goes on under a name of its own. Nothing is lost.",
      );
    } finally {
      this.#meets = false;
      indices.forget();
      desk.connect();
    }
    if (collision !== null) this.#ports.mended(collision.doc);
  }
}

/**
 * Forgets what has waited long enough (retention.ts decides what), space by space, in slices small
 * enough that appends do not wait, and gives the room back to the disk. Each slice is a write like any
 * other: what was read for it counts only if nothing was written in the space meanwhile.
 */
import { toHex } from "#relay/protocol/bytes.ts";
import { spaceIdBytes } from "#relay/protocol/genesis.ts";
import type { Limits } from "#relay/protocol/limits.ts";
import { nextExpired } from "#relay/expired.ts";
import type { Ledger } from "#relay/ledger.ts";
import { anyDeadlines, documentsIn, forget, isGone } from "#relay/retention.ts";
import { decideOnStored } from "#relay/stored-decision.ts";
import type { Store } from "#relay/store/store.ts";

export interface SweeperPorts<By> {
  readonly store: Store;
  readonly ledger: Ledger<By>;
  /** In whose name is forgotten: no connection's. */
  readonly by: By;
  readonly limits: Limits;
  readonly now: () => number;
  readonly after: (ms: number, run: () => void) => () => void;
  /** Told of each pass that forgot something. */
  readonly report: (swept: Swept) => void;
  readonly fail: (error: unknown) => void;
}

/** How much was forgotten. */
export interface Swept {
  readonly bodies: number;
  readonly stubs: number;
  readonly blobs: number;
  readonly documents: number;
}

const firstSweepMs = 5 * 60_000;
const sweepEveryMs = 60 * 60_000;
const spacesPerPage = 256;
const nothing: Swept = { bodies: 0, stubs: 0, blobs: 0, documents: 0 };

export class Sweeper<By> {
  readonly #ports: SweeperPorts<By>;
  #cancel: () => void;
  #running: Promise<void> | null = null;
  #isStopping = false;

  constructor(ports: SweeperPorts<By>) {
    this.#ports = ports;
    this.#cancel = this.#sweepAfter(firstSweepMs);
  }

  /** After the slice that is under way. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancel();
    await this.#running;
  }

  #sweepAfter(ms: number): () => void {
    return this.#ports.after(ms, () => {
      this.#running = this.#sweepAlone().then(() => {
        this.#running = null;
        if (!this.#isStopping) this.#cancel = this.#sweepAfter(sweepEveryMs);
      });
    });
  }

  /** Nodes on one store need not all do the same. */
  async #sweepAlone(): Promise<void> {
    const { store, fail } = this.#ports;
    try {
      if (store.neighbours === null) await this.#sweep();
      else await store.neighbours.alone(() => this.#sweep());
    } catch (error) {
      // What is left waits for the next time.
      if (!this.#isStopping) fail(error);
    }
  }

  async #sweep(): Promise<void> {
    const { store, report } = this.#ports;
    let total = nothing;
    for await (const { spaceId, deletedAt } of this.#spaces()) {
      total = plus(total, await this.#sweepSpace(spaceId, deletedAt));
    }
    if (total !== nothing) report(total);
    while (total !== nothing && !this.#isStopping && (await store.reclaim()));
  }

  async *#spaces(): AsyncIterable<{ spaceId: Uint8Array; deletedAt: number | null }> {
    let after: Uint8Array = new Uint8Array(spaceIdBytes);
    for (;;) {
      const page = await this.#ports.store.listSpaces(after, spacesPerPage);
      for (const space of page) {
        if (this.#isStopping) return;
        yield space;
        after = space.spaceId;
      }
      if (page.length < spacesPerPage) return;
    }
  }

  async #sweepSpace(spaceId: Uint8Array, deletedAt: number | null): Promise<Swept> {
    const { store, now } = this.#ports;
    if (!isGone(deletedAt, now())) {
      // Most spaces have nothing that is due: they need not come into memory.
      const due = await store.readDue(spaceId, anyDeadlines(now()), 1);
      const { snapshots, drops, stubs, blobs } = due;
      if ([snapshots, drops, stubs, blobs].every(({ length }) => length === 0)) return nothing;
    }
    let total = nothing;
    while (!this.#isStopping) {
      const swept = await this.#sweepSlice(spaceId);
      if (swept === null) break;
      total = plus(total, swept);
    }
    return total;
  }

  /** Null when nothing is left to forget, or others write so much that it has to wait. */
  #sweepSlice(spaceId: Uint8Array): Promise<Swept | null> {
    const { store, ledger, by, now, limits } = this.#ports;
    return decideOnStored({
      ledger,
      spaceId,
      by,
      read: (state) => nextExpired(store, spaceId, state, now(), limits),
      docIdsOf: (expired) => (expired === null ? [] : documentsIn(expired)),
      decide: (state, expired, { documents }) => {
        if (expired === null) return { outcome: null, write: null };
        const write = forget(state, documents, expired);
        // What is decided next builds on them.
        for (const document of write.documents) documents.set(toHex(document.docId), document);
        for (const docId of write.forgotten.documents) documents.set(toHex(docId), null);
        const { bodies, stubs, blobs, documents: gone } = write.forgotten;
        const parts = [bodies, stubs, blobs, gone, write.documents];
        if (parts.every(({ length }) => length === 0)) throw new Error("a slice moves nothing on");
        const outcome = {
          bodies: bodies.length,
          stubs: stubs.length,
          blobs: blobs.length,
          documents: gone.length,
        };
        return { outcome, write };
      },
    });
  }
}

function plus(a: Swept, b: Swept): Swept {
  return {
    bodies: a.bodies + b.bodies,
    stubs: a.stubs + b.stubs,
    blobs: a.blobs + b.blobs,
    documents: a.documents + b.documents,
  };
}

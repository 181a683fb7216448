/** Several stores on one disk in memory, whose hints and presence a test may lose, repeat or shuffle. */
import { toHex } from "#relay/protocol/bytes.ts";
import {
  StoreError,
  type NeighbourListener,
  type NeighbourPresence,
  type Neighbours,
  type SpaceWrite,
  type StoredSpace,
} from "#relay/store/store.ts";
import { MemoryRelayDisk, MemoryRelayStore } from "#tests/support/memory-relay-store.ts";

type Notice = (listener: NeighbourListener) => void;

export class MemoryNodes {
  readonly disk = new MemoryRelayDisk();
  /** What becomes of the notices of one write: as they are, unless a test says otherwise. */
  fate: (notices: readonly Notice[]) => readonly Notice[] = (notices) => notices;
  readonly #listeners = new Map<MemoryNodeStore, NeighbourListener>();

  store(): MemoryNodeStore {
    return new MemoryNodeStore(this);
  }

  listen(store: MemoryNodeStore, listener: NeighbourListener): void {
    this.#listeners.set(store, listener);
    listener.onGap();
  }

  /** Tells all nodes but the one that says it. */
  say(from: MemoryNodeStore, notices: readonly Notice[]): void {
    for (const [store, listener] of this.#listeners) {
      if (store !== from) for (const notice of this.fate(notices)) notice(listener);
    }
  }
}

export class MemoryNodeStore extends MemoryRelayStore {
  override readonly neighbours: Neighbours;
  readonly #nodes: MemoryNodes;
  /** Spaces of refused writes: what is built on them falls too, until the space is read anew. */
  readonly #spoilt = new Set<string>();

  constructor(nodes: MemoryNodes) {
    super(nodes.disk);
    this.#nodes = nodes;
    this.neighbours = {
      revisionsOf: (spaceIds) =>
        Promise.resolve(spaceIds.map((spaceId) => this.#revisionOf(spaceId))),
      listen: (listener) => {
        nodes.listen(this, listener);
      },
      alone: (work) => work(),
      tell: (presence: NeighbourPresence) => {
        nodes.say(this, [
          (listener) => {
            listener.onPresence(presence);
          },
        ]);
      },
    };
  }

  override async append(writes: readonly SpaceWrite[]): Promise<void> {
    const keys = writes.map(({ spaceId }) => toHex(spaceId));
    const isBuiltOnRefused = keys.some((key) => this.#spoilt.has(key));
    const hasMoved = writes.some(({ spaceId, revision }) => this.#revisionOf(spaceId) !== revision);
    if (isBuiltOnRefused || hasMoved) {
      for (const key of keys) this.#spoilt.add(key);
      throw new StoreError("moved", "the append failed: moved");
    }
    await super.append(writes);
    this.#nodes.say(
      this,
      writes.map(({ spaceId, revision }) => (listener) => {
        listener.onHint(spaceId, revision + 1);
      }),
    );
  }

  override loadSpace(spaceId: Uint8Array): Promise<StoredSpace | null> {
    this.#spoilt.delete(toHex(spaceId));
    return super.loadSpace(spaceId);
  }

  #revisionOf(spaceId: Uint8Array): number {
    return this.#nodes.disk.spaces.get(toHex(spaceId))?.stored.revision ?? 0;
  }
}

/**
 * Looking after what another device's snapshot leaves out: the relay will forget the entries that the snapshot says it
 * covers. After a random while, whoever still holds what it does not stand for sends that again (PROTOCOL §7c).
 */
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import type { Cover } from "#relay/protocol/snapshot.ts";
import type { Timers } from "./ports.ts";
import { upToHeads } from "./put-back.ts";
import { uncovered } from "./snapshots.ts";
import type { Space } from "./space.ts";

export interface CoverWatchPorts {
  readonly store: Store;
  readonly timers: Timers;
  /** 0 ≤ x < 1. */
  readonly chance: () => number;
  /** Changes of this space wait to be sent. */
  readonly poke: (space: Space) => void;
  readonly log: (level: "warning", text: string) => void;
}

/** Not every device is to send all of it: what another one sent meanwhile is not missing any more. */
const longestDelayMs = 30_000;

export class CoverWatch {
  readonly #ports: CoverWatchPorts;
  /** By document in hex: the newest snapshot is the one that counts. */
  readonly #cancels = new Map<string, () => void>();

  constructor(ports: CoverWatchPorts) {
    this.#ports = ports;
  }

  passed(space: Space, docId: Uint8Array, cover: Cover, heads: readonly Uint8Array[]): void {
    const key = toHex(docId);
    const { timers, chance } = this.#ports;
    this.#cancels.get(key)?.();
    const wait = Math.floor(chance() * longestDelayMs);
    this.#cancels.set(
      key,
      timers.after(wait, () => {
        this.#cancels.delete(key);
        this.#look(space, docId, cover, heads);
      }),
    );
  }

  stop(): void {
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
  }

  #look(space: Space, docId: Uint8Array, cover: Cover, heads: readonly Uint8Array[]): void {
    const { store, poke, log } = this.#ports;
    if (!space.mayWrite) return;
    const missing = uncovered(store, docId, cover, heads).filter(
      ({ local, actor, seq }) => local || store.documents.nextHead(docId, actor, seq) !== null,
    );
    if (missing.length === 0) return;
    store.transaction(() => store.outbox.add(space.id, docId, upToHeads(store, docId, missing)));
    log(
      "warning",
      "A summary of a note that another device made leaves something out. This device has sent it again.",
    );
    poke(space);
  }
}

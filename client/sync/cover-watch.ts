/**
 * Looking after what another device's snapshot leaves out: the relay will forget the entries that the snapshot says it
 * covers. After a random while, whoever still holds what it does not stand for sends that again (PROTOCOL §7c). What is to
 * be looked at stands in the store, so that a restart goes on with it.
 */
import type { PassedSnapshot } from "#crdt-store/passed-snapshots.ts";
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import type { Cover } from "#relay/protocol/snapshot.ts";
import type { Clock, Timers } from "./ports.ts";
import { upToHeads } from "./put-back.ts";
import { uncovered } from "./snapshots.ts";
import type { Space } from "./space.ts";

export interface CoverWatchPorts {
  readonly store: Store;
  readonly clock: Clock;
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

  /** In the transaction that takes the snapshot's place in the log for read. */
  passed(
    space: Space,
    doc: Uint8Array,
    { coversPos }: Pick<Cover, "coversPos">,
    heads: readonly Uint8Array[],
  ): void {
    const { store, clock, chance } = this.#ports;
    const due = clock.now() + Math.floor(chance() * longestDelayMs);
    const passed = { doc, space: space.id, coversPos, heads, due };
    store.passedSnapshots.put(passed);
    this.#lookWhenDue(space, passed);
  }

  /** The space is looked after from now on: goes on with what an earlier process left. */
  resume(space: Space): void {
    for (const passed of this.#ports.store.passedSnapshots.inSpace(space.id)) {
      this.#lookWhenDue(space, passed);
    }
  }

  stop(): void {
    for (const cancel of this.#cancels.values()) cancel();
    this.#cancels.clear();
  }

  #lookWhenDue(space: Space, { doc, due }: PassedSnapshot): void {
    const key = toHex(doc);
    const { timers, clock } = this.#ports;
    this.#cancels.get(key)?.();
    this.#cancels.set(
      key,
      timers.after(Math.max(0, due - clock.now()), () => {
        this.#cancels.delete(key);
        this.#look(space, doc);
      }),
    );
  }

  #look(space: Space, doc: Uint8Array): void {
    const { store, poke, log } = this.#ports;
    const passed = store.passedSnapshots.of(doc);
    if (passed === null) return;
    const missing = space.mayWrite
      ? uncovered(store, doc, passed, passed.heads).filter(
          ({ local, actor, seq }) => local || store.documents.nextHead(doc, actor, seq) !== null,
        )
      : [];
    store.transaction(() => {
      store.passedSnapshots.remove(doc);
      store.outbox.add(space.id, doc, upToHeads(store, doc, missing));
    });
    if (missing.length === 0) return;
    log(
      "warning",
      "A summary of a note that another device made leaves something out. This device has sent it again.",
    );
    poke(space);
  }
}

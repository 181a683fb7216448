/**
 * What a document came with, when it was moved or copied, stands under the signed heads of its origin and under nobody's
 * signature: no ordinary entry can bring it. A relay that lost it is given the snapshot again that the document began with,
 * by whichever device holds it all: the origin's own signature vouches for it, not whoever sends it (PROTOCOL §1, §7).
 */
import { parseChange } from "#crdt-store/chunks.ts";
import type { JournalledChange } from "#crdt-store/changes.ts";
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import type { Random } from "#client/sync/ports.ts";
import { copiedOf } from "#client/sync/snapshots.ts";
import type { Space } from "#client/sync/space.ts";
import type { Background } from "./background.ts";
import type { DeviceDocuments } from "./documents.ts";
import { failureWords } from "./failure-words.ts";
import { sendPast } from "./past-snapshot.ts";
import type { RelayDesk } from "./relay-desk.ts";

export interface LostPastsPorts {
  readonly store: Store;
  readonly random: Random;
  readonly background: Background;
  readonly desk: RelayDesk;
  readonly documents: () => Promise<DeviceDocuments>;
}

export class LostPasts {
  readonly #ports: LostPastsPorts;
  /** By document in hex: being made. */
  readonly #underWay = new Set<string>();
  /** Those of which it cannot be made; tried again by the next process. */
  readonly #refused = new Set<string>();

  constructor(ports: LostPastsPorts) {
    this.#ports = ports;
  }

  /** The relay lacks what a document came with: sends it again, in a moment. False if that cannot be done. */
  giveBack(space: Space, doc: Uint8Array): boolean {
    const key = toHex(doc);
    if (this.#refused.has(key)) return false;
    if (this.#underWay.has(key)) return true;
    this.#underWay.add(key);
    this.#ports.background.add(async () => {
      try {
        this.#send(await this.#ports.documents(), space, doc);
      } catch (error) {
        this.#refused.add(key);
        this.#ports.store.syncLog.add(
          "warning",
          `The relay lost what a note had been before it was moved, and this device could not put it back (${failureWords(error)}). It is kept here.`,
        );
      } finally {
        this.#underWay.delete(key);
        this.#ports.desk.poke(space);
      }
    });
    return true;
  }

  #send({ automerge }: DeviceDocuments, space: Space, doc: Uint8Array): void {
    const { store, random } = this.#ports;
    if (store.outgoingSnapshots.has(doc)) return;
    const heads = space.originOf(doc)?.heads ?? [];
    const past = pastOf(store.changes.ofDocument(doc), heads);
    const made = automerge.applyChanges(
      automerge.init(),
      past.map(({ bytes }) => bytes),
    )[0];
    const stands = automerge.getHeads(made);
    const bytes = automerge.save(made);
    automerge.free(made);
    if (stands.toSorted().join() !== heads.map(toHex).toSorted().join()) {
      throw new Error("not all of it is here");
    }
    const changes = past.map(({ hash }) => hash);
    store.transaction(() => {
      sendPast(store, random, space, doc, { document: bytes, heads, changes });
      store.losses.addReturned(space.id, changes.length);
    });
  }
}

function pastOf(
  rows: readonly JournalledChange[],
  heads: readonly Uint8Array[],
): readonly JournalledChange[] {
  const copied = copiedOf(rows, heads);
  const past = rows.filter(({ hash }) => copied.has(toHex(hash)));
  if (past.some(({ bytes }) => parseChange(bytes).type === "failed")) {
    throw new Error("a part of it is damaged");
  }
  return past;
}

/**
 * A copy of a device beside its original (PROTOCOL §4). Both go on writing, so the copy may not write under the
 * original's keys: of two entries with one counter, or two changes with one place in an actor's history, the others
 * believe only the first.
 */
import type { Store } from "#crdt-store/store.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";
import type { Random } from "#client/sync/ports.ts";
import { Space, type DeviceIdentity } from "#client/sync/space.ts";
import { saveIdentity } from "./identity.ts";

/**
 * Gives the device of this store keys of its own in every space, certified by the capabilities it holds, and queues
 * everything the relay has not got: it is sealed anew. What it wrote before stays signed by the former keys. In the caller's
 * transaction, before the device is opened.
 */
export function takeNewIncarnation(
  ports: { readonly store: Store; readonly ed: Ed25519; readonly random: Random },
  before: DeviceIdentity & { readonly vault: Uint8Array },
): void {
  const { store, ed, random } = ports;
  const identity = {
    secret: before.secret,
    incarnation: random(16),
    former: [...before.former, before.incarnation],
  };
  saveIdentity(store, identity, before.vault);
  for (const { id, genesis, capSecret, state } of store.spaces.list()) {
    store.outbox.unsealAll(id);
    if (state === "ended") continue;
    for (const { doc } of store.documents.ofSpace(id)) {
      const unsent = store.changes
        .ofDocument(doc)
        .filter(({ local, pos }) => local && pos === null);
      store.outbox.add(
        id,
        doc,
        unsent.map(({ hash }) => hash),
      );
    }
    const capability = capSecret === null ? null : capabilityFrom(ed, capSecret);
    new Space({ store, ed, identity }, id, genesis, capability).certifyDevice();
  }
}

/**
 * Rights that a record had taken away which a relay has lost, and in whose place it has another now. Whoever they were taken
 * from can read what is written under the key of the log that is left, so nothing is sent until an administrator has
 * taken them away again (PROTOCOL §9).
 */
import type { Store } from "#crdt-store/store.ts";
import { roleOf, type Authority } from "#relay/protocol/authority.ts";
import { concat, equal, toHex } from "#relay/protocol/bytes.ts";
import { roles } from "#relay/protocol/control.ts";
import type { HeldCapability } from "#client/crypto/capability.ts";

/** A space with what this person has access by. */
interface Entered {
  readonly authority: Authority;
  readonly capability: HeldCapability | null;
}

const keyBytes = 32;

/** In the transaction in which the other record is taken in. @param after what would hold with the lost one */
export function noteWithdrawn(store: Store, space: Uint8Array, after: Authority): void {
  const gone = after.capabilities
    .filter(({ role }) => role === roles.none)
    .map(({ signPub }) => signPub);
  const known = load(store, space);
  const fresh = gone.filter((cap) => !known.some((held) => equal(held, cap)));
  if (fresh.length > 0) store.settings.put(nameOf(space), concat(...known, ...fresh));
}

/**
 * The capability keys of those who have a right again that had been taken away, this person's own aside: from whom it was
 * taken has nothing to keep from themselves, and might wait for ever, alone in a notebook whose other administrators are
 * lost with the record.
 */
export function backAgain(store: Store, { authority, capability }: Entered): readonly Uint8Array[] {
  const own = capability?.sign.publicKey;
  return load(store, authority.spaceId).filter(
    (cap) => !(own !== undefined && equal(cap, own)) && roleOf(authority, cap) !== roles.none,
  );
}

/** Whether what is written here is not sent because of them. */
export function isWithheld(store: Store, space: Entered): boolean {
  return backAgain(store, space).length > 0;
}

function load(store: Store, space: Uint8Array): Uint8Array[] {
  const packed = store.settings.get(nameOf(space)) ?? new Uint8Array(0);
  return Array.from({ length: Math.floor(packed.length / keyBytes) }, (_, ix) =>
    packed.slice(ix * keyBytes, (ix + 1) * keyBytes),
  );
}

function nameOf(space: Uint8Array): string {
  return `withdrawn/${toHex(space)}`;
}

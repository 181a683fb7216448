/**
 * Somebody who does not manage a notebook asks, in its index, that their access be renewed: signed by the access they
 * have, naming the new one. A lost device has the access they had, too, and can ask just as well: whoever manages the
 * notebook compares the fingerprint with its owner before letting it in.
 */
import { equal, parseAll, parseHex, toHex, Writer } from "#relay/protocol/bytes.ts";
import { indexOfCapability, roleOf, type Authority } from "#relay/protocol/authority.ts";
import { capabilityKinds, roles, type RoleCode } from "#relay/protocol/control.ts";
import { inDomain } from "#relay/protocol/domain.ts";
import type { HeldCapability } from "#client/crypto/capability.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";

export const renewalPrefix = "renewal ";

export type RenewalKey = `${typeof renewalPrefix}${string}`;

/** What is asked for; that it is genuine and still to be done has been looked at. */
export interface RenewalRequest {
  readonly key: RenewalKey;
  /** The capability that is to end. */
  readonly former: Uint8Array;
  readonly signPub: Uint8Array;
  readonly boxPub: Uint8Array;
  /** The former's role, which the new one is to have. */
  readonly role: RoleCode;
}

const packVersion = 1;

/** `renewal <former> <new>` → `ver u8 | new box 32 | S(renewal; space | former | new | new box) 64` */
export function signRenewal(
  ed: Ed25519,
  space: Uint8Array,
  former: HeldCapability,
  next: HeldCapability,
): readonly [RenewalKey, Uint8Array] {
  const boxPub = next.box.publicKey;
  const message = messageOf(space, former.sign.publicKey, next.sign.publicKey, boxPub);
  const signature = ed.sign(former.sign.seed, message);
  const value = new Writer().u8(packVersion).fixed(boxPub, 32).fixed(signature, 64).finish();
  return [renewalKey(former.sign.publicKey, next.sign.publicKey), value];
}

export function renewalKey(former: Uint8Array, next: Uint8Array): RenewalKey {
  return `${renewalPrefix}${toHex(former)} ${toHex(next)}`;
}

/** The requests of an index that are genuine and not granted yet. */
export function renewalsIn(
  ed: Ed25519,
  authority: Authority,
  index: Readonly<Record<string, unknown>>,
): readonly RenewalRequest[] {
  return Object.entries(index).flatMap(([key, value]) => {
    if (!key.startsWith(renewalPrefix) || !(value instanceof Uint8Array)) return [];
    const [former, signPub, ...more] = key
      .slice(renewalPrefix.length)
      .split(" ")
      .map((hex) => parseHex(hex));
    if (former?.length !== 32 || signPub?.length !== 32 || more.length > 0) return [];
    const role = roleOf(authority, former);
    const known = authority.capabilities.find((capability) => equal(capability.signPub, former));
    const isOver = role === roles.none || known?.kind === capabilityKinds.link;
    if (isOver || indexOfCapability(authority, signPub) !== null) return [];
    const parsed = parseAll(value, (reader) => {
      if (reader.u8() !== packVersion) reader.refuse("unknown version");
      return { boxPub: reader.bytes(32), signature: reader.bytes(64) };
    });
    if (!parsed.ok) return [];
    const { boxPub, signature } = parsed.value;
    const message = messageOf(authority.spaceId, former, signPub, boxPub);
    if (!ed.verify(former, message, signature)) return [];
    return [{ key: renewalKey(former, signPub), former, signPub, boxPub, role }];
  });
}

function messageOf(
  space: Uint8Array,
  former: Uint8Array,
  next: Uint8Array,
  nextBox: Uint8Array,
): Uint8Array {
  return inDomain("renewal", space, former, next, nextBox);
}

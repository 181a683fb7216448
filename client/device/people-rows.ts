/** Who is in a notebook and by which links one comes in, read from its control log and its index. */
import type { Store } from "#crdt-store/store.ts";
import { roleOf, type Capability } from "#relay/protocol/authority.ts";
import { equal, parseHex, toHex } from "#relay/protocol/bytes.ts";
import { capabilityKinds, roles, type RoleCode } from "#relay/protocol/control.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { colourOf, personColours } from "#client/crypto/profile.ts";
import { openMeta } from "#client/crypto/space-keys.ts";
import type { Space } from "#client/sync/space.ts";
import type { LinkRow, PersonRow, Role } from "./api.ts";
import { loadDisplayName, loadPersonColour } from "./identity.ts";
import { decodeLinkMeta } from "./link-meta.ts";
import { refuse } from "./refusal.ts";
import type { Shelf } from "./shelf.ts";

/** Everybody who has access now, in the order in which they got it. */
export function peopleIn(space: Space, shelf: Shelf, store: Store): readonly PersonRow[] {
  const { capabilities } = space.authority;
  const { members } = shelf.facts(space.id);
  const hues = huesIn(space, shelf);
  const signed = new Map(members.map(({ cap, name }) => [cap, name]));
  const claimed = namesClaimed(space);
  const rows = capabilities.flatMap(({ signPub, kind, role, via }) => {
    if (kind === capabilityKinds.link || role === roles.none) return [];
    const id = toHex(signPub);
    const self = isSelf(space, signPub);
    const verified = (self ? loadDisplayName(store) : "") || (signed.get(id) ?? "");
    const name = verified === "" ? (claimed.get(id) ?? "") : verified;
    const own = self ? loadPersonColour(store) : null;
    const cameBy = via === null ? undefined : capabilities[via];
    return {
      id,
      name,
      verified: verified !== "",
      colour: own ?? hues.get(id) ?? colourOf(signPub),
      self,
      role: roleCalled(role),
      via: cameBy === undefined ? null : toHex(cameBy.signPub),
      fingerprint: fingerprintOf(signPub),
      devices: space
        .devicesOf(signPub)
        .map((dev) => ({ id: toHex(dev), fingerprint: fingerprintOf(dev) })),
    };
  });
  return toldApart(rows);
}

/**
 * What those who joined said they are called: all there is of somebody who may only read, and so cannot
 * put a signed name into the notebook.
 */
function namesClaimed(space: Space): ReadonlyMap<string, string> {
  return new Map(
    space.records.flatMap(({ record: { body, epochAfter } }) => {
      const key = body.type === "join" ? space.keyOf(epochAfter) : null;
      if (body.type !== "join" || key === null) return [];
      const meta = openMeta(space.id, key, body.meta);
      return meta === null ? [] : [[toHex(body.signPub), decodeLinkMeta(meta).from] as const];
    }),
  );
}

/** The hue of whoever's device it is: the same in a caret as in the list of people. */
export function hueOfDevice(space: Space, shelf: Shelf, dev: Uint8Array): number {
  const [cap = new Uint8Array(0)] = space.capabilitiesOf(dev);
  return huesIn(space, shelf).get(toHex(cap)) ?? colourOf(cap);
}

/**
 * The hue of everybody who ever had access, by capability key in hex. Who chose none gets one that nobody else has, as long as
 * there are any: the same on every device, and no other when somebody goes.
 */
function huesIn({ id, authority }: Space, shelf: Shelf): ReadonlyMap<string, number> {
  const chosen = shelf.facts(id).hues ?? {};
  const hues = new Map<string, number>();
  const taken = new Set(Object.values(chosen));
  for (const { signPub, kind } of authority.capabilities) {
    if (kind === capabilityKinds.link) continue;
    const key = toHex(signPub);
    const hue = chosen[key] ?? freeHue(colourOf(signPub), taken);
    hues.set(key, hue);
    taken.add(hue);
  }
  return hues;
}

/** The first that is free from this one on; this one if none is. */
function freeHue(from: number, taken: ReadonlySet<number>): number {
  for (let step = 0; step < personColours; step += 1) {
    const hue = (from + step) % personColours;
    if (!taken.has(hue)) return hue;
  }
  return from;
}

/** Nobody is taken for another because they chose the same name, or one that looks the same. */
export function toldApart<T extends { readonly name: string; readonly fingerprint: string }>(
  rows: readonly T[],
): readonly T[] {
  const alike = new Map<string, number>();
  for (const { name } of rows) alike.set(folded(name), (alike.get(folded(name)) ?? 0) + 1);
  return rows.map((row) => {
    const isUnique = row.name === "" || alike.get(folded(row.name)) === 1;
    return isUnique ? row : { ...row, name: `${row.name} (${row.fingerprint.slice(0, 9)})` };
  });
}

function folded(name: string): string {
  return name.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
}

/** Every link that ever was, the oldest first, without its secret. */
export function linksIn(space: Space, now: number): readonly Omit<LinkRow, "link">[] {
  return space.authority.capabilities.flatMap((capability) => {
    if (capability.kind !== capabilityKinds.link) return [];
    const { signPub, notAfter, maxJoins, joins } = capability;
    return {
      id: toHex(signPub),
      role: roleCalled(grantedRole(space, signPub)),
      expiresAt: notAfter === 0 ? null : notAfter,
      maxJoins: maxJoins === 0 ? null : maxJoins,
      joins,
      state: linkState(capability, now),
    };
  });
}

/** Why a link lets nobody in any more, or that it does. */
export function linkState(
  { role, notAfter, maxJoins, joins }: Capability,
  now: number,
): LinkRow["state"] {
  if (maxJoins !== 0 && joins >= maxJoins) return "spent";
  if (notAfter !== 0 && now > notAfter) return "expired";
  return role === roles.none ? "revoked" : "live";
}

/** A link that has ended has no role any more. */
function grantedRole(space: Space, signPub: Uint8Array): RoleCode {
  const granted = space.records.find(
    ({ record: { body } }) => body.type === "grant" && equal(body.signPub, signPub),
  );
  return granted?.record.body.type === "grant" ? granted.record.body.role : roles.read;
}

/**
 * The links that a member can open: the one they came by, and those they made. Whoever is to be out
 * must not come in again by them.
 */
export function linksInHandsOf(space: Space, signPub: Uint8Array): readonly Uint8Array[] {
  const { capabilities } = space.authority;
  const via = find(space, toHex(signPub))?.via ?? null;
  const came = via === null ? undefined : capabilities[via];
  const made = space.records.flatMap(({ record: { body, signerPub } }) =>
    body.type === "grant" && body.kind === capabilityKinds.link && equal(signerPub, signPub)
      ? [body.signPub]
      : [],
  );
  const links = came === undefined ? made : [came.signPub, ...made];
  return links.filter((link) => roleOf(space.authority, link) !== roles.none);
}

export function find({ authority }: Space, id: string): Capability | undefined {
  const key = parseHex(id);
  return key === null
    ? undefined
    : authority.capabilities.find(({ signPub }) => equal(signPub, key));
}

/** Refuses with `bad-input`. */
export function mustPerson(space: Space, id: string): Capability {
  const found = find(space, id);
  return found === undefined || found.kind === capabilityKinds.link
    ? refuse("bad-input", "Nobody with access to this notebook has that id.")
    : found;
}

export function administrators({ authority }: Space): readonly Capability[] {
  return authority.capabilities.filter(
    ({ kind, role }) => kind !== capabilityKinds.link && role === roles.admin,
  );
}

export function isSelf(space: Space, signPub: Uint8Array): boolean {
  return space.capability !== null && equal(space.capability.sign.publicKey, signPub);
}

function roleCalled(role: RoleCode): Role {
  if (role === roles.admin) return "admin";
  return role === roles.edit ? "edit" : "read";
}

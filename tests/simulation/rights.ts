/** Who may do what in a space in the end, by its control log: reckoned here, not asked of the devices. */
import type { Store } from "#crdt-store/store.ts";
import { admitControl, openAuthority, type Authority } from "#relay/protocol/authority.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import { parseControl, roles, type RoleCode } from "#relay/protocol/control.ts";
import { capabilityFrom } from "#client/crypto/capability.ts";
import type { Ed25519 } from "#client/crypto/ed25519.ts";

export interface OpenStore {
  readonly name: string;
  readonly store: Store;
}

/** What the log says of a device's access. */
export interface Standing {
  readonly role: RoleCode;
  /** The last epoch whose key it was given, or has made; null where the log does not know it. */
  readonly lastEpoch: number | null;
}

interface Rotation {
  readonly epoch: number;
  readonly keyCommit: Uint8Array;
  /** The capability key of whoever made it. */
  readonly by: Uint8Array;
}

export interface SpaceRights {
  readonly id: Uint8Array;
  readonly authority: Authority;
  /** The keys the log has had, the last included. */
  readonly rotations: readonly Rotation[];
  /** Of every device that holds the space, by its name. */
  readonly standings: ReadonlyMap<string, Standing>;
}

/** @param id of a space that some of them hold; the longest log that the relay has confirmed counts */
export function rightsIn(stores: readonly OpenStore[], id: Uint8Array, ed: Ed25519): SpaceRights {
  const members = stores.filter(({ store }) => store.spaces.get(id) !== null);
  const logs = members.map(({ store }) => logIn(store, id));
  const [first, ...rest] = logs;
  if (first === undefined) throw new Error("nobody holds this space");
  const { authority, rotations } = rest.reduce(
    (longest, log) => (log.authority.ctrlSeq > longest.authority.ctrlSeq ? log : longest),
    first,
  );
  const standings = new Map(
    members.map(({ name, store }) => [name, standingOf(store, authority, rotations, ed)] as const),
  );
  return { id, authority, rotations, standings };
}

function logIn(store: Store, id: Uint8Array): Pick<SpaceRights, "authority" | "rotations"> {
  const { genesis = new Uint8Array(0) } = store.spaces.get(id) ?? {};
  const opened = openAuthority(genesis, () => true);
  if (!opened.ok) throw new Error(opened.why);
  let { authority } = opened;
  const rotations: Rotation[] = [];
  for (const { bytes, pos } of store.spaces.control(id)) {
    const parsed = parseControl(bytes);
    if (pos === null || !parsed.ok) break;
    const verdict = admitControl(authority, parsed.value, pos, null, () => true);
    if (!verdict.ok) break;
    ({ authority } = verdict);
    const { body, epochAfter, signerPub } = parsed.value.record;
    if (body.type === "rotate") {
      rotations.push({ epoch: epochAfter, keyCommit: body.keyCommit, by: signerPub });
    }
  }
  return { authority, rotations };
}

function standingOf(
  store: Store,
  authority: Authority,
  rotations: readonly Rotation[],
  ed: Ed25519,
): Standing {
  const { capabilities, closed, epoch } = authority;
  const own = secretsOf(store, authority.spaceId).map(
    (secret) => capabilityFrom(ed, secret).sign.publicKey,
  );
  const known = own.flatMap((publicKey) => {
    const ix = capabilities.findIndex(({ signPub }) => equal(signPub, publicKey));
    const capability = capabilities[ix];
    return capability === undefined ? [] : [{ ix, role: capability.role }];
  });
  const role = known.reduce<RoleCode>(
    (most, capability) => (capability.role > most ? capability.role : most),
    roles.none,
  );
  if (known.length === 0) return { role, lastEpoch: null };
  if (role !== roles.none) return { role, lastEpoch: epoch };
  const had = [...closed].filter(([, ended]) =>
    known.some(({ ix }) => (ended.roles[ix] ?? roles.none) !== roles.none),
  );
  const made = rotations.filter(({ by }) => own.some((publicKey) => equal(publicKey, by)));
  const epochs = [...had.map(([ended]) => ended), ...made.map((rotation) => rotation.epoch)];
  return { role, lastEpoch: Math.max(0, ...epochs) };
}

/** The one in use, and those it has replaced. */
function secretsOf(store: Store, space: Uint8Array): readonly Uint8Array[] {
  const current = store.spaces.get(space)?.capSecret ?? null;
  const former = store.settings.get(`notebook-access/${toHex(space)}`) ?? new Uint8Array(0);
  return [
    ...(current === null ? [] : [current]),
    ...Array.from({ length: former.length / 32 }, (_, ix) => former.slice(32 * ix, 32 * ix + 32)),
  ];
}

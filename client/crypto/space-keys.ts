/**
 * Writing control records that carry keys, and finding one's keys in a control log. What a record
 * means is judged in relay/protocol/authority.ts; here is only who can open what.
 */
import { equal } from "#relay/protocol/bytes.ts";
import { admitControl, openAuthority, type Authority } from "#relay/protocol/authority.ts";
import {
  controlMessage,
  controlSealHeader,
  roles,
  signControl,
  type CapabilityKind,
  type ControlBody,
  type ControlRecord,
  type RoleCode,
  type SignedControl,
} from "#relay/protocol/control.ts";
import type { RefusalName } from "#relay/protocol/errors.ts";
import { encodeGenesis, spaceIdOf, type SpaceKind } from "#relay/protocol/genesis.ts";
import { aeadNonceBytes } from "./aead.ts";
import {
  boxKey,
  openEpochKey,
  openWithNonce,
  sealEpochKey,
  sealWithNonce,
  type BoxKey,
} from "./capability.ts";
import { epochSubkey, keyCommitOf, readToken, readTokenHash } from "./derive.ts";
import type { Ed25519, SigningKey } from "./ed25519.ts";

export type Random = (length: number) => Uint8Array;

/** The epoch a device writes in. */
export interface EpochKey {
  readonly epoch: number;
  readonly key: Uint8Array;
}

/** Where the next record goes, and what its signer has seen of the log. */
export interface ControlPlace {
  readonly authority: Authority;
  readonly timeMs: number;
  readonly seenPos: number;
  readonly seenChain: Uint8Array;
}

interface Author {
  readonly ed: Ed25519;
  readonly random: Random;
}

type Header = Omit<ControlRecord, "body" | "signerPub"> & { readonly type: ControlBody["type"] };

function headerAt(place: ControlPlace, type: ControlBody["type"]): Header {
  const { authority } = place;
  return {
    type,
    spaceId: authority.spaceId,
    ctrlSeq: authority.ctrlSeq + 1,
    prevCtrlHash: authority.headHash,
    epochAfter: type === "rotate" ? authority.epoch + 1 : authority.epoch,
    timeMs: place.timeMs,
    seenPos: place.seenPos,
    seenChain: place.seenChain,
  };
}

function signAt(
  author: Author,
  header: Header,
  body: ControlBody,
  signer: SigningKey,
): SignedControl {
  const { type: _type, ...place } = header;
  return signControl({ ...place, body, signerPub: signer.publicKey }, (message) =>
    author.ed.sign(signer.seed, message),
  );
}

export interface NewCapability {
  readonly signPub: Uint8Array;
  readonly boxPub: Uint8Array;
  readonly role: RoleCode;
  readonly kind: CapabilityKind;
  readonly notAfter: number;
  readonly maxJoins: number;
  /** Plain; sealed under the epoch for those who can read it. */
  readonly meta: Uint8Array;
}

/** GRANT: `signer` gives somebody a role and the current key. */
export function grant(
  author: Author,
  place: ControlPlace,
  signer: SigningKey,
  epochKey: Uint8Array,
  capability: NewCapability,
): SignedControl {
  const header = headerAt(place, "grant");
  const sealed = sealTo(author, header, place.authority.epoch, epochKey, capability.boxPub);
  const body = {
    type: "grant" as const,
    signPub: capability.signPub,
    boxPub: capability.boxPub,
    role: capability.role,
    kind: capability.kind,
    notAfter: capability.notAfter,
    maxJoins: capability.maxJoins,
    ...sealed,
    meta: sealMeta(author, place.authority.spaceId, epochKey, capability.meta),
  };
  return signAt(author, header, body, signer);
}

/** JOIN: the holder of a link's key takes a capability of their own. */
export function join(
  author: Author,
  place: ControlPlace,
  link: SigningKey,
  epochKey: Uint8Array,
  own: { readonly signPub: Uint8Array; readonly boxPub: Uint8Array; readonly meta: Uint8Array },
): SignedControl {
  const header = headerAt(place, "join");
  const sealed = sealTo(author, header, place.authority.epoch, epochKey, own.boxPub);
  const meta = sealMeta(author, place.authority.spaceId, epochKey, own.meta);
  return signAt(
    author,
    header,
    { type: "join", signPub: own.signPub, boxPub: own.boxPub, ...sealed, meta },
    link,
  );
}

/** A role that is to shrink; `none` ends access for good. */
export interface Lowering {
  readonly signPub: Uint8Array;
  readonly role: RoleCode;
}

/**
 * ROTATE: a fresh key for everybody who keeps a role, and the lower roles. What names nobody, or
 * would not lower anything, is left out.
 * @param epochKey of the epoch that ends: the new key opens it, so that whoever joins later reads history
 */
export function rotate(
  author: Author,
  place: ControlPlace,
  signer: SigningKey,
  epochKey: Uint8Array,
  lowered: readonly Lowering[],
): { readonly signed: SignedControl; readonly epochKey: Uint8Array } {
  const { spaceId, epoch, capabilities } = place.authority;
  const changes = capabilities.flatMap(({ signPub, role: before }, capIx) => {
    const role = lowered.find((lowering) => equal(lowering.signPub, signPub))?.role ?? before;
    return role < before ? [{ capIx, role }] : [];
  });
  const roleAfter = new Map(changes.map(({ capIx, role }) => [capIx, role]));
  const header = headerAt(place, "rotate");
  const ephemeral = boxKey(author.random(32));
  const next = author.random(32);
  const keys = capabilities.flatMap(({ boxPub, role }, capIx) =>
    (roleAfter.get(capIx) ?? role) === roles.none
      ? []
      : [{ capIx, sealedKey: sealUnder(header, ephemeral, epoch + 1, next, boxPub) }],
  );
  const previousSeal = epochSubkey(next, spaceId, "prev");
  const body = {
    type: "rotate" as const,
    changes,
    keyCommit: keyCommitOf(spaceId, epoch + 1, next),
    readTokenHash: readTokenHash(readToken(next, spaceId)),
    ephPub: ephemeral.publicKey,
    keys,
    previousKey: sealWithNonce(previousSeal, author.random(aeadNonceBytes), spaceId, epochKey),
  };
  return { signed: signAt(author, header, body, signer), epochKey: next };
}

/** DELETE or RESTORE: closes the whole space, or opens it again while the relay still has it. */
export function closeOrReopen(
  author: Author,
  place: ControlPlace,
  signer: SigningKey,
  type: "delete" | "restore",
): SignedControl {
  return signAt(author, headerAt(place, type), { type }, signer);
}

/**
 * A new space: its genesis, the administrator's grant to itself, and the rotation to epoch 1.
 * The records are one atomic push.
 */
export function foundSpace(
  author: Author,
  kind: SpaceKind,
  admin: { readonly sign: SigningKey; readonly boxPub: Uint8Array; readonly kind: CapabilityKind },
  nonce: Uint8Array,
  timeMs: number,
): {
  readonly genesis: Uint8Array;
  readonly spaceId: Uint8Array;
  readonly records: readonly SignedControl[];
  readonly authority: Authority;
  readonly epochKey: Uint8Array;
} {
  const genesis = encodeGenesis({ kind, adminPub: admin.sign.publicKey, nonce });
  const spaceId = spaceIdOf(genesis);
  const opened = mustAdmit(openAuthority(genesis));
  const place = (authority: Authority): ControlPlace => ({
    authority,
    timeMs,
    seenPos: 0,
    seenChain: new Uint8Array(32),
  });
  const own = signAt(
    author,
    headerAt(place(opened), "grant"),
    {
      type: "grant",
      signPub: admin.sign.publicKey,
      boxPub: admin.boxPub,
      role: roles.admin,
      kind: admin.kind,
      notAfter: 0,
      maxJoins: 0,
      ephPub: new Uint8Array(32),
      sealedKey: null,
      meta: new Uint8Array(0),
    },
    admin.sign,
  );
  const granted = mustAdmit(admitControl(opened, own, 1, null));
  const epochKey = author.random(32);
  const header = headerAt(place(granted), "rotate");
  const { ephPub, sealedKey } = sealTo(author, header, 1, epochKey, admin.boxPub);
  const first = signAt(
    author,
    header,
    {
      type: "rotate",
      changes: [],
      keyCommit: keyCommitOf(spaceId, 1, epochKey),
      readTokenHash: readTokenHash(readToken(epochKey, spaceId)),
      ephPub,
      keys: [{ capIx: 0, sealedKey }],
      previousKey: null,
    },
    admin.sign,
  );
  const authority = mustAdmit(admitControl(granted, first, 2, null));
  return { genesis, spaceId, records: [own, first], authority, epochKey };
}

function mustAdmit(verdict: ReturnType<typeof openAuthority>): Authority {
  if (!verdict.ok) throw new Error(`our own record was refused: ${verdict.why}`);
  return verdict.authority;
}

function sealTo(
  author: Author,
  header: Header,
  epoch: number,
  epochKey: Uint8Array,
  boxPub: Uint8Array,
): { ephPub: Uint8Array; sealedKey: Uint8Array } {
  const ephemeral = boxKey(author.random(32));
  const sealedKey = sealUnder(header, ephemeral, epoch, epochKey, boxPub);
  return { ephPub: ephemeral.publicKey, sealedKey };
}

function sealUnder(
  header: Header,
  ephemeral: BoxKey,
  epoch: number,
  epochKey: Uint8Array,
  boxPub: Uint8Array,
): Uint8Array {
  const context = { spaceId: header.spaceId, epoch, aad: controlSealHeader(header) };
  const sealedKey = sealEpochKey(epochKey, ephemeral, boxPub, context);
  if (sealedKey === null) throw new Error("a key was to be sealed to an unsound box key");
  return sealedKey;
}

function sealMeta(
  author: Author,
  spaceId: Uint8Array,
  epochKey: Uint8Array,
  meta: Uint8Array,
): Uint8Array {
  const key = epochSubkey(epochKey, spaceId, "meta");
  return sealWithNonce(key, author.random(aeadNonceBytes), spaceId, meta);
}

/** The metadata of a grant or join, or null if it is not under this epoch key. */
export function openMeta(
  spaceId: Uint8Array,
  epochKey: Uint8Array,
  sealed: Uint8Array,
): Uint8Array | null {
  return openWithNonce(epochSubkey(epochKey, spaceId, "meta"), spaceId, sealed);
}

/**
 * The epoch keys a capability can open in a control log, oldest first, each checked against the
 * commitment its rotation signed. Empty when access was never given or has ended before epoch 1.
 * @param held keys that are known already: opening one costs a millisecond, and there is one in every rotation
 */
export function keysFor(
  spaceId: Uint8Array,
  records: readonly SignedControl[],
  capability: { readonly signPub: Uint8Array; readonly box: BoxKey },
  held: readonly EpochKey[] = [],
): readonly EpochKey[] {
  const found = new Map(held.map(({ epoch, key }) => [epoch, key]));
  const rotations = new Map<number, Extract<ControlBody, { type: "rotate" }>>();
  const indices: Uint8Array[] = [];
  let ownIx = -1;
  for (const { record } of records) {
    const { body } = record;
    const header = controlSealHeader({ ...record, type: body.type });
    const context = { spaceId, epoch: record.epochAfter, aad: header };
    if (body.type === "grant" || body.type === "join") {
      const known = indices.some((signPub) => equal(signPub, body.signPub));
      if (!known) indices.push(body.signPub);
      if (!equal(body.signPub, capability.signPub)) continue;
      if (!known) ownIx = indices.length - 1;
      if (body.sealedKey === null || found.has(record.epochAfter)) continue;
      const key = openEpochKey(body.sealedKey, body.ephPub, capability.box, context);
      if (key !== null) found.set(record.epochAfter, key);
    } else if (body.type === "rotate") {
      rotations.set(record.epochAfter, body);
      const mine = body.keys.find((key) => key.capIx === ownIx);
      if (mine === undefined || found.has(record.epochAfter)) continue;
      const key = openEpochKey(mine.sealedKey, body.ephPub, capability.box, context);
      if (key !== null) found.set(record.epochAfter, key);
    }
  }
  unlockEarlier(spaceId, rotations, found);
  return [...found]
    .map(([epoch, key]) => ({ epoch, key }))
    .filter(({ epoch, key }) => {
      const rotation = rotations.get(epoch);
      return rotation !== undefined && equal(rotation.keyCommit, keyCommitOf(spaceId, epoch, key));
    })
    .toSorted((a, b) => a.epoch - b.epoch);
}

/** Each rotation holds the key before it, sealed under its own: so a new member reads history. */
function unlockEarlier(
  spaceId: Uint8Array,
  rotations: ReadonlyMap<number, Extract<ControlBody, { type: "rotate" }>>,
  found: Map<number, Uint8Array>,
): void {
  for (const epoch of [...rotations.keys()].toSorted((a, b) => b - a)) {
    const key = found.get(epoch);
    const previous = rotations.get(epoch)?.previousKey ?? null;
    if (key === undefined || previous === null || found.has(epoch - 1)) continue;
    const opened = openWithNonce(epochSubkey(key, spaceId, "prev"), spaceId, previous);
    if (opened !== null) found.set(epoch - 1, opened);
  }
}

export type VerifiedLog =
  | { readonly ok: true; readonly authority: Authority; readonly records: readonly SignedControl[] }
  | { readonly ok: false; readonly refusal: RefusalName; readonly why: string };

/** Judges a control log from its genesis on, signatures included. Positions as the relay told them. */
export function verifyLog(
  ed: Ed25519,
  genesis: Uint8Array,
  log: readonly { readonly signed: SignedControl; readonly pos: number }[],
): VerifiedLog {
  let verdict = openAuthority(genesis);
  for (const { signed, pos } of log) {
    if (!verdict.ok) return verdict;
    if (!isControlGenuine(ed, signed)) {
      return {
        ok: false,
        refusal: "BAD_SIGNATURE",
        why: "a control record is not signed by its signer",
      };
    }
    verdict = admitControl(verdict.authority, signed, pos, null);
  }
  if (!verdict.ok) return verdict;
  return { ok: true, authority: verdict.authority, records: log.map((entry) => entry.signed) };
}

export function isControlGenuine(ed: Ed25519, signed: SignedControl): boolean {
  return ed.verify(signed.record.signerPub, controlMessage(signed.hash), signed.signature);
}

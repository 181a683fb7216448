/**
 * One space as a pure state machine: (state, command) → decision. A decision is a refusal, or the
 * next state with the rows that must be durable before anybody hears of it (docs/protocol.md, CTRL,
 * RIGHT, ENT, LOG and PUSH). Signatures are verified by the caller, between judging and admitting.
 */
import {
  admitControl,
  mayWrite,
  openAuthority,
  roleOf,
  indexOfCapability,
  type Authority,
} from "#relay/protocol/authority.ts";
import { equal, toHex } from "#relay/protocol/bytes.ts";
import {
  capabilityKinds,
  parseCertificate,
  parseControl,
  roles,
  type Certificate,
  type SignedControl,
} from "#relay/protocol/control.ts";
import { chainNext, chainStart } from "#relay/protocol/domain.ts";
import { entryKinds, type Entry } from "#relay/protocol/entry.ts";
import type { RefusalName } from "#relay/protocol/errors.ts";
import { noDocument } from "#relay/protocol/genesis.ts";
import { isSoundSigningKey } from "#relay/protocol/keys.ts";
import type { Limits } from "#relay/protocol/limits.ts";
import type {
  CertificateRow,
  CounterRow,
  LogRow,
  SpaceWrite,
  StoredSpace,
} from "#relay/store/store.ts";

export interface Device {
  /** Capabilities that certified it: one that may write is enough. */
  readonly capPubs: readonly Uint8Array[];
  readonly lastCtr: number;
}

export interface SpaceState {
  readonly genesis: Uint8Array;
  readonly authority: Authority;
  readonly revision: number;
  readonly head: number;
  readonly chain: Uint8Array;
  /** The oldest position whose stub is kept. */
  readonly base: number;
  readonly countedBytes: number;
  /** Where each control record stands, in order of sequence number. */
  readonly controls: readonly { readonly pos: number; readonly hash: Uint8Array }[];
  /** By device key in hex. */
  readonly devices: ReadonlyMap<string, Device>;
  readonly certificateCount: number;
}

export type Decision<T = object> =
  | ({ readonly ok: true; readonly state: SpaceState } & T)
  | { readonly ok: false; readonly refusal: RefusalName };

/** However small, an entry costs the relay a row and two index records. */
const leastCountedBytes = 1024;
/** One capability's incarnations of devices: stolen stores and twins take new ones. */
export const maxCertificatesPerCapability = 64;
/** So that all of them fit in one CTRL_DATA beside records. */
export const maxCertificatesPerSpace = 3000;
/** Control records may pass the quota of entries by this factor: removal has to work in a full space. */
const controlQuotaFactor = 2;

/** The state of a space that has no record yet. */
export function openSpace(genesis: Uint8Array): Decision {
  const opened = openAuthority(genesis);
  if (!opened.ok) return { ok: false, refusal: opened.refusal };
  return {
    ok: true,
    state: {
      genesis,
      authority: opened.authority,
      revision: 0,
      head: 0,
      chain: chainStart(opened.authority.spaceId),
      base: 1,
      countedBytes: 0,
      controls: [],
      devices: new Map(),
      certificateCount: 0,
    },
  };
}

/** The state a stored space was left in. Throws if what is stored contradicts itself. */
export function restoreSpace(stored: StoredSpace): SpaceState {
  const opened = openAuthority(stored.genesis);
  if (!opened.ok) throw new Error(`a stored genesis is refused: ${opened.why}`);
  let authority = opened.authority;
  const controls: { pos: number; hash: Uint8Array }[] = [];
  for (const { pos, bytes } of stored.controls) {
    const signed = parseControl(bytes);
    if (!signed.ok) throw new Error(`a stored control record does not parse: ${signed.error}`);
    const verdict = admitControl(authority, signed.value, pos, null);
    if (!verdict.ok) throw new Error(`a stored control record is refused: ${verdict.why}`);
    authority = verdict.authority;
    controls.push({ pos, hash: signed.value.hash });
  }
  const devices = new Map<string, Device>();
  for (const { devPub, capPub } of stored.certificates) {
    const known = devices.get(toHex(devPub));
    const capPubs = [...(known?.capPubs ?? []), capPub];
    devices.set(toHex(devPub), { capPubs, lastCtr: 0 });
  }
  for (const { devPub, ctr } of stored.counters) {
    const device = devices.get(toHex(devPub));
    if (device === undefined) throw new Error("a stored counter belongs to no certified device");
    devices.set(toHex(devPub), { ...device, lastCtr: ctr });
  }
  return {
    genesis: stored.genesis,
    authority,
    revision: stored.revision,
    head: stored.head,
    chain: stored.chain,
    base: 1,
    countedBytes: stored.countedBytes,
    controls,
    devices,
    certificateCount: stored.certificates.length,
  };
}

/**
 * Whether the log may hold this entry already: each device's counters only rise, so an entry with
 * a later counter than all of them is new without a look into the store.
 */
export function mayHold(state: SpaceState, entry: Entry): boolean {
  return entry.ctr <= lastCtrOf(state, entry.devPub);
}

export function lastCtrOf(state: SpaceState, devPub: Uint8Array): number {
  return state.devices.get(toHex(devPub))?.lastCtr ?? 0;
}

/** Everything about an entry but its signature (PUSH-2); null if nothing speaks against it. */
export function judgeEntry(state: SpaceState, entry: Entry, limits: Limits): RefusalName | null {
  const { authority } = state;
  if (authority.deleted) return "SPACE_DELETED";
  // Cards stand outside the log and are not kept yet: storing one in it would be for good.
  if (entry.kind === entryKinds.card) return "BAD_ENTRY";
  if (authority.epoch === 0 || entry.epoch !== authority.epoch) return "STALE_EPOCH";
  if (entry.ctr <= lastCtrOf(state, entry.devPub)) return "CTR_REPLAY";
  const device = state.devices.get(toHex(entry.devPub));
  const writes = device?.capPubs.some((capPub) =>
    mayWrite(authority, capPub, entry.epoch, state.head + 1),
  );
  if (writes !== true) return "NOT_A_WRITER";
  if (state.countedBytes + countedBytesOf(entry.bytes) > limits.spaceBytes) return "QUOTA_SPACE";
  return null;
}

/** Judges again, since verification takes time and a rotation may have overtaken it; then appends. */
export function admitEntry(
  state: SpaceState,
  entry: Entry,
  limits: Limits,
): Decision<{ readonly row: LogRow; readonly counter: CounterRow }> {
  const refusal = judgeEntry(state, entry, limits);
  if (refusal !== null) return { ok: false, refusal };
  const row = rowAfter(state, {
    kind: "entry",
    docId: entry.docId,
    entryKind: entry.kind,
    itemId: entry.entryId,
    bytes: entry.bytes,
  });
  const key = toHex(entry.devPub);
  const device = state.devices.get(key);
  if (device === undefined) throw new Error("a judged entry has a certified device");
  const devices = new Map(state.devices).set(key, { ...device, lastCtr: entry.ctr });
  const counter = { devPub: entry.devPub, ctr: entry.ctr };
  return { ok: true, state: { ...advance(state, row), devices }, row, counter };
}

/**
 * Admits all the records or none. Records held already (the same hash) add no row.
 * @param now the relay's clock, for links that expire
 */
export function admitControls(
  state: SpaceState,
  records: readonly SignedControl[],
  now: number,
  limits: Limits,
): Decision<{ readonly rows: readonly LogRow[] }> {
  const rows: LogRow[] = [];
  let next = state;
  for (const signed of records) {
    if (!equal(signed.record.spaceId, state.authority.spaceId)) {
      return { ok: false, refusal: "BAD_GENESIS" };
    }
    const held = next.controls[signed.record.ctrlSeq - 1];
    if (held !== undefined) {
      if (equal(held.hash, signed.hash)) continue;
      return { ok: false, refusal: "CTRL_CONFLICT" };
    }
    const row = rowAfter(next, {
      kind: "control",
      docId: noDocument,
      entryKind: 0,
      itemId: signed.hash,
      bytes: signed.bytes,
    });
    const verdict = admitControl(next.authority, signed, row.pos, now);
    if (!verdict.ok) return { ok: false, refusal: verdict.refusal };
    if (next.countedBytes + row.bytes.length > limits.spaceBytes * controlQuotaFactor) {
      return { ok: false, refusal: "QUOTA_SPACE" };
    }
    rows.push(row);
    next = {
      ...advance(next, row),
      authority: verdict.authority,
      controls: [...next.controls, { pos: row.pos, hash: signed.hash }],
    };
  }
  return { ok: true, state: next, rows };
}

/** The first sequence number a sender of these records lacks, null if it lacks none. */
export function lackingFrom(state: SpaceState, records: readonly SignedControl[]): number | null {
  for (const { record, hash } of records) {
    const held = state.controls[record.ctrlSeq - 1];
    if (held !== undefined && equal(held.hash, hash)) continue;
    const before =
      record.ctrlSeq === 1 ? state.authority.spaceId : state.controls[record.ctrlSeq - 2]?.hash;
    if (before === undefined) return null;
    if (!equal(before, record.prevCtrlHash)) return 1;
    return held === undefined ? null : record.ctrlSeq;
  }
  return null;
}

/** Whether this certificate's capability has certified this device here before. */
export function holdsCertificate(state: SpaceState, certificate: Certificate): boolean {
  const device = state.devices.get(toHex(certificate.devPub));
  return device?.capPubs.some((capPub) => equal(capPub, certificate.capPub)) ?? false;
}

/** Everything about a certificate but its signature; null if nothing speaks against it. */
export function judgeCertificate(state: SpaceState, certificate: Certificate): RefusalName | null {
  const { authority } = state;
  if (authority.deleted) return "SPACE_DELETED";
  const ix = indexOfCapability(authority, certificate.capPub);
  const capability = ix === null ? undefined : authority.capabilities[ix];
  if (capability === undefined || capability.kind === capabilityKinds.link) return "NOT_A_WRITER";
  if (roleOf(authority, certificate.capPub) === roles.none) return "NOT_A_WRITER";
  if (!isSoundSigningKey(certificate.devPub)) return "BAD_CONTROL";
  let ofCapability = 0;
  for (const device of state.devices.values()) {
    if (device.capPubs.some((capPub) => equal(capPub, certificate.capPub))) ofCapability += 1;
  }
  if (ofCapability >= maxCertificatesPerCapability) return "TOO_MANY";
  if (state.certificateCount >= maxCertificatesPerSpace) return "TOO_MANY";
  return null;
}

export function admitCertificate(
  state: SpaceState,
  bytes: Uint8Array,
): Decision<{ readonly certificate: CertificateRow }> {
  const parsed = parseCertificate(bytes);
  if (!parsed.ok) return { ok: false, refusal: "BAD_CONTROL" };
  const refusal = judgeCertificate(state, parsed.value);
  if (refusal !== null) return { ok: false, refusal };
  const { devPub, capPub } = parsed.value;
  const key = toHex(devPub);
  const device = state.devices.get(key) ?? { capPubs: [], lastCtr: 0 };
  const devices = new Map(state.devices).set(key, {
    ...device,
    capPubs: [...device.capPubs, capPub],
  });
  return {
    ok: true,
    state: { ...state, devices, certificateCount: state.certificateCount + 1 },
    certificate: { devPub, capPub, bytes },
  };
}

/** What decisions on one space have added since its last write. */
export interface Additions {
  readonly rows: readonly LogRow[];
  readonly certificates: readonly CertificateRow[];
  /** In order: the last one of a device counts. */
  readonly counters: readonly CounterRow[];
}

/** One write of the additions that lead from one state to another, and the state it leaves. */
export function writeOf(
  from: SpaceState,
  to: SpaceState,
  additions: Additions,
): { readonly state: SpaceState; readonly write: SpaceWrite } {
  const write: SpaceWrite = {
    spaceId: to.authority.spaceId,
    genesis: to.genesis,
    revision: from.revision,
    head: to.head,
    chain: to.chain,
    countedBytes: to.countedBytes,
    ...additions,
  };
  return { state: { ...to, revision: from.revision + 1 }, write };
}

function rowAfter(state: SpaceState, item: Omit<LogRow, "pos" | "chain">): LogRow {
  const pos = state.head + 1;
  return { ...item, pos, chain: chainNext(pos, state.chain, item.docId, item.itemId) };
}

function advance(state: SpaceState, row: LogRow): SpaceState {
  return {
    ...state,
    head: row.pos,
    chain: row.chain,
    countedBytes: state.countedBytes + countedBytesOf(row.bytes),
  };
}

function countedBytesOf(bytes: Uint8Array): number {
  return Math.max(leastCountedBytes, bytes.length);
}

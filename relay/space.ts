/**
 * One space as a pure state machine: (state, command) → decision. A decision is a refusal, or the
 * next state with the rows that must be durable before anybody hears of it (docs/protocol.md, CTRL,
 * RIGHT, ENT, LOG and PUSH). Signatures are verified by the caller, between judging and admitting.
 */
import {
  admitControl,
  isAdmin,
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
import { maxCardBytes, type Limits } from "#relay/protocol/limits.ts";
import { parseCardExt, parseCover } from "#relay/protocol/snapshot.ts";
import type {
  CardRow,
  CertificateRow,
  CounterRow,
  LogRow,
  SnapshotRow,
  SpaceWrite,
  StoredDocument,
  StoredSpace,
} from "#relay/store/store.ts";

export interface Device {
  /** Capabilities that certified it: one that may write is enough. */
  readonly capPubs: readonly Uint8Array[];
  readonly lastCtr: number;
  /** Counted bytes of what is still kept of it. */
  readonly countedBytes: number;
  /** When it was certified or last wrote. */
  readonly usedAt: number;
}

export interface SpaceState {
  readonly genesis: Uint8Array;
  readonly authority: Authority;
  readonly revision: number;
  readonly head: number;
  readonly chain: Uint8Array;
  /** From this position on every position is kept, as an entry, a record or a stub. */
  readonly base: number;
  readonly countedBytes: number;
  /** When it was deleted; null while it is not. */
  readonly deletedAt: number | null;
  /** Where each control record stands, in order of sequence number. */
  readonly controls: readonly { readonly pos: number; readonly hash: Uint8Array }[];
  /** By device key in hex. */
  readonly devices: ReadonlyMap<string, Device>;
  readonly certificateCount: number;
}

export type Decision<T = object> =
  | ({ readonly ok: true; readonly state: SpaceState } & T)
  | { readonly ok: false; readonly refusal: RefusalName };

const dayMs = 24 * 60 * 60 * 1000;
/** However small, an entry costs the relay a row and two index records. */
const leastCountedBytes = 1024;
/** One capability's devices in use: stolen stores and twins take new incarnations. */
export const maxDevicesInUse = 32;
/** A device that was neither certified nor wrote for so long is not in use. */
const deviceInUseMs = 90 * dayMs;
/** A deleted space can be restored for so long. */
export const undoDeleteMs = 30 * dayMs;
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
      deletedAt: null,
      controls: [],
      devices: new Map(),
      certificateCount: 0,
    },
  };
}

/** Keys are judged when they come in, not each time a space is read. */
const wasJudged = () => true;

/** The state a stored space was left in. Throws if what is stored contradicts itself. */
export function restoreSpace(stored: StoredSpace): SpaceState {
  const opened = openAuthority(stored.genesis, wasJudged);
  if (!opened.ok) throw new Error(`a stored genesis is refused: ${opened.why}`);
  let authority = opened.authority;
  const controls: { pos: number; hash: Uint8Array }[] = [];
  for (const { pos, bytes } of stored.controls) {
    const signed = parseControl(bytes);
    if (!signed.ok) throw new Error(`a stored control record does not parse: ${signed.error}`);
    const verdict = admitControl(authority, signed.value, pos, null, wasJudged);
    if (!verdict.ok) throw new Error(`a stored control record is refused: ${verdict.why}`);
    authority = verdict.authority;
    controls.push({ pos, hash: signed.value.hash });
  }
  const devices = new Map<string, Device>();
  for (const { devPub, capPub, at } of stored.certificates) {
    const known = devices.get(toHex(devPub)) ?? unusedDevice;
    const usedAt = Math.max(known.usedAt, at);
    devices.set(toHex(devPub), { ...known, capPubs: [...known.capPubs, capPub], usedAt });
  }
  for (const { devPub, ctr, countedBytes, at } of stored.counters) {
    const device = devices.get(toHex(devPub));
    if (device === undefined) throw new Error("a stored counter belongs to no certified device");
    const usedAt = Math.max(device.usedAt, at);
    devices.set(toHex(devPub), { ...device, lastCtr: ctr, countedBytes, usedAt });
  }
  return {
    genesis: stored.genesis,
    authority,
    revision: stored.revision,
    head: stored.head,
    chain: stored.chain,
    base: stored.base,
    countedBytes: stored.countedBytes,
    deletedAt: stored.deletedAt,
    controls,
    devices,
    certificateCount: stored.certificates.length,
  };
}

/**
 * Whether the log may hold this entry already: each device's counters only rise, so an entry with
 * a later counter than all of them is new without a look into the store. Cards are not in it.
 */
export function mayHold(state: SpaceState, entry: Entry): boolean {
  return whatIs(entry) !== "card" && entry.ctr <= lastCtrOf(state, entry.devPub);
}

export function lastCtrOf(state: SpaceState, devPub: Uint8Array): number {
  return state.devices.get(toHex(devPub))?.lastCtr ?? 0;
}

/** What the relay does with an entry of this kind. */
export function whatIs(entry: Entry): "snapshot" | "drop" | "card" | "plain" {
  if (entry.kind === entryKinds.snapshot) return "snapshot";
  if (entry.kind === entryKinds.drop) return "drop";
  return entry.kind === entryKinds.card ? "card" : "plain";
}

/** What can be said against an entry without knowing its document (PUSH-2); null for nothing. */
export function judgeRight(state: SpaceState, entry: Entry): RefusalName | null {
  const { authority } = state;
  if (authority.deleted) return "SPACE_DELETED";
  const what = whatIs(entry);
  if (what === "snapshot" && !parseCover(entry.ext).ok) return "BAD_ENTRY";
  if (what === "card" && entry.bytes.length > maxCardBytes) return "ENTRY_TOO_BIG";
  if (what === "card" && (entry.ctr !== 0 || !parseCardExt(entry.ext).ok)) return "BAD_ENTRY";
  if (authority.epoch === 0 || entry.epoch !== authority.epoch) return "STALE_EPOCH";
  if (mayHold(state, entry)) return "CTR_REPLAY";
  return writersOf(state, entry.devPub).length === 0 ? "NOT_A_WRITER" : null;
}

/**
 * Everything about an entry but its signature (PUSH-2); null if nothing speaks against it.
 * @param document what is known of its document; null before its first entry
 */
export function judgeEntry(
  state: SpaceState,
  document: StoredDocument | null,
  entry: Entry,
  limits: Limits,
): RefusalName | null {
  const refusal = judgeRight(state, entry);
  if (refusal !== null) return refusal;
  const claimedPos = claimedPosOf(entry);
  if (claimedPos !== null && claimedPos > state.head) return "BAD_COVER";
  if (whatIs(entry) === "card" && document === null) return "BAD_COVER";
  return judgeRoom(state, document, entry, limits);
}

/** Judges again, since verification takes time and a rotation may have overtaken it; then appends. */
export function admitEntry(
  state: SpaceState,
  document: StoredDocument | null,
  entry: Entry,
  now: number,
  limits: Limits,
): Decision<EntryAdded> {
  const refusal = judgeEntry(state, document, entry, limits);
  if (refusal !== null) return { ok: false, refusal };
  const row = rowAfter(state, {
    kind: "entry",
    docId: entry.docId,
    entryKind: entry.kind,
    itemId: entry.entryId,
    bytes: entry.bytes,
  });
  const size = countedBytesOf(entry.bytes.length);
  const key = toHex(entry.devPub);
  const before = state.devices.get(key);
  if (before === undefined) throw new Error("a judged entry has a certified device");
  const countedBytes = before.countedBytes + size;
  const device = { ...before, lastCtr: entry.ctr, countedBytes, usedAt: now };
  const cover = whatIs(entry) === "snapshot" ? parseCover(entry.ext) : null;
  return {
    ok: true,
    state: { ...advance(state, row), devices: new Map(state.devices).set(key, device) },
    row,
    counter: { devPub: entry.devPub, ctr: entry.ctr, countedBytes, at: now },
    document: {
      docId: entry.docId,
      lastPos: row.pos,
      lastAt: now,
      dropPos: entry.kind === entryKinds.drop ? row.pos : 0,
      snapshotPos: cover === null ? (document?.snapshotPos ?? 0) : row.pos,
      sweptPos: document?.sweptPos ?? 0,
      countedBytes: (document?.countedBytes ?? 0) + size,
      card: document?.card ?? null,
    },
    snapshot:
      cover?.ok === true
        ? {
            docId: entry.docId,
            pos: row.pos,
            coversPos: cover.value.coversPos,
            omitted: cover.value.omitted,
            chunks: cover.value.chunks,
            at: now,
          }
        : null,
  };
}

export interface EntryAdded {
  readonly row: LogRow;
  readonly counter: CounterRow;
  readonly document: StoredDocument;
  readonly snapshot: SnapshotRow | null;
}

/**
 * Takes a card in the place of the one before (CARD-2). One that was derived earlier than the one
 * that is kept is accepted and changes nothing: `card` is null.
 */
export function admitCard(
  state: SpaceState,
  document: StoredDocument | null,
  entry: Entry,
  limits: Limits,
): Decision<{ readonly card: CardRow | null; readonly document: StoredDocument }> {
  const refusal = judgeEntry(state, document, entry, limits);
  if (refusal !== null) return { ok: false, refusal };
  const derivedPos = claimedPosOf(entry);
  if (derivedPos === null || document === null) {
    throw new Error("a judged card has a position and a document");
  }
  if (document.card !== null && document.card.derivedPos > derivedPos) {
    return { ok: true, state, card: null, document };
  }
  const size = entry.bytes.length;
  return {
    ok: true,
    state: { ...state, countedBytes: state.countedBytes + cardGrowth(document, size) },
    card: { docId: entry.docId, derivedPos, bytes: entry.bytes },
    document: { ...document, card: { derivedPos, size } },
  };
}

/** The position of the log that a snapshot or card speaks of, null for other entries. */
function claimedPosOf(entry: Entry): number | null {
  const what = whatIs(entry);
  if (what === "snapshot") {
    const cover = parseCover(entry.ext);
    return cover.ok ? cover.value.coversPos : null;
  }
  if (what !== "card") return null;
  const derivedPos = parseCardExt(entry.ext);
  return derivedPos.ok ? derivedPos.value : null;
}

function cardGrowth(document: StoredDocument | null, size: number): number {
  const before = document?.card?.size;
  return countedBytesOf(size) - (before === undefined ? 0 : countedBytesOf(before));
}

/** Capabilities by which a device may write now (RIGHT-1). */
export function writersOf(state: SpaceState, devPub: Uint8Array): readonly Uint8Array[] {
  const { authority, head } = state;
  const capPubs = state.devices.get(toHex(devPub))?.capPubs ?? [];
  return capPubs.filter((capPub) => mayWrite(authority, capPub, authority.epoch, head + 1));
}

function judgeRoom(
  state: SpaceState,
  document: StoredDocument | null,
  entry: Entry,
  limits: Limits,
): RefusalName | null {
  const size = entry.bytes.length;
  const writers = writersOf(state, entry.devPub);
  switch (whatIs(entry)) {
    case "card":
      return judgeSpace(state, cardGrowth(document, size), writers, limits);
    case "drop":
      // What makes room must not want for it.
      return fits(state, countedBytesOf(size), limits.spaceBytes * controlQuotaFactor);
    case "snapshot":
    case "plain": {
      const counted = countedBytesOf(size);
      const full = judgeSpace(state, counted, writers, limits);
      if (full !== null) return full;
      const kept = document?.countedBytes ?? 0;
      return kept + counted > limits.documentBytes ? "QUOTA_DOCUMENT" : null;
    }
  }
}

/** Whether a space has room for that much, and one of these capabilities a share in it (LIM-3). */
export function judgeSpace(
  state: SpaceState,
  growth: number,
  writers: readonly Uint8Array[],
  limits: Limits,
): RefusalName | null {
  const full = fits(state, growth, limits.spaceBytes);
  if (full !== null) return full;
  const half = limits.spaceBytes / 2;
  // What all have together one cannot have more of.
  if (state.countedBytes + growth <= half) return null;
  const hasShare = writers.some(
    (capPub) =>
      roleOf(state.authority, capPub) === roles.admin || keptOf(state, capPub) + growth <= half,
  );
  return hasShare ? null : "QUOTA_MEMBER";
}

function fits(state: SpaceState, growth: number, room: number): RefusalName | null {
  return state.countedBytes + growth > room ? "QUOTA_SPACE" : null;
}

/** Counted bytes of all devices that a capability certified. */
function keptOf(state: SpaceState, capPub: Uint8Array): number {
  let kept = 0;
  for (const device of state.devices.values()) {
    if (device.capPubs.some((certified) => equal(certified, capPub))) kept += device.countedBytes;
  }
  return kept;
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
  for (const [ix, signed] of records.entries()) {
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
    if (next.deletedAt !== null && now - next.deletedAt > undoDeleteMs) {
      return { ok: false, refusal: "SPACE_DELETED" };
    }
    // What an administrator has built upon was admitted in its time.
    const wasAdmitted = records
      .slice(ix + 1)
      .some(({ record }) => isAdmin(next.authority, record.signerPub));
    const clock = wasAdmitted ? null : now;
    const verdict = admitControl(next.authority, signed, row.pos, clock);
    if (!verdict.ok) return { ok: false, refusal: verdict.refusal };
    if (next.countedBytes + row.bytes.length > limits.spaceBytes * controlQuotaFactor) {
      return { ok: false, refusal: "QUOTA_SPACE" };
    }
    rows.push(row);
    next = {
      ...advance(next, row),
      authority: verdict.authority,
      deletedAt: verdict.authority.deleted ? now : null,
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
export function judgeCertificate(
  state: SpaceState,
  certificate: Certificate,
  now: number,
): RefusalName | null {
  const { authority } = state;
  if (authority.deleted) return "SPACE_DELETED";
  const ix = indexOfCapability(authority, certificate.capPub);
  const capability = ix === null ? undefined : authority.capabilities[ix];
  // Of one that was removed, too: whose device wrote what has to be told again by a relay that had lost it (RIGHT-3).
  if (capability === undefined || capability.kind === capabilityKinds.link) return "NOT_A_WRITER";
  if (!isSoundSigningKey(certificate.devPub)) return "BAD_CONTROL";
  let inUse = 0;
  for (const { capPubs, usedAt } of state.devices.values()) {
    const isInUse = now - usedAt < deviceInUseMs;
    if (isInUse && capPubs.some((capPub) => equal(capPub, certificate.capPub))) inUse += 1;
  }
  if (inUse >= maxDevicesInUse) return "TOO_MANY";
  if (state.certificateCount >= maxCertificatesPerSpace) return "TOO_MANY";
  return null;
}

export function admitCertificate(
  state: SpaceState,
  bytes: Uint8Array,
  now: number,
): Decision<{ readonly certificate: CertificateRow }> {
  const parsed = parseCertificate(bytes);
  if (!parsed.ok) return { ok: false, refusal: "BAD_CONTROL" };
  const refusal = judgeCertificate(state, parsed.value, now);
  if (refusal !== null) return { ok: false, refusal };
  const { devPub, capPub } = parsed.value;
  const key = toHex(devPub);
  const device = state.devices.get(key) ?? unusedDevice;
  const devices = new Map(state.devices).set(key, {
    ...device,
    capPubs: [...device.capPubs, capPub],
    usedAt: now,
  });
  return {
    ok: true,
    state: { ...state, devices, certificateCount: state.certificateCount + 1 },
    certificate: { devPub, capPub, bytes, at: now },
  };
}

/** What decisions on one space have added and taken since its last write. */
export type Additions = Pick<
  SpaceWrite,
  "rows" | "certificates" | "counters" | "documents" | "snapshots" | "cards" | "blobs" | "forgotten"
>;

export const noAdditions: Additions = {
  rows: [],
  certificates: [],
  counters: [],
  documents: [],
  snapshots: [],
  cards: [],
  blobs: [],
  forgotten: { bodies: [], stubs: [], cards: [], documents: [], blobs: [] },
};

/** One write of the additions that lead from one state to another, and the state it leaves. */
export function writeOf(
  from: SpaceState,
  to: SpaceState,
  additions: Additions,
  at: number,
): { readonly state: SpaceState; readonly write: SpaceWrite } {
  const write: SpaceWrite = {
    spaceId: to.authority.spaceId,
    genesis: to.genesis,
    revision: from.revision,
    at,
    head: to.head,
    chain: to.chain,
    base: to.base,
    countedBytes: to.countedBytes,
    deletedAt: to.deletedAt,
    ...additions,
  };
  return { state: { ...to, revision: from.revision + 1 }, write };
}

const unusedDevice: Device = { capPubs: [], lastCtr: 0, countedBytes: 0, usedAt: 0 };

function rowAfter(state: SpaceState, item: Omit<LogRow, "pos" | "chain">): LogRow {
  const pos = state.head + 1;
  return { ...item, pos, chain: chainNext(pos, state.chain, item.docId, item.itemId) };
}

function advance(state: SpaceState, row: LogRow): SpaceState {
  return {
    ...state,
    head: row.pos,
    chain: row.chain,
    countedBytes: state.countedBytes + countedBytesOf(row.bytes.length),
  };
}

/** What something of so many bytes counts. */
export function countedBytesOf(size: number): number {
  return Math.max(leastCountedBytes, size);
}

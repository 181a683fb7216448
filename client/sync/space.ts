/**
 * What this device holds of one space: its control log, the people and devices in it, its keys and
 * its own right to write. A view on the store that is made anew after every change of the log.
 */
import type { Store } from "#crdt-store/store.ts";
import { admitControl, openAuthority, roleOf, type Authority } from "#relay/protocol/authority.ts";
import { equal, parseAll, toHex, Writer } from "#relay/protocol/bytes.ts";
import {
  certificateMessage,
  encodeCertificate,
  parseCertificate,
  parseControl,
  roles,
  type RoleCode,
  type SignedControl,
} from "#relay/protocol/control.ts";
import { chainStart, chainTag } from "#relay/protocol/domain.ts";
import { parseEntry } from "#relay/protocol/entry.ts";
import { indexIdOf } from "#relay/protocol/genesis.ts";
import { isSoundSigningKey } from "#relay/protocol/keys.ts";
import { actorOf, parseOrigin, type Origin } from "#client/crypto/authorship.ts";
import type { HeldCapability } from "#client/crypto/capability.ts";
import { deviceSeed, keyCommitOf, readToken } from "#client/crypto/derive.ts";
import { signingKey, type Ed25519, type SigningKey } from "#client/crypto/ed25519.ts";
import type { Frontier } from "#client/crypto/payload.ts";
import {
  isControlGenuine,
  keysFor,
  type ControlPlace,
  type EpochKey,
} from "#client/crypto/space-keys.ts";
import type { IntakeKnowledge } from "./intake.ts";
import { noteWithdrawn } from "./withdrawn.ts";

/** What makes a device itself, kept in its store. */
export interface DeviceIdentity {
  /** 32 bytes. */
  readonly secret: Uint8Array;
  /** 16 bytes, random: a store that finds it has a twin takes another. */
  readonly incarnation: Uint8Array;
  /** What it was before: changes of those times may still have to be signed for. */
  readonly former: readonly Uint8Array[];
}

export interface SpaceContext {
  readonly store: Store;
  readonly ed: Ed25519;
  readonly identity: DeviceIdentity;
}

export interface JudgedRecord {
  readonly signed: SignedControl;
  readonly pos: number | null;
  /** After it. */
  readonly authority: Authority;
}

/** A record of ours in whose place the relay has another one. */
export interface DisplacedRecord {
  readonly signed: SignedControl;
  /** As it would have been after it: names the capabilities that it counts. */
  readonly authority: Authority;
}

export class Space implements IntakeKnowledge {
  readonly id: Uint8Array;
  readonly hex: string;
  readonly genesis: Uint8Array;
  readonly indexId: Uint8Array;
  readonly device: SigningKey;
  readonly ed: Ed25519;
  readonly #context: SpaceContext;
  /** Those of this person, the one in use first. */
  #held: readonly HeldCapability[];
  /** Every key this device has had in this space, the present one first; the others are made when asked for. */
  #deviceKeys: readonly SigningKey[];
  /** As the genesis alone has it. */
  readonly #opening: Authority;
  #authority: Authority;
  /** The log as it was judged last: judging a key costs milliseconds, so nothing is judged twice. */
  #judged: readonly JudgedRecord[] = [];
  #records: readonly SignedControl[] = [];
  #capabilitiesByDevice = new Map<string, readonly Uint8Array[]>();
  #devicesByCapability = new Map<string, readonly Uint8Array[]>();
  #keys: readonly EpochKey[] = [];

  constructor(
    context: SpaceContext,
    id: Uint8Array,
    genesis: Uint8Array,
    capability: HeldCapability | null,
  ) {
    const opened = openAuthority(genesis);
    if (!opened.ok) throw new Error(`a stored space has no valid genesis: ${opened.why}`);
    this.#context = context;
    this.#opening = opened.authority;
    this.#authority = opened.authority;
    this.id = id;
    this.hex = toHex(id);
    this.genesis = genesis;
    this.indexId = indexIdOf(id);
    this.#held = capability === null ? [] : [capability];
    this.ed = context.ed;
    const { secret, incarnation } = context.identity;
    this.device = signingKey(context.ed, deviceSeed(secret, id, incarnation));
    this.#deviceKeys = [this.device];
    this.reload();
  }

  /** Those of this person: the one to be used first, then what it is to replace, the newest first. */
  get held(): readonly HeldCapability[] {
    return this.#held;
  }

  /** What this device has access by: the first that the log has let in. Null where it has none of its own. */
  get capability(): HeldCapability | null {
    const [first] = this.#held;
    if (this.#held.length < 2) return first ?? null;
    const isIn = ({ sign }: HeldCapability): boolean =>
      roleOf(this.#authority, sign.publicKey) > roles.none;
    return this.#held.find(isIn) ?? first ?? null;
  }

  /** The one that may administer the space now; what was granted to replace another may not have got there yet. */
  get administrator(): HeldCapability | null {
    return (
      this.#held.find(({ sign }) => roleOf(this.#authority, sign.publicKey) === roles.admin) ?? null
    );
  }

  /** Uses the first of these capabilities from now on, and goes on opening what the others open. */
  hold(held: readonly HeldCapability[]): void {
    this.#held = held;
    this.#fileKeys();
    this.reload();
  }

  /** Reads the control log, certificates and keys from the store again. */
  reload(): void {
    const { store } = this.#context;
    const rows = store.spaces.control(this.id);
    const judged = this.#judged.slice(0, this.#unchanged(rows));
    for (const row of rows.slice(judged.length)) {
      const parsed = parseControl(row.bytes);
      if (!parsed.ok || parsed.value.record.ctrlSeq !== row.seq) break;
      const verdict = admitControl(
        judged.at(-1)?.authority ?? this.#opening,
        parsed.value,
        row.pos ?? Number.MAX_SAFE_INTEGER,
        null,
      );
      if (!verdict.ok) break;
      judged.push({ signed: parsed.value, pos: row.pos, authority: verdict.authority });
    }
    this.#judged = judged;
    this.#authority = judged.at(-1)?.authority ?? this.#opening;
    this.#records = judged.map(({ signed }) => signed);
    this.#capabilitiesByDevice = new Map();
    this.#devicesByCapability = new Map();
    for (const { dev, cap } of store.spaces.certificates(this.id)) {
      const known = this.capabilitiesOf(dev);
      this.#capabilitiesByDevice.set(toHex(dev), [...known, cap]);
      this.#devicesByCapability.set(toHex(cap), [...this.devicesOf(cap), dev]);
    }
    this.#keys = this.#committedKeys();
  }

  /** Those of the log: an unconfirmed rotation that another one overtook has left a key, too. */
  #committedKeys(): readonly EpochKey[] {
    const commits = new Map(
      this.#records.flatMap(({ record }) =>
        record.body.type === "rotate" ? [[record.epochAfter, record.body.keyCommit] as const] : [],
      ),
    );
    return this.#soundKeys().flatMap(({ epoch, key, keyCommit }) => {
      const commit = commits.get(epoch);
      return commit !== undefined && equal(commit, keyCommit) ? [{ epoch, key }] : [];
    });
  }

  #soundKeys() {
    return this.#context.store.spaces
      .keys(this.id)
      .filter((row) => equal(row.keyCommit, keyCommitOf(this.id, row.epoch, row.key)));
  }

  /**
   * For a space that is opened: sets aside what is damaged of its control log, so that it is fetched again, and files
   * damaged keys anew. Answers whether there was anything.
   */
  mend(): boolean {
    const { store } = this.#context;
    const sound = new Set(this.#records.map(({ record }) => record.ctrlSeq));
    const damaged = store.spaces
      .control(this.id)
      .filter(({ seq, pos }) => pos !== null && !sound.has(seq));
    const missesKeys = this.#soundKeys().length < store.spaces.keys(this.id).length;
    if (damaged.length === 0 && !missesKeys) return false;
    store.transaction(() => {
      for (const { seq, pos, bytes } of damaged) {
        store.inbox.quarantine({
          space: this.id,
          pos,
          doc: null,
          entryId: null,
          reason: "damaged-control-record",
          bytes,
          signer: null,
        });
        store.spaces.dropControl(this.id, seq);
      }
      this.#fileKeys();
      this.reload();
    });
    return true;
  }

  /** How many of the first stored records are those judged before, at the same positions. */
  #unchanged(rows: readonly { readonly hash: Uint8Array; readonly pos: number | null }[]): number {
    const changed = this.#judged.findIndex(({ signed, pos }, ix) => {
      const row = rows[ix];
      return row === undefined || row.pos !== pos || !equal(row.hash, signed.hash);
    });
    return changed < 0 ? this.#judged.length : changed;
  }

  get authority(): Authority {
    return this.#authority;
  }

  get records(): readonly SignedControl[] {
    return this.#records;
  }

  /** The records that the relay has not confirmed, each with what holds after it, and what holds before the first. */
  get unconfirmed(): { readonly start: Authority; readonly waiting: readonly JudgedRecord[] } {
    const confirmed = this.#judged.findLastIndex(({ pos }) => pos !== null);
    const start = this.#judged[confirmed]?.authority ?? this.#opening;
    return { start, waiting: this.#judged.slice(confirmed + 1) };
  }

  /** Certificates that the relay is not known to have, verbatim. */
  unpushedCertificates(): readonly Uint8Array[] {
    const held = this.#context.store.spaces.certificates(this.id);
    return held.flatMap(({ bytes, pushed }) => (pushed ? [] : [bytes]));
  }

  /** Whether the first of these records, as a relay told them, is the one that is held here as number `seq`. */
  agreesAt(seq: number, told: readonly { readonly bytes: Uint8Array }[]): boolean {
    const [first] = told;
    const parsed = first === undefined ? null : parseControl(first.bytes);
    const held = this.#records.find(({ record }) => record.ctrlSeq === seq);
    return parsed?.ok === true && held !== undefined && equal(parsed.value.hash, held.hash);
  }

  /** Takes our records after `seq` for unsent again: the relay does not have them any more. */
  unconfirmAfter(seq: number): void {
    this.#context.store.spaces.unconfirmControl(this.id, seq);
    this.reload();
  }

  /** Sequence number of the newest control record that the relay holds, as far as we know. */
  get confirmedSeq(): number {
    return this.#judged.findLast(({ pos }) => pos !== null)?.signed.record.ctrlSeq ?? 0;
  }

  get kind(): Authority["kind"] {
    return this.#authority.kind;
  }

  get role(): RoleCode {
    return this.capability === null
      ? roles.none
      : roleOf(this.#authority, this.capability.sign.publicKey);
  }

  /** The key to write with, null while this device has none for the epoch of the log. */
  get currentKey(): EpochKey | null {
    const key = this.keyOf(this.#authority.epoch);
    return key === null ? null : { epoch: this.#authority.epoch, key };
  }

  get readToken(): Uint8Array | null {
    const key = this.currentKey;
    return key === null ? null : readToken(key.key, this.id);
  }

  get mayWrite(): boolean {
    return this.role >= roles.edit && this.currentKey !== null && !this.#authority.deleted;
  }

  /**
   * Whether what is written may leave: not while a member is known to write in a later epoch than the
   * log has, since that may have ended somebody's access.
   */
  get maySend(): boolean {
    return this.mayWrite && this.#epochDue() <= this.#authority.epoch;
  }

  /** There is a rotation that the log has not; answers whether that was news. Any one more settles it. */
  noteLaterEpoch(): boolean {
    const due = this.#authority.epoch + 1;
    if (due <= this.#epochDue()) return false;
    this.#context.store.settings.put(this.#epochDueSetting, new Writer().u32(due).finish());
    return true;
  }

  #epochDue(): number {
    const held = this.#context.store.settings.get(this.#epochDueSetting);
    const parsed = held === null ? null : parseAll(held, (reader) => reader.u32());
    return parsed?.ok === true ? parsed.value : 0;
  }

  get #epochDueSetting(): string {
    return `notebook-epoch/${this.hex}`;
  }

  /** This device has access, and the key that it was given for the epoch is not the one committed to. */
  get isMiskeyed(): boolean {
    return this.role !== roles.none && this.#authority.epoch > 0 && this.currentKey === null;
  }

  /** How far the log has been read here; the start of the chain before the first entry. */
  get cursor(): { readonly pos: number; readonly chain: Uint8Array } {
    return this.#context.store.inbox.cursor(this.id) ?? { pos: 0, chain: chainStart(this.id) };
  }

  get frontier(): Frontier {
    const { pos, chain } = this.cursor;
    return { pos, chainTag: chainTag(chain) };
  }

  controlPlace(timeMs: number): ControlPlace {
    const { pos, chain } = this.cursor;
    return { authority: this.#authority, timeMs, seenPos: pos, seenChain: chain };
  }

  capabilitiesOf(devPub: Uint8Array): readonly Uint8Array[] {
    return this.#capabilitiesByDevice.get(toHex(devPub)) ?? [];
  }

  /** The devices that a capability has certified. */
  devicesOf(capPub: Uint8Array): readonly Uint8Array[] {
    return this.#devicesByCapability.get(toHex(capPub)) ?? [];
  }

  keyOf(epoch: number): Uint8Array | null {
    return this.#keys.find((key) => key.epoch === epoch)?.key ?? null;
  }

  originOf(docId: Uint8Array): Origin | null {
    const row = this.#context.store.documents.get(docId);
    if (row?.origin == null || !equal(row.space, this.id)) return null;
    const parsed = parseOrigin(row.origin);
    return parsed.ok ? parsed.value : null;
  }

  /** The key of this device that one of its own actors belongs to; null if the actor is none of its own. */
  signerOf(docId: Uint8Array, own: { readonly actor: Uint8Array; readonly nonce: Uint8Array }) {
    const { secret, former } = this.#context.identity;
    const isSigner = ({ publicKey }: SigningKey): boolean =>
      equal(actorOf(docId, publicKey, own.nonce), own.actor);
    if (!isSigner(this.device) && this.#deviceKeys.length <= former.length) {
      const seeds = former.map((incarnation) => deviceSeed(secret, this.id, incarnation));
      this.#deviceKeys = [this.device, ...seeds.map((seed) => signingKey(this.ed, seed))];
    }
    return this.#deviceKeys.find(isSigner) ?? null;
  }

  /** This device's certificate, made when its capability is first used here. */
  certifyDevice(): void {
    const { capability } = this;
    if (capability === null) return;
    const held = this.capabilitiesOf(this.device.publicKey);
    if (held.some((cap) => equal(cap, capability.sign.publicKey))) return;
    const unsigned = {
      spaceId: this.id,
      capPub: capability.sign.publicKey,
      devPub: this.device.publicKey,
    };
    const signature = this.ed.sign(capability.sign.seed, certificateMessage(unsigned));
    const bytes = encodeCertificate({ ...unsigned, signature });
    this.#context.store.spaces.addCertificate(this.id, unsigned.devPub, unsigned.capPub, bytes);
    this.reload();
  }

  /**
   * Takes in records and certificates as the relay told them, in one transaction. Records of ours
   * that the relay had not taken are dropped when others stand in their place, and returned so that
   * they can be written anew.
   *
   * @param how "read" in the log at its next place, or "told" in answer to a question: what was read before, and the
   *   cursor's chain vouches for, stays where it stands then, since the relay may have another log for the moment
   */
  absorb(
    log: readonly { readonly pos: number; readonly bytes: Uint8Array }[],
    certificates: readonly Uint8Array[],
    how: "read" | "told" = "told",
  ): { readonly displaced: readonly DisplacedRecord[] } {
    const { store } = this.#context;
    const displaced: DisplacedRecord[] = [];
    store.transaction(() => {
      for (const { pos, bytes } of log) {
        const parsed = parseControl(bytes);
        if (!parsed.ok || !isControlGenuine(this.ed, parsed.value)) continue;
        const { record, hash } = parsed.value;
        const held = this.#records.find((own) => own.record.ctrlSeq === record.ctrlSeq);
        if (held !== undefined && equal(held.hash, hash)) {
          const before = this.#judged[record.ctrlSeq - 1]?.pos ?? null;
          const isRead = how === "told" && before !== null && before <= this.cursor.pos;
          if (!isRead) store.spaces.addControl(this.id, record.ctrlSeq, bytes, pos, hash);
          continue;
        }
        if (held !== undefined) {
          // Only another that could stand there takes its place.
          const before = this.#judged[record.ctrlSeq - 2]?.authority ?? this.#opening;
          if (!admitControl(before, parsed.value, pos, null).ok) continue;
          this.#keepProof(record.ctrlSeq);
          displaced.push(...this.dropUnconfirmed());
        }
        const verdict = admitControl(this.#authority, parsed.value, pos, null);
        if (!verdict.ok) continue;
        store.spaces.addControl(this.id, record.ctrlSeq, bytes, pos, hash);
        this.#authority = verdict.authority;
        this.#records = [...this.#records, parsed.value];
        this.#judged = [
          ...this.#judged,
          { signed: parsed.value, pos, authority: verdict.authority },
        ];
      }
      for (const bytes of certificates) this.#absorbCertificate(bytes);
      this.reload();
      this.#fileKeys();
      this.reload();
    });
    return { displaced };
  }

  /**
   * The relay's log had our records from `seq` on once, and has others there now: they are kept as evidence, and what they
   * took away is not forgotten. They count as ours to write anew.
   */
  #keepProof(seq: number): void {
    const { store } = this.#context;
    const lost = this.#judged.filter(
      ({ signed, pos }) => pos !== null && signed.record.ctrlSeq >= seq,
    );
    const [last] = lost.slice(-1);
    if (last === undefined) return;
    for (const { signed } of lost) store.evidence.add(this.id, "control-fork", signed.bytes);
    noteWithdrawn(store, this.id, last.authority);
    this.unconfirmAfter(seq - 1);
  }

  #absorbCertificate(bytes: Uint8Array): void {
    const parsed = parseCertificate(bytes);
    if (!parsed.ok || !equal(parsed.value.spaceId, this.id)) return;
    const { capPub, devPub, signature } = parsed.value;
    if (this.capabilitiesOf(devPub).some((held) => equal(held, capPub))) return;
    if (!this.ed.verify(capPub, certificateMessage(parsed.value), signature)) return;
    // With such a key anybody could sign, and libraries differ about it.
    if (!isSoundSigningKey(devPub)) return;
    this.#context.store.spaces.addCertificate(this.id, devPub, capPub, bytes);
    this.#context.store.spaces.markCertificatePushed(this.id, devPub, capPub);
  }

  /** Takes back our records that the relay has not taken, and returns them. */
  dropUnconfirmed(): readonly DisplacedRecord[] {
    const { store } = this.#context;
    const dropped = this.#judged.filter(({ pos }) => pos === null);
    store.spaces.dropUnconfirmedControl(this.id);
    this.reload();
    if (dropped.some(({ signed }) => signed.record.body.type === "rotate")) this.#unsealAhead();
    return dropped;
  }

  /** What was sealed under a key that has come to nothing. */
  #unsealAhead(): void {
    const { outbox } = this.#context.store;
    for (const { bytes, entryId } of outbox.sealed(this.id)) {
      const parsed = parseEntry(bytes, bytes.length);
      if (parsed.ok && parsed.value.epoch > this.#authority.epoch) outbox.unseal(this.id, entryId);
    }
  }

  /** Keys the log holds for our capabilities, filed by commitment. */
  #fileKeys(): void {
    const { spaces } = this.#context.store;
    for (const { sign, box } of this.#held) {
      const capability = { signPub: sign.publicKey, box };
      for (const { epoch, key } of keysFor(this.id, this.#records, capability, this.#keys)) {
        if (this.keyOf(epoch) !== null) continue;
        spaces.putKey(this.id, keyCommitOf(this.id, epoch, key), epoch, key);
      }
    }
  }
}

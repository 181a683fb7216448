/**
 * What becomes of entries, control records and certificates that somebody sends: cheap checks first,
 * signatures last, then one decision and one transaction (docs/protocol.md, PUSH, CTRL). Nothing is
 * answered as stored before it is durable.
 */
import { equal, toHex } from "#relay/protocol/bytes.ts";
import {
  certificateMessage,
  controlMessage,
  parseCertificate,
  parseControl,
  type SignedControl,
} from "#relay/protocol/control.ts";
import { chainStart } from "#relay/protocol/domain.ts";
import { entryMessage, parseEntry, type Entry } from "#relay/protocol/entry.ts";
import { refusals, type RefusalName } from "#relay/protocol/errors.ts";
import { spaceIdOf } from "#relay/protocol/genesis.ts";
import { maxMessageBytes, protocolVersion, type Limits } from "#relay/protocol/limits.ts";
import type { ControlAck, PushAck } from "#relay/protocol/messages.ts";
import { parseCover } from "#relay/protocol/snapshot.ts";
import type { Gate } from "#relay/access.ts";
import type { Addition, Ledger, OpenSpace } from "#relay/ledger.ts";
import {
  admitCard,
  admitCertificate,
  admitControls,
  admitEntry,
  holdsCertificate,
  judgeCertificate,
  judgeEntry,
  judgeRight,
  lackingFrom,
  lastCtrOf,
  mayHold,
  noAdditions,
  openSpace,
  whatIs,
  type SpaceState,
} from "#relay/space.ts";
import {
  StoreError,
  type CardRow,
  type CertificateRow,
  type CounterRow,
  type DocumentRow,
  type LogRow,
  type Place,
  type SnapshotRow,
  type Store,
  type StoredDocument,
} from "#relay/store/store.ts";

export type Verify = (
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
) => Promise<boolean>;

type PushResult = PushAck["results"][number];
type PositionedRecord = ControlAck["records"][number];

/** An entry on its way in: answered already, or verified and waiting for its turn. */
type Prepared =
  | { readonly type: "answered"; readonly result: PushResult }
  | { readonly type: "verified"; readonly entry: Entry };

/** Left of a message for records: the rest is for its other fields. */
const recordsBudget = maxMessageBytes - 4096;

export class Intake<By> {
  readonly #store: Store;
  readonly #ledger: Ledger<By>;
  readonly #verify: Verify;
  readonly #limits: Limits;
  readonly #gate: Gate;
  readonly #now: () => number;

  constructor(ports: {
    readonly store: Store;
    readonly ledger: Ledger<By>;
    readonly verify: Verify;
    readonly limits: Limits;
    readonly gate: Gate;
    readonly now: () => number;
  }) {
    this.#store = ports.store;
    this.#ledger = ports.ledger;
    this.#verify = ports.verify;
    this.#limits = ports.limits;
    this.#gate = ports.gate;
    this.#now = ports.now;
  }

  /**
   * The first half of a PUSH: everything up to and including the signatures, which are verified side
   * by side. Several pushes of one connection may be in this half at once.
   * @param onWrongSignature told of each, so that its sender pays for the work
   */
  prepare(
    entries: readonly Uint8Array[],
    onWrongSignature: () => void,
  ): Promise<readonly Prepared[]> {
    return Promise.all(entries.map((bytes) => this.#prepareOne(bytes, onWrongSignature)));
  }

  /**
   * The second half, in the order in which a connection sent its pushes.
   * @param onDecided called once the next push may be admitted: well before the answer, which waits
   * for the disk
   */
  async admit(
    prepared: readonly Prepared[],
    by: By,
    onDecided: () => void,
  ): Promise<readonly PushResult[]> {
    const spaces = await this.#openAll(prepared);
    await this.#knowDocuments(spaces);
    // From here to the commit nothing waits: the decisions and their order are one.
    const drafts = new Map<OpenSpace, Draft>();
    const outcomes = prepared.map((item): PushResult | Pending => {
      if (item.type === "answered") return item.result;
      const { entry } = item;
      const space = spaces.get(entry);
      const working = space?.working;
      if (space === undefined || working === null || working === undefined) {
        return refused("NO_SPACE");
      }
      const draft = drafts.get(space) ?? openDraft(space, working);
      if (mayHold(draft.to, entry)) return { type: "look", space, entry };
      const outcome =
        whatIs(entry) === "card" ? this.#draftCard(draft, entry) : this.#draftEntry(draft, entry);
      if ("type" in outcome) drafts.set(space, draft);
      return outcome;
    });
    const committed = this.#commit([...drafts.values()], by);
    onDecided();
    const failure = await committed;
    return Promise.all(
      outcomes.map(async (outcome) => {
        if (!("type" in outcome)) return outcome;
        if (outcome.type === "look") return this.#lookUp(outcome.space, outcome.entry);
        if (failure !== null) return refused(failure);
        return outcome.type === "row" ? stored(outcome.row) : cardKept;
      }),
    );
  }

  /**
   * A CTRL_PUSH: all of its records or none.
   * @param accessPub of the connection; null if it has shown none
   */
  async pushControls(
    genesis: Uint8Array,
    records: readonly Uint8Array[],
    by: By,
    accessPub: Uint8Array | null,
  ): Promise<ControlAck> {
    const signed: SignedControl[] = [];
    for (const bytes of records) {
      const parsed = parseControl(bytes);
      if (!parsed.ok) return controlAck("BAD_CONTROL");
      signed.push(parsed.value);
    }
    if (signed.length === 0) return controlAck("BAD_CONTROL");
    const spaceId = spaceIdOf(genesis);
    if (!signed.every(({ record }) => equal(record.spaceId, spaceId))) {
      return controlAck("BAD_GENESIS");
    }
    const opening = openSpace(genesis);
    if (!opening.ok) return controlAck(opening.refusal);
    // Once without the signatures, which are dearer, and once more when they are known to be good.
    const early = await this.#ledger.open(spaceId);
    const foreseen = this.#admitControls(early.working ?? opening.state, signed);
    if (!foreseen.ok) return this.#controlsRefused(early, signed, foreseen.refusal);
    const verdicts = await Promise.all(
      signed.map(({ record, hash, signature }) =>
        this.#verify(record.signerPub, controlMessage(hash), signature),
      ),
    );
    if (!verdicts.every(Boolean)) return controlAck("BAD_SIGNATURE");
    if (early.working === null) {
      const refusal = await this.#gate.refusesSpace(spaceId, accessPub);
      if (refusal !== null) return controlAck(refusal);
    }

    const space = await this.#ledger.open(spaceId);
    const from = space.working ?? opening.state;
    const decision = this.#admitControls(from, signed);
    if (!decision.ok) return this.#controlsRefused(space, signed, decision.refusal);
    const { state: to, rows } = decision;
    const addition: Addition = { space, from, to, ...noAdditions, rows };
    const failure = await this.#commit(rows.length === 0 ? [] : [addition], by);
    if (failure !== null) return controlAck(failure);
    // Records held already may still be on their way to the disk with somebody else's push.
    await space.settled;
    const positioned = signed.map(({ record, bytes }) => ({
      pos: to.controls[record.ctrlSeq - 1]?.pos ?? 0,
      bytes,
    }));
    return { type: "controlAck", status: 0, records: withinBudget(positioned) };
  }

  /** Status of a CERT_PUT: 0, or a refusal's code. */
  async putCertificate(bytes: Uint8Array, by: By): Promise<number> {
    const parsed = parseCertificate(bytes);
    if (!parsed.ok) return refusals.BAD_CONTROL.code;
    const certificate = parsed.value;
    const early = await this.#ledger.open(certificate.spaceId);
    if (early.working === null) return refusals.NO_SPACE.code;
    if (holdsCertificate(early.working, certificate)) return this.#certificateHeld(early);
    const foreseen = judgeCertificate(early.working, certificate, this.#now());
    if (foreseen !== null) return refusals[foreseen].code;
    const message = certificateMessage(certificate);
    if (!(await this.#verify(certificate.capPub, message, certificate.signature))) {
      return refusals.BAD_SIGNATURE.code;
    }

    const space = await this.#ledger.open(certificate.spaceId);
    const from = space.working;
    if (from === null) return refusals.NO_SPACE.code;
    if (holdsCertificate(from, certificate)) return this.#certificateHeld(space);
    const decision = admitCertificate(from, bytes, this.#now());
    if (!decision.ok) return refusals[decision.refusal].code;
    const certificates: CertificateRow[] = [decision.certificate];
    const addition: Addition = { space, from, to: decision.state, ...noAdditions, certificates };
    const failure = await this.#commit([addition], by);
    return failure === null ? 0 : refusals[failure].code;
  }

  async #certificateHeld(space: OpenSpace): Promise<number> {
    await space.settled;
    return space.isBroken ? refusals.INTERNAL.code : 0;
  }

  async #prepareOne(bytes: Uint8Array, onWrongSignature: () => void): Promise<Prepared> {
    if (bytes.length > this.#limits.entryBytes) return answered(refused("ENTRY_TOO_BIG"));
    if (bytes[0] !== protocolVersion) return answered(refused("UNSUPPORTED_VERSION"));
    const parsed = parseEntry(bytes, this.#limits.entryBytes);
    if (!parsed.ok) return answered(refused("BAD_ENTRY"));
    const entry = parsed.value;
    const space = await this.#ledger.open(entry.spaceId);
    if (space.working === null) return answered(refused("NO_SPACE"));
    if (space.working.authority.deleted) return answered(refused("SPACE_DELETED"));
    if (mayHold(space.working, entry)) return answered(await this.#lookUp(space, entry));
    const early = judgeRight(space.working, entry);
    if (early !== null) return answered(refused(early));
    await this.#ledger.know(space, [entry.docId]);
    const refusal = this.#judge(space, space.working, entry);
    if (refusal !== null) return answered(refused(refusal));
    if (!(await this.#coversThisLog(space, entry))) return answered(refused("BAD_COVER"));
    const closed = await this.#gate.refusesMore(entry.spaceId, bytes.length);
    if (closed !== null) return answered(refused(closed));
    if (!(await this.#verify(entry.devPub, entryMessage(entry.entryId), entry.signature))) {
      onWrongSignature();
      return answered(refused("BAD_SIGNATURE"));
    }
    return { type: "verified", entry };
  }

  /** The place of an entry that may be stored already; if it is not, why it is refused. */
  async #lookUp(space: OpenSpace, entry: Entry): Promise<PushResult> {
    const place = await this.#ledger.placeOf(space, entry.entryId);
    if (place !== null) return stored(place);
    const state = space.committed;
    if (state === null || space.isBroken) return refused("INTERNAL");
    const refusal = judgeRight(state, entry) ?? "CTR_REPLAY";
    const lastCtr = refusal === "CTR_REPLAY" ? lastCtrOf(state, entry.devPub) : 0;
    return { ...refused(refusal), lastCtr };
  }

  #judge(space: OpenSpace, state: SpaceState, entry: Entry): RefusalName | null {
    return judgeEntry(state, documentOf(space, entry), entry, this.#limits);
  }

  /** Whether the chain that a snapshot says it covers is this log's: a position never changes it. */
  async #coversThisLog(space: OpenSpace, entry: Entry): Promise<boolean> {
    if (whatIs(entry) !== "snapshot") return true;
    const cover = parseCover(entry.ext);
    if (!cover.ok) return false;
    const { coversPos, chain } = cover.value;
    if (coversPos === 0) return equal(chain, chainStart(space.spaceId));
    await space.settled;
    const stored = await this.#store.chainAt(space.spaceId, coversPos);
    return stored !== null && equal(chain, stored);
  }

  #draftEntry(draft: Draft, entry: Entry): PushResult | Pending {
    const document = documentOf(draft.space, entry);
    const decision = admitEntry(draft.to, document, entry, this.#now(), this.#limits);
    if (!decision.ok) return refused(decision.refusal);
    draft.to = decision.state;
    draft.rows.push(decision.row);
    draft.counters.push(decision.counter);
    draft.documents.push(decision.document);
    if (decision.snapshot !== null) draft.snapshots.push(decision.snapshot);
    draft.space.documents.set(toHex(entry.docId), decision.document);
    return { type: "row", row: decision.row };
  }

  #draftCard(draft: Draft, entry: Entry): PushResult | Pending {
    const decision = admitCard(draft.to, documentOf(draft.space, entry), entry, this.#limits);
    if (!decision.ok) return refused(decision.refusal);
    if (decision.card === null) return cardKept;
    draft.to = decision.state;
    draft.cards.push(decision.card);
    draft.space.documents.set(toHex(entry.docId), decision.document);
    return { type: "card" };
  }

  async #knowDocuments(spaces: ReadonlyMap<Entry, OpenSpace>): Promise<void> {
    const docIds = new Map<OpenSpace, Uint8Array[]>();
    for (const [entry, space] of spaces) {
      docIds.set(space, [...(docIds.get(space) ?? []), entry.docId]);
    }
    await Promise.all([...docIds].map(([space, ids]) => this.#ledger.know(space, ids)));
  }

  async #openAll(prepared: readonly Prepared[]): Promise<ReadonlyMap<Entry, OpenSpace>> {
    const entries = prepared.flatMap((item) => (item.type === "verified" ? [item.entry] : []));
    const spaces = await Promise.all(entries.map(({ spaceId }) => this.#ledger.open(spaceId)));
    return new Map(
      entries.flatMap((entry, ix) => {
        const space = spaces[ix];
        return space === undefined ? [] : [[entry, space] as const];
      }),
    );
  }

  /** Null once durable, or why it is not. */
  async #commit(additions: readonly Addition[], by: By): Promise<RefusalName | null> {
    if (additions.length === 0) return null;
    try {
      await this.#ledger.commit(additions, by);
      return null;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return error.failure === "full" ? "DISK_FULL" : "INTERNAL";
    }
  }

  #admitControls(state: SpaceState, signed: readonly SignedControl[]) {
    return admitControls(state, signed, this.#now(), this.#limits);
  }

  async #controlsRefused(
    space: OpenSpace,
    signed: readonly SignedControl[],
    refusal: RefusalName,
  ): Promise<ControlAck> {
    if (refusal !== "CTRL_CONFLICT") return controlAck(refusal);
    // Only what is durable may be told: the winner's record may be on its way to the disk.
    await space.settled;
    const fromSeq = space.committed === null ? null : lackingFrom(space.committed, signed);
    if (fromSeq === null) return controlAck("CTRL_CONFLICT");
    const lacking = await this.#store.readControls(space.spaceId, fromSeq, recordsBudget);
    return { ...controlAck("CTRL_CONFLICT"), records: withinBudget(lacking) };
  }
}

/** What a push adds to one space, while it is being decided. */
interface Draft extends Addition {
  to: SpaceState;
  readonly rows: LogRow[];
  readonly counters: CounterRow[];
  readonly documents: DocumentRow[];
  readonly snapshots: SnapshotRow[];
  readonly cards: CardRow[];
}

function openDraft(space: OpenSpace, working: SpaceState): Draft {
  return {
    ...noAdditions,
    space,
    from: working,
    to: working,
    rows: [],
    counters: [],
    documents: [],
    snapshots: [],
    cards: [],
  };
}

type Pending =
  | { readonly type: "look"; readonly space: OpenSpace; readonly entry: Entry }
  | { readonly type: "row"; readonly row: LogRow }
  | { readonly type: "card" };

function documentOf(space: OpenSpace, entry: Entry): StoredDocument | null {
  return space.documents.get(toHex(entry.docId)) ?? null;
}

/** A card has no position. */
const cardKept: PushResult = { status: 0, pos: 0, chain: new Uint8Array(32), lastCtr: 0 };

function answered(result: PushResult): Prepared {
  return { type: "answered", result };
}

function stored({ pos, chain }: Place): PushResult {
  return { status: 0, pos, chain, lastCtr: 0 };
}

function refused(refusal: RefusalName): PushResult {
  return { status: refusals[refusal].code, pos: 0, chain: new Uint8Array(32), lastCtr: 0 };
}

function controlAck(refusal: RefusalName): ControlAck {
  return { type: "controlAck", status: refusals[refusal].code, records: [] };
}

/** As many records from the first on as fit in one message. */
function withinBudget(records: readonly PositionedRecord[]): readonly PositionedRecord[] {
  let bytes = 0;
  const end = records.findIndex((record) => {
    bytes += record.bytes.length + 12;
    return bytes > recordsBudget;
  });
  return end < 0 ? records : records.slice(0, end);
}

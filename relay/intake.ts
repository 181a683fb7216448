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
import type { Addition, Decided, Ledger, OpenSpace } from "#relay/ledger.ts";
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
  type Decision,
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
    const outcomes = new Map<Entry, EntryOutcome>();
    const admitted = entriesBySpace(prepared).map(async (entries) => {
      const docIds = entries.map(({ docId }) => docId);
      const decide = (space: OpenSpace) => this.#admitEntries(space, entries);
      const decided = await this.#decide(entries[0].spaceId, docIds, decide, by);
      for (const [ix, entry] of entries.entries()) {
        const outcome = typeof decided === "string" ? refused(decided) : decided[ix];
        if (outcome !== undefined) outcomes.set(entry, outcome);
      }
    });
    onDecided();
    await Promise.all(admitted);
    return Promise.all(
      prepared.map(async (item) => {
        if (item.type === "answered") return item.result;
        const outcome = outcomes.get(item.entry);
        if (outcome === undefined) throw new Error("every entry has been decided on");
        return outcome === "look" ? this.#lookUp(item.entry) : outcome;
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
    let isNew = false;
    const foreseen = await this.#foresee(spaceId, [], ({ working }) => {
      isNew = working === null;
      const decision = this.#admitControls(working ?? opening.state, signed);
      return decision.ok ? null : decision.refusal;
    });
    if (foreseen !== null) return this.#controlsRefused(spaceId, signed, foreseen);
    const verdicts = await Promise.all(
      signed.map(({ record, hash, signature }) =>
        this.#verify(record.signerPub, controlMessage(hash), signature),
      ),
    );
    if (!verdicts.every(Boolean)) return controlAck("BAD_SIGNATURE");
    if (isNew) {
      const refusal = await this.#gate.refusesSpace(spaceId, accessPub);
      if (refusal !== null) return controlAck(refusal);
    }

    const decide = ({ working }: OpenSpace): Decided<Decision> => {
      const from = working ?? opening.state;
      const decision = this.#admitControls(from, signed);
      if (!decision.ok) return refusedWith<Decision>(decision);
      const { state: to, rows } = decision;
      const addition = rows.length === 0 ? null : { ...noAdditions, from, to, rows };
      return { outcome: decision, addition, isDoubtful: false };
    };
    const decision = await this.#decide(spaceId, [], decide, by);
    if (typeof decision === "string") return controlAck(decision);
    if (!decision.ok) return this.#controlsRefused(spaceId, signed, decision.refusal);
    const positioned = signed.map(({ record, bytes }) => ({
      pos: decision.state.controls[record.ctrlSeq - 1]?.pos ?? 0,
      bytes,
    }));
    return { type: "controlAck", status: 0, records: withinBudget(positioned) };
  }

  /** Status of a CERT_PUT: 0, or a refusal's code. */
  async putCertificate(bytes: Uint8Array, by: By): Promise<number> {
    const parsed = parseCertificate(bytes);
    if (!parsed.ok) return refusals.BAD_CONTROL.code;
    const certificate = parsed.value;
    const { spaceId } = certificate;
    const foreseen = await this.#foresee(spaceId, [], ({ working }) => {
      if (working === null) return "NO_SPACE";
      if (holdsCertificate(working, certificate)) return null;
      return judgeCertificate(working, certificate, this.#now());
    });
    if (foreseen !== null) return refusals[foreseen].code;
    const message = certificateMessage(certificate);
    if (!(await this.#verify(certificate.capPub, message, certificate.signature))) {
      return refusals.BAD_SIGNATURE.code;
    }

    const decide = ({ working: from }: OpenSpace): Decided<RefusalName | null> => {
      if (from === null) return refusedWith<RefusalName>("NO_SPACE");
      if (holdsCertificate(from, certificate)) return nothingToAdd;
      const decision = admitCertificate(from, bytes, this.#now());
      if (!decision.ok) return refusedWith(decision.refusal);
      const certificates: CertificateRow[] = [decision.certificate];
      const addition = { ...noAdditions, from, to: decision.state, certificates };
      return { outcome: null, addition, isDoubtful: false };
    };
    const refusal = await this.#decide(spaceId, [], decide, by);
    return refusal === null ? 0 : refusals[refusal].code;
  }

  async #prepareOne(bytes: Uint8Array, onWrongSignature: () => void): Promise<Prepared> {
    if (bytes.length > this.#limits.entryBytes) return answered(refused("ENTRY_TOO_BIG"));
    if (bytes[0] !== protocolVersion) return answered(refused("UNSUPPORTED_VERSION"));
    const parsed = parseEntry(bytes, this.#limits.entryBytes);
    if (!parsed.ok) return answered(refused("BAD_ENTRY"));
    const entry = parsed.value;
    const foreseen = await this.#foresee(entry.spaceId, [entry.docId], (space) => {
      const { working } = space;
      if (working === null) return "NO_SPACE";
      if (working.authority.deleted) return "SPACE_DELETED";
      if (mayHold(working, entry)) return "look";
      return (
        judgeRight(working, entry) ??
        judgeEntry(working, documentOf(space, entry), entry, this.#limits)
      );
    });
    if (foreseen === "look") return answered(await this.#lookUp(entry));
    if (foreseen !== null) return answered(refused(foreseen));
    if (!(await this.#coversThisLog(entry))) return answered(refused("BAD_COVER"));
    const closed = await this.#gate.refusesMore(entry.spaceId, bytes.length);
    if (closed !== null) return answered(refused(closed));
    if (!(await this.#verify(entry.devPub, entryMessage(entry.entryId), entry.signature))) {
      onWrongSignature();
      return answered(refused("BAD_SIGNATURE"));
    }
    return { type: "verified", entry };
  }

  /** The place of an entry that may be stored already; if it is not, why it is refused. */
  async #lookUp(entry: Entry): Promise<PushResult> {
    const place = await this.#ledger.placeOf(entry.spaceId, entry.entryId);
    if (place !== null) return stored(place);
    const [space] = await this.#ledger.openFresh([entry.spaceId]);
    const state = space?.committed ?? null;
    if (state === null) return refused("NO_SPACE");
    const isReplay = mayHold(state, entry);
    // If it is none, what spoke against it could not be stored.
    const refusal = judgeRight(state, entry) ?? (isReplay ? "CTR_REPLAY" : "INTERNAL");
    const lastCtr = refusal === "CTR_REPLAY" ? lastCtrOf(state, entry.devPub) : 0;
    return { ...refused(refusal), lastCtr };
  }

  /** Why it will be refused, if that shows now; a refusal rests on what all nodes have written. */
  async #foresee<Verdict>(
    spaceId: Uint8Array,
    docIds: readonly Uint8Array[],
    judge: (space: OpenSpace) => Verdict | null,
  ): Promise<Verdict | null> {
    const early = judge(await this.#ledger.open(spaceId, docIds));
    if (early === null) return null;
    const [space] = await this.#ledger.openFresh([spaceId], docIds);
    return space === undefined ? early : judge(space);
  }

  /** Whether the chain that a snapshot says it covers is this log's: a position never changes it. */
  async #coversThisLog(entry: Entry): Promise<boolean> {
    if (whatIs(entry) !== "snapshot") return true;
    const cover = parseCover(entry.ext);
    if (!cover.ok) return false;
    const { coversPos, chain } = cover.value;
    if (coversPos === 0) return equal(chain, chainStart(entry.spaceId));
    await this.#ledger.settledIn(entry.spaceId);
    const kept = await this.#store.chainAt(entry.spaceId, coversPos);
    return kept !== null && equal(chain, kept);
  }

  #admitEntries(space: OpenSpace, entries: readonly Entry[]): Decided<EntryOutcome[]> {
    const { working } = space;
    if (working === null) return refusedWith(entries.map(() => refused("NO_SPACE")));
    const draft = openDraft(space, working);
    const outcome = entries.map((entry): EntryOutcome => {
      if (mayHold(draft.to, entry)) return "look";
      return whatIs(entry) === "card"
        ? this.#draftCard(draft, entry)
        : this.#draftEntry(draft, entry);
    });
    const isEmpty = draft.rows.length + draft.cards.length === 0;
    return { outcome, addition: isEmpty ? null : draft, isDoubtful: draft.isDoubtful };
  }

  #draftEntry(draft: Draft, entry: Entry): PushResult {
    const document = documentOf(draft.space, entry);
    const decision = admitEntry(draft.to, document, entry, this.#now(), this.#limits);
    if (!decision.ok) return refuseIn(draft, decision.refusal);
    draft.to = decision.state;
    draft.rows.push(decision.row);
    draft.counters.push(decision.counter);
    draft.documents.push(decision.document);
    if (decision.snapshot !== null) draft.snapshots.push(decision.snapshot);
    draft.space.documents.set(toHex(entry.docId), decision.document);
    return stored(decision.row);
  }

  #draftCard(draft: Draft, entry: Entry): PushResult {
    const decision = admitCard(draft.to, documentOf(draft.space, entry), entry, this.#limits);
    if (!decision.ok) return refuseIn(draft, decision.refusal);
    if (decision.card === null) return cardKept;
    draft.to = decision.state;
    draft.cards.push(decision.card);
    draft.space.documents.set(toHex(entry.docId), decision.document);
    return cardKept;
  }

  /** The outcome once it is durable, or why it could not be made so. */
  async #decide<T>(
    spaceId: Uint8Array,
    docIds: readonly Uint8Array[],
    decide: (space: OpenSpace) => Decided<T>,
    by: By,
  ): Promise<T | RefusalName> {
    try {
      return await this.#ledger.decide(spaceId, docIds, decide, by);
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      return error.failure === "full" ? "DISK_FULL" : "INTERNAL";
    }
  }

  #admitControls(state: SpaceState, signed: readonly SignedControl[]) {
    return admitControls(state, signed, this.#now(), this.#limits);
  }

  async #controlsRefused(
    spaceId: Uint8Array,
    signed: readonly SignedControl[],
    refusal: RefusalName,
  ): Promise<ControlAck> {
    if (refusal !== "CTRL_CONFLICT") return controlAck(refusal);
    // Only what is durable may be told: the winner's record may be on its way to the disk.
    await this.#ledger.settledIn(spaceId);
    const { committed } = await this.#ledger.open(spaceId);
    const fromSeq = committed === null ? null : lackingFrom(committed, signed);
    if (fromSeq === null) return controlAck("CTRL_CONFLICT");
    const lacking = await this.#store.readControls(spaceId, fromSeq, recordsBudget);
    return { ...controlAck("CTRL_CONFLICT"), records: withinBudget(lacking) };
  }
}

/** `look`: the store may hold the entry already. */
type EntryOutcome = PushResult | "look";

/** The verified entries, those of each space together, in their order. */
function entriesBySpace(prepared: readonly Prepared[]): readonly (readonly [Entry, ...Entry[]])[] {
  const bySpace = new Map<string, [Entry, ...Entry[]]>();
  for (const item of prepared) {
    if (item.type === "answered") continue;
    const key = toHex(item.entry.spaceId);
    const entries = bySpace.get(key);
    if (entries === undefined) bySpace.set(key, [item.entry]);
    else entries.push(item.entry);
  }
  return [...bySpace.values()];
}

function refusedWith<T>(outcome: T): Decided<T> {
  return { outcome, addition: null, isDoubtful: true };
}

const nothingToAdd: Decided<null> = { outcome: null, addition: null, isDoubtful: false };

/** What a push adds to one space, while it is being decided. */
interface Draft extends Addition {
  readonly space: OpenSpace;
  to: SpaceState;
  readonly rows: LogRow[];
  readonly counters: CounterRow[];
  readonly documents: DocumentRow[];
  readonly snapshots: SnapshotRow[];
  readonly cards: CardRow[];
  /** Whether something of the push was refused. */
  isDoubtful: boolean;
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
    isDoubtful: false,
  };
}

function refuseIn(draft: Draft, refusal: RefusalName): PushResult {
  draft.isDoubtful = true;
  return refused(refusal);
}

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

/**
 * Changes that are out of the ordinary are tried in a thread that can be ended, before anybody applies them here (PROTOCOL
 * §6): until then they wait in quarantine. What passes goes into the journal like anything else; over what does not, the note
 * goes on without it. Documents that an earlier process ended on are tried in the same way.
 */
import type { Change } from "#crdt-store/chunks.ts";
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import type { Space } from "#client/sync/space.ts";
import type { Background } from "./background.ts";
import { notApplicable, tooMuch, type Culprits, type Suspect } from "./culprits.ts";
import type { Ground, Opener } from "./opener.ts";
import type { Beginning } from "./opener-work.ts";
import type { Shelf } from "./shelf.ts";
import { isUnusual, type Work } from "./unusual.ts";

export interface TrialsPorts {
  readonly store: Store;
  readonly culprits: Culprits;
  readonly opener: Opener;
  /** Of its own: what is tried may take long, and nothing else waits for it. */
  readonly queue: Background;
  readonly shelf: Shelf;
  /** In the transaction that lets them into the journal. */
  readonly journalled: (space: Space, doc: Uint8Array) => void;
  /** These can be applied by everybody now. */
  readonly released: (space: Space, doc: Uint8Array, changes: readonly Uint8Array[]) => void;
}

/** A change that has come, with how many rows it unrolls to. */
type Measured = Pick<Change, "hash" | "bytes"> & { readonly rows: number };

const nothing: Work = { rows: 0, bytes: 0 };
const none: ReadonlySet<string> = new Set();

export class Trials {
  readonly #ports: TrialsPorts;
  /** What came of each document, by its hex, since some of it was last tried. */
  readonly #untried = new Map<string, Work>();

  constructor(ports: TrialsPorts) {
    this.#ports = ports;
  }

  /**
   * In the transaction that journals them: changes that somebody else made.
   *
   * @returns the hashes, in hex, of those that nobody is to be told of yet
   */
  judge(doc: Uint8Array, changes: readonly Measured[]): ReadonlySet<string> {
    const { culprits, queue } = this.#ports;
    const key = toHex(doc);
    const come = changes.reduce(
      (sum, { rows, bytes }) => ({ rows: sum.rows + rows, bytes: sum.bytes + bytes.length }),
      nothing,
    );
    const before = this.#untried.get(key) ?? nothing;
    if (!isUnusual(come, before)) {
      this.#untried.set(key, { rows: before.rows + come.rows, bytes: before.bytes + come.bytes });
      return none;
    }
    this.#untried.delete(key);
    culprits.hold(doc, changes);
    queue.add(() => this.#tryHeld(doc));
    return new Set(changes.map(({ hash }) => toHex(hash)));
  }

  /** Goes on with what an earlier process had not tried. */
  resume(): void {
    const { culprits, queue } = this.#ports;
    for (const doc of culprits.onTrial()) queue.add(() => this.#tryHeld(doc));
  }

  /** Finds what an earlier process ended on, before anybody here loads the document. */
  async care({ doc, isAgain }: Suspect): Promise<void> {
    const { store, culprits, opener } = this.#ports;
    const { snapshot } = store.contentOf(doc);
    const appliedUpTo = store.refused.appliedUpTo(doc);
    const rows = store.changes.beyond(doc, snapshot?.heads ?? []);
    const known = rows.filter(({ row }) => row <= appliedUpTo).map(({ bytes }) => bytes);
    const fresh = rows.filter(({ row }) => row > appliedUpTo);
    // All at once, unless a process ended even over that: then bit by bit, each named before.
    for (const group of isAgain ? byPosition(fresh) : [fresh]) {
      culprits.announce(doc, isAgain ? group : null);
      const ground = { ...this.#ground(doc), changes: known };
      const verdicts = await opener.tryOut(ground, group);
      if (verdicts === null) {
        // Nothing is known: the next process goes on, or this one reads it like any other.
        if (!opener.isClosed) store.refused.nothingTried(doc);
        return;
      }
      culprits.setAside(doc, verdicts.refused, notApplicable);
      culprits.setAside(doc, verdicts.tooMuch, tooMuch);
      const harmful = namesOf([...verdicts.refused, ...verdicts.tooMuch]);
      known.push(...group.flatMap(({ hash, bytes }) => (harmful.has(toHex(hash)) ? [] : [bytes])));
    }
    store.refused.applied(doc, store.changes.lastRowOf(doc));
  }

  async #tryHeld(doc: Uint8Array): Promise<void> {
    const { store, culprits, opener, shelf, journalled, released } = this.#ports;
    const held = culprits.heldOf(doc);
    const space = shelf.get(store.documents.get(doc)?.space ?? doc);
    if (held.length === 0 || space === undefined) return;
    const verdicts = await opener.tryOut(this.#ground(doc), held);
    if (opener.isClosed) return;
    if (verdicts === null) {
      store.syncLog.add(
        "warning",
        "A note could not be opened in time to try out what somebody wrote in it. That is kept aside until this program starts again.",
      );
      return;
    }
    const harmful = namesOf([...verdicts.refused, ...verdicts.tooMuch]);
    const chunks = store.transaction(() => {
      culprits.condemn(doc, verdicts.refused, notApplicable);
      culprits.condemn(doc, verdicts.tooMuch, tooMuch);
      const sound = held.filter(({ hash }) => !harmful.has(toHex(hash)));
      const back = culprits.letIn(doc, sound);
      if (back.length > 0) journalled(space, doc);
      return back;
    });
    if (chunks.length > 0) released(space, doc, chunks);
  }

  #ground(doc: Uint8Array): Ground {
    const { snapshot, changes } = this.#ports.store.contentOf(doc);
    return { snapshot: snapshot?.bytes ?? null, beginning: this.#beginningOf(doc), changes };
  }

  #beginningOf(doc: Uint8Array): Beginning {
    const { documents, spaces } = this.#ports.store;
    const document = documents.get(doc);
    if (document?.kind !== "index") return "nothing";
    return spaces.get(document.space)?.kind === "vault" ? "vault-index" : "notebook-index";
  }
}

/** Changes that came in one entry together; each by itself that has no place at the relay yet. */
function byPosition<T extends { readonly pos: number | null }>(rows: readonly T[]): T[][] {
  const groups: T[][] = [];
  for (const row of rows) {
    const last = groups.at(-1);
    if (row.pos !== null && last?.[0]?.pos === row.pos) last.push(row);
    else groups.push([row]);
  }
  return groups;
}

function namesOf(changes: readonly Pick<Change, "hash">[]): ReadonlySet<string> {
  return new Set(changes.map(({ hash }) => toHex(hash)));
}

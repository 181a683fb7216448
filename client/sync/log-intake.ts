/** Taking in what the relay sends of a space's log, in order, and telling what came of it. */
import { toHex } from "#relay/protocol/bytes.ts";
import { chainNext } from "#relay/protocol/domain.ts";
import type { Acknowledged } from "./acknowledged.ts";
import type { PutBack } from "./put-back.ts";
import type { Receiver, Twin } from "./receiver.ts";
import type { SessionListener, SessionPorts } from "./session-listener.ts";
import type { SpaceRun } from "./space-run.ts";
import type { SpaceEvent } from "./state.ts";

export interface IntakeCore {
  readonly ports: SessionPorts;
  readonly listener: SessionListener;
  readonly receiver: Receiver;
  readonly putBack: PutBack;
  readonly acks: Acknowledged;
  event(run: SpaceRun, event: SpaceEvent): void;
  unsubscribe(run: SpaceRun): void;
  hearNoMore(run: SpaceRun): void;
  doubtAccess(run: SpaceRun): void;
  /** Bodies that passed by are fetched. */
  fetchLeftOut(): void;
}

export class LogIntake {
  readonly #core: IntakeCore;

  constructor(core: IntakeCore) {
    this.#core = core;
  }

  /** Takes in what is held, in order, one transaction for all of it; then tells. */
  takeIn(run: SpaceRun): void {
    if (run.state.holding) return;
    const items = run.held;
    run.held = [];
    const fresh = new Map<string, { docId: Uint8Array; changes: Uint8Array[] }>();
    let trouble: SpaceEvent | null = null;
    let membersChanged = false;
    let twin: Twin | null = null;
    this.#core.ports.store.transaction(() => {
      for (const [ix, item] of items.entries()) {
        const cursor = run.space.cursor;
        if (item.pos <= cursor.pos) continue;
        const secondChance = item.pos <= run.judgedAgainUpTo;
        const outcome =
          item.pos === cursor.pos + 1
            ? this.#core.receiver.takeIn(run.space, item, secondChance)
            : "broken";
        if (outcome === "broken") {
          trouble = { type: "log-broken" };
          return;
        }
        if (outcome === "withheld") {
          run.held = [];
          trouble = { type: "epoch-withheld" };
          return;
        }
        if (outcome === "unknown-author") {
          run.held = items.slice(ix);
          trouble = { type: "author-unknown" };
          return;
        }
        if ("type" in outcome) {
          twin = outcome;
          return;
        }
        if (outcome.control) membersChanged = true;
        if (outcome.changes.length > 0) {
          const key = toHex(outcome.docId);
          const known = fresh.get(key) ?? { docId: outcome.docId, changes: [] };
          if (!fresh.has(key)) this.#core.listener.journalled(run.space, outcome.docId, true);
          known.changes.push(...outcome.changes);
          fresh.set(key, known);
        }
        if (!this.#core.acks.agrees(run.space.id, item.pos, outcome.entryId)) {
          // Ours was acknowledged for this place: from here on nothing that was said of the log counts.
          this.#core.acks.forget(run.space.id);
          this.#core.putBack.lied(run.space);
          this.#core.hearNoMore(run);
          trouble = { type: "cursor-moved" };
          return;
        }
        this.#core.ports.store.inbox.advance(
          run.space.id,
          item.pos,
          chainNext(item.pos, cursor.chain, outcome.docId, outcome.entryId),
        );
      }
    });
    for (const { docId, changes } of fresh.values())
      this.#core.listener.changes(run.space, docId, changes);
    if (membersChanged) this.#controlTakenIn(run);
    this.#core.fetchLeftOut();
    if (items.length > 0) {
      run.witness.advanced();
      run.wanted.takenIn();
      run.presence.frontierMoved();
    }
    if (twin !== null) this.#core.listener.twin(run.space, twin);
    if (trouble !== null) this.#inTrouble(run, trouble);
    else this.#core.listener.progress();
  }

  #inTrouble(run: SpaceRun, trouble: SpaceEvent): void {
    if (trouble.type === "epoch-withheld") this.#core.unsubscribe(run);
    this.#core.event(run, trouble);
  }

  /** Members, roles or keys have changed, and with them perhaps what was to be written here. */
  #controlTakenIn(run: SpaceRun): void {
    this.#core.listener.members(run.space);
    this.#core.doubtAccess(run);
    if (this.#core.ports.store.spaces.hasUnconfirmedControl(run.space.id))
      this.#core.event(run, { type: "control-queued" });
    this.#core.event(run, { type: "changes-waiting" });
  }
}

/** Having the relay send a space's log over this connection: from which place on, and what its answer says of the log. */
import { chainTag } from "#relay/protocol/domain.ts";
import { refusals } from "#relay/protocol/errors.ts";
import type { Acknowledged } from "./acknowledged.ts";
import type { Fetcher } from "./fetcher.ts";
import type { SessionMeasures } from "./measures.ts";
import type { PutBack } from "./put-back.ts";
import type { RelayLink } from "./relay-link.ts";
import type { SessionPorts } from "./session-listener.ts";
import { errorCode, nothingTold, type SpaceRun } from "./space-run.ts";
import type { Space } from "./space.ts";
import type { SpaceEvent } from "./state.ts";

export interface SubscriptionCore {
  readonly ports: SessionPorts;
  readonly link: RelayLink;
  readonly putBack: PutBack;
  readonly measures: SessionMeasures;
  readonly acks: Acknowledged;
  readonly fetcher: Fetcher;
  event(run: SpaceRun, event: SpaceEvent): void;
  /** The log has records that are not here. */
  meetStranger(space: Space): void;
}

export class Subscriptions {
  readonly #core: SubscriptionCore;
  readonly #runByHandle = new Map<number, SpaceRun>();

  constructor(core: SubscriptionCore) {
    this.#core = core;
  }

  /** The space that the relay means by a handle. */
  runOf(handle: number): SpaceRun | undefined {
    return this.#runByHandle.get(handle);
  }

  /** The relay has ended one by itself. */
  ended(run: SpaceRun): void {
    if (run.handle !== null) this.#runByHandle.delete(run.handle);
    run.handle = null;
    this.#core.fetcher.closed(run.space);
  }

  disconnected(): void {
    this.#runByHandle.clear();
  }

  subscribe(run: SpaceRun): void {
    const { space } = run;
    const token = space.readToken;
    if (token === null) {
      this.#core.event(run, { type: "subscribed", status: refusals.NO_SPACE.code });
      return;
    }
    const { pos, chain } = space.cursor;
    // What stands behind the cursor may be another log than was read there before.
    run.judgedAgainUpTo = 0;
    const isFirst = this.#core.ports.store.inbox.cursor(space.id) === null;
    const wanted = {
      spaceId: space.id,
      readToken: token,
      // Beyond any head: the relay answers where its log stands, and sends nothing.
      cursor: isFirst ? Number.MAX_SAFE_INTEGER : pos,
      chainTag: chainTag(chain),
      ctrlSeq: space.authority.ctrlSeq,
      mode: "live" as const,
    };
    this.#core.measures.pullBegan(space.hex);
    this.#core.link.ask({ type: "subscribe", spaces: [wanted] }, (reply) => {
      if (reply === null) return;
      const result = reply.type === "subscribed" ? reply.results[0] : undefined;
      const status = result?.status ?? errorCode(reply);
      run.told = result ?? nothingTold;
      if (result !== undefined && status === 0) {
        run.handle = result.handle;
        this.#runByHandle.set(result.handle, run);
        this.#judgeHead(run, result);
        this.#core.fetcher.opened(space, result.handle);
      }
      this.#core.event(run, { type: "subscribed", status });
    });
  }

  /** The relay's log goes on from our cursor. Whether it is all that we know of is another matter. */
  #judgeHead(
    { space }: SpaceRun,
    result: { readonly head: number; readonly ctrlSeq: number },
  ): void {
    if (this.#core.acks.isBeyond(space.id, result.head)) {
      this.#core.acks.forget(space.id);
      this.#core.putBack.lied(space);
    } else this.#core.putBack.subscribed(space);
    // A relay put back to an older state lacks records that it once had: they go there again.
    if (result.ctrlSeq < space.confirmedSeq) space.unconfirmAfter(result.ctrlSeq);
    // A record made between our asking for them and our adopting the head stands below the cursor: it never comes by itself.
    else if (result.ctrlSeq > space.confirmedSeq) this.#core.meetStranger(space);
  }

  /**
   * Reading begins at the head that the relay showed. Where entries lie below it that are not held here, its list tells
   * of which documents.
   */
  adoptHead({ space, told }: SpaceRun): void {
    const { inbox, awaited } = this.#core.ports.store;
    this.#core.ports.store.transaction(() => {
      const heldUpTo = inbox.cursor(space.id)?.pos ?? 0;
      // A log of nothing but records has no documents.
      if (told.head > space.confirmedSeq) awaited.beginListing(space.id, heldUpTo);
      inbox.rewind(space.id, told.head, told.chain);
    });
  }

  /** What the connection still brings of the space is passed over. */
  hearNoMore(run: SpaceRun): void {
    run.held = [];
    this.unsubscribe(run);
  }

  unsubscribe(run: SpaceRun): void {
    this.#core.fetcher.closed(run.space);
    if (run.handle === null) return;
    this.#runByHandle.delete(run.handle);
    this.#core.link.tell({ type: "unsubscribe", handles: [run.handle] });
    run.handle = null;
  }
}

/**
 * Who hears what: subscriptions, catching up, live fan-out, flow control and presence
 * (docs/protocol.md, SUB, LOG, EPH). Every subscription is a cursor in a log; the log is the
 * buffer. What was committed in one tick goes out as one DATA per space, encoded once for all
 * readers at the same place; a reader that is behind reads pages from the store, in turn with its
 * other subscriptions, as its window allows.
 */
import { toHex } from "#relay/protocol/bytes.ts";
import type { RefusalName } from "#relay/protocol/errors.ts";
import { encodeMessage, type Message, type SubscriptionMode } from "#relay/protocol/messages.ts";
import type { Errand } from "#relay/errands.ts";
import { addressed, encodePages, noneOwn, pageBytes } from "#relay/pages.ts";
import type { Session } from "#relay/session.ts";
import type { SpaceState } from "#relay/space.ts";
import type { LogItem, LogRow, Store } from "#relay/store/store.ts";

export interface HubPorts {
  readonly store: Store;
  readonly after: (ms: number, run: () => void) => () => void;
  /** Told of what went wrong while reading the store. */
  readonly fail: (error: unknown) => void;
  /** Takes note of what other nodes have written in a space by now. */
  readonly freshen: (spaceId: Uint8Array) => Promise<void>;
}

/** The wire of one connection, as the hub needs it. */
export interface Wire {
  send(frame: Uint8Array): void;
  buffered(): number;
  /** Says goodbye with this code and closes. */
  end(refusal: RefusalName): void;
}

/** New stubs are announced to `stubs` subscriptions at most this often. */
const stubsEveryMs = 1000;
/** Above this much on its way, presence is not worth sending. */
const presencePressureBytes = 256 << 10;
const slowBytes = 8 << 20;
const slowMs = 30_000;
export const maxSubscriptionsPerConnection = 16_384;
const maxErrandsPerConnection = 64;

/** A subscription: a reader of one log up to its head. */
interface Feed {
  readonly spaceKey: string;
  readonly spaceId: Uint8Array;
  readonly handle: number;
  readonly mode: SubscriptionMode;
  /** Last position sent. */
  cursor: number;
  /** Whether its CAUGHT_UP has been sent. */
  isCaughtUp: boolean;
  hasEnded: boolean;
  /** Positions this very connection pushed: their bodies need not come back. None while it is null: thousands only read. */
  own: Set<number> | null;
}

/** An errand on its way, under the subscription it was asked by. */
interface Running {
  readonly handle: number;
  readonly errand: Errand;
}

interface Topic {
  readonly spaceKey: string;
  readonly spaceId: Uint8Array;
  state: SpaceState;
  readonly feeds: Map<Outlet, Feed>;
  /** Committed since the last tick, without holes. */
  fresh: (LogRow | LogItem)[];
  /** Whether what another node has written is being read. */
  isCatchingUp: boolean;
  isTicking: boolean;
  isTickingStubs: boolean;
}

export class Hub {
  readonly #ports: HubPorts;
  readonly #topics = new Map<string, Topic>();

  constructor(ports: HubPorts) {
    this.#ports = ports;
  }

  get spaceCount(): number {
    return this.#topics.size;
  }

  get subscriptionCount(): number {
    return [...this.#topics.values()].reduce((sum, { feeds }) => sum + feeds.size, 0);
  }

  connect(session: Session, wire: Wire): Outlet {
    return new Outlet(this, this.#ports, session, wire);
  }

  /** A space as all its readers name it: one string and one id for thousands of them. */
  nameOf(spaceId: Uint8Array): Pick<Topic, "spaceKey" | "spaceId"> {
    const spaceKey = toHex(spaceId);
    return this.#topics.get(spaceKey) ?? { spaceKey, spaceId };
  }

  /** The freshest committed state of a space somebody is subscribed to. */
  topicState(spaceKey: string): SpaceState | null {
    return this.#topics.get(spaceKey)?.state ?? null;
  }

  join(state: SpaceState, outlet: Outlet, feed: Feed): void {
    const known = this.#topics.get(feed.spaceKey);
    // A rotation ends all subscriptions made before it, and with them the topic.
    if (known !== undefined) this.#moveOn(known, state);
    const topic = this.#topics.get(feed.spaceKey) ?? this.#openTopic(feed, state);
    topic.feeds.set(outlet, feed);
  }

  #openTopic({ spaceKey, spaceId }: Feed, state: SpaceState): Topic {
    const topic: Topic = {
      spaceKey,
      spaceId,
      state,
      feeds: new Map(),
      fresh: [],
      isCatchingUp: false,
      isTicking: false,
      isTickingStubs: false,
    };
    this.#topics.set(spaceKey, topic);
    return topic;
  }

  leave(outlet: Outlet, feed: Feed): void {
    const topic = this.#topics.get(feed.spaceKey);
    if (topic === undefined || topic.feeds.get(outlet) !== feed) return;
    topic.feeds.delete(outlet);
    if (topic.feeds.size === 0) this.#topics.delete(feed.spaceKey);
  }

  /** Takes note of durable rows; readers hear of them in the next tick, after the writer's ACK. */
  committed(
    spaceId: Uint8Array,
    rows: readonly LogRow[],
    state: SpaceState,
    by: Outlet | null,
  ): void {
    const topic = this.#topics.get(toHex(spaceId));
    if (topic === undefined) return;
    if (!this.#moveOn(topic, state) || rows.length === 0) return;
    const feed = by === null ? undefined : topic.feeds.get(by);
    if (feed !== undefined) {
      feed.own ??= new Set();
      for (const row of rows) if (row.kind === "entry") feed.own.add(row.pos);
    }
    this.#offer(topic, rows);
  }

  /** Takes note of what other nodes have written in a space: readers hear of it as of what was written here. */
  advanced(spaceId: Uint8Array, state: SpaceState): void {
    const topic = this.#topics.get(toHex(spaceId));
    if (topic === undefined) return;
    const { head } = topic.state;
    if (!this.#moveOn(topic, state) || state.head === head) return;
    if (topic.isCatchingUp) return;
    topic.isCatchingUp = true;
    void this.#catchUp(topic, head);
  }

  /** Spaces somebody is subscribed to, and the revision each is known at. */
  topics(): readonly { readonly spaceId: Uint8Array; readonly revision: number }[] {
    return [...this.#topics.values()].map(({ spaceId, state }) => ({
      spaceId,
      revision: state.revision,
    }));
  }

  /** False if a rotation, or the end of the space, has ended all its subscriptions. */
  #moveOn(topic: Topic, state: SpaceState): boolean {
    if (state.revision <= topic.state.revision) return true;
    const { epoch, deleted } = topic.state.authority;
    topic.state = state;
    if (state.authority.epoch === epoch && state.authority.deleted === deleted) return true;
    for (const [outlet, feed] of topic.feeds) outlet.rekey(feed);
    return false;
  }

  /** Reads once for all what another node has written: as much as fits in a page, the rest each by itself. */
  async #catchUp(topic: Topic, after: number): Promise<void> {
    let from = after;
    while (from < topic.state.head && topic.feeds.size > 0) {
      const { head } = topic.state;
      const items = await this.#ports.store
        .readLog(topic.spaceId, from, head, pageBytes, "bodies")
        .catch(() => []);
      if (items.at(-1)?.pos === head) this.#offer(topic, items);
      else this.#lagAll(topic);
      from = head;
    }
    topic.isCatchingUp = false;
  }

  #lagAll(topic: Topic): void {
    for (const [outlet, feed] of topic.feeds) if (feed.mode === "live") outlet.lag(feed);
    this.#announceStubs(topic);
  }

  #offer(topic: Topic, rows: readonly (LogRow | LogItem)[]): void {
    const last = topic.fresh.at(-1);
    // After a hole the log is the buffer: every reader finds by its cursor what it lacks.
    if (last !== undefined && rows[0]?.pos !== last.pos + 1) {
      this.#lagAll(topic);
      return;
    }
    topic.fresh.push(...rows);
    if (!topic.isTicking) {
      topic.isTicking = true;
      this.#ports.after(0, () => {
        this.#tick(topic);
      });
    }
    this.#announceStubs(topic);
  }

  #announceStubs(topic: Topic): void {
    if (topic.isTickingStubs || ![...topic.feeds.values()].some(({ mode }) => mode === "stubs")) {
      return;
    }
    topic.isTickingStubs = true;
    this.#ports.after(stubsEveryMs, () => {
      topic.isTickingStubs = false;
      for (const [outlet, feed] of topic.feeds) if (feed.mode === "stubs") outlet.lag(feed);
    });
  }

  /** Hands presence to the other live subscribers of the space, on this node and on the others. */
  presence(from: Outlet, feed: Feed, sealed: Uint8Array): void {
    const topic = this.#topics.get(feed.spaceKey);
    if (topic === undefined) return;
    const { epoch } = topic.state.authority;
    this.#ports.store.neighbours?.tell({ spaceId: feed.spaceId, epoch, sealed });
    this.#spread(topic, sealed, from);
  }

  /** Presence from another node; of another epoch it is not for the subscribers here. */
  presenceFromAfar(spaceKey: string, epoch: number, sealed: Uint8Array): void {
    const topic = this.#topics.get(spaceKey);
    if (topic?.state.authority.epoch === epoch) this.#spread(topic, sealed, null);
  }

  #spread(topic: Topic, sealed: Uint8Array, from: Outlet | null): void {
    const frame = encodeMessage(0, { type: "presence", handle: 0, sealed });
    for (const [outlet, other] of topic.feeds) {
      if (outlet !== from && other.mode === "live")
        outlet.presence(addressed(frame, 0, other.handle));
    }
  }

  #tick(topic: Topic): void {
    topic.isTicking = false;
    const { fresh } = topic;
    topic.fresh = [];
    const first = fresh[0];
    if (first === undefined) return;
    const shared = new SharedPages(fresh);
    for (const [outlet, feed] of topic.feeds) {
      if (feed.mode === "stubs") continue;
      if (feed.isCaughtUp && feed.cursor === first.pos - 1 && outlet.deliver(feed, shared))
        continue;
      outlet.lag(feed);
    }
  }
}

/** The rows of one tick as DATA, encoded at most once for everybody who gets the same. */
class SharedPages {
  readonly rows: readonly (LogRow | LogItem)[];
  #encoded: readonly Uint8Array[] | null = null;
  /** Handles are small numbers that most connections have in common. */
  readonly #framesByHandle = new Map<number, readonly Uint8Array[]>();

  constructor(rows: readonly (LogRow | LogItem)[]) {
    this.rows = rows;
  }

  get last(): number {
    return this.rows.at(-1)?.pos ?? 0;
  }

  framesFor({ own, handle }: Feed): readonly Uint8Array[] {
    if (own !== null && this.rows.some((row) => own.has(row.pos))) {
      return encodePages(this.rows, own).map((frame) => addressed(frame, 0, handle));
    }
    const known = this.#framesByHandle.get(handle);
    if (known !== undefined) return known;
    this.#encoded ??= encodePages(this.rows, noneOwn);
    const frames = this.#encoded.map((frame) => addressed(frame, 0, handle));
    this.#framesByHandle.set(handle, frames);
    return frames;
  }
}

export interface SubscriptionRequest {
  readonly spaceId: Uint8Array;
  readonly cursor: number;
  readonly mode: SubscriptionMode;
}

/** One connection's readers, and the window they share. */
export class Outlet {
  readonly #hub: Hub;
  readonly #ports: HubPorts;
  readonly #session: Session;
  readonly #wire: Wire;
  readonly #subscriptions = new Map<number, Feed>();
  readonly #handleBySpace = new Map<string, number>();
  /** Readers that are behind, each once, served in turn. */
  #lagging: Feed[] = [];
  #errands: Running[] = [];
  #nextHandle = 1;
  #isPumping = false;
  #isClosed = false;
  #cancelSlowTimer: (() => void) | null = null;

  constructor(hub: Hub, ports: HubPorts, session: Session, wire: Wire) {
    this.#hub = hub;
    this.#ports = ports;
    this.#session = session;
    this.#wire = wire;
  }

  get subscriptionCount(): number {
    return this.#subscriptions.size;
  }

  /** Registers a subscription without sending yet; one of the same space is replaced. */
  subscribe(state: SpaceState, request: SubscriptionRequest): number {
    const { spaceKey, spaceId } = this.#hub.nameOf(request.spaceId);
    this.#endSubscription(this.#handleBySpace.get(spaceKey));
    const feed: Feed = {
      spaceKey,
      spaceId,
      handle: this.#nextHandle,
      mode: request.mode,
      cursor: request.cursor,
      isCaughtUp: false,
      hasEnded: false,
      own: null,
    };
    this.#nextHandle += 1;
    this.#subscriptions.set(feed.handle, feed);
    this.#handleBySpace.set(spaceKey, feed.handle);
    this.#hub.join(state, this, feed);
    return feed.handle;
  }

  /** Begins to serve what `subscribe` registered, once SUB_RES has been sent. */
  start(handles: readonly number[]): void {
    for (const handle of handles) {
      const feed = this.#subscriptions.get(handle);
      if (feed !== undefined) this.#lagging.push(feed);
    }
    this.#pump();
  }

  unsubscribe(handle: number): void {
    this.#endSubscription(handle);
  }

  /** The space a handle of this connection names, null for none. */
  spaceOf(handle: number): { readonly spaceId: Uint8Array; readonly state: SpaceState } | null {
    const feed = this.#subscriptions.get(handle);
    const state = feed === undefined ? null : this.#hub.topicState(feed.spaceKey);
    return feed === undefined || state === null ? null : { spaceId: feed.spaceId, state };
  }

  get hasRoomForErrand(): boolean {
    return this.#errands.length < maxErrandsPerConnection;
  }

  /** Answers page by page, until it is done or the subscription ends. */
  run(handle: number, errand: Errand): void {
    this.#errands.push({ handle, errand });
    this.#pump();
  }

  credit(bytes: number): void {
    this.#session.credited(bytes);
    this.#cancelSlowTimer?.();
    this.#cancelSlowTimer = null;
    this.#pump();
  }

  /** Presence for all others of the space the handle names; nothing if it names none. */
  tell(handle: number, sealed: Uint8Array): void {
    const feed = this.#subscriptions.get(handle);
    if (feed !== undefined) this.#hub.presence(this, feed, sealed);
  }

  close(): void {
    this.#isClosed = true;
    this.#cancelSlowTimer?.();
    for (const handle of this.#subscriptions.keys()) this.#endSubscription(handle);
    this.#lagging = [];
    this.#errands = [];
  }

  /** A rotation: nothing of the space goes out under the older token, not even what is underway. */
  rekey(feed: Feed): void {
    this.#endSubscription(feed.handle);
    this.#send(0, { type: "rekey", handle: feed.handle });
  }

  presence(frame: Uint8Array): void {
    if (this.#wire.buffered() > presencePressureBytes || this.#isBehind) return;
    this.#wire.send(frame);
  }

  /** Live rows, all of them at once; false if the window has no room or others are waiting for it. */
  deliver(feed: Feed, shared: SharedPages): boolean {
    if (this.#isPumping || this.#isBehind) return false;
    const frames = shared.framesFor(feed);
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
    if (!this.#session.maySend(bytes)) return false;
    for (const frame of frames) this.#sendData(frame);
    this.#moveTo(feed, shared.last);
    return true;
  }

  /** A reader that is behind takes its turn. */
  lag(feed: Feed): void {
    if (feed.hasEnded) return;
    if (!this.#lagging.includes(feed)) this.#lagging.push(feed);
    this.#pump();
  }

  #endSubscription(handle: number | undefined): void {
    const feed = handle === undefined ? undefined : this.#subscriptions.get(handle);
    if (feed === undefined) return;
    feed.hasEnded = true;
    this.#subscriptions.delete(feed.handle);
    this.#handleBySpace.delete(feed.spaceKey);
    this.#lagging = this.#lagging.filter((other) => other !== feed);
    this.#errands = this.#errands.filter((running) => running.handle !== feed.handle);
    this.#hub.leave(this, feed);
  }

  get #isBehind(): boolean {
    return this.#lagging.length > 0 || this.#errands.length > 0;
  }

  #pump(): void {
    if (this.#isPumping || this.#isClosed) return;
    this.#isPumping = true;
    this.#serve()
      .catch((error: unknown) => {
        this.#ports.fail(error);
        // What the log holds cannot be read: let the client come back rather than miss something.
        this.#wire.end("INTERNAL");
      })
      .finally(() => {
        this.#isPumping = false;
        if (this.#isClosed || !this.#isBehind) return;
        if (this.#session.maySend(pageBytes)) this.#pump();
        else this.#watchSlowReader();
      });
  }

  async #serve(): Promise<void> {
    while (!this.#isClosed && this.#isBehind) {
      const feed = this.#lagging[0];
      if (feed !== undefined && feed.cursor >= this.#headOf(feed)) {
        this.#lagging.shift();
        this.#caughtUp(feed);
        continue;
      }
      if (!this.#session.maySend(pageBytes)) {
        this.#watchSlowReader();
        return;
      }
      // First what somebody waits for, then the logs in turn, blobs when nothing else is owed.
      const asked = this.#errands.find(({ errand }) => errand.rank === "asked");
      const errand = asked ?? (feed === undefined ? this.#errands[0] : undefined);
      if (errand !== undefined) await this.#serveErrand(errand);
      else if (feed !== undefined) await this.#serveFeed(feed);
    }
  }

  async #serveErrand(running: Running): Promise<void> {
    const page = await running.errand.next();
    // What was read may be of after a rotation at another node: nothing of it goes out then.
    const subscription = this.#subscriptions.get(running.handle);
    if (subscription !== undefined) await this.#ports.freshen(subscription.spaceId);
    // The subscription it was asked by may have ended while the store was reading.
    if (this.#isClosed || !this.#errands.includes(running)) return;
    for (const frame of page.frames) this.#sendData(frame);
    this.#errands = this.#errands.filter((other) => other !== running);
    if (!page.isLast) this.#errands.push(running);
    if (page.closing !== null) this.#wire.send(page.closing);
  }

  async #serveFeed(feed: Feed): Promise<void> {
    const items = await this.#ports.store.readLog(
      feed.spaceId,
      feed.cursor,
      this.#headOf(feed),
      pageBytes,
      feed.mode === "live" ? "bodies" : "stubs",
    );
    // A rotation may have ended it while the store was reading.
    if (this.#isClosed || feed.hasEnded) return;
    const last = items.at(-1);
    // Unless stubs were forgotten under a reader that is months behind: it has to begin anew.
    if (last?.pos !== feed.cursor + items.length) throw new Error("the log has a hole");
    for (const frame of encodePages(items, feed.own ?? noneOwn)) {
      this.#sendData(addressed(frame, 0, feed.handle));
    }
    this.#moveTo(feed, last.pos);
    this.#lagging = [...this.#lagging.filter((other) => other !== feed), feed];
  }

  #headOf(feed: Feed): number {
    return this.#hub.topicState(feed.spaceKey)?.head ?? feed.cursor;
  }

  #caughtUp(feed: Feed): void {
    const state = this.#hub.topicState(feed.spaceKey);
    if (feed.isCaughtUp || state === null) return;
    feed.isCaughtUp = true;
    const { head, chain } = state;
    this.#send(0, { type: "caughtUp", handle: feed.handle, head, chain });
  }

  #moveTo(feed: Feed, pos: number): void {
    for (const own of feed.own ?? noneOwn) if (own <= pos) feed.own?.delete(own);
    if (feed.own?.size === 0) feed.own = null;
    feed.cursor = pos;
  }

  #sendData(frame: Uint8Array): void {
    this.#session.dataSent(frame.length);
    this.#wire.send(frame);
  }

  #send(reqId: number, message: Message): void {
    this.#wire.send(encodeMessage(reqId, message));
  }

  /** The window is full: unless it opens, a reader that far behind goes after a while. */
  #watchSlowReader(): void {
    if (this.#cancelSlowTimer !== null) return;
    this.#cancelSlowTimer = this.#ports.after(slowMs, () => {
      this.#cancelSlowTimer = null;
      if (this.#behindBytes() > slowBytes) this.#wire.end("SLOW_CONSUMER");
      else this.#watchSlowReader();
    });
  }

  /** What is on its way, and, by the mean size of its entries, what waits in each log. */
  #behindBytes(): number {
    return this.#lagging.reduce((sum, feed) => {
      const state = this.#hub.topicState(feed.spaceKey);
      if (state === null || state.head === 0) return sum;
      const waiting = this.#headOf(feed) - feed.cursor;
      return sum + waiting * (state.countedBytes / state.head);
    }, this.#session.uncredited);
  }
}

/** A tab's connection to the device, whichever worker of this browser runs it at the moment. */
import { LeaderSearch } from "#client/app/platform/leader-search.ts";
import { isVisible, watchPage } from "#client/app/platform/network.ts";
import type { BrokerToTab, ToBroker } from "#client/worker/broker.ts";
import type { Bulletin, Notice } from "#client/worker/bulletin.ts";
import { WORKER_METHODS } from "#client/worker/device-methods.ts";
import type { NamedBroker, TabToWorker, WorkerToTab } from "#client/worker/leader.ts";
import type { WorkerApi, WorkerEvent } from "#client/worker/lock-api.ts";
import {
  isAnyTabVisible,
  isAnyoneLeading,
  tabLock,
  visibleLock,
} from "#client/worker/lock-names.ts";
import { Refusal } from "#client/device/refusal.ts";
import { connect } from "#client/worker/rpc.ts";
import type { Connection, Timers } from "#client/worker/rpc.ts";

export type ConnectionState =
  | { readonly kind: "connecting" | "connected" }
  /** `message` is for the person. */
  | { readonly kind: "unreachable" | "held-elsewhere"; readonly message: string };

export interface DeviceConnection {
  /** Calls may be made at once; they wait for the device and survive a change of leader. */
  readonly api: WorkerApi;
  /** Names this tab in calls that take a session; 32 hex digits, fresh for every page load. */
  readonly session: string;
  readonly state: ConnectionState;
  /** Each returns the function that ends the subscription. */
  onState(listener: (state: ConnectionState) => void): () => void;
  onEvent(listener: (event: WorkerEvent) => void): () => void;
  /**
   * Another worker has taken over: it knows nothing of this tab and events may have been missed.
   * Open notes are to be opened again, lists to be read again.
   */
  onRestart(listener: () => void): () => void;
}

export interface TabParts {
  readonly session: string;
  readonly locks: LockManager;
  readonly timers: Timers;
  readonly bulletin: Bulletin;
  startWorker(): Worker;
  /** A new connection to the broker of that name, null where the browser has no shared workers. */
  connectBroker(name: string): MessagePort | null;
  /** Loads the page anew. */
  reload(): void;
  readonly onFault: (error: unknown) => void;
}

const UNREACHABLE =
  "The part of Sealeaf that saves your notes does not answer. What you write is kept in this window " +
  "and saved as soon as it does. Keep this window open.";
const HELD_SILENTLY =
  "Another tab is holding your notes and does not answer. Switch to it or close it. What you write " +
  "here is kept in this window and saved as soon as it can be. Keep this window open.";
const HELD_ELSEWHERE =
  "Your notes are open in another window of this browser. Close that window to go on here.";
const WORKER_FAILED =
  "The part of Sealeaf that saves your notes could not start. Reload this page; notes saved before are safe.";

/** The broker that leaders try first. */
const FIRST_BROKER = "sealeaf-broker";
/** A tab that has never been connected may only be slow to start. */
const MISSES_AT_START = 2;

/** Resolves as soon as calls can be made, not when the device is ready. */
export async function connectTab(parts: TabParts): Promise<DeviceConnection> {
  const tab = new TabConnection(parts);
  await tab.open();
  return tab;
}

class TabConnection implements DeviceConnection {
  readonly session: string;
  readonly #parts: TabParts;
  readonly #connection: Connection<WorkerApi>;
  readonly #search: LeaderSearch;
  readonly #visibility: VisibilityLock;
  readonly #states = new Subscribers<ConnectionState>();
  readonly #events = new Subscribers<WorkerEvent>();
  readonly #restarts = new Subscribers<void>();
  #state: ConnectionState = { kind: "connecting" };

  #letGo: () => void = () => {};
  #worker: Worker | null = null;
  #workers = 0;
  /** While the worker of this tab leads, as far as is known here. */
  #ownReign: string | null = null;
  #broker: NamedBroker | null = null;
  /** The reign whose leader has a port of ours, and whether it may have been lost on the way. */
  #attached: { readonly reign: string; readonly broker: string | null } | null = null;
  #isDoubtful = false;
  #attachments = 0;

  // What the state is made of.
  #isReachable = false;
  #wasReachable = false;
  #isStalled = false;
  #isExcluded = false;
  #hasWorkerFailed = false;
  #misses = 0;
  #isHeldByOther = false;

  constructor(parts: TabParts) {
    const { session, locks, timers } = parts;
    this.#parts = parts;
    this.session = session;
    this.#visibility = new VisibilityLock(locks, visibleLock(session));
    this.#search = new LeaderSearch({
      timers,
      ask: () => this.#ask(),
      onMissed: (times) => this.#watch(this.#missed(times)),
    });
    this.#connection = connect<WorkerApi, WorkerEvent>(
      { methods: WORKER_METHODS, caller: session, timers },
      {
        onEvent: (event) => this.#events.tell(event),
        onReachable: (reachable) => this.#reachable(reachable),
        onStalled: (stalled) => {
          this.#isStalled = stalled;
          this.#tellState();
        },
      },
    );
  }

  get api(): WorkerApi {
    return this.#connection.api;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  onState(listener: (state: ConnectionState) => void): () => void {
    return this.#states.add(listener);
  }

  onEvent(listener: (event: WorkerEvent) => void): () => void {
    return this.#events.add(listener);
  }

  onRestart(listener: () => void): () => void {
    return this.#restarts.add(listener);
  }

  async open(): Promise<void> {
    const { locks, bulletin } = this.#parts;
    // Before anything else: the leader takes the absence of this lock for the absence of the tab.
    this.#letGo = await holdLock(locks, tabLock(this.session));
    await this.#visibility.follow(isVisible());
    bulletin.listen((notice) => this.#hear(notice));
    this.#useBroker(FIRST_BROKER);
    this.#startWorker();
    this.#search.begin();
    watchPage({
      onOnline: (online) => this.#tell(this.api.setOnline(online)),
      onVisible: (visible) => this.#tell(this.#visibilityChanged(visible)),
      onLeaving: () => this.#toWorker({ type: "leaving" }),
      onBack: () => this.#back(),
      onLeft: () => this.#leave(),
      onReturned: () => this.#parts.reload(),
    });
  }

  // ── the worker of this tab ────────────────────────────────────────────────────────────────────

  #startWorker(): void {
    this.#workers += 1;
    const worker = this.#parts.startWorker();
    this.#worker = worker;
    worker.addEventListener("error", ({ message }: Partial<ErrorEvent>) => {
      // An exception in a worker that runs has a message; it is no reason to alarm anybody.
      if (message !== undefined) return this.#parts.onFault(new Error(message));
      this.#hasWorkerFailed = true;
      this.#tellState();
    });
    worker.addEventListener("message", ({ data }: MessageEvent<WorkerToTab>) => {
      if (this.#worker === worker) this.#fromWorker(data);
    });
    const { session } = this;
    const name = `${session}.${this.#workers}`;
    this.#toWorker({ type: "start", session, worker: name, visible: isVisible() });
  }

  #fromWorker(message: WorkerToTab): void {
    switch (message.type) {
      case "leading":
        this.#serveSelf(message.reign);
        return;
      case "broker-wanted": {
        const { reign, name } = message;
        const port = this.#parts.connectBroker(name);
        if (port !== null)
          this.#toWorker({ type: "broker", reign, broker: { name, port } }, [port]);
        return;
      }
      case "finished":
        this.#worker?.terminate();
        this.#ownReign = null;
        this.#startWorker();
        return;
    }
  }

  #serveSelf(reign: string): void {
    const { port1, port2: port } = new MessageChannel();
    // A connection of its own: should the broker have died with the leader before, this one is to a new broker.
    const toBroker = this.#parts.connectBroker(FIRST_BROKER);
    const broker = toBroker && { name: FIRST_BROKER, port: toBroker };
    const transfer = broker === null ? [port] : [port, broker.port];
    this.#ownReign = reign;
    this.#toWorker({ type: "serve", reign, port, broker }, transfer);
    this.#attach(reign, null, port1);
  }

  #toWorker(message: TabToWorker, transfer: MessagePort[] = []): void {
    this.#worker?.postMessage(message, transfer);
  }

  // ── the leader, wherever it is ────────────────────────────────────────────────────────────────

  #ask(): void {
    const suspect = this.#isDoubtful ? (this.#attached?.broker ?? null) : null;
    this.#parts.bulletin.post({ type: "who-leads", suspect });
  }

  #hear(notice: Notice): void {
    if (notice.type !== "leads" || notice.reign === this.#ownReign) return;
    const { reign, broker } = notice;
    if (reign === this.#attached?.reign && !this.#isDoubtful) return;
    this.#ownReign = null;
    if (broker === null) this.#exclude();
    else this.#attachThrough(reign, broker);
  }

  #exclude(): void {
    this.#attached = null;
    this.#isExcluded = true;
    this.#tellState();
  }

  #attachThrough(reign: string, broker: string): void {
    const isSuspect = this.#isDoubtful && broker === this.#attached?.broker;
    if (isSuspect || broker !== this.#broker?.name) this.#useBroker(broker);
    const { port1, port2: port } = new MessageChannel();
    this.#toBroker({ type: "port", reign, session: this.session, port }, [port]);
    this.#attach(reign, broker, port1);
  }

  #useBroker(name: string): void {
    this.#toBroker({ type: "bye" });
    this.#broker?.port.close();
    const port = this.#parts.connectBroker(name);
    this.#broker = port && { name, port };
    port?.addEventListener("message", ({ data }: MessageEvent<BrokerToTab>) => {
      if (data.type === "undelivered") this.#undelivered(data.reign);
    });
    port?.start();
    this.#toBroker({ type: "tab" });
  }

  #undelivered(reign: string): void {
    if (reign !== this.#attached?.reign || this.#isDoubtful) return;
    this.#isDoubtful = true;
    this.#ask();
  }

  #toBroker(message: ToBroker, transfer: MessagePort[] = []): void {
    this.#broker?.port.postMessage(message, transfer);
  }

  #attach(reign: string, broker: string | null, port: MessagePort): void {
    this.#attached = { reign, broker };
    this.#isDoubtful = false;
    this.#isExcluded = false;
    this.#isStalled = false;
    this.#connection.attach(port);
    this.#attachments += 1;
    // Only the moment of going offline says something about a connection; a new leader has none yet.
    if (navigator.onLine) this.#tell(this.api.setOnline(true));
    this.#tell(this.#tellVisible());
    if (this.#attachments > 1) this.#restarts.tell();
    this.#tellState();
  }

  #reachable(reachable: boolean): void {
    this.#isReachable = reachable;
    if (reachable) {
      this.#wasReachable = true;
      this.#search.end();
      this.#misses = 0;
    } else {
      this.#isDoubtful = true;
      this.#search.begin();
    }
    this.#tellState();
  }

  async #missed(times: number): Promise<void> {
    this.#isDoubtful = true;
    this.#misses = times;
    this.#isHeldByOther = this.#ownReign === null && (await isAnyoneLeading(this.#parts.locks));
    this.#tellState();
  }

  // ── what the page tells ───────────────────────────────────────────────────────────────────────

  async #visibilityChanged(visible: boolean): Promise<void> {
    await this.#visibility.follow(visible);
    this.#toWorker({ type: "visible", visible });
    await this.#tellVisible();
  }

  /** The device serves all tabs: it is looked at while any of them is. */
  async #tellVisible(): Promise<void> {
    await this.api.setVisible(await isAnyTabVisible(this.#parts.locks, null));
  }

  /**
   * A page that the browser keeps must hold nothing: a sleeping worker would have the notes in its hands, and
   * Chromium's renderer crashes when it throws such a page out. Should the page be shown again, it starts anew.
   */
  #leave(): void {
    this.#toBroker({ type: "bye" });
    this.#broker?.port.close();
    this.#worker?.terminate();
    this.#worker = null;
    this.#search.end();
    this.#letGo();
    this.#watch(this.#visibility.follow(false));
  }

  /** After a freeze: what was called out meanwhile may be lost. */
  #back(): void {
    this.#toWorker({ type: "visible", visible: isVisible() });
    this.#ask();
  }

  // ── telling ───────────────────────────────────────────────────────────────────────────────────

  #tellState(): void {
    const next = this.#currentState();
    const isSame =
      next.kind === this.#state.kind &&
      ("message" in next ? next.message : null) ===
        ("message" in this.#state ? this.#state.message : null);
    if (isSame) return;
    this.#state = next;
    this.#states.tell(next);
  }

  #currentState(): ConnectionState {
    if (this.#isExcluded) return { kind: "held-elsewhere", message: HELD_ELSEWHERE };
    if (this.#isReachable) {
      return this.#isStalled
        ? { kind: "held-elsewhere", message: HELD_SILENTLY }
        : { kind: "connected" };
    }
    if (this.#hasWorkerFailed) return { kind: "unreachable", message: WORKER_FAILED };
    if (!this.#wasReachable && this.#misses < MISSES_AT_START) return { kind: "connecting" };
    return this.#isHeldByOther && this.#misses > 0
      ? { kind: "held-elsewhere", message: HELD_SILENTLY }
      : { kind: "unreachable", message: UNREACHABLE };
  }

  /** Hints to the device; a device that refuses everything says so to the calls that matter. */
  #tell(hint: Promise<void>): void {
    hint.catch((error: unknown) => {
      if (!(error instanceof Refusal)) this.#parts.onFault(error);
    });
  }

  #watch(work: Promise<void>): void {
    work.catch((error: unknown) => this.#parts.onFault(error));
  }
}

class Subscribers<Value> {
  readonly #listeners = new Set<(value: Value) => void>();

  add(listener: (value: Value) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(value: Value): void {
    for (const listener of this.#listeners) listener(value);
  }
}

/** Resolves with the function that lets go, once the lock is held; the browser lets go with the page. */
function holdLock(locks: LockManager, name: string): Promise<() => void> {
  return new Promise((resolve, reject) => {
    locks
      .request(name, () => new Promise<void>((release) => resolve(release)))
      .catch((error: unknown) => reject(error));
  });
}

class VisibilityLock {
  readonly #locks: LockManager;
  readonly #name: string;
  #last: Promise<unknown> = Promise.resolve();
  #release: (() => void) | null = null;

  constructor(locks: LockManager, name: string) {
    this.#locks = locks;
    this.#name = name;
  }

  /** Takes or releases the lock; quick changes are followed in order. */
  follow(visible: boolean): Promise<void> {
    const done = this.#last.then(() => this.#set(visible));
    this.#last = done.catch(() => {});
    return done;
  }

  async #set(visible: boolean): Promise<void> {
    if (visible && this.#release === null) {
      this.#release = await holdLock(this.#locks, this.#name);
    } else if (!visible) {
      this.#release?.();
      this.#release = null;
    }
  }
}

/**
 * The worker of each tab. It waits for its turn, then opens the device and answers every tab of this
 * browser, until it hands over to the worker of a tab that somebody is looking at. Nobody takes the
 * turn from a leader that does not answer: docs/decisions/silent-leader.md says why.
 */
import type { Bulletin } from "#client/worker/bulletin.ts";
import { WORKER_METHODS } from "#client/worker/device-methods.ts";
import { BrokerKeyKeeper } from "#client/worker/key-keeper.ts";
import type { KeyKeeper } from "#client/worker/key-keeper.ts";
import type { WorkerApi, WorkerEvent } from "#client/worker/lock-api.ts";
import {
  LEADER_LOCK,
  isAnyoneWaitingToLead,
  isAnyTabVisible,
  sessionsOfTabs,
  tabLock,
} from "#client/worker/lock-names.ts";
import { Reception } from "#client/worker/reception.ts";
import { serve } from "#client/worker/rpc.ts";
import type { Served, Timers } from "#client/worker/rpc.ts";

export interface RunningDevice {
  readonly api: WorkerApi;
  /** Calls `listener` with every event until the returned function is called. */
  subscribe(listener: (event: WorkerEvent) => void): () => void;
  /** A tab has gone without closing its notes: its presence and drafts are to be settled. */
  tabGone(session: string): void;
  /** Resolves when the files are closed and another worker may open them. */
  close(): Promise<void>;
}

/**
 * Opens the store and starts the device; called each time this worker becomes leader. `stall` is told
 * when that takes long because another worker still has the files open, and when they are free.
 */
export type StartDevice = (
  keeper: KeyKeeper,
  stall: (stalled: boolean) => void,
) => Promise<RunningDevice>;

export interface NamedBroker {
  readonly name: string;
  readonly port: MessagePort;
}

export type TabToWorker =
  | {
      readonly type: "start";
      readonly session: string;
      /** Tells this worker from every other there was or will be. */
      readonly worker: string;
      readonly visible: boolean;
    }
  /** Answers "leading". Without a broker only the worker's own tab can be served. */
  | {
      readonly type: "serve";
      readonly reign: string;
      readonly port: MessagePort;
      readonly broker: NamedBroker | null;
    }
  /** Answers "broker-wanted". */
  | { readonly type: "broker"; readonly reign: string; readonly broker: NamedBroker }
  /** Also says that the tab is back, should it have been leaving. */
  | { readonly type: "visible"; readonly visible: boolean }
  /** The tab is about to be frozen or closed. */
  | { readonly type: "leaving" };

export type WorkerToTab =
  | { readonly type: "leading"; readonly reign: string }
  | { readonly type: "broker-wanted"; readonly reign: string; readonly name: string }
  /** This worker has ended itself; the tab needs another. */
  | { readonly type: "finished" };

export interface LeaderPorts {
  readonly locks: LockManager;
  readonly timers: Timers;
  readonly bulletin: Bulletin;
  readonly startDevice: StartDevice;
  /** Loads what {@link startDevice} needs, so that a follower can take over at once. */
  readonly prepareDevice: () => Promise<void>;
  /** To the tab that owns this worker. */
  postToTab(message: WorkerToTab): void;
  /** Ends this worker; with it go its locks and its files. */
  terminate(): void;
  readonly onFault: (error: unknown) => void;
}

/** How long a hand-over waits for calls under way; the next leader is sent them again. */
const HAND_OVER_LIMIT_MS = 1_000;
/** How long the device may take to close before the worker is ended with its files open. */
const CLOSE_LIMIT_MS = 5_000;
/** A tab that does not answer its own worker for this long is frozen, though its worker is not. */
const TAB_LIMIT_MS = 1_000;
/** A tab's own start comes first. */
const PREPARE_AFTER_MS = 500;

export class LeaderWorker {
  readonly #ports: LeaderPorts;
  #session = "";
  #worker = "";
  #visible = true;
  /** The tab is frozen or going: nobody is served well from here. */
  #leaving = false;
  #stoodAside = false;
  #reigns = 0;
  #reign: Reign | null = null;

  constructor(ports: LeaderPorts) {
    this.#ports = ports;
  }

  receive(message: TabToWorker): void {
    switch (message.type) {
      case "start":
        this.#session = message.session;
        this.#worker = message.worker;
        this.#visible = message.visible;
        this.#watch(this.#start());
        return;
      case "serve":
        this.#reign?.serveOwnTab(message.reign, this.#session, message.port, message.broker);
        return;
      case "broker":
        this.#reign?.useBroker(message.reign, message.broker);
        return;
      case "visible":
        this.#visible = message.visible;
        this.#leaving = false;
        this.#stoodAside = false;
        if (message.visible) this.#sayWanted();
        else this.#watch(this.#handOverIfWanted());
        return;
      case "leaving":
        this.#leaving = true;
        this.#watch(this.#handOverIfAnyoneWaits());
        return;
    }
  }

  async #start(): Promise<void> {
    this.#ports.bulletin.listen((notice) => {
      if (notice.type !== "wanted") return;
      this.#stoodAside = false;
      this.#watch(this.#handOverIfWanted());
    });
    if (this.#visible) this.#sayWanted();
    this.#ports.timers.after(PREPARE_AFTER_MS, () => {
      if (this.#reign === null) this.#watch(this.#ports.prepareDevice());
    });
    for (;;) await this.#waitAndLead();
  }

  async #waitAndLead(): Promise<void> {
    try {
      await this.#ports.locks.request(LEADER_LOCK, () => this.#takeTurn());
    } catch (error) {
      // No program of ours steals a lock; should one do, nothing more may be written from here.
      this.#reign?.abandon();
      this.#finish();
      throw error;
    }
  }

  async #takeTurn(): Promise<void> {
    if (await this.#standsAside()) return;
    this.#reigns += 1;
    const reign = new Reign(`${this.#worker}.${this.#reigns}`, this.#ports);
    this.#reign = reign;
    const cancelAlarm = this.#ports.timers.after(TAB_LIMIT_MS, () => {
      if (!reign.servesOwnTab) this.receive({ type: "leaving" });
    });
    this.#ports.postToTab({ type: "leading", reign: reign.name });
    const closed = await reign.ended;
    cancelAlarm();
    this.#reign = null;
    if (closed) return;
    this.#finish();
    // The lock goes with the worker, when the files do.
    await new Promise(() => {});
  }

  /**
   * Out of sight and somebody in sight waits, or leaving and anybody does: back to the end of the
   * queue. Once only, or two hidden tabs would pass the turn to each other for ever if the worker of
   * the visible one has crashed.
   */
  async #standsAside(): Promise<boolean> {
    if (this.#stoodAside) return false;
    this.#stoodAside = this.#leaving
      ? await isAnyoneWaitingToLead(this.#ports.locks)
      : !this.#visible && (await this.#isWanted());
    return this.#stoodAside;
  }

  async #handOverIfWanted(): Promise<void> {
    const reign = this.#reign;
    if (this.#visible || reign === null || !(await this.#isWanted())) return;
    // Somebody may look at the tab again. A reign that has ended meanwhile does not end twice.
    if (!this.#visible) reign.end();
  }

  async #handOverIfAnyoneWaits(): Promise<void> {
    const reign = this.#reign;
    if (reign === null || !(await isAnyoneWaitingToLead(this.#ports.locks))) return;
    // The tab may have come back in the meantime.
    if (this.#leaving) reign.end();
  }

  #isWanted(): Promise<boolean> {
    return isAnyTabVisible(this.#ports.locks, this.#session);
  }

  #sayWanted(): void {
    if (this.#reign === null) this.#ports.bulletin.post({ type: "wanted" });
  }

  #finish(): void {
    this.#ports.postToTab({ type: "finished" });
    this.#ports.terminate();
  }

  #watch(work: Promise<void>): void {
    work.catch((error: unknown) => this.#ports.onFault(error));
  }
}

/** One term as leader: a device and the tabs it serves. */
class Reign {
  readonly name: string;
  /** Resolves to whether the files are closed; if not, they are with the worker's end. */
  readonly ended: Promise<boolean>;
  readonly #ports: LeaderPorts;
  readonly #reception: Reception;
  readonly #keeper: BrokerKeyKeeper;
  readonly #device: Promise<RunningDevice>;
  readonly #api: Promise<WorkerApi>;
  readonly #tabs = new Map<string, Served<WorkerEvent>>();
  readonly #watched = new Set<string>();
  readonly #watches = new AbortController();
  #end: () => void = () => {};
  #stalled = false;
  #servesOwnTab = false;

  constructor(name: string, ports: LeaderPorts) {
    this.name = name;
    this.#ports = ports;
    const asked = new Promise<void>((resolve) => {
      this.#end = resolve;
    });
    this.#keeper = new BrokerKeyKeeper(ports.timers);
    this.#reception = new Reception(name, {
      ...ports,
      wantBroker: (broker) =>
        ports.postToTab({ type: "broker-wanted", reign: this.name, name: broker }),
      onPort: (session, port) => this.#serveTab(session, port),
    });
    this.#device = ports.startDevice(this.#keeper, (stalled) => this.#stall(stalled));
    this.#api = this.#device.then((device) => device.api);
    // Reported below and by every call; here only kept from counting as unhandled.
    this.#api.catch(() => {});
    this.ended = this.#run(asked);
    this.#watchLivingTabs().catch(ports.onFault);
  }

  get servesOwnTab(): boolean {
    return this.#servesOwnTab;
  }

  /** Asks for the hand-over; {@link ended} resolves when the files are closed. */
  end(): void {
    this.#end();
  }

  /** Carries out no call and says no word from now on. */
  abandon(): void {
    this.#watches.abort();
    this.#reception.close();
    for (const tab of this.#tabs.values()) {
      tab.stopListening();
      tab.close();
    }
  }

  serveOwnTab(reign: string, session: string, port: MessagePort, broker: NamedBroker | null): void {
    if (reign !== this.name) return;
    this.#servesOwnTab = true;
    this.#serveTab(session, port);
    if (broker !== null) return this.useBroker(reign, broker);
    this.#reception.useNone();
    this.#keeper.use(null);
  }

  useBroker(reign: string, { name, port }: NamedBroker): void {
    if (reign !== this.name || this.#watches.signal.aborted) return port.close();
    this.#reception.use(name, port);
    this.#keeper.use(port);
  }

  #serveTab(session: string, port: MessagePort): void {
    const { onFault } = this.#ports;
    // The tab hears of the next leader and sends it another port.
    if (this.#watches.signal.aborted) return port.close();
    const known = this.#tabs.get(session);
    known?.stopListening();
    const tab = serve<WorkerApi, WorkerEvent>(port, this.#api, WORKER_METHODS, { onFault });
    this.#tabs.set(session, tab);
    tab.stall(this.#stalled);
    this.#watchTab(session);
  }

  #stall(stalled: boolean): void {
    this.#stalled = stalled;
    for (const tab of this.#tabs.values()) tab.stall(stalled);
  }

  async #run(asked: Promise<void>): Promise<boolean> {
    const device = await this.#deviceOrNull();
    const unsubscribe = device?.subscribe((event) => {
      for (const tab of this.#tabs.values()) tab.emit(event);
    });
    await asked;
    this.#watches.abort();
    this.#reception.close();
    const tabs = [...this.#tabs.values()];
    for (const tab of tabs) tab.stopListening();
    await this.#within(HAND_OVER_LIMIT_MS, Promise.all(tabs.map((tab) => tab.idle())));
    unsubscribe?.();
    const isClosed = device === null || (await this.#within(CLOSE_LIMIT_MS, device.close()));
    for (const tab of tabs) tab.close();
    return isClosed;
  }

  /** A device that could not start stays in charge: its refusal is what every call is answered with. */
  async #deviceOrNull(): Promise<RunningDevice | null> {
    try {
      return await this.#device;
    } catch (error) {
      this.#ports.onFault(error);
      return null;
    }
  }

  /** Whether `work` was done before `ms` had passed. */
  #within(ms: number, work: Promise<unknown>): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const cancel = this.#ports.timers.after(ms, () => resolve(false));
      work.then(() => {
        cancel();
        resolve(true);
      }, reject);
    });
  }

  /** A tab that died with the leader before may be noticed only now, and has left a draft. */
  async #watchLivingTabs(): Promise<void> {
    for (const session of await sessionsOfTabs(this.#ports.locks)) this.#watchTab(session);
  }

  #watchTab(session: string): void {
    if (this.#watched.has(session) || this.#watches.signal.aborted) return;
    this.#watched.add(session);
    this.#noticeWhenGone(session).catch((error: unknown) => this.#ports.onFault(error));
  }

  async #noticeWhenGone(session: string): Promise<void> {
    try {
      await this.#ports.locks.request(tabLock(session), { signal: this.#watches.signal }, () => {});
    } catch (error) {
      if (this.#watches.signal.aborted) return;
      throw error;
    }
    const tab = this.#tabs.get(session);
    tab?.stopListening();
    tab?.close();
    this.#tabs.delete(session);
    this.#watched.delete(session);
    // A device that did not start has nothing to settle.
    await this.#device.then(
      (device) => device.tabGone(session),
      () => {},
    );
  }
}

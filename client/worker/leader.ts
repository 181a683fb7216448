/**
 * The worker of each tab. It waits for its turn, then opens the device and answers every tab of this
 * browser, until it hands over to the worker of a tab that somebody is looking at.
 */
import type { BrokerToLeader, ToBroker } from "#client/worker/broker.ts";
import { WORKER_METHODS } from "#client/worker/device-methods.ts";
import { brokerKeyKeeper } from "#client/worker/key-keeper.ts";
import type { KeyKeeper } from "#client/worker/key-keeper.ts";
import type { WorkerApi, WorkerEvent } from "#client/worker/lock-api.ts";
import {
  LEADER_LOCK,
  isAnyoneWaitingToLead,
  isAnyTabVisible,
  tabLock,
} from "#client/worker/lock-names.ts";
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

/** Opens the store and starts the device; called each time this worker becomes leader. */
export type StartDevice = (keeper: KeyKeeper) => Promise<RunningDevice>;

export type TabToWorker =
  /** Without a broker only the worker's own tab can be served. */
  | {
      readonly type: "start";
      readonly session: string;
      readonly visible: boolean;
      readonly broker: MessagePort | null;
    }
  | { readonly type: "visible"; readonly visible: boolean }
  /** The tab is about to be frozen or closed. */
  | { readonly type: "leaving" }
  | { readonly type: "port"; readonly session: string; readonly port: MessagePort };

/** Only sent where there is no broker. */
export type WorkerToTab = { readonly type: "held-elsewhere" } | { readonly type: "leading" };

export interface LeaderPorts {
  readonly locks: LockManager;
  readonly timers: Timers;
  readonly startDevice: StartDevice;
  /** To the tab that owns this worker. */
  postToTab(message: WorkerToTab): void;
  readonly onFault: (error: unknown) => void;
}

/** How long a hand-over waits for calls under way; the next leader is sent them again. */
const HAND_OVER_LIMIT_MS = 1_000;

export class LeaderWorker {
  readonly #ports: LeaderPorts;
  #session = "";
  #visible = true;
  #stoodAside = false;
  #broker: MessagePort | null = null;
  #reign: Reign | null = null;

  constructor(ports: LeaderPorts) {
    this.#ports = ports;
  }

  receive(message: TabToWorker): void {
    switch (message.type) {
      case "start":
        this.#session = message.session;
        this.#visible = message.visible;
        this.#broker = message.broker;
        this.#watch(this.#start());
        return;
      case "visible":
        this.#visible = message.visible;
        this.#stoodAside = false;
        if (message.visible) this.#sayWanted();
        else this.#watch(this.#handOverIfWanted());
        return;
      case "leaving":
        this.#watch(this.#handOverIfAnyoneWaits());
        return;
      case "port":
        this.#reign?.serveTab(message.session, message.port);
        return;
    }
  }

  async #start(): Promise<void> {
    if (this.#broker === null) await this.#sayWhetherHeldElsewhere();
    else this.#listenTo(this.#broker);
    if (this.#visible) this.#sayWanted();
    for (;;) await this.#ports.locks.request(LEADER_LOCK, () => this.#takeTurn());
  }

  #listenTo(broker: MessagePort): void {
    broker.addEventListener("message", ({ data }: MessageEvent<BrokerToLeader>) => {
      if (data.type === "port") this.#reign?.serveTab(data.session, data.port);
      else if (data.type === "wanted") {
        this.#stoodAside = false;
        this.#watch(this.#handOverIfWanted());
      }
    });
    broker.start();
  }

  async #sayWhetherHeldElsewhere(): Promise<void> {
    await this.#ports.locks.request(LEADER_LOCK, { ifAvailable: true }, (lock) => {
      if (lock === null) this.#ports.postToTab({ type: "held-elsewhere" });
    });
  }

  async #takeTurn(): Promise<void> {
    if (await this.#standsAside()) return;
    const reign = new Reign(this.#ports, brokerKeyKeeper(this.#broker, this.#ports.timers));
    this.#reign = reign;
    if (this.#broker === null) this.#ports.postToTab({ type: "leading" });
    else this.#broker.postMessage({ type: "lead" } satisfies ToBroker);
    await reign.ended;
    this.#reign = null;
  }

  /**
   * Out of sight and somebody in sight waits: back to the end of the queue. Once only, or two hidden
   * tabs would pass the turn to each other for ever if the worker of the visible one has crashed.
   */
  async #standsAside(): Promise<boolean> {
    if (this.#visible || this.#stoodAside || !(await this.#isWanted())) return false;
    this.#stoodAside = true;
    return true;
  }

  async #handOverIfWanted(): Promise<void> {
    if (!this.#visible && this.#reign !== null && (await this.#isWanted())) this.#reign.end();
  }

  async #handOverIfAnyoneWaits(): Promise<void> {
    if (this.#reign !== null && (await isAnyoneWaitingToLead(this.#ports.locks))) this.#reign.end();
  }

  #isWanted(): Promise<boolean> {
    return isAnyTabVisible(this.#ports.locks, this.#session);
  }

  #sayWanted(): void {
    if (this.#reign === null) this.#broker?.postMessage({ type: "wanted" } satisfies ToBroker);
  }

  #watch(work: Promise<void>): void {
    work.catch((error: unknown) => this.#ports.onFault(error));
  }
}

/** One term as leader: a device and the tabs it serves. */
class Reign {
  readonly ended: Promise<void>;
  readonly #ports: LeaderPorts;
  readonly #device: Promise<RunningDevice>;
  readonly #api: Promise<WorkerApi>;
  readonly #tabs = new Map<string, Served<WorkerEvent>>();
  readonly #watches = new AbortController();
  #end: () => void = () => {};

  constructor(ports: LeaderPorts, keeper: KeyKeeper) {
    this.#ports = ports;
    this.#device = ports.startDevice(keeper);
    this.#api = this.#device.then((device) => device.api);
    // Reported below and by every call; here only kept from counting as unhandled.
    this.#api.catch(() => {});
    const asked = new Promise<void>((resolve) => {
      this.#end = resolve;
    });
    this.ended = this.#run(asked);
  }

  /** Asks for the hand-over; {@link ended} resolves when the files are closed. */
  end(): void {
    this.#end();
  }

  serveTab(session: string, port: MessagePort): void {
    const { onFault } = this.#ports;
    if (this.#watches.signal.aborted) return;
    const known = this.#tabs.get(session);
    known?.stopListening();
    this.#tabs.set(session, serve(port, this.#api, WORKER_METHODS, { onFault }));
    if (known === undefined) this.#noticeWhenGone(session).catch(onFault);
  }

  async #run(asked: Promise<void>): Promise<void> {
    const device = await this.#deviceOrNull();
    const unsubscribe = device?.subscribe((event) => {
      for (const tab of this.#tabs.values()) tab.emit(event);
    });
    await asked;
    this.#watches.abort();
    for (const tab of this.#tabs.values()) tab.stopListening();
    await this.#underWay();
    unsubscribe?.();
    await device?.close();
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

  async #underWay(): Promise<void> {
    const idle = Promise.all([...this.#tabs.values()].map((tab) => tab.idle()));
    await new Promise<void>((resolve) => {
      const cancel = this.#ports.timers.after(HAND_OVER_LIMIT_MS, resolve);
      void idle.then(() => {
        cancel();
        resolve();
      });
    });
  }

  async #noticeWhenGone(session: string): Promise<void> {
    try {
      await this.#ports.locks.request(tabLock(session), { signal: this.#watches.signal }, () => {});
    } catch (error) {
      if (this.#watches.signal.aborted) return;
      throw error;
    }
    this.#tabs.get(session)?.stopListening();
    this.#tabs.delete(session);
    (await this.#device).tabGone(session);
  }
}

/** A tab's connection to the device, whichever worker of this browser runs it at the moment. */
import { isVisible, watchPage } from "#client/app/platform/network.ts";
import type { BrokerToTab, ToBroker } from "#client/worker/broker.ts";
import { WORKER_METHODS } from "#client/worker/device-methods.ts";
import type { TabToWorker, WorkerToTab } from "#client/worker/leader.ts";
import type { WorkerApi, WorkerEvent } from "#client/worker/lock-api.ts";
import { isAnyTabVisible, tabLock, visibleLock } from "#client/worker/lock-names.ts";
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
  startWorker(): Worker;
  /** A port to the broker, null where the browser has no shared workers. */
  connectBroker(): MessagePort | null;
  readonly onFault: (error: unknown) => void;
}

const UNREACHABLE =
  "The part of Sealeaf that saves your notes does not answer. What you write is kept in this window " +
  "and saved as soon as it does. Keep this window open.";
const HELD_ELSEWHERE =
  "Your notes are open in another window of this browser. Close that window to go on here.";
const WORKER_FAILED =
  "The part of Sealeaf that saves your notes could not start. Reload this page; notes saved before are safe.";

/** Resolves as soon as calls can be made, not when the device is ready. */
export async function connectTab(parts: TabParts): Promise<DeviceConnection> {
  const { session, locks, onFault } = parts;
  const states = new Subscribers<ConnectionState>();
  const events = new Subscribers<WorkerEvent>();
  const restarts = new Subscribers<void>();
  let state: ConnectionState = { kind: "connecting" };
  let leaders = 0;

  function setState(next: ConnectionState): void {
    if (next.kind === state.kind) return;
    state = next;
    states.tell(next);
  }

  const connection = connect<WorkerApi, WorkerEvent>(WORKER_METHODS, parts.timers, {
    onEvent: (event) => events.tell(event),
    onReachable: (reachable) => {
      if (reachable) setState({ kind: "connected" });
      else if (state.kind !== "held-elsewhere") {
        setState({ kind: "unreachable", message: UNREACHABLE });
      }
    },
  });

  /** Hints to the device; a device that refuses everything says so to the calls that matter. */
  function tell(hint: Promise<void>): void {
    hint.catch((error: unknown) => {
      if (!(error instanceof Refusal)) onFault(error);
    });
  }

  function useLeader(sendPort: (port: MessagePort) => void): void {
    const { port1, port2 } = new MessageChannel();
    sendPort(port2);
    connection.attach(port1);
    leaders += 1;
    // Only the moment of going offline says something about a connection; a new leader has none yet.
    if (navigator.onLine) tell(connection.api.setOnline(true));
    tell(tellVisible(connection, locks));
    if (leaders > 1) restarts.tell();
  }

  // Before anything else: the leader takes the absence of this lock for the absence of the tab.
  await holdLock(locks, tabLock(session));
  const visibility = new VisibilityLock(locks, visibleLock(session));
  await visibility.follow(isVisible());

  const broker = parts.connectBroker();
  const worker = parts.startWorker();
  const toWorker = (message: TabToWorker, transfer: MessagePort[] = []): void =>
    worker.postMessage(message, transfer);

  worker.addEventListener("error", () => {
    setState({ kind: "unreachable", message: WORKER_FAILED });
  });
  worker.addEventListener("message", ({ data }: MessageEvent<WorkerToTab>) => {
    if (data.type === "held-elsewhere") {
      setState({ kind: "held-elsewhere", message: HELD_ELSEWHERE });
    } else {
      useLeader((port) => toWorker({ type: "port", session, port }, [port]));
    }
  });
  if (broker !== null) {
    const toBroker = (message: ToBroker, transfer: MessagePort[] = []): void =>
      broker.postMessage(message, transfer);
    broker.addEventListener("message", ({ data }: MessageEvent<BrokerToTab>) => {
      if (data.type === "leader") {
        useLeader((port) => toBroker({ type: "port", session, port }, [port]));
      }
    });
    broker.start();
    toBroker({ type: "tab" });
    window.addEventListener("pagehide", ({ persisted }) => {
      if (!persisted) toBroker({ type: "bye" });
    });
  }
  const workerBroker = broker === null ? null : parts.connectBroker();
  toWorker(
    { type: "start", session, visible: isVisible(), broker: workerBroker },
    workerBroker === null ? [] : [workerBroker],
  );

  async function visibilityChanged(visible: boolean): Promise<void> {
    await visibility.follow(visible);
    toWorker({ type: "visible", visible });
    await tellVisible(connection, locks);
  }
  watchPage({
    onOnline: (online) => tell(connection.api.setOnline(online)),
    onVisible: (visible) => tell(visibilityChanged(visible)),
    onLeaving: () => toWorker({ type: "leaving" }),
  });

  return {
    api: connection.api,
    session,
    get state() {
      return state;
    },
    onState: (listener) => states.add(listener),
    onEvent: (listener) => events.add(listener),
    onRestart: (listener) => restarts.add(listener),
  };
}

/** The device serves all tabs: it is looked at while any of them is. */
async function tellVisible(connection: Connection<WorkerApi>, locks: LockManager): Promise<void> {
  await connection.api.setVisible(await isAnyTabVisible(locks, null));
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

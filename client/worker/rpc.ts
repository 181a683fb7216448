/**
 * Typed calls over message ports that survive the death of the side that answers them.
 *
 * The caller keeps every call until it is answered. When it is given a port to a new leader it sends
 * the unanswered ones again under the same id, so a method may be carried out twice and has to be
 * idempotent, or is told the call's name to recognise it by. A call is confirmed on arrival, before it
 * is carried out: a silent leader is noticed without putting a limit on slow work.
 */
import type { DeviceRefusal } from "#client/device/api.ts";
import { Refusal } from "#client/device/refusal.ts";

/** After this long without a confirmation the caller says that the leader cannot be reached. */
export const DELIVERY_LIMIT_MS = 2_000;

/**
 * Every method of an interface by name: what may be called from the other side. One that is "named"
 * makes something new each time: behind its arguments it is given a name of the call, the same however
 * often the call is sent. Its callers pass every argument before that one.
 */
export type MethodNames<Api> = { readonly [Name in keyof Api]: true | "named" };

export interface Timers {
  /** Calls `run` once after `ms`; the returned function cancels it. */
  after(ms: number, run: () => void): () => void;
}

type ToLeader = {
  readonly type: "call";
  readonly id: number;
  readonly method: string;
  readonly args: readonly unknown[];
};

type ToTab<Event> =
  | { readonly type: "received"; readonly id: number }
  | { readonly type: "answer"; readonly id: number; readonly value: unknown }
  | { readonly type: "refusal"; readonly id: number; readonly refusal: DeviceRefusal }
  | { readonly type: "stalled"; readonly stalled: boolean }
  | { readonly type: "event"; readonly event: Event };

export interface Served<Event> {
  emit(event: Event): void;
  /** Calls arrive but none can be carried out for the time being; false: they can again. */
  stall(stalled: boolean): void;
  /** Resolves when every call that has arrived is answered. */
  idle(): Promise<void>;
  /** Ignores what arrives from now on (the tab will send it to the next leader); answers still go out. */
  stopListening(): void;
  /** Says nothing any more. */
  close(): void;
}

export interface ServeHooks {
  /** An exception that was not a refusal: the tab is told a general sentence, the reason goes here. */
  readonly onFault: (error: unknown) => void;
}

/** Answers the calls of one tab. Calls wait for `api`; if it is rejected they are refused with its reason. */
export function serve<Api extends object, Event>(
  port: MessagePort,
  api: Promise<Api>,
  methods: MethodNames<Api>,
  hooks: ServeHooks,
): Served<Event> {
  const running = new Set<Promise<void>>();
  let isStalled = false;

  async function answer({ id, method, args }: ToLeader): Promise<void> {
    try {
      if (!Object.hasOwn(methods, method)) throw new Error(`unknown method ${method}`);
      // The name is one of Api's methods (checked above); arguments are checked by the caller's types.
      const callable = (await api) as Record<string, (...args: unknown[]) => Promise<unknown>>;
      post(port, { type: "answer", id, value: await callable[method]?.(...args) });
    } catch (error) {
      if (!isRefusal(error)) hooks.onFault(error);
      post(port, { type: "refusal", id, refusal: refusalOf(error) });
    }
  }

  function receive({ data }: MessageEvent<ToLeader>): void {
    post(port, { type: "received", id: data.id });
    const work = answer(data).finally(() => running.delete(work));
    running.add(work);
  }

  port.addEventListener("message", receive);
  port.start();

  return {
    emit: (event) => post(port, { type: "event", event }),
    stall: (stalled) => {
      if (stalled === isStalled) return;
      isStalled = stalled;
      post(port, { type: "stalled", stalled });
    },
    idle: async () => {
      while (running.size > 0) await Promise.all(running);
    },
    stopListening: () => port.removeEventListener("message", receive),
    close: () => port.close(),
  };
}

export interface ConnectHooks<Event> {
  onEvent(event: Event): void;
  /** True with the first sign of life; false when a call is not confirmed within {@link DELIVERY_LIMIT_MS}. */
  onReachable(reachable: boolean): void;
  /** The leader is there but can carry out nothing, or (false) can again. */
  onStalled(stalled: boolean): void;
}

export interface Connection<Api> {
  /** Calls made before the first port, or between two, wait. Methods throw {@link Refusal}. */
  readonly api: Api;
  /** The port to the leader from now on, in place of the one before; what is unanswered is sent again. */
  attach(port: MessagePort): void;
}

interface PendingCall extends ToLeader {
  resolve(value: unknown): void;
  reject(refusal: Refusal): void;
  cancelAlarm(): void;
}

export interface ConnectOptions<Api> {
  readonly methods: MethodNames<Api>;
  /** Tells the names of this caller's calls from those of every other, now and later. */
  readonly caller: string;
  readonly timers: Timers;
}

export function connect<Api extends object, Event>(
  { methods, caller, timers }: ConnectOptions<Api>,
  hooks: ConnectHooks<Event>,
): Connection<Api> {
  const pending = new Map<number, PendingCall>();
  let current: MessagePort | null = null;
  let lastId = 0;
  let reachable: boolean | null = null;

  function setReachable(next: boolean): void {
    if (next === reachable) return;
    reachable = next;
    hooks.onReachable(next);
  }

  function send(call: PendingCall): void {
    if (current !== null) {
      post(current, { type: "call", id: call.id, method: call.method, args: call.args });
    }
    call.cancelAlarm();
    call.cancelAlarm = timers.after(DELIVERY_LIMIT_MS, () => setReachable(false));
  }

  function call(method: string, isNamed: boolean, args: readonly unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      lastId += 1;
      const made: PendingCall = {
        type: "call",
        id: lastId,
        method,
        // Copied now: the caller may go on writing into its arrays while the call waits.
        args: copied(isNamed ? [...args, `${caller}/${lastId}`] : args, []) as readonly unknown[],
        resolve,
        reject,
        cancelAlarm: () => {},
      };
      send(made);
      pending.set(made.id, made);
    });
  }

  function settle(id: number, finish: (call: PendingCall) => void): void {
    const call = pending.get(id);
    // A leader that was replaced may still answer after its successor did.
    if (call === undefined) return;
    pending.delete(id);
    call.cancelAlarm();
    finish(call);
  }

  function receive(message: ToTab<Event>): void {
    setReachable(true);
    switch (message.type) {
      case "received":
        pending.get(message.id)?.cancelAlarm();
        return;
      case "answer":
        settle(message.id, (answered) => answered.resolve(message.value));
        return;
      case "refusal":
        settle(message.id, (refused) => refused.reject(new Refusal(message.refusal)));
        return;
      case "stalled":
        hooks.onStalled(message.stalled);
        return;
      case "event":
        hooks.onEvent(message.event);
        return;
    }
  }

  return {
    api: Object.fromEntries(
      Object.entries(methods).map(([name, kind]) => [
        name,
        (...args: unknown[]) => call(name, kind === "named", args),
      ]),
      // Built from the complete list of Api's methods.
    ) as Api,
    attach: (port) => {
      // What a leader says that was replaced is not heard: its refusal would be no longer true.
      current?.close();
      current = port;
      port.addEventListener("message", ({ data }: MessageEvent<ToTab<Event>>) => receive(data));
      port.start();
      for (const unanswered of pending.values()) send(unanswered);
    },
  };
}

/** The fields of a refusal, whatever was thrown. */
export function refusalOf(error: unknown): DeviceRefusal {
  if (isRefusal(error)) return { code: error.code, message: error.message };
  return {
    code: "unavailable",
    message: "Something went wrong on this device and the step was not carried out. Try it again.",
  };
}

function isRefusal(error: unknown): error is DeviceRefusal {
  if (typeof error !== "object" || error === null) return false;
  const { code, message } = error as Partial<Record<"code" | "message", unknown>>;
  // Exceptions of the platform (DOMException, Node) have a code too, but not one of ours.
  return typeof code === "string" && /^[a-z]+(-[a-z]+)*$/.test(code) && typeof message === "string";
}

function post(port: MessagePort, message: ToLeader | ToTab<unknown>): void {
  const transfer: ArrayBuffer[] = [];
  const copy = copied(message, transfer);
  port.postMessage(copy, transfer);
}

/**
 * A copy whose byte arrays own their memory, collected in `transfer`. Structured clone alone would
 * copy the whole buffer under a small view (all of a wasm memory), and refuses reactive proxies.
 */
function copied(value: unknown, transfer: ArrayBuffer[]): unknown {
  if (value instanceof Uint8Array) {
    const bytes = new Uint8Array(value);
    transfer.push(bytes.buffer);
    return bytes;
  }
  if (Array.isArray(value)) return value.map((item) => copied(item, transfer));
  if (isPlainObject(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, copied(item, transfer)]),
    );
  }
  return value;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype
  );
}

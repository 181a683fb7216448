import { afterEach, describe, expect, it } from "vitest";
import type { WorkerApi, WorkerEvent } from "#client/worker/lock-api.ts";
import type { ToBroker } from "#client/worker/broker.ts";
import { WORKER_METHODS } from "#client/worker/device-methods.ts";
import { LeaderWorker } from "#client/worker/leader.ts";
import type {
  NamedBroker,
  RunningDevice,
  StartDevice,
  WorkerToTab,
} from "#client/worker/leader.ts";
import { LEADER_LOCK, tabLock, visibleLock } from "#client/worker/lock-names.ts";
import { Refusal } from "#client/device/refusal.ts";
import { connect } from "#client/worker/rpc.ts";
import { deferred } from "#tests/support/deferred.ts";
import { FakeAir } from "#tests/support/fake-bulletin.ts";
import { FakeLocks } from "#tests/support/fake-locks.ts";
import { ManualTimers } from "#tests/support/manual-timers.ts";

const open: MessagePort[] = [];
afterEach(() => {
  for (const port of open.splice(0)) port.close();
});

function channel(): MessageChannel {
  const made = new MessageChannel();
  open.push(made.port1, made.port2);
  return made;
}

class FakeDevice implements RunningDevice {
  readonly gone: string[] = [];
  closed = false;
  readonly api: WorkerApi;

  constructor(api: Partial<WorkerApi> = {}) {
    // Only the methods a test calls.
    this.api = api as WorkerApi;
  }

  subscribe(): () => void {
    return () => {};
  }

  tabGone(session: string): void {
    this.gone.push(session);
  }

  close(): Promise<void> {
    this.closed = true;
    return Promise.resolve();
  }
}

/** A browser in which workers can be started; the test plays their tabs and the broker. */
function browser() {
  const locks = new FakeLocks();
  const timers = new ManualTimers();
  const air = new FakeAir();
  const faults: unknown[] = [];

  function startWorker(
    session: string,
    visible: boolean,
    startDevice: StartDevice,
    options: {
      readonly broker?: "answers" | "silent" | "none";
      readonly tabIsFrozen?: boolean;
    } = {},
  ) {
    const { broker = "answers", tabIsFrozen = false } = options;
    const told: WorkerToTab[] = [];
    const brokers: string[] = [];
    const leads = deferred();
    const finished = deferred();
    const stalled: boolean[] = [];
    const connection = newConnection(session);
    let brokerEnd: MessagePort | null = null;

    function newConnection(caller: string) {
      return connect<WorkerApi, WorkerEvent>(
        { methods: WORKER_METHODS, caller, timers },
        { onEvent: () => {}, onReachable: () => {}, onStalled: (now) => stalled.push(now) },
      );
    }

    /** Another tab's port, handed over by the broker. */
    function tab(of: string): WorkerApi {
      const { port1, port2: port } = channel();
      const other = newConnection(of);
      other.attach(port1);
      brokerEnd?.postMessage({ type: "port", session: of, port }, [port]);
      return other.api;
    }

    /** A broker as in `broker.ts`, seen by the leader. */
    function namedBroker(name: string): NamedBroker {
      brokers.push(name);
      const { port1, port2 } = channel();
      brokerEnd = port1;
      port1.addEventListener("message", ({ data }: MessageEvent<ToBroker>) => {
        const isDead = broker === "silent" && brokers.length === 1;
        if (data.type === "lead" && !isDead) port1.postMessage({ type: "ready" });
      });
      port1.start();
      return { name, port: port2 };
    }

    function fromWorker(message: WorkerToTab): void {
      told.push(message);
      if (message.type === "finished") finished.resolve();
      else if (message.type === "broker-wanted") {
        const { reign, name } = message;
        worker.receive({ type: "broker", reign, broker: namedBroker(name) });
      } else if (!tabIsFrozen) {
        const { reign } = message;
        const { port1, port2 } = channel();
        connection.attach(port1);
        const named = broker === "none" ? null : namedBroker("first");
        worker.receive({ type: "serve", reign, port: port2, broker: named });
        leads.resolve();
      }
    }

    const worker: LeaderWorker = new LeaderWorker({
      locks: locks.asLockManager(),
      timers,
      bulletin: air.bulletin(),
      startDevice,
      prepareDevice: () => Promise.resolve(),
      postToTab: fromWorker,
      terminate: () => {},
      onFault: (error) => faults.push(error),
    });
    void locks.hold(tabLock(session));
    worker.receive({ type: "start", session, worker: session, visible });

    return {
      worker,
      leading: leads.promise,
      finished: finished.promise,
      told,
      brokers,
      stalled,
      /** The tab that owns the worker. */
      api: connection.api,
      tab,
    };
  }
  return { locks, timers, air, faults, startWorker };
}

/** Lets everything happen that needs no time. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

describe("the leader", () => {
  it("answers with the device's own refusal when the device could not start", async () => {
    const { faults, startWorker } = browser();
    const refusal = { code: "storage" as const, message: "The disk is full." };
    const first = startWorker("a", true, () => Promise.reject(new Refusal(refusal)));
    await first.leading;
    await expect(first.api.notes()).rejects.toMatchObject(refusal);
    expect(faults).toHaveLength(1);
  });

  it("tells the device of a tab that has gone, and of none that lives", async () => {
    const { locks, startWorker } = browser();
    const device = new FakeDevice({ words: () => Promise.resolve(null) });
    const noticed = deferred<string>();
    device.tabGone = noticed.resolve;
    const first = startWorker("a", true, () => Promise.resolve(device));
    await first.leading;
    await locks.hold(tabLock("lives"));
    const letGo = await locks.hold(tabLock("goes"));
    await first.tab("lives").words();
    await first.tab("goes").words();
    letGo();
    expect(await noticed.promise).toBe("goes");
  });

  it("tells the device of a tab that died with the leader before, however late it is noticed", async () => {
    const { locks, startWorker } = browser();
    const device = new FakeDevice();
    const noticed = deferred<string>();
    device.tabGone = noticed.resolve;
    const letGo = await locks.hold(tabLock("crashed"));
    const first = startWorker("a", true, () => Promise.resolve(device));
    await first.leading;
    await settled();
    letGo();
    expect(await noticed.promise).toBe("crashed");
  });

  it("says that another worker holds the files, and when they are free", async () => {
    const { startWorker } = browser();
    const free = deferred();
    const first = startWorker("a", true, async (_, stall) => {
      stall(true);
      await free.promise;
      stall(false);
      return new FakeDevice({ words: () => Promise.resolve(null) });
    });
    await first.leading;
    const answer = first.api.words();
    await settled();
    expect(first.stalled).toEqual([true]);
    free.resolve();
    expect(await answer).toBeNull();
    expect(first.stalled).toEqual([true, false]);
  });
});

describe("a hand-over", () => {
  it("closes the device only after calls under way are answered", async () => {
    const { locks, startWorker } = browser();
    const slow = deferred();
    const arrived = deferred();
    const device = new FakeDevice({
      confirmWords: () => {
        arrived.resolve();
        return slow.promise;
      },
    });
    const first = startWorker("a", true, () => Promise.resolve(device));
    await first.leading;
    const next = startWorker("b", true, () => Promise.resolve(new FakeDevice()));
    await locks.hold(visibleLock("b"));
    const call = first.api.confirmWords();
    await arrived.promise;
    first.worker.receive({ type: "visible", visible: false });
    await settled();
    expect(device.closed).toBe(false);
    slow.resolve();
    await call;
    await next.leading;
    expect(device.closed).toBe(true);
  });

  it("takes place all the same when a call takes too long", async () => {
    const { locks, timers, startWorker } = browser();
    const arrived = deferred();
    const device = new FakeDevice({
      confirmWords: () => {
        arrived.resolve();
        return new Promise(() => {});
      },
    });
    const first = startWorker("a", true, () => Promise.resolve(device));
    await first.leading;
    const next = startWorker("b", true, () => Promise.resolve(new FakeDevice()));
    await locks.hold(visibleLock("b"));
    void first.api.confirmWords();
    await arrived.promise;
    first.worker.receive({ type: "visible", visible: false });
    await settled();
    timers.advance(1_000);
    await next.leading;
    expect(device.closed).toBe(true);
  });

  it("ends the worker, files and all, when the device does not close", async () => {
    const { locks, timers, startWorker } = browser();
    const device = new FakeDevice();
    device.close = () => new Promise(() => {});
    const first = startWorker("a", true, () => Promise.resolve(device));
    await first.leading;
    const next = startWorker("b", true, () => Promise.resolve(new FakeDevice()));
    await locks.hold(visibleLock("b"));
    first.worker.receive({ type: "visible", visible: false });
    await settled();
    timers.advance(5_000);
    await first.finished;
    // The lock goes with the worker, not before: nobody may open files that are open.
    await settled();
    expect(next.told).toEqual([]);
  });

  it("does not take place when the tab is hidden and nobody else is in sight", async () => {
    const { locks, startWorker } = browser();
    const device = new FakeDevice({ words: () => Promise.resolve(null) });
    const first = startWorker("a", true, () => Promise.resolve(device));
    await first.leading;
    startWorker("b", false, () => Promise.resolve(new FakeDevice()));
    first.worker.receive({ type: "visible", visible: false });
    await locks.query();
    expect(await first.api.words()).toBeNull();
    expect(device.closed).toBe(false);
  });

  it("takes place before the tab is frozen, for whoever waits", async () => {
    const { startWorker } = browser();
    const device = new FakeDevice();
    const first = startWorker("a", true, () => Promise.resolve(device));
    await first.leading;
    const next = startWorker("b", false, () => Promise.resolve(new FakeDevice()));
    first.worker.receive({ type: "leaving" });
    await next.leading;
    expect(device.closed).toBe(true);
  });

  it("is asked for once more, of a leader that has handed over meanwhile, and changes nothing", async () => {
    const { locks, faults, startWorker } = browser();
    const first = startWorker("a", true, () => Promise.resolve(new FakeDevice()));
    await first.leading;
    await locks.hold(visibleLock("b"));
    const next = startWorker("b", true, () => Promise.resolve(new FakeDevice()));
    const lateAnswer = deferred();
    const query = locks.query.bind(locks);
    let asked = 0;
    locks.query = async () => {
      asked += 1;
      if (asked === 2) await lateAnswer.promise;
      return query();
    };
    first.worker.receive({ type: "visible", visible: false });
    first.worker.receive({ type: "visible", visible: false });
    await next.leading;
    lateAnswer.resolve();
    await settled();
    expect(asked).toBeGreaterThan(1);
    expect(faults).toEqual([]);
  });

  it("passes over a worker whose tab is frozen", async () => {
    const { timers, startWorker } = browser();
    const first = startWorker("a", true, () => Promise.resolve(new FakeDevice()));
    await first.leading;
    const frozen = startWorker("b", false, () => Promise.resolve(new FakeDevice()), {
      tabIsFrozen: true,
    });
    const third = startWorker("c", false, () => Promise.resolve(new FakeDevice()));
    first.worker.receive({ type: "leaving" });
    await settled();
    expect(frozen.told.map(({ type }) => type)).toEqual(["leading"]);
    timers.advance(1_000);
    await third.leading;
  });

  it("finds a hidden tab when the worker of the only visible one is dead", async () => {
    const { locks, startWorker } = browser();
    const letGo = await locks.hold(LEADER_LOCK);
    await locks.hold(visibleLock("crashed"));
    const first = startWorker("a", false, () => Promise.resolve(new FakeDevice()));
    startWorker("b", false, () => Promise.resolve(new FakeDevice()));
    letGo();
    await expect(first.leading).resolves.toBeUndefined();
  });
});

describe("a leader whose lock was stolen", () => {
  it("carries out nothing more and ends itself with its files", async () => {
    const { locks, startWorker } = browser();
    let carriedOut = 0;
    const device = new FakeDevice({
      words: () => {
        carriedOut += 1;
        return Promise.resolve(null);
      },
    });
    const first = startWorker("a", true, () => Promise.resolve(device));
    await first.leading;
    await first.api.words();
    locks.steal(LEADER_LOCK);
    await first.finished;
    void first.api.words();
    await settled();
    expect(carriedOut).toBe(1);
    // Closing would write the log into the main file.
    expect(device.closed).toBe(false);
  });
});

describe("the reception of other tabs", () => {
  it("opens only once the broker has answered, and answers who asks", async () => {
    const { air, startWorker } = browser();
    const first = startWorker("a", true, () => Promise.resolve(new FakeDevice()));
    await first.leading;
    const asking = air.bulletin();
    asking.post({ type: "who-leads", suspect: null });
    expect(air.notices.filter(({ type }) => type === "leads")).toEqual([]);
    await settled();
    asking.post({ type: "who-leads", suspect: null });
    const leads = { type: "leads", reign: "a.1", broker: "first" };
    expect(air.notices.filter(({ type }) => type === "leads")).toEqual([leads, leads]);
  });

  it("takes another broker when the first does not answer", async () => {
    const { air, locks, timers, startWorker } = browser();
    await locks.hold(tabLock("b"));
    const device = new FakeDevice({ words: () => Promise.resolve(null) });
    const first = startWorker("a", true, () => Promise.resolve(device), { broker: "silent" });
    await first.leading;
    await settled();
    timers.advance(500);
    await settled();
    expect(first.brokers).toEqual(["first", "a.1-1"]);
    expect(air.notices).toContainEqual({ type: "leads", reign: "a.1", broker: "a.1-1" });
    expect(await first.tab("b").words()).toBeNull();
  });

  it("tries a broker again that a tab suspects, and keeps it if it answers", async () => {
    const { air, timers, startWorker } = browser();
    const first = startWorker("a", true, () => Promise.resolve(new FakeDevice()));
    await first.leading;
    await settled();
    const told = air.notices.length;
    air.bulletin().post({ type: "who-leads", suspect: "first" });
    await settled();
    timers.advance(500);
    await settled();
    expect(first.brokers).toEqual(["first"]);
    expect(air.notices.slice(told + 1)).toEqual([{ type: "leads", reign: "a.1", broker: "first" }]);
  });

  it("says where there is no broker that it serves its own tab alone", async () => {
    const { air, startWorker } = browser();
    const first = startWorker("a", true, () => Promise.resolve(new FakeDevice()), {
      broker: "none",
    });
    await first.leading;
    expect(air.notices).toContainEqual({ type: "leads", reign: "a.1", broker: null });
  });
});

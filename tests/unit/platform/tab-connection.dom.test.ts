// @vitest-environment happy-dom
import { afterEach, describe, expect, it } from "vitest";
import { connectTab } from "#client/app/platform/tab-connection.ts";
import { ASK_EVERY_MS } from "#client/app/platform/leader-search.ts";
import type { ToBroker } from "#client/worker/broker.ts";
import type { Notice } from "#client/worker/bulletin.ts";
import { WORKER_METHODS } from "#client/worker/device-methods.ts";
import type { TabToWorker, WorkerToTab } from "#client/worker/leader.ts";
import type { WorkerApi, WorkerEvent } from "#client/worker/lock-api.ts";
import { LEADER_LOCK } from "#client/worker/lock-names.ts";
import { DELIVERY_LIMIT_MS, serve } from "#client/worker/rpc.ts";
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

/** A tab's worker as the tab sees it. */
class FakeWorker extends EventTarget {
  readonly told: TabToWorker[] = [];
  isTerminated = false;

  postMessage(message: TabToWorker): void {
    this.told.push(message);
  }

  terminate(): void {
    this.isTerminated = true;
  }

  say(data: WorkerToTab): void {
    this.dispatchEvent(new MessageEvent("message", { data }));
  }
}

/** Answers every call with nothing. */
const api = Object.fromEntries(
  Object.keys(WORKER_METHODS).map((name) => [name, () => Promise.resolve(null)]),
  // One for every method of the interface; what they return is not looked at.
) as unknown as WorkerApi;

function answer(port: MessagePort): void {
  serve<WorkerApi, WorkerEvent>(port, Promise.resolve(api), WORKER_METHODS, {
    onFault: (error) => {
      throw error;
    },
  });
}

/** One tab; the test plays its worker, the brokers and whoever leads. */
async function oneTab() {
  const locks = new FakeLocks();
  const timers = new ManualTimers();
  const air = new FakeAir();
  const workers: FakeWorker[] = [];
  const faults: unknown[] = [];
  /** Brokers that are connected to, by the order of connection, and the ports that came to them. */
  const brokers: string[] = [];
  const brokerEnds: MessagePort[] = [];
  const ports: { readonly broker: string; readonly reign: string; readonly port: MessagePort }[] =
    [];
  const others = air.bulletin();
  let reloads = 0;

  const connection = await connectTab({
    session: "a".repeat(32),
    locks: locks.asLockManager(),
    timers,
    bulletin: air.bulletin(),
    startWorker: () => {
      const worker = new FakeWorker();
      workers.push(worker);
      // Only what the tab uses of a worker.
      return worker as unknown as Worker;
    },
    connectBroker: (name) => {
      const { port1, port2 } = channel();
      brokers.push(name);
      brokerEnds.push(port1);
      port1.addEventListener("message", ({ data }: MessageEvent<ToBroker>) => {
        if (data.type === "port") ports.push({ broker: name, reign: data.reign, port: data.port });
      });
      port1.start();
      return port2;
    },
    reload: () => (reloads += 1),
    onFault: (error) => faults.push(error),
  });
  let restarts = 0;
  connection.onRestart(() => (restarts += 1));

  return {
    connection,
    locks,
    timers,
    workers,
    faults,
    brokers,
    brokerEnds,
    ports,
    get reloads() {
      return reloads;
    },
    get restarts() {
      return restarts;
    },
    say: (notice: Notice) => others.post(notice),
    questions: () => air.notices.filter(({ type }) => type === "who-leads"),
    /** Another tab's worker leads, and answers. */
    lead: async (reign: string, broker = "first") => {
      others.post({ type: "leads", reign, broker });
      await settled();
      const handed = ports.at(-1);
      if (handed?.reign !== reign) throw new Error("no port came for this reign");
      answer(handed.port);
      await settled();
    },
  };
}

/** Lets everything happen that needs no time. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe("a tab", () => {
  it("asks who leads, and sends its port to whoever answers, once", async () => {
    const tab = await oneTab();
    expect(tab.questions()).toEqual([{ type: "who-leads", suspect: null }]);
    expect(tab.connection.state.kind).toBe("connecting");
    await tab.lead("x.1");
    tab.say({ type: "leads", reign: "x.1", broker: "first" });
    await settled();
    expect(tab.ports.map(({ reign }) => reign)).toEqual(["x.1"]);
    expect(tab.connection.state.kind).toBe("connected");
    expect(tab.restarts).toBe(0);
  });

  it("serves itself through its own worker, and hears itself led no second time", async () => {
    const tab = await oneTab();
    const [worker] = tab.workers;
    worker?.say({ type: "leading", reign: "own.1" });
    const served = worker?.told.find((message) => message.type === "serve");
    if (served?.type !== "serve") throw new Error("the tab gave its worker no port");
    answer(served.port);
    tab.say({ type: "leads", reign: "own.1", broker: "first" });
    await tab.connection.api.words();
    expect(tab.connection.state.kind).toBe("connected");
    expect(tab.ports).toEqual([]);
  });

  it("says when another leads from now on, and sends again what was not answered", async () => {
    const tab = await oneTab();
    tab.say({ type: "leads", reign: "x.1", broker: "first" });
    const answered = tab.connection.api.words();
    await tab.lead("y.1");
    await answered;
    expect(tab.restarts).toBe(1);
  });

  it("gives its worker a successor when that has ended itself", async () => {
    const tab = await oneTab();
    tab.workers[0]?.say({ type: "finished" });
    expect(tab.workers.map(({ isTerminated }) => isTerminated)).toEqual([true, false]);
    const names = tab.workers.map(({ told: [first] }) => first?.type === "start" && first.worker);
    expect(new Set(names).size).toBe(2);
  });

  it("asks again after a freeze, and finds the leader it did not hear of", async () => {
    const tab = await oneTab();
    await tab.lead("x.1");
    const asked = tab.questions().length;
    document.dispatchEvent(new Event("resume"));
    expect(tab.questions()).toHaveLength(asked + 1);
    await tab.lead("y.1");
    expect(tab.connection.state.kind).toBe("connected");
  });
});

describe("a tab that is left", () => {
  it("holds no worker and no lock, asks nothing more, and starts anew when it is shown again", async () => {
    const tab = await oneTab();
    expect((await tab.locks.query()).held).toHaveLength(2);
    window.dispatchEvent(new Event("pagehide"));
    await settled();
    expect(tab.workers.map(({ isTerminated }) => isTerminated)).toEqual([true]);
    expect((await tab.locks.query()).held).toEqual([]);
    tab.timers.advance(ASK_EVERY_MS * 3);
    expect(tab.questions()).toHaveLength(1);
    expect(tab.reloads).toBe(0);
    window.dispatchEvent(Object.assign(new Event("pageshow"), { persisted: true }));
    expect(tab.reloads).toBe(1);
  });
});

describe("a leader that falls silent", () => {
  it("is reported after two seconds, as held by another tab after two more, and found again", async () => {
    const tab = await oneTab();
    await tab.locks.hold(LEADER_LOCK);
    await tab.lead("x.1");
    // From here on nobody listens.
    tab.ports.at(-1)?.port.close();
    const kept = tab.connection.api.confirmWords();
    tab.timers.advance(DELIVERY_LIMIT_MS - 1);
    expect(tab.connection.state.kind).toBe("connected");
    tab.timers.advance(1);
    expect(tab.connection.state).toMatchObject({
      kind: "unreachable",
      message: expect.stringContaining("What you write is kept in this window"),
    });
    tab.timers.advance(ASK_EVERY_MS);
    await settled();
    expect(tab.connection.state).toMatchObject({
      kind: "held-elsewhere",
      message: expect.stringContaining("Switch to it or close it"),
    });
    await tab.lead("x.1");
    await kept;
    expect(tab.connection.state.kind).toBe("connected");
  });

  it("is asked for again and again, and never more often than every two seconds", async () => {
    const tab = await oneTab();
    for (let time = 0; time < 10; time += 1) {
      tab.timers.advance(ASK_EVERY_MS);
      await settled();
    }
    expect(tab.questions()).toHaveLength(11);
    // Nobody holds the lock: no other tab is to blame.
    expect(tab.connection.state.kind).toBe("unreachable");
    await tab.lead("x.1");
    tab.timers.advance(ASK_EVERY_MS * 10);
    expect(tab.questions()).toHaveLength(11);
  });

  it("is not blamed at the start, while it may only be slow", async () => {
    const tab = await oneTab();
    void tab.connection.api.words();
    tab.timers.advance(ASK_EVERY_MS);
    await settled();
    expect(tab.connection.state.kind).toBe("connecting");
  });
});

describe("a broker", () => {
  it("is suspected when it says that it could not hand a port over, and another is used", async () => {
    const tab = await oneTab();
    tab.say({ type: "leads", reign: "x.1", broker: "sealeaf-broker" });
    await settled();
    // As a broker started afresh, which knows of no leader; no time passes.
    tab.brokerEnds.at(-1)?.postMessage({ type: "undelivered", reign: "x.1" });
    await settled();
    expect(tab.questions().at(-1)).toEqual({ type: "who-leads", suspect: "sealeaf-broker" });
    await tab.lead("x.1", "x.1-1");
    expect(tab.brokers.at(-1)).toBe("x.1-1");
    expect(tab.connection.state.kind).toBe("connected");
  });

  it("is suspected when nothing comes of a port, and connected to afresh: another of its name may live", async () => {
    const tab = await oneTab();
    tab.say({ type: "leads", reign: "x.1", broker: "sealeaf-broker" });
    await settled();
    const connected = tab.brokers.length;
    tab.timers.advance(ASK_EVERY_MS);
    await settled();
    expect(tab.questions().at(-1)).toEqual({ type: "who-leads", suspect: "sealeaf-broker" });
    await tab.lead("x.1", "sealeaf-broker");
    expect(tab.brokers).toHaveLength(connected + 1);
    expect(tab.connection.state.kind).toBe("connected");
  });
});

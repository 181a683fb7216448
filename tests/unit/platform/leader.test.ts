import { afterEach, describe, expect, it } from "vitest";
import type { DeviceApi, DeviceEvent } from "#client/device/api.ts";
import type { WorkerApi } from "#client/worker/lock-api.ts";
import type { ToBroker } from "#client/worker/broker.ts";
import { DEVICE_METHODS } from "#client/worker/device-methods.ts";
import { LeaderWorker } from "#client/worker/leader.ts";
import type { RunningDevice, WorkerToTab } from "#client/worker/leader.ts";
import { LEADER_LOCK, tabLock, visibleLock } from "#client/worker/lock-names.ts";
import { Refusal } from "#client/device/refusal.ts";
import { connect } from "#client/worker/rpc.ts";
import { deferred } from "#tests/support/deferred.ts";
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

/** A browser in which workers can be started; the test plays the broker. */
function browser() {
  const locks = new FakeLocks();
  const timers = new ManualTimers();
  const faults: unknown[] = [];

  function startWorker(
    session: string,
    visible: boolean,
    startDevice: () => Promise<RunningDevice>,
    withBroker = true,
  ) {
    const told: WorkerToTab[] = [];
    const leads: (() => void)[] = [];
    const worker = new LeaderWorker({
      locks: locks.asLockManager(),
      timers,
      startDevice,
      postToTab: (message) => told.push(message),
      onFault: (error) => faults.push(error),
    });
    const { port1, port2 } = channel();
    port1.addEventListener("message", ({ data }: MessageEvent<ToBroker>) => {
      if (data.type === "lead") for (const resolve of leads.splice(0)) resolve();
    });
    port1.start();
    void locks.hold(tabLock(session));
    const leading = new Promise<void>((resolve) => leads.push(resolve));
    worker.receive({ type: "start", session, visible, broker: withBroker ? port2 : null });

    function tab(of: string): DeviceApi {
      const ports = channel();
      const connection = connect<DeviceApi, DeviceEvent>(DEVICE_METHODS, timers, {
        onEvent: () => {},
        onReachable: () => {},
      });
      connection.attach(ports.port1);
      worker.receive({ type: "port", session: of, port: ports.port2 });
      return connection.api;
    }
    return { worker, leading, told, tab };
  }
  return { locks, timers, faults, startWorker };
}

describe("the leader", () => {
  it("answers with the device's own refusal when the device could not start", async () => {
    const { faults, startWorker } = browser();
    const refusal = { code: "storage" as const, message: "The disk is full." };
    const first = startWorker("a", true, () => Promise.reject(new Refusal(refusal)));
    await first.leading;
    await expect(first.tab("a").notes()).rejects.toMatchObject(refusal);
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
    const call = first.tab("a").confirmWords();
    await arrived.promise;
    first.worker.receive({ type: "visible", visible: false });
    await locks.query();
    expect(device.closed).toBe(false);
    slow.resolve();
    await call;
    await next.leading;
    expect(device.closed).toBe(true);
  });

  it("hands over all the same when a call takes too long", async () => {
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
    void first.tab("a").confirmWords();
    await arrived.promise;
    first.worker.receive({ type: "visible", visible: false });
    let ledByNext = false;
    const led = next.leading.then(() => {
      ledByNext = true;
    });
    // The alarm for the hand-over is set a few turns later: move time until it has rung.
    while (!ledByNext) {
      await new Promise((resolve) => setImmediate(resolve));
      timers.advance(1_000);
    }
    await led;
    expect(device.closed).toBe(true);
  });

  it("stays when its tab is hidden and nobody else is in sight", async () => {
    const { locks, startWorker } = browser();
    const device = new FakeDevice({ words: () => Promise.resolve(null) });
    const first = startWorker("a", true, () => Promise.resolve(device));
    await first.leading;
    startWorker("b", false, () => Promise.resolve(new FakeDevice()));
    first.worker.receive({ type: "visible", visible: false });
    await locks.query();
    expect(await first.tab("a").words()).toBeNull();
    expect(device.closed).toBe(false);
  });

  it("steps aside before it is frozen, for whoever waits", async () => {
    const { startWorker } = browser();
    const device = new FakeDevice();
    const first = startWorker("a", true, () => Promise.resolve(device));
    await first.leading;
    const next = startWorker("b", false, () => Promise.resolve(new FakeDevice()));
    first.worker.receive({ type: "leaving" });
    await next.leading;
    expect(device.closed).toBe(true);
  });

  it("is found by a hidden tab when the worker of the only visible one is dead", async () => {
    const { locks, startWorker } = browser();
    const letGo = await locks.hold(LEADER_LOCK);
    await locks.hold(visibleLock("crashed"));
    const first = startWorker("a", false, () => Promise.resolve(new FakeDevice()));
    startWorker("b", false, () => Promise.resolve(new FakeDevice()));
    letGo();
    await expect(first.leading).resolves.toBeUndefined();
  });

  it("says where there is no broker that another window holds the notes", async () => {
    const { locks, startWorker } = browser();
    const letGo = await locks.hold(LEADER_LOCK);
    const told = startWorker("a", true, () => Promise.resolve(new FakeDevice()), false).told;
    await locks.query();
    await locks.query();
    expect(told).toEqual([{ type: "held-elsewhere" }]);
    letGo();
    while (told.length < 2) await locks.query();
    expect(told[1]).toEqual({ type: "leading" });
  });
});

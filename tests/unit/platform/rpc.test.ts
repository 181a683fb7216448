import { afterEach, describe, expect, it } from "vitest";
import { Refusal } from "#client/device/refusal.ts";
import { DELIVERY_LIMIT_MS, connect, serve } from "#client/worker/rpc.ts";
import { deferred } from "#tests/support/deferred.ts";
import { ManualTimers } from "#tests/support/manual-timers.ts";

interface Api {
  add(a: number, b: number): Promise<number>;
  sum(bytes: Uint8Array): Promise<number>;
  fail(): Promise<void>;
  make(what: string, call?: string): Promise<string>;
}
const METHODS = { add: true, sum: true, fail: true, make: "named" } as const;

const channels: MessagePort[] = [];
afterEach(() => {
  for (const port of channels.splice(0)) port.close();
});

function channel(): MessageChannel {
  const made = new MessageChannel();
  channels.push(made.port1, made.port2);
  return made;
}

function world(api: Partial<Api> = {}) {
  const timers = new ManualTimers();
  const reachable: boolean[] = [];
  const events: string[] = [];
  const faults: unknown[] = [];
  const stalled: boolean[] = [];
  const connection = connect<Api, string>(
    { methods: METHODS, caller: "tab", timers },
    {
      onEvent: (event) => events.push(event),
      onReachable: (now) => reachable.push(now),
      onStalled: (now) => stalled.push(now),
    },
  );
  const complete: Api = {
    add: (a, b) => Promise.resolve(a + b),
    sum: (bytes) => Promise.resolve(bytes.reduce((total, byte) => total + byte, 0)),
    fail: () => Promise.reject(new Error("a bug")),
    make: (what, call) => Promise.resolve(`${what} by ${call}`),
    ...api,
  };
  function newLeader(overrides: Partial<Api> = {}) {
    const { port1, port2 } = channel();
    const served = serve<Api, string>(
      port2,
      Promise.resolve({ ...complete, ...overrides }),
      METHODS,
      { onFault: (error) => faults.push(error) },
    );
    connection.attach(port1);
    return served;
  }
  return { timers, reachable, stalled, events, faults, connection, newLeader };
}

describe("calls over a port", () => {
  it("answers calls and passes events", async () => {
    const { connection, newLeader, events, timers } = world();
    const leader = newLeader();
    leader.emit("hello");
    expect(await connection.api.add(2, 3)).toBe(5);
    expect(events).toEqual(["hello"]);
    expect(timers.waiting).toBe(0);
  });

  it("sends calls made before there was a leader", async () => {
    const { connection, newLeader } = world();
    const early = connection.api.add(1, 1);
    newLeader();
    expect(await early).toBe(2);
  });

  it("leaves the caller's bytes alone and sends no more of a buffer than the view", async () => {
    let received = 0;
    const { connection, newLeader } = world({
      sum: (bytes) => {
        received = bytes.buffer.byteLength;
        return Promise.resolve(bytes[0] ?? -1);
      },
    });
    newLeader();
    const view = new Uint8Array(1_000_000).subarray(10, 14).fill(7);
    const answer = connection.api.sum(view);
    view.fill(0);
    expect(await answer).toBe(7);
    expect(view.byteLength).toBe(4);
    expect(received).toBe(4);
  });

  it("keeps code and sentence of a refusal", async () => {
    const refusal = { code: "bad-link" as const, message: "This link is not complete." };
    const { connection, newLeader, faults } = world({
      fail: () => Promise.reject(new Refusal(refusal)),
    });
    newLeader();
    const caught = await connection.api.fail().catch((error: unknown) => error);
    expect(caught).toBeInstanceOf(Refusal);
    expect(caught).toMatchObject(refusal);
    expect(faults).toEqual([]);
  });

  it("reports a bug where it happened and tells the caller a sentence without its details", async () => {
    const { connection, newLeader, faults } = world();
    newLeader();
    await expect(connection.api.fail()).rejects.toMatchObject({ code: "unavailable" });
    await expect(connection.api.fail()).rejects.not.toThrow(/a bug/);
    expect(faults).toHaveLength(2);
  });

  it("refuses names that are not methods of the interface", async () => {
    const { port1, port2 } = channel();
    const faults: unknown[] = [];
    serve(port2, Promise.resolve({}), {}, { onFault: (error) => faults.push(error) });
    const answered = new Promise((resolve) => {
      port1.addEventListener("message", ({ data }: MessageEvent<{ type: string }>) => {
        if (data.type !== "received") resolve(data.type);
      });
    });
    port1.start();
    port1.postMessage({ type: "call", id: 1, method: "constructor", args: [] });
    expect(await answered).toBe("refusal");
    expect(faults).toHaveLength(1);
  });
});

describe("a change of leader", () => {
  it("sends an unanswered call to the new leader, once, and answers the caller", async () => {
    let first = 0;
    let second = 0;
    const { connection, newLeader } = world();
    const asked = deferred();
    newLeader({
      add: () => {
        first += 1;
        asked.resolve();
        return new Promise(() => {});
      },
    });
    const call = connection.api.add(4, 4);
    await asked.promise;
    newLeader({
      add: (a, b) => {
        second += 1;
        return Promise.resolve(a + b);
      },
    });
    expect(await call).toBe(8);
    expect([first, second]).toEqual([1, 1]);
  });

  it("does not send again what was answered", async () => {
    const { connection, newLeader } = world();
    newLeader();
    await connection.api.add(1, 2);
    let again = 0;
    newLeader({
      add: () => {
        again += 1;
        return Promise.resolve(0);
      },
    });
    await connection.api.sum(new Uint8Array(1));
    expect(again).toBe(0);
  });

  it("hands calls that a retiring leader no longer takes to the next", async () => {
    const { connection, newLeader, timers } = world();
    newLeader().stopListening();
    const call = connection.api.add(5, 5);
    timers.advance(10);
    newLeader();
    expect(await call).toBe(10);
  });

  it("names a call that makes something, the same however often it is sent", async () => {
    const { connection, newLeader } = world();
    const asked = deferred<string | undefined>();
    newLeader({
      make: (_, call) => {
        asked.resolve(call);
        return new Promise(() => {});
      },
    });
    const answer = connection.api.make("a note");
    const name = await asked.promise;
    newLeader();
    expect(await answer).toBe(`a note by ${name}`);
    expect(await connection.api.make("another")).not.toContain(`by ${name}`);
  });

  it("does not believe the leader before, whose refusals are no longer true", async () => {
    const { connection, newLeader } = world();
    const refuseNow = deferred();
    const asked = deferred();
    newLeader({
      add: async () => {
        asked.resolve();
        await refuseNow.promise;
        throw new Refusal({ code: "storage", message: "The files are closed." });
      },
    });
    const call = connection.api.add(2, 2);
    await asked.promise;
    newLeader({ add: async (a, b) => (await Promise.resolve(refuseNow.resolve()), a + b) });
    expect(await call).toBe(4);
  });

  it("waits for calls under way before a leader retires", async () => {
    const slow = deferred();
    const arrived = deferred();
    const { connection, newLeader } = world();
    const leader = newLeader({
      fail: async () => {
        arrived.resolve();
        await slow.promise;
      },
    });
    const call = connection.api.fail();
    await arrived.promise;
    leader.stopListening();
    const idle = leader.idle();
    slow.resolve();
    await idle;
    await expect(call).resolves.toBeUndefined();
  });
});

describe("a leader that does not answer", () => {
  it("is reported after two seconds and the call is not lost", async () => {
    const { connection, newLeader, reachable, timers } = world();
    const call = connection.api.add(3, 3);
    timers.advance(DELIVERY_LIMIT_MS - 1);
    expect(reachable).toEqual([]);
    timers.advance(1);
    expect(reachable).toEqual([false]);
    newLeader();
    expect(await call).toBe(6);
    expect(reachable).toEqual([false, true]);
  });

  it("says that it has to wait before it can carry anything out, once", async () => {
    const { connection, newLeader, stalled } = world();
    const leader = newLeader();
    leader.stall(false);
    leader.stall(true);
    leader.stall(true);
    await connection.api.add(0, 0);
    expect(stalled).toEqual([true]);
    leader.stall(false);
    await connection.api.add(0, 0);
    expect(stalled).toEqual([true, false]);
  });

  it("is not suspected while it works on something long", async () => {
    const done = deferred();
    const arrived = deferred();
    const { connection, newLeader, reachable, timers } = world();
    newLeader({
      fail: async () => {
        arrived.resolve();
        await done.promise;
      },
    });
    const call = connection.api.fail();
    await arrived.promise;
    // The confirmation was posted before the work began; one more round trip and it is here.
    await connection.api.add(0, 0);
    timers.advance(DELIVERY_LIMIT_MS * 10);
    expect(reachable).toEqual([true]);
    done.resolve();
    await call;
  });
});

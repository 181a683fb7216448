import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  connectionDeadline,
  openWithinMs,
  patienceMs,
  pingHiddenMs,
  pingVisibleMs,
  restingConnection,
  stepConnection,
  type ConnectionEvent,
  type ConnectionState,
} from "#client/sync/connection.ts";

const start = 1_000_000;

/** A machine with a clock that is moved by hand. */
class Machine {
  state: ConnectionState = restingConnection(start);
  now = start;
  chance = 0.5;
  readonly effects: string[] = [];

  tell(event: ConnectionEvent): readonly string[] {
    const step = stepConnection(this.state, event, this.now, this.chance);
    this.state = step.state;
    const types = step.effects.map(({ type }) => type);
    this.effects.push(...types);
    return types;
  }

  /** Ticks at each deadline within the next `ms`, as the shell's timer does. */
  pass(ms: number): readonly string[] {
    const until = this.now + ms;
    const seen: string[] = [];
    for (;;) {
      const deadline = connectionDeadline(this.state);
      if (deadline === null || deadline > until) break;
      this.now = Math.max(this.now, deadline);
      const before = this.state;
      seen.push(...this.tell({ type: "tick" }));
      if (this.state === before) break;
    }
    this.now = until;
    return seen;
  }

  open(): this {
    if (this.state.phase === "waiting") this.pass(this.state.retryAt - this.now);
    else this.tell({ type: "start" });
    this.tell({ type: "opened" });
    this.tell({ type: "welcomed" });
    return this;
  }

  /** Dialling fails at once, `times` times in a row; the last failure has just happened. */
  fail(times: number): this {
    if (this.state.phase === "resting") this.tell({ type: "start" });
    for (let failed = 0; failed < times; failed += 1) {
      if (this.state.phase === "waiting") this.pass(this.state.retryAt - this.now);
      this.tell({ type: "closed", retryAfterMs: 0 });
    }
    return this;
  }
}

describe("connecting", () => {
  it("dials, greets and opens, each once", () => {
    const machine = new Machine().open();
    expect(machine.effects).toEqual(["dial", "greet", "connected"]);
    expect(machine.state.phase).toBe("open");
    expect(machine.tell({ type: "start" })).toEqual([]);
    expect(machine.tell({ type: "opened" })).toEqual([]);
    expect(machine.tell({ type: "welcomed" })).toEqual([]);
  });

  it("gives dialling and greeting together eight seconds", () => {
    const machine = new Machine();
    machine.tell({ type: "start" });
    machine.now += 5_000;
    machine.tell({ type: "opened" });
    expect(machine.pass(openWithinMs - 5_000 - 1)).toEqual([]);
    expect(machine.pass(1)).toEqual(["hang-up"]);
    expect(machine.state.phase).toBe("waiting");
  });

  it("never dials while resting, whatever it is told", () => {
    const machine = new Machine();
    const rest: ConnectionEvent[] = [
      { type: "network", online: true },
      { type: "network", online: false },
      { type: "visible", visible: true },
      { type: "closed", retryAfterMs: 0 },
      { type: "tick" },
      { type: "opened" },
      { type: "welcomed" },
    ];
    for (const event of rest) expect(machine.tell(event)).toEqual([]);
    expect(connectionDeadline(machine.state)).toBeNull();
  });

  it("hangs up when stopped, and rests", () => {
    const machine = new Machine().open();
    expect(machine.tell({ type: "stop" })).toEqual(["hang-up", "disconnected"]);
    expect(machine.pass(600_000)).toEqual([]);
    const dialling = new Machine();
    dialling.tell({ type: "start" });
    expect(dialling.tell({ type: "stop" })).toEqual(["hang-up"]);
    const waiting = new Machine().fail(1);
    expect(waiting.tell({ type: "stop" })).toEqual([]);
    expect(waiting.pass(600_000)).toEqual([]);
  });
});

/** Numbers from 0 to 1 that follow from a seed. */
function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

describe("trying again", () => {
  it("waits a random part of a time that doubles up to a minute", () => {
    for (const [failures, ceiling] of [
      [1, 2_000],
      [2, 4_000],
      [3, 8_000],
      [5, 32_000],
      [6, 60_000],
      [40, 60_000],
    ] as const) {
      const least = new Machine();
      least.chance = 0;
      least.fail(failures);
      expect(least.state.retryAt - least.now).toBe(0);

      const most = new Machine();
      most.chance = 0.999_999;
      most.fail(failures);
      const wait = most.state.retryAt - most.now;
      expect(wait).toBeLessThan(ceiling);
      expect(wait).toBeGreaterThan(ceiling - 100);
    }
  });

  it("is spread when two hundred lose their relay at one moment (attack 60)", () => {
    const draw = mulberry(60);
    const seconds = new Map<number, number>();
    for (let device = 0; device < 200; device += 1) {
      const machine = new Machine();
      machine.chance = draw();
      machine.fail(6);
      const wait = machine.state.retryAt - machine.now;
      expect(wait).toBeLessThanOrEqual(60_000);
      const second = Math.floor(wait / 1_000);
      seconds.set(second, (seconds.get(second) ?? 0) + 1);
    }
    expect(Math.max(...seconds.values())).toBeLessThan(15);
    expect(seconds.size).toBeGreaterThan(40);
  });

  it("starts from the beginning after half a minute of health, and not before", () => {
    const healthy = new Machine().fail(6);
    healthy.open();
    healthy.now += 30_000;
    healthy.tell({ type: "closed", retryAfterMs: 0 });
    expect(healthy.state.failures).toBe(0);

    const brief = new Machine().fail(6);
    brief.open();
    brief.now += 29_999;
    brief.tell({ type: "closed", retryAfterMs: 0 });
    expect(brief.state.failures).toBe(7);
  });

  it("does not come back before the relay wants it to", () => {
    const machine = new Machine().open();
    machine.chance = 0;
    machine.tell({ type: "closed", retryAfterMs: 12_000 });
    expect(machine.pass(11_999)).toEqual([]);
    expect(machine.pass(1)).toEqual(["dial"]);
  });

  it("dials at once when the network is back, but not more than once in three seconds", () => {
    const machine = new Machine();
    machine.chance = 0.999;
    machine.fail(6);
    expect(machine.tell({ type: "network", online: true })).toEqual(["dial"]);
    machine.tell({ type: "closed", retryAfterMs: 0 });
    machine.now += 2_999;
    expect(machine.tell({ type: "network", online: true })).toEqual([]);
    expect(machine.tell({ type: "visible", visible: true })).toEqual([]);
    machine.now += 1;
    expect(machine.tell({ type: "visible", visible: true })).toEqual(["dial"]);
  });
});

describe("a socket that swallows everything", () => {
  it("is noticed within ten seconds while somebody looks", () => {
    const machine = new Machine().open();
    const seen = machine.pass(10_000 - 1);
    expect(seen).toEqual(["ping", "hang-up", "disconnected"]);
    expect(pingVisibleMs + patienceMs).toBeLessThan(10_000);
  });

  it("is noticed within half a minute in the background", () => {
    const machine = new Machine().open();
    machine.tell({ type: "visible", visible: false });
    expect(machine.pass(pingHiddenMs - 1)).toEqual([]);
    expect(machine.pass(1 + patienceMs)).toEqual(["ping", "hang-up", "disconnected"]);
  });

  it("is not suspected while anything is heard", () => {
    const machine = new Machine().open();
    for (let second = 0; second < 60; second += 1) {
      expect(machine.pass(1_000)).toEqual([]);
      machine.tell({ type: "heard" });
    }
  });

  it("is let be when the ping is answered in time", () => {
    const machine = new Machine().open();
    expect(machine.pass(pingVisibleMs)).toEqual(["ping"]);
    machine.now += patienceMs - 1;
    machine.tell({ type: "heard" });
    expect(machine.pass(1)).toEqual([]);
    expect(machine.state.phase).toBe("open");
  });

  it("is asked at once when somebody looks again", () => {
    const machine = new Machine().open();
    machine.tell({ type: "visible", visible: false });
    machine.now += 20_000;
    expect(machine.tell({ type: "visible", visible: true })).toEqual(["ping"]);
  });

  it("is given up at once when the browser says offline", () => {
    const machine = new Machine().open();
    expect(machine.tell({ type: "network", online: false })).toEqual(["hang-up", "disconnected"]);
  });
});

describe("a browser that says offline", () => {
  it("does not stop a connection on its way: the relay may be next door", () => {
    const machine = new Machine();
    machine.tell({ type: "start" });
    expect(machine.tell({ type: "network", online: false })).toEqual([]);
    expect(machine.tell({ type: "opened" })).toEqual(["greet"]);
    expect(machine.tell({ type: "welcomed" })).toEqual(["connected"]);
  });
});

describe("whatever happens in whatever order", () => {
  const event: fc.Arbitrary<ConnectionEvent> = fc.oneof(
    fc.constantFrom<ConnectionEvent>(
      { type: "start" },
      { type: "stop" },
      { type: "opened" },
      { type: "welcomed" },
      { type: "heard" },
      { type: "tick" },
    ),
    fc.boolean().map((online) => ({ type: "network" as const, online })),
    fc.boolean().map((visible) => ({ type: "visible" as const, visible })),
    fc.nat(100_000).map((retryAfterMs) => ({ type: "closed" as const, retryAfterMs })),
  );

  it("connects before it disconnects, holds one socket, and always knows its next deadline", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(event, fc.nat(30_000)), { maxLength: 60 }), (steps) => {
        const machine = new Machine();
        let connected = false;
        let hasSocket = false;
        for (const [next, ms] of steps) {
          machine.now += ms;
          if (next.type === "closed") hasSocket = false;
          for (const effect of machine.tell(next)) {
            // Dialling needs that there is no socket; greeting and pinging that there is one.
            expect([effect, hasSocket]).not.toEqual(["dial", true]);
            expect([effect, hasSocket]).not.toEqual(["greet", false]);
            expect([effect, hasSocket]).not.toEqual(["ping", false]);
            expect([effect, connected]).not.toEqual(["connected", true]);
            expect([effect, connected]).not.toEqual(["disconnected", false]);
            if (effect === "dial" || effect === "hang-up") hasSocket = effect === "dial";
            if (effect === "connected" || effect === "disconnected") {
              connected = effect === "connected";
            }
          }
          expect(connected).toBe(machine.state.phase === "open");
          expect(connectionDeadline(machine.state) === null).toBe(
            machine.state.phase === "resting",
          );
        }
      }),
    );
  });
});

import { describe, expect, it } from "vitest";
import { ShownTimes } from "#client/app/state/shown-times.ts";
import { HandClock } from "./setup-app.ts";

function setupTimes() {
  const clock = new HandClock();
  const told: (readonly number[])[] = [];
  const faults: unknown[] = [];
  let failure: Error | null = null;
  const device = {
    shown: async (delays: readonly number[]) => {
      if (failure !== null) throw failure;
      told.push(delays);
    },
  };
  const times = new ShownTimes(device, clock, (fault) => faults.push(fault));
  return { clock, told, faults, times, fail: (error: Error) => (failure = error) };
}

describe("how long edits of others take to the screen", () => {
  it("is told of several at once, each from its arrival", async () => {
    const { clock, told, times } = setupTimes();
    times.arrived(clock.now());
    await clock.pass(30);
    times.arrived(clock.now());
    times.shown();
    times.arrived(clock.now());
    await clock.pass(5);
    times.shown();
    expect(told).toEqual([]);
    await clock.pass(10_000);
    expect(told).toEqual([[30, 5]]);
    await clock.pass(60_000);
    expect(told).toHaveLength(1);
  });

  it("is nothing for what was not shown, or shown without having arrived", async () => {
    const { clock, told, times } = setupTimes();
    times.shown();
    times.arrived(clock.now());
    times.left();
    times.shown();
    await clock.pass(20_000);
    expect(told).toEqual([]);
  });

  it("is never less than nothing, nor what a sleeping window took, and at most so many", async () => {
    const { clock, told, times } = setupTimes();
    times.arrived(clock.now() + 500);
    times.shown();
    times.arrived(clock.now() - 3_600_000);
    times.shown();
    for (let ix = 0; ix < 500; ix += 1) {
      times.arrived(clock.now());
      times.shown();
    }
    await clock.pass(10_000);
    expect(told[0]).toHaveLength(50);
    expect(Math.max(...(told[0] ?? []))).toBe(0);
  });

  it("does not disturb anybody when the device does not answer", async () => {
    const { clock, faults, times, fail } = setupTimes();
    const error = new Error("gone");
    fail(error);
    times.arrived(clock.now());
    times.shown();
    await clock.pass(10_000);
    expect(faults).toEqual([error]);
  });
});

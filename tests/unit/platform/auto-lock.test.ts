import { describe, expect, it } from "vitest";
import { AutoLockWatch } from "#client/worker/auto-lock.ts";
import { ManualTimers } from "#tests/support/manual-timers.ts";

const minute = 60_000;

function setupWatch() {
  const timers = new ManualTimers();
  let time = 1_000_000;
  let locks = 0;
  const watch = new AutoLockWatch(timers, { now: () => time }, () => (locks += 1));
  return {
    watch,
    timers,
    locks: () => locks,
    setClock: (ms: number) => (time += ms),
    /** Time as it is while the computer is awake. */
    pass: (ms: number) => {
      for (let passed = 0; passed < ms; passed += 1_000) {
        time += 1_000;
        timers.advance(1_000);
      }
    },
  };
}

describe("the automatic lock", () => {
  it("comes after the minutes without input, once", () => {
    const { watch, pass, locks, timers } = setupWatch();
    watch.start(5);
    pass(4 * minute + 50_000);
    expect(locks()).toBe(0);
    pass(10_000);
    expect(locks()).toBe(1);
    pass(60 * minute);
    expect(locks()).toBe(1);
    expect(timers.waiting).toBe(0);
  });

  it("waits for the minutes again after every input", () => {
    const { watch, pass, locks } = setupWatch();
    watch.start(1);
    for (let times = 0; times < 10; times += 1) {
      pass(50_000);
      watch.input();
    }
    expect(locks()).toBe(0);
    pass(minute);
    expect(locks()).toBe(1);
  });

  it("comes on waking up when the computer slept through it, before the first input counts", () => {
    const { watch, locks, setClock } = setupWatch();
    watch.start(15);
    setClock(8 * 60 * minute);
    watch.input();
    expect(locks()).toBe(1);
  });

  it("comes on waking up also when nobody touches anything", () => {
    const { watch, locks, setClock, timers } = setupWatch();
    watch.start(15);
    setClock(8 * 60 * minute);
    timers.advance(10_000);
    expect(locks()).toBe(1);
  });

  it("is neither hastened nor prevented by a clock that is set back", () => {
    const { watch, locks, setClock, pass } = setupWatch();
    watch.start(5);
    pass(2 * minute);
    setClock(-24 * 60 * minute);
    pass(2 * minute + 50_000);
    expect(locks()).toBe(0);
    pass(20_000);
    expect(locks()).toBe(1);
  });

  it("never comes when it is not wanted, or not any more", () => {
    const { watch, locks, pass, timers } = setupWatch();
    watch.start(null);
    pass(60 * minute);
    watch.start(1);
    pass(30_000);
    watch.start(null);
    watch.input();
    pass(60 * minute);
    expect(locks()).toBe(0);
    expect(timers.waiting).toBe(0);
  });
});

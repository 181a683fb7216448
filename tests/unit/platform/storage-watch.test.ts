import { describe, expect, it } from "vitest";
import { watchStorage } from "#client/worker/storage-watch.ts";
import { ManualTimers } from "#tests/support/manual-timers.ts";

function setupWatch() {
  const timers = new ManualTimers();
  let isThere = true;
  let sign: () => void = () => {};
  let gone = 0;
  const faults: unknown[] = [];
  const stop = watchStorage(
    {
      stillThere: async () => isThere,
      onSign: (listener) => {
        sign = listener;
        return () => (sign = () => {});
      },
      timers,
      onFault: (error) => faults.push(error),
    },
    () => (gone += 1),
  );
  return {
    timers,
    stop,
    faults,
    sign: () => sign(),
    remove: () => (isThere = false),
    gone: () => gone,
    /** Lets a look under way come to its end. */
    pass: async (ms: number) => {
      timers.advance(ms);
      for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
    },
  };
}

describe("the watch on the files", () => {
  it("notices within ten seconds that they have gone, once", async () => {
    const { pass, remove, gone, timers } = setupWatch();
    await pass(10_000);
    await pass(10_000);
    expect(gone()).toBe(0);
    remove();
    await pass(10_000);
    expect(gone()).toBe(1);
    expect(timers.waiting).toBe(0);
  });

  it("notices at once at a sign, also when the files go a moment after it", async () => {
    const first = setupWatch();
    first.remove();
    first.sign();
    await first.pass(0);
    expect(first.gone()).toBe(1);

    const second = setupWatch();
    second.sign();
    await second.pass(0);
    second.remove();
    await second.pass(500);
    expect(second.gone()).toBe(1);
    expect(second.timers.waiting).toBe(0);
  });

  it("says nothing for a sign that meant something else, nor after its end", async () => {
    const { pass, sign, remove, gone, stop, timers } = setupWatch();
    sign();
    await pass(0);
    await pass(2_000);
    expect(gone()).toBe(0);
    remove();
    stop();
    sign();
    await pass(20_000);
    expect(gone()).toBe(0);
    expect(timers.waiting).toBe(0);
  });
});

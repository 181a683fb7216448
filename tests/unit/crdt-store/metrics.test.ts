import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Histogram } from "#crdt-store/histogram.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { reopen, setupStore } from "./store-fixtures.ts";

describe("a histogram", () => {
  it("tells nothing before the first time", () => {
    expect(new Histogram().percentiles()).toBeNull();
  });

  it("tells percentiles within a tenth of the exact ones", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 2, max: 3_000_000 }), { minLength: 1, maxLength: 500 }),
        (times) => {
          const histogram = new Histogram();
          for (const ms of times) histogram.add(ms);
          const sorted = times.toSorted((a, b) => a - b);
          const told = histogram.percentiles();
          for (const [share, name] of [
            [0.5, "p50"],
            [0.95, "p95"],
            [0.99, "p99"],
          ] as const) {
            const exact = sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
            // Half a bucket, and the rounding to a whole ms.
            expect(Math.abs((told?.[name] ?? 0) - exact)).toBeLessThanOrEqual(0.1 * exact + 1);
          }
        },
      ),
    );
  });

  it("stays as small however much is added, and forgets what was long ago", () => {
    const histogram = new Histogram();
    for (let ix = 0; ix < 5_000; ix += 1) histogram.add(100_000);
    for (let ix = 0; ix < 20_000; ix += 1) histogram.add(10);
    expect(histogram.buckets().length).toBeLessThan(100);
    expect(histogram.percentiles()?.count).toBeLessThanOrEqual(2_000);
    expect(histogram.percentiles()?.p99).toBeLessThan(20);
  });

  it("comes back from what was kept of it, whatever was kept", () => {
    const histogram = new Histogram();
    for (const ms of [-5, 0, 1, 40, 41, 10 ** 9]) histogram.add(ms);
    expect(new Histogram(histogram.buckets()).percentiles()).toEqual(histogram.percentiles());
    const damaged = [1.5, -3, Number.NaN, Number.POSITIVE_INFINITY, 2];
    expect(new Histogram(damaged).percentiles()?.count).toBe(2);
  });
});

describe("the metrics of a store", () => {
  it("outlive its process once they are saved", async () => {
    const { store, files, clock } = await setupStore();
    store.metrics.count("divergence-checks", 3);
    store.metrics.count("retry/RATE");
    store.metrics.count("retry/broken", 2);
    store.metrics.measure("push", 80);
    store.metrics.save();
    store.close();
    const again = reopen(await loadNodeEngine(), files, undefined, clock).metrics;
    expect(again.counted("divergence-checks")).toBe(3);
    expect(again.counted("divergences")).toBe(0);
    expect(again.retries()).toEqual([
      { reason: "broken", times: 2 },
      { reason: "RATE", times: 1 },
    ]);
    expect(again.measured("push")).toMatchObject({ count: 1 });
    expect(again.measured("pull")).toBeNull();
  });

  it("write nothing for being counted, and along with something else at most once a minute", async () => {
    const { store, files, clock } = await setupStore();
    const before = JSON.stringify(files.snapshot());
    store.metrics.count("pushed");
    store.metrics.measure("push", 80);
    store.transaction(() => store.metrics.saveAlong());
    expect(JSON.stringify(files.snapshot())).toBe(before);
    clock.time += 60_000;
    store.transaction(() => store.metrics.saveAlong());
    expect(JSON.stringify(files.snapshot())).not.toBe(before);
  });

  it("are gone with everything else when the store is emptied", async () => {
    const { store } = await setupStore();
    store.metrics.count("pushed");
    store.metrics.save();
    store.clear();
    expect(store.metrics.counted("pushed")).toBe(0);
  });
});

/** The room on the disk, its mark, and readiness. */
import { describe, expect, it } from "vitest";
import { DiskWatch } from "#relay/disk-watch.ts";
import { Readiness } from "#relay/readiness.ts";
import { VirtualTime } from "#tests/unit/relay/relay-on-virtual-time.ts";

class FakeDisk {
  readonly time = new VirtualTime();
  readonly log: string[] = [];
  readonly watch: DiskWatch;
  free: number | null = 5000;

  constructor(keepFreeBytes: number) {
    this.watch = new DiskWatch({
      freeBytes: () => Promise.resolve(this.free),
      keepFreeBytes,
      timers: this.time,
      log: (level, event) => this.log.push(`${level} ${event}`),
    });
  }
}

function setupDisk(keepFreeBytes = 1000): FakeDisk {
  return new FakeDisk(keepFreeBytes);
}

describe("the watch over the disk", () => {
  it("knows at its start whether there is room", async () => {
    const disk = setupDisk();
    disk.free = 999;
    await disk.watch.start();
    expect(disk.watch.isFull).toBe(true);
  });

  it("says when room runs out, and when there is some again, a little above the mark", async () => {
    const disk = setupDisk();
    await disk.watch.start();
    const states: boolean[] = [];
    for (const free of [1000, 999, 1000, 1049, 1050, 1000]) {
      disk.free = free;
      await disk.time.advance(1000);
      states.push(disk.watch.isFull);
    }
    expect(states).toEqual([false, true, true, true, false, false]);
    expect(disk.log).toEqual([
      "warn the disk is nearly full: only reading goes on",
      "info there is room on the disk again",
    ]);
    disk.watch.stop();
    disk.free = 0;
    await disk.time.advance(60_000);
    expect(disk.watch.isFull).toBe(false);
  });

  it("holds nothing back where there is no mark or nobody can say", async () => {
    const unmarked = setupDisk(0);
    unmarked.free = 0;
    await unmarked.watch.start();
    expect(unmarked.watch.isFull).toBe(false);
    const unknown = setupDisk();
    unknown.free = null;
    await unknown.watch.start();
    expect(unknown.watch.isFull).toBe(false);
  });
});

describe("readiness", () => {
  it("needs a store that answers in time, room on the disk, and no end in sight", async () => {
    const time = new VirtualTime();
    let probe: () => Promise<unknown> = () => Promise.resolve();
    let isDiskFull = false;
    const readiness = new Readiness({
      probe: () => probe(),
      isDiskFull: () => isDiskFull,
      timers: time,
    });
    const well = { isReady: true, store: true, disk: true, draining: false };
    expect(await readiness.look()).toEqual(well);
    isDiskFull = true;
    expect(await readiness.look()).toEqual({ ...well, isReady: false, disk: false });
    isDiskFull = false;
    probe = () => Promise.reject(new Error("gone"));
    expect(await readiness.look()).toEqual({ ...well, isReady: false, store: false });
    probe = () => new Promise(() => undefined);
    const looked = readiness.look();
    await time.advance(5000);
    expect(await looked).toEqual({ ...well, isReady: false, store: false });
    probe = () => Promise.resolve();
    readiness.isDraining = true;
    expect(await readiness.look()).toEqual({ ...well, isReady: false, draining: true });
  });
});

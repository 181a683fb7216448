/** A device whose disk is full, and then is not. */
import { describe, expect, it } from "vitest";
import { nodeAutomerge, nodeEd25519, nodeRandom } from "#client/cli/node-ports.ts";
import type { DeviceEvent } from "#client/device/api.ts";
import { Device } from "#client/device/device.ts";
import type { DevicePorts } from "#client/device/device-ports.ts";
import { FaultyFiles } from "#crdt-store/files/faulty.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { startTestRelay } from "#tests/support/relay.ts";
import { eventually, setupDevice } from "./setup-device.ts";

const session = "5".repeat(32);

/** A disk with so much room as a test gives it: files may be overwritten, not grow. */
class LimitedFiles extends FaultyFiles {
  #isFull = false;
  #grown = 0;
  #room = Infinity;

  constructor() {
    super(() => 0);
    this.taken = (count) => this.#take(count);
  }

  /** Nothing more fits, but for so many bytes. */
  fill(room = 0): void {
    this.#isFull = true;
    this.#room = room;
    this.#grown = 0;
  }

  empty(): void {
    this.#isFull = false;
  }

  #take(count: number): number {
    if (!this.#isFull) return count;
    this.#grown += count;
    if (this.#grown <= this.#room) return count;
    throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
  }
}

async function setupFull(ports: Partial<DevicePorts> = {}) {
  const files = new LimitedFiles();
  const engine = await loadNodeEngine();
  const open = (): Store =>
    openStore({ engine, files, key: new Uint8Array(32).fill(9), clock: Date, random: nodeRandom });
  const timers = new HandTimers();
  const store = open();
  const device = Device.open({
    store,
    ed: nodeEd25519(),
    clock: Date,
    timers,
    random: nodeRandom,
    chance: () => 0.5,
    dial: () => ({ send: () => undefined, close: () => undefined }),
    automerge: nodeAutomerge,
    sessionAlive: async () => true,
    deviceName: "Test machine",
    relayUrl: null,
    durable: true,
    connect: "always",
    openScratchStore: () => Promise.reject(new Error("nobody asks for words here")),
    openSearchIndex: null,
    ...ports,
  });
  const events: DeviceEvent[] = [];
  device.subscribe((event) => events.push(event));
  device.create();
  await device.describeStale();
  const { id } = await device.createNote({ title: "Tent", body: "Pegs and poles." });
  return {
    device,
    store,
    files,
    timers,
    events,
    id,
    /** What is found by whoever opens the files after this device was killed. */
    reopened: open,
    async [Symbol.asyncDispose]() {
      await device.close();
      store.close();
    },
  };
}

/** Timers that ring when a test says so. */
class HandTimers {
  #now = 0;
  #timers: { readonly at: number; readonly ring: () => void }[] = [];

  after(ms: number, ring: () => void): () => void {
    const timer = { at: this.#now + ms, ring };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  pass(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [next] = this.#timers.filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at);
      if (next === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.at);
      next.ring();
    }
    this.#now = end;
  }
}

async function failureOf(step: () => Promise<unknown>): Promise<unknown> {
  try {
    await step();
    return null;
  } catch (error) {
    return error;
  }
}

describe("a device without room", () => {
  it("refuses writing in words, says so in its status, and goes on reading", async () => {
    await using fixture = await setupFull();
    const { device, files, id } = fixture;
    expect(await device.status()).toMatchObject({ full: false });
    files.fill();

    const failure = await failureOf(() => device.createNote({ title: "Stove" }));
    expect(failure).toBeInstanceOf(StoreError);
    expect(failure).toMatchObject({ type: "disk-full" });
    const status = await device.status();
    expect(status).toMatchObject({ full: true, word: "needs-you" });
    expect(status.detail).toContain("out of space");

    expect(await device.readNote(id)).toMatchObject({ body: "Pegs and poles." });
    expect((await device.notes()).map(({ title }) => title)).toEqual(["Tent"]);
  });

  it("opens a note for reading only, and for writing when there is room again", async () => {
    await using fixture = await setupFull();
    const { device, files, id } = fixture;
    files.fill();
    expect(await device.openNote(id, session)).toMatchObject({ role: "read" });
    files.empty();
    expect(await device.openNote(id, session)).toMatchObject({ role: "admin" });
    expect(await device.status()).toMatchObject({ full: false });
  });

  it("tells when it has become full and when it no longer is, each once", async () => {
    await using fixture = await setupFull();
    const { device, files, timers, events } = fixture;
    timers.pass(1_000);
    events.length = 0;
    const told = (): boolean[] =>
      events.flatMap((event) => (event.type === "status" ? [event.status.full] : []));
    files.fill();
    for (let time = 0; time < 3; time += 1) {
      await failureOf(() => device.createNote({ title: "Stove" }));
    }
    timers.pass(100);
    expect(told()).toEqual([true]);
    files.empty();
    await device.createNote({ title: "Stove" });
    timers.pass(100);
    expect(new Set(told().slice(1))).toEqual(new Set([false]));
  });

  it("looks for room by itself, after growing pauses", async () => {
    await using fixture = await setupFull();
    const { device, store, files, timers } = fixture;
    files.fill();
    await failureOf(() => device.createNote({ title: "Stove" }));
    timers.pass(0);
    let looks = 0;
    files.before = ({ type, role }) => {
      if (type === "write" && role === "wal") looks += 1;
    };
    timers.pass(1_000);
    expect(looks).toBe(0);
    timers.pass(120_000);
    expect(looks).toBeGreaterThan(3);
    expect(looks).toBeLessThan(12);
    expect(store.isFull).toBe(true);

    files.empty();
    timers.pass(60_000);
    expect(store.isFull).toBe(false);
    expect(await device.status()).toMatchObject({ full: false });
  });

  it("looks at once when it is asked to", async () => {
    await using fixture = await setupFull();
    const { device, files } = fixture;
    files.fill();
    await failureOf(() => device.createNote({ title: "Stove" }));
    expect(await device.tryStorage()).toBe(false);
    // Room for a few pages is not room for a note.
    files.fill(20_000);
    expect(await device.tryStorage()).toBe(false);
    files.empty();
    expect(await device.tryStorage()).toBe(true);
    expect(await device.status()).toMatchObject({ full: false });
  });

  it("holds everything it acknowledged when it is killed in the middle, and is sound", async () => {
    const fixture = await setupFull();
    const { device, files, id } = fixture;
    files.fill(30_000);
    const kept = [id];
    for (let note = 0; note < 12; note += 1) {
      const made = await device
        .createNote({ title: `Note ${note}`, body: "Words. " })
        .catch(() => null);
      if (made !== null) kept.push(made.id);
    }
    expect(kept.length).toBeLessThan(13);
    await device.close();
    files.losePower();
    files.empty();
    const store = fixture.reopened();
    store.checkIntegrity();
    expect(store.notes.count()).toBe(kept.length);
    store.close();
  });

  it("keeps a crashed tab's draft until there is room to make it a change", async () => {
    await using fixture = await setupFull({ sessionAlive: async () => false });
    const { device, files, timers, id } = fixture;
    const { actor } = await device.openNote(id, session);
    const { heads } = await device.readNote(id);
    await device.draft(id, {
      session,
      actor,
      heads,
      edits: [{ field: "body", at: 0, remove: 0, insert: "Dry " }],
    });
    files.fill();
    expect(await device.readNote(id)).toMatchObject({ body: "Pegs and poles." });
    files.empty();
    expect(await device.tryStorage()).toBe(true);
    timers.pass(0);
    await device.describeStale();
    expect(await device.readNote(id)).toMatchObject({ body: "Dry Pegs and poles." });
  });
});

describe("synchronising without room", { timeout: 60_000 }, () => {
  it("loses neither its place nor a change, and catches up when there is room", async () => {
    const relay = await startTestRelay();
    const files = new LimitedFiles();
    await using ana = await setupDevice({ relayUrl: relay.url });
    const words = await ana.device.words();
    expect(await ana.device.settled(20_000)).toBe(true);
    const engine = await loadNodeEngine();
    const store = openStore({ engine, files, key: null, clock: Date, random: nodeRandom });
    await using ben = await setupDevice({ relayUrl: relay.url, fresh: true, store });
    await ben.device.restore((words ?? []).join(" "));
    expect(await ben.device.settled(20_000)).toBe(true);

    files.fill();
    const made = await ana.device.createNote({ title: "Tent", body: "Pegs." });
    await ana.device.settled(20_000);
    await eventually(ben.device, async () => (await ben.device.status()).full);
    expect(await ben.device.status()).toMatchObject({ word: "needs-you" });
    expect(await ben.device.notes()).toEqual([]);

    files.empty();
    expect(await ben.device.tryStorage()).toBe(true);
    await eventually(ben.device, async () => (await ben.device.notes()).length === 1);
    expect(await ben.device.settled(20_000)).toBe(true);
    expect(await ben.device.readNote(made.id)).toMatchObject({ body: "Pegs." });
    store.checkIntegrity();
    await relay.stop();
  });
});

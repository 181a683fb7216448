/** That the simulation repeats, and that it can fail. The seeds are in the files beside. */
import { beforeAll, describe, expect, it } from "vitest";
import type { Store } from "#crdt-store/store.ts";
import { loadEngines, World, type Engines } from "#tests/support/world.ts";
import { secrets } from "./cast.ts";
import { runStory } from "./story.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

describe("a run", () => {
  it("follows from its seed, to the byte", async () => {
    const first = await runStory({ seed: "twice", engines });
    const second = await runStory({ seed: "twice", engines });
    const other = await runStory({ seed: "thrice", engines });
    expect(first.trace.length).toBeGreaterThan(500);
    expect(second.trace).toEqual(first.trace);
    expect(second.digest).toBe(first.digest);
    expect(other.digest).not.toBe(first.digest);
  });

  it("does something: people write, and what they wrote is looked for", async () => {
    const total = { words: 0, notes: 0 };
    for (const seed of ["busy", "busier", "busiest"]) {
      const { words, notes, problems } = await runStory({ seed, engines });
      expect(problems).toEqual([]);
      total.words += words;
      total.notes += notes;
    }
    expect(total.words).toBeGreaterThan(30);
    expect(total.notes).toBeGreaterThan(4);
  });
});

describe("a run with a planted fault fails", () => {
  it("when a device takes one entry for acknowledged that it never sent", async () => {
    const { problems } = await runStory({
      seed: "twice",
      engines,
      tamper: (store, device) => {
        if (device === "ada-1") forgetOneEntry(store, 3);
      },
    });
    expect(problems.join("\n")).toContain("lacks a change that ada-1 had acknowledged");
  });

  it("when a device forgets a change it has received", async () => {
    const { problems } = await runStory({
      seed: "twice",
      engines,
      tamper: (store, device) => {
        if (device === "ada-2") swallowOneChange(store, 12);
      },
    });
    expect(problems.join("\n")).toContain("ada-2 and ada-1 differ");
  });
});

describe("the search for leaks", () => {
  it("finds each secret in clear, in a frame and in a device's own files", async () => {
    const world = new World({ seed: "leak", engines, encrypted: false, secrets });
    for (const secret of secrets) {
      expect(world.secretsIn(new TextEncoder().encode(`x${secret}x`))).toEqual([secret]);
    }
    const sim = world.addDevice("clear");
    const device = sim.open();
    device.create();
    await device.createNote({ title: "Title-secret", body: "‹word-1›" });
    const held = sim.bytes();
    expect(world.secretsIn(held?.wal ?? new Uint8Array(0))).toContain("Title-secret");
    await world.end();
  });

  it("finds nothing in the files of a device with a key", async () => {
    const world = new World({ seed: "sealed", engines, encrypted: true, secrets });
    const sim = world.addDevice("sealed");
    const device = sim.open();
    device.create();
    await device.createNote({ title: "Title-secret", body: "‹word-1›" });
    const held = sim.bytes();
    expect(held?.wal.length).toBeGreaterThan(4096);
    expect(world.secretsIn(held?.wal ?? new Uint8Array(0))).toEqual([]);
    expect(world.secretsIn(held?.main ?? new Uint8Array(0))).toEqual([]);
    await world.end();
  });
});

/**
 * The so-manieth entry of notes that is sealed counts as taken by the relay at once, at a place that was read before: at
 * one that is still to come the device would notice by itself.
 */
function forgetOneEntry(store: Store, which: number): void {
  let sealed = 0;
  const seal = store.outbox.seal.bind(store.outbox);
  store.outbox.seal = (entry) => {
    seal(entry);
    if (store.documents.get(entry.doc)?.kind === "note") sealed += 1;
    if (sealed === which) store.outbox.acknowledge(entry.space, entry.entryId, 1);
  };
}

/** The so-manieth change from elsewhere is taken for known. */
function swallowOneChange(store: Store, which: number): void {
  let seen = 0;
  const insert = store.changes.insert.bind(store.changes);
  store.changes.insert = (changes) =>
    insert(
      changes.filter((change) => {
        if (change.local) return true;
        seen += 1;
        return seen !== which;
      }),
    );
}

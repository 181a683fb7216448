/** That the long story repeats, that it does something, and that it can fail. */
import { beforeAll, describe, expect, it } from "vitest";
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { loadEngines, World, type Engines } from "#tests/support/world.ts";
import { runLongStory } from "./long-story.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

/** In it people are removed who do not come back. */
const removing = "4";
/** In it the relay's disk is emptied. */
const losing = "2";

describe("the long story", { timeout: 300_000 }, () => {
  it("follows from its seed, and people come and go in it", async () => {
    const first = await runLongStory({ seed: removing, engines, safeRelay: true });
    const second = await runLongStory({ seed: removing, engines, safeRelay: true });
    expect(first.problems).toEqual([]);
    expect(first.done["removed a person"]).toBeGreaterThan(0);
    expect(first.done.joined).toBeGreaterThan(0);
    expect(first.done["came back by the words"]).toBeGreaterThan(0);
    expect(second.trace).toEqual(first.trace);
    expect(second.digest).toBe(first.digest);
  });

  it("fails when a key reaches those who have no access any more", async () => {
    const tamper = handKeysToThoseWhoLeft();
    const { problems } = await runLongStory({ seed: removing, engines, safeRelay: true, tamper });
    expect(problems.join("\n")).toMatch(/holds a key of .* from after its access ended/);
  });

  it("fails when nobody gives back what the relay lost", async () => {
    const lossy = await runLongStory({ seed: losing, engines });
    expect(lossy.problems).toEqual([]);
    expect(lossy.done["the relay was emptied"]).toBeGreaterThan(0);
    const tamper = (store: Store): void => {
      store.losses.open = () => false;
    };
    const { problems } = await runLongStory({ seed: losing, engines, tamper });
    expect(problems.join("\n")).toMatch(/not quiet|is gone from|differ/);
  });

  it("fails when what waits is forgotten with what is acknowledged", async () => {
    const found: string[] = [];
    for (const seed of [removing, losing, "8"]) {
      const tamper = forgetWhatWaits;
      const { problems } = await runLongStory({ seed, engines, safeRelay: true, tamper });
      found.push(...problems);
    }
    expect(found.join("\n")).toMatch(/differ|is gone from/);
  });

  it("knows a key wherever it stands", async () => {
    const world = new World({ seed: "key", engines, encrypted: false, secrets: [] });
    const key = world.chance.bytes(32);
    world.addSecret(key);
    expect(world.secretsIn(new Uint8Array([1, ...key, 2]))).toEqual([`the key ${toHex(key)}`]);
    expect(world.secretsIn(world.chance.bytes(64))).toEqual([]);
    await world.end();
  });
});

/** With every acknowledgement all that waits in the same space leaves the queue as if it had been in it. */
function forgetWhatWaits(store: Store): void {
  const acknowledge = store.outbox.acknowledge.bind(store.outbox);
  store.outbox.acknowledge = (space, entryId, pos) => {
    const known = acknowledge(space, entryId, pos);
    for (const { doc, hashes } of known ? store.outbox.pending(space) : []) {
      for (const hash of hashes) store.outbox.drop(doc, hash);
      store.changes.setPosition(doc, hashes, pos);
    }
    return known;
  };
}

/** A device that learns that its access has ended is given the keys that others have. */
function handKeysToThoseWhoLeft(): (store: Store, device: string) => void {
  const stores = new Map<string, Store>();
  return (store, device) => {
    stores.set(device, store);
    const update = store.spaces.update.bind(store.spaces);
    store.spaces.update = (space, changes) => {
      update(space, changes);
      if (changes.state !== "ended") return;
      for (const [name, other] of stores) {
        if (name === device) continue;
        try {
          for (const { keyCommit, epoch, key } of other.spaces.keys(space)) {
            store.spaces.putKey(space, keyCommit, epoch, key);
          }
        } catch {
          // It does not run at the moment.
        }
      }
    };
  };
}

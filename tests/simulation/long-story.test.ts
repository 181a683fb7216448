/** That the long story repeats, that it does something, and that it can fail. */
import { beforeAll, describe, expect, it } from "vitest";
import type { Store } from "#crdt-store/store.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { loadEngines, World, type Engines } from "#tests/support/world.ts";
import { runLongStory, type Deed, type LongOptions, type LongOutcome } from "./long-story.ts";

let engines: Engines;
beforeAll(async () => {
  engines = await loadEngines();
});

const seeds = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10"];

/** The first of these stories in which all of that took effect. */
async function storyWith(...wanted: readonly Deed[]): Promise<LongOutcome> {
  for (const seed of seeds) {
    const outcome = await runLongStory({ seed, engines, safeRelay: true });
    if (wanted.every((deed) => outcome.done[deed] > 0)) return outcome;
  }
  throw new Error(`in none of ${seeds.length} stories all of ${wanted.join(", ")} took effect`);
}

/** What the first stories with a planted fault complain of, until one complains as it should. */
async function complaints(
  about: RegExp,
  options: Pick<LongOptions, "safeRelay"> & { readonly plant: () => LongOptions["tamper"] },
): Promise<string> {
  const told: string[] = [];
  for (const seed of seeds) {
    const { plant, ...rest } = options;
    const tamper = plant();
    const planted = tamper === undefined ? {} : { tamper };
    const { problems } = await runLongStory({ seed, engines, ...rest, ...planted });
    told.push(...problems);
    if (about.test(problems.join("\n"))) break;
  }
  return told.join("\n");
}

describe("the long story", { timeout: 600_000 }, () => {
  it("follows from its seed, and people come and go in it", async () => {
    const first = await storyWith("removed a person", "joined", "came back by the words");
    const second = await runLongStory({ seed: first.seed, engines, safeRelay: true });
    expect(first.problems).toEqual([]);
    expect(second.trace).toEqual(first.trace);
    expect(second.digest).toBe(first.digest);
  });

  it("fails when a key reaches those who have no access any more", async () => {
    const about = /holds a key of .* from after its access ended/;
    const plant = handKeysToThoseWhoLeft;
    expect(await complaints(about, { safeRelay: true, plant })).toMatch(about);
  });

  it("fails when nobody gives back what the relay lost", async () => {
    const about = /not quiet|is gone from|differ/;
    const plant = () => (store: Store) => {
      store.losses.open = () => undefined;
    };
    expect(await complaints(about, { plant })).toMatch(about);
  });

  it("fails when what waits is forgotten with what is acknowledged", async () => {
    const about = /differ|is gone from/;
    const plant = () => forgetWhatWaits;
    expect(await complaints(about, { safeRelay: true, plant })).toMatch(about);
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

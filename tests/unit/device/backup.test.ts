/** A backup opens with the words alone, all of it or nothing; what is restored and its original both go on. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  backupKeyOf,
  backupWords,
  becomeDevice,
  learnBackupKey,
  readBackup,
  writeBackup,
  type BackupSource,
} from "#client/device/backup.ts";
import {
  beginBackup,
  chunkBytes,
  headerBytes,
  openBackup,
  tagBytes,
} from "#client/device/backup-file.ts";
import type { Device } from "#client/device/device.ts";
import { loadIdentity } from "#client/device/identity.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { nobleCipher } from "#crdt-store/files/page-cipher.ts";
import { StoreFromCopy } from "#crdt-store/store-copy.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { concat } from "#relay/protocol/bytes.ts";
import { releasedStores } from "#tests/support/released-stores.ts";
import { Chance } from "#tests/support/sim-chance.ts";
import { loadEngines, World, type SimDevice } from "#tests/support/world.ts";
import { oneWorld } from "#tests/support/one-world.ts";
import { wordsOf } from "#client/crypto/phrase.ts";

const engines = await loadEngines();
const keep = oneWorld();

function newWorld(seed: string): World {
  const world = new World({ seed, engines, encrypted: false, secrets: [] });
  keep(world);
  return world;
}

const chance = new Chance("backup");
const random = (length: number): Uint8Array => chance.bytes(length);

async function backupOf(store: Store, key = backupKeyOf(store)): Promise<Uint8Array> {
  if (key === null) throw new Error("this device has no backup key");
  const parts: Uint8Array[] = [];
  await writeBackup({ store, random, cipher: nobleCipher }, key, async (bytes) => {
    parts.push(bytes.slice());
  });
  return concat(...parts);
}

function sourceOf(bytes: Uint8Array): BackupSource {
  let at = 0;
  return async (count) => {
    const piece = bytes.subarray(at, at + count);
    at += piece.length;
    return piece;
  };
}

/** The files of a store made of a backup, not yet a device of its own. */
async function unpacked(backup: Uint8Array, words: readonly string[]): Promise<MemoryFiles> {
  const files = new MemoryFiles();
  const target = new StoreFromCopy({ files, key: null, random, cipher: nobleCipher });
  const { key } = backupWords(engines.ed, words.join(" "));
  await readBackup(sourceOf(backup), "file", key, nobleCipher, target);
  target.finish();
  return files;
}

async function restored(backup: Uint8Array, words: readonly string[]): Promise<MemoryFiles> {
  const files = await unpacked(backup, words);
  const store = openIn(files);
  const opened = backupWords(engines.ed, words.join(" "));
  becomeDevice({ store, ed: engines.ed, random }, opened);
  store.close();
  return files;
}

function openIn(files: MemoryFiles): Store {
  const clock = { now: () => 1_000 };
  return openStore({ engine: engines.sqlite, files, key: null, clock, random });
}

function deviceOf(sim: SimDevice): Device {
  if (sim.running === null) throw new Error(`${sim.name} does not run`);
  return sim.running.device;
}

function storeOf(sim: SimDevice): Store {
  if (sim.running === null) throw new Error(`${sim.name} does not run`);
  return sim.running.store;
}

async function append(sim: SimDevice, note: string, insert: string): Promise<void> {
  const { body, heads } = await deviceOf(sim).readNote(note);
  const edit = { field: "body" as const, at: body.length, remove: 0, insert };
  await deviceOf(sim).spliceNote(note, heads, [edit]);
}

async function during<T>(made: World, work: Promise<T>): Promise<T> {
  work.catch(() => {}); // awaited below, when its time has passed
  await made.timeline.advance(10_000);
  return work;
}

describe("a device restored from a backup", { timeout: 60_000 }, () => {
  it("and its original go on side by side: nothing is lost, nothing stands twice", async () => {
    const made = newWorld("side by side");
    const { timeline, network, relay } = made;
    await relay.start();
    const original = made.addDevice("original");
    const friend = made.addDevice("friend");
    const words = original.open().create();
    friend.open().create();
    await timeline.advance(2_000);
    const { id: note } = await deviceOf(original).createNote({ title: "Tree", body: "root" });
    const [notebook] = await deviceOf(original).notebooks();
    const { link } = await during(made, deviceOf(original).share(notebook?.id ?? "", "edit"));
    await during(made, deviceOf(friend).join(link));
    await append(friend, note, " friend");
    await timeline.advance(5_000);

    // One change is sealed and on its way, one waits behind it; the copy has both.
    network.part("original", "swallow");
    await append(original, note, " sealed");
    await timeline.advance(100);
    await append(original, note, " waiting");
    const space = storeOf(original)
      .spaces.list()
      .find(({ kind }) => kind === "notebook");
    expect(storeOf(original).outbox.sealed(space?.id ?? new Uint8Array())).toHaveLength(1);
    expect(storeOf(original).outbox.depth()).toBe(2);
    const backup = await backupOf(storeOf(original));
    network.join("original");

    await append(original, note, " later");
    const copy = made.addDevice("copy", (await restored(backup, words)).snapshot());
    copy.open();
    expect((await deviceOf(copy).readNote(note)).body).toBe("root friend sealed waiting");
    // Both write at once, in the same note and in new ones, before and after they hear of each other.
    await append(copy, note, " copy");
    const { id: fromCopy } = await deviceOf(copy).createNote({ title: "From the copy" });
    await timeline.advance(60_000);
    await append(original, note, " again");
    await append(copy, note, " too");
    const { id: fromOriginal } = await deviceOf(original).createNote({
      title: "From the original",
    });
    await deviceOf(copy).setDisplayName("Copy");
    await timeline.advance(60_000);

    const texts = new Set<string>();
    for (const sim of [original, copy, friend]) {
      const { body } = await deviceOf(sim).readNote(note);
      texts.add(body);
      for (const word of "root friend sealed waiting later copy again too".split(" "))
        expect(body.split(word)).toHaveLength(2);
      const listed = (await deviceOf(sim).notes()).map(({ id }) => id);
      expect(listed).toEqual(expect.arrayContaining([note, fromCopy, fromOriginal]));
      expect(storeOf(sim).inbox.quarantined()).toEqual([]);
      expect(await deviceOf(sim).status()).toMatchObject({ word: "up-to-date", waiting: 0 });
    }
    expect(texts.size).toBe(1);
    const keys = (sim: SimDevice) => loadIdentity(storeOf(sim));
    expect(keys(copy)?.secret).toEqual(keys(original)?.secret);
    expect(keys(copy)?.incarnation).not.toEqual(keys(original)?.incarnation);
    expect(relay.errors).toEqual([]);
  });

  it("sends what had never left its original, which is gone, and may be copied again", async () => {
    const made = newWorld("gone");
    const { timeline, relay } = made;
    await relay.start();
    const original = made.addDevice("original");
    const words = original.open().create();
    await timeline.advance(5_000);
    made.network.part("original", "refuse");
    const { id: note } = await deviceOf(original).createNote({ title: "Unsent", body: "one" });
    await append(original, note, " two");
    const first = await backupOf(storeOf(original));
    await original.kill();

    const copy = made.addDevice("copy", (await restored(first, words)).snapshot());
    copy.open();
    made.network.part("copy", "refuse");
    await append(copy, note, " three");
    const second = await backupOf(storeOf(copy));
    await copy.kill();

    const last = made.addDevice("last", (await restored(second, words)).snapshot());
    last.open();
    await append(last, note, " four");
    const fresh = made.addDevice("fresh");
    fresh.open();
    await timeline.advance(30_000);
    await during(made, deviceOf(fresh).restore(words.join(" ")));
    await timeline.advance(30_000);
    expect((await deviceOf(fresh).readNote(note)).body).toBe("one two three four");
    expect(await deviceOf(last).status()).toMatchObject({ word: "up-to-date", waiting: 0 });
    expect(await deviceOf(last).words()).toBeNull();
    for (const sim of [last, fresh]) expect(storeOf(sim).inbox.quarantined()).toEqual([]);
  });
});

describe("a backup", { timeout: 60_000 }, () => {
  it("is one moment's state, also while the store is being written to", async () => {
    const made = newWorld("moment");
    const sim = made.addDevice("writer");
    const words = sim.open().create();
    const { id: note } = await deviceOf(sim).createNote({ title: "Moment", body: "before" });
    const text = "x".repeat(1 << 18);
    await deviceOf(sim).createNote({ title: "Large", body: text });
    const store = storeOf(sim);
    const parts: Uint8Array[] = [];
    const key = backupKeyOf(store) ?? new Uint8Array();
    await writeBackup({ store, random, cipher: nobleCipher }, key, async (bytes) => {
      parts.push(bytes.slice());
      // Between any two pieces: enough to make SQLite empty its log into the main file.
      await append(sim, note, ` after ${parts.length}`);
      store.keyValues.put(["filler", String(parts.length)], random(1 << 20));
    });
    expect(parts.length).toBeGreaterThan(3);
    const copy = made.addDevice("copy", (await restored(concat(...parts), words)).snapshot());
    copy.open();
    expect((await deviceOf(copy).readNote(note)).body).toBe("before");
    expect(storeOf(copy).keyValues.range(["filler"])).toEqual([]);
    // The original lost nothing, and its log is emptied again.
    const left = new MemoryFiles(sim.bytes() ?? undefined);
    store.checkIntegrity();
    expect((await deviceOf(sim).readNote(note)).body).toContain(` after ${parts.length}`);
    expect(left.wal.size()).toBeGreaterThan(1 << 20);
    for (let ix = 0; ix < 3; ix += 1) store.keyValues.put(["more", String(ix)], random(1 << 20));
    expect(sim.bytes()?.main.length).toBeGreaterThan(left.main.size());
  });

  it("holds nothing in clear, and two of one store have nothing in common", async () => {
    const sim = newWorld("clear").addDevice("writer");
    sim.open().create();
    await deviceOf(sim).createNote({ title: "the heron stands", body: "in the reeds" });
    const [one, other] = [await backupOf(storeOf(sim)), await backupOf(storeOf(sim))];
    for (const secret of ["heron", "reeds", "SQLite format"])
      expect(Buffer.from(one).includes(secret)).toBe(false);
    expect(one.subarray(0, 16)).toEqual(other.subarray(0, 16));
    const blocks = (bytes: Uint8Array): readonly string[] => {
      const text = Buffer.from(bytes.subarray(16)).toString("latin1");
      return Array.from({ length: Math.floor(text.length / 16) }, (_, ix) =>
        text.slice(16 * ix, 16 * ix + 16),
      );
    };
    const seen = new Set(blocks(one));
    expect(blocks(other).filter((block) => seen.has(block))).toEqual([]);
  });

  it("is refused in words if it is not whole, not ours, or opened with other words", async () => {
    const sim = newWorld("refused").addDevice("writer");
    const words = sim.open().create();
    const whole = await backupOf(storeOf(sim));
    const changed = (at: number): Uint8Array => {
      const bytes = whole.slice();
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      return bytes;
    };
    const second = headerBytes + chunkBytes + tagBytes;
    const swapped = concat(
      whole.subarray(0, headerBytes),
      whole.subarray(second, second + chunkBytes + tagBytes),
      whole.subarray(headerBytes, second),
      whole.subarray(second + chunkBytes + tagBytes),
    );
    const cases: readonly (readonly [Uint8Array, RegExp])[] = [
      [new Uint8Array(), /file is not a backup of Sealeaf\.$/],
      [new TextEncoder().encode("SQLite format 3\0".repeat(40)), /is not a backup of Sealeaf\.$/],
      [changed(15), /newer version of Sealeaf: install that one\.$/],
      [whole.subarray(0, 40), /damaged or cut short/],
      [whole.subarray(0, headerBytes), /damaged or cut short/],
      [whole.subarray(0, second), /damaged or cut short/],
      [whole.subarray(0, -1), /damaged or cut short/],
      [concat(whole, new Uint8Array([0])), /damaged or cut short/],
      [swapped, /damaged or cut short/],
      [changed(whole.length - 1), /damaged or cut short/],
      [changed(headerBytes), /damaged or cut short/],
      [changed(60), /do not open the backup file/],
    ];
    for (const [bytes, sentence] of cases)
      await expect(unpacked(bytes, words)).rejects.toThrow(sentence);
    const others = wordsOf(random(32));
    await expect(unpacked(whole, others)).rejects.toThrow(/was made under others\.$/);
    await expect(unpacked(whole, words.slice(1))).rejects.toThrow(/23 words/);
  });

  it("of the format's first version opens, and its device goes on with all it held", async () => {
    const [released] = releasedStores();
    if (released === undefined) throw new Error("no released store is committed");
    const committed = new URL("../../vectors/backups/v1.backup", import.meta.url);
    const files = await restored(new Uint8Array(readFileSync(committed)), released.words);
    const sim = newWorld("vector").addDevice("copy", files.snapshot());
    sim.open();
    for (const [id, { title, body }] of Object.entries(released.notes))
      expect(await deviceOf(sim).readNote(id)).toMatchObject({ title, body });
  });

  it("of another identity's store is not taken for the words' own", async () => {
    const made = newWorld("foreign");
    const sim = made.addDevice("writer");
    const words = sim.open().create();
    const other = made.addDevice("other");
    other.open().create();
    const { key } = backupWords(engines.ed, words.join(" "));
    await expect(restored(await backupOf(storeOf(other), key), words)).rejects.toThrow(
      "the device of the words",
    );
  });

  it("needs no words on a device that has begun with them, else only once", async () => {
    const made = newWorld("key");
    const sim = made.addDevice("writer");
    const words = sim.open().create();
    const store = storeOf(sim);
    await deviceOf(sim).confirmWords();
    const { key } = backupWords(engines.ed, words.join(" "));
    expect(backupKeyOf(store)).toEqual(key);
    // As version 0.1 left it, with the words and without.
    store.settings.remove("device/backup-key");
    expect(backupKeyOf(store)).toBeNull();
    const others = wordsOf(random(32)).join(" ");
    expect(() => learnBackupKey(store, engines.ed, others)).toThrow("another identity");
    expect(backupKeyOf(store)).toBeNull();
    expect(learnBackupKey(store, engines.ed, words.join(" "))).toEqual(key);
    expect(backupKeyOf(store)).toEqual(key);
  });
});

describe("the chunks of a backup file", () => {
  it("open in their order, the last as the last, and in no other way", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 6 }),
        fc.nat(5),
        fc.nat(40),
        (plains, which, at) => {
          const key = random(32);
          const { header, chunks } = beginBackup(key, random, nobleCipher);
          const sealed = plains.map((plain, ix) => chunks.seal(plain, ix === plains.length - 1));
          const reader = () => {
            const opened = openBackup(key, header, nobleCipher);
            if (opened.type !== "opened") throw new Error(opened.type);
            return opened.chunks;
          };
          const inOrder = reader();
          for (const [ix, chunk] of sealed.entries())
            expect(inOrder.open(chunk, ix === sealed.length - 1)).toEqual(plains[ix]);
          const index = which % sealed.length;
          const one = sealed[index] ?? new Uint8Array();
          const isLast = index === sealed.length - 1;
          const before = reader();
          for (const chunk of sealed.slice(0, index)) before.open(chunk, false);
          expect(before.open(one, !isLast)).toBeNull();
          const flipped = one.slice();
          flipped[at % one.length] = (flipped[at % one.length] ?? 0) ^ 8;
          expect(before.open(flipped, isLast)).toBeNull();
          expect(before.open(one.subarray(0, -1), isLast)).toBeNull();
          // A chunk in the place of another: the first of another file, and of this one.
          const moved = index === 0 ? beginBackup(key, random, nobleCipher).chunks : reader();
          expect(moved.open(one, isLast)).toBeNull();
        },
      ),
      { numRuns: 60 },
    );
  });
});

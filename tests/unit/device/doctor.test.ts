/** The doctor finds each kind of damage, names what to do, goes on with the rest, and changes nothing. */
import { createHash } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { backupWords, becomeDevice } from "#client/device/backup.ts";
import { examineStore, type Finding } from "#client/device/doctor.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { overlayFiles } from "#crdt-store/files/overlay.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { releasedStores, type ReleasedStoreFiles } from "#tests/support/released-stores.ts";
import { Chance } from "#tests/support/sim-chance.ts";
import { loadEngines, World, type Engines } from "#tests/support/world.ts";

let engines: Engines;
let released: ReleasedStoreFiles;
beforeAll(async () => {
  engines = await loadEngines();
  const [oldest] = releasedStores();
  if (oldest === undefined) throw new Error("no released store is committed");
  released = oldest;
});

const chance = new Chance("doctor");
const random = (length: number): Uint8Array => chance.bytes(length);

/** A store with something of everything, to which this was done. */
function damagedFiles(sql: string): MemoryFiles {
  const files = released.files("plain");
  const sqlite = Sqlite.open({ engine: engines.sqlite, files, codec: null });
  sqlite.run("PRAGMA foreign_keys=OFF");
  sqlite.script(sql);
  sqlite.close();
  return files;
}

function fingerprint(files: MemoryFiles): string {
  const hash = createHash("sha256");
  for (const bytes of Object.values(files.snapshot())) hash.update(bytes).update("|");
  return hash.digest("hex");
}

function open(files: MemoryFiles): Store {
  const clock = { now: () => 1_000 };
  const options = { engine: engines.sqlite, key: null, clock, random };
  return openStore({ ...options, files: overlayFiles(files) });
}

function examined(files: MemoryFiles): readonly Finding[] {
  const store = open(files);
  try {
    return [...examineStore({ store, automerge: engines.automerge, ed: engines.ed, random })];
  } finally {
    store.close();
  }
}

const damage: readonly (readonly [string, string, RegExp])[] = [
  [
    "a change whose bytes rot",
    "UPDATE change SET bytes = zeroblob(length) WHERE id = (SELECT max(id) FROM change)",
    /^The note \w+ has 1 damaged change\.$/,
  ],
  [
    "changes that nobody queued",
    "DELETE FROM pending; DELETE FROM sealed",
    /^2 changes written here would never be sent\.$/,
  ],
  ["a lost entry", "DELETE FROM sealed", /^1 change said to be on the way would never arrive\.$/],
  [
    "an entry of nothing that waits",
    "DELETE FROM pending WHERE entry_id IS NOT NULL",
    /^1 change on the way would not be counted as waiting\.$/,
  ],
  [
    "a damaged entry",
    "UPDATE sealed SET bytes = zeroblob(length(bytes))",
    /^A sealed entry that waits to be sent is damaged\.$/,
  ],
  ["a counter put back", "UPDATE counter SET last = 0", /^A number .* may be given twice\.$/],
  [
    "a cursor off its chain",
    "UPDATE cursor SET chain = zeroblob(32)",
    /^The place reached in the log of the notebook \w+ does not fit its chain\.$/,
  ],
  ["lost keys", "DELETE FROM epoch_key", /^The key of the vault is missing\.$/],
  [
    "a damaged control record",
    "UPDATE control SET bytes = zeroblob(length(bytes)), hash = zeroblob(32) WHERE seq = 2",
    /^The record of who may open the vault is damaged from its entry 2 on\.$/,
  ],
  ["no vault", "DELETE FROM space WHERE kind = 'vault'", /^The vault of this device is missing\.$/],
  [
    "a document without a notebook",
    "DELETE FROM document WHERE kind = 'note'",
    /^The note \w+ belongs to no notebook\.$/,
  ],
  [
    "a snapshot of other heads",
    "UPDATE snapshot SET heads = zeroblob(32)",
    /^The note \w+ has a snapshot of another version\.$/,
  ],
  ["a table that is gone", "DROP TABLE quarantine", /^A part could not be read: .*quarantine\.$/],
];

describe("the doctor", () => {
  it("finds nothing wrong with a store in use, and counts what waits and what was set aside", () => {
    const findings = examined(released.files("plain"));
    expect(findings.filter(({ level }) => level === "trouble")).toEqual([]);
    const texts = findings.map(({ text }) => text);
    expect(texts).toContain("The database is sound.");
    expect(texts).toContain("All 5 documents can be opened, whole.");
    expect(texts).toContain("2 changes wait to be sent.");
    expect(texts).toContain("1 change could not be applied: its seal does not open.");
    expect(texts.at(-1)).toMatch(
      /^2 notes; 0 packed changes and 14 of \d KiB; 1 snapshot of \d KiB\.$/,
    );
  });

  it.each(damage)("finds %s, says what to do, and changes nothing", (_, sql, sentence) => {
    const files = damagedFiles(sql);
    const before = fingerprint(files);
    const findings = examined(files);
    const found = findings.filter(({ level, text }) => level === "trouble" && sentence.test(text));
    expect(found.length).toBeGreaterThan(0);
    for (const { remedy } of found) expect(remedy).toMatch(/another home/);
    // Whatever is wrong, the rest was looked at.
    expect(findings.at(-1)?.check).toMatch(/^(sizes|quarantine)$/);
    expect(fingerprint(files)).toBe(before);
  });

  it("takes a damaged snapshot and changes that are still to come for what they are", () => {
    const rotten = examined(damagedFiles("UPDATE snapshot SET bytes = zeroblob(length(bytes))"));
    const texts = rotten.filter(({ level }) => level !== "well").map(({ text }) => text);
    expect(texts).toContainEqual(expect.stringMatching(/damaged snapshot, which is not used\.$/));
    const missing = examined(
      damagedFiles(
        "DELETE FROM snapshot; DELETE FROM change WHERE id = (SELECT min(id) FROM change WHERE doc = (SELECT doc FROM change WHERE doc IN (SELECT doc FROM note) GROUP BY doc ORDER BY count(*) DESC LIMIT 1))",
      ),
    );
    const waiting = missing.filter(({ text }) => text.includes("waits for 1 change of others."));
    expect(waiting.map(({ level }) => level)).toEqual(["note"]);
    expect([...rotten, ...missing].filter(({ level }) => level === "trouble")).toEqual([]);
  });

  it("knows no trouble where nothing was ever written", () => {
    const findings = examined(new MemoryFiles());
    expect(findings.map(({ text }) => text)).toEqual([
      "The database is sound.",
      "This device has no identity yet.",
    ]);
  });

  it("promises right: what would never be sent is queued anew by restoring a backup", () => {
    for (const sql of [
      "DELETE FROM pending; DELETE FROM sealed",
      "DELETE FROM sealed",
      "DELETE FROM pending WHERE entry_id IS NOT NULL",
      "UPDATE sealed SET bytes = zeroblob(length(bytes))",
    ]) {
      const store = open(damagedFiles(sql));
      const words = backupWords(engines.ed, released.words.join(" "));
      becomeDevice({ store, ed: engines.ed, random }, words);
      expect(store.outbox.depth()).toBe(2);
      const found = examineStore({ store, automerge: engines.automerge, ed: engines.ed, random });
      expect([...found].filter(({ level }) => level === "trouble")).toEqual([]);
      store.close();
    }
  });
});

describe("the doctor of packed notes", { timeout: 60_000 }, () => {
  it("finds nothing wrong with them, and knows what the relay can give back", async () => {
    const packing = { changes: 10, bytes: 1 << 20, quietMs: 3_000 };
    const world = new World({ seed: "packed", engines, encrypted: false, packing, secrets: [] });
    await world.relay.start();
    const sim = world.addDevice("writer");
    sim.open().create();
    const { device, store } = sim.running ?? refuse();
    const { id } = await device.createNote({ title: "Log", body: "" });
    for (let line = 0; line < 20; line += 1) {
      const { body, heads } = await device.readNote(id);
      const edit = { field: "body" as const, at: body.length, remove: 0, insert: "x" };
      await device.spliceNote(id, heads, [edit]);
    }
    await world.timeline.advance(60_000);
    await device.tidy(60_000);
    expect(store.audit().packedChanges).toBeGreaterThanOrEqual(20);
    await sim.kill();
    const left = sim.bytes() ?? refuse();
    await world.end();
    const harmed = (sql: string): readonly string[] => {
      const files = new MemoryFiles(left);
      const sqlite = Sqlite.open({ engine: engines.sqlite, files, codec: null });
      sqlite.script(sql);
      sqlite.close();
      return examined(files).flatMap(({ level, text, remedy }) =>
        level === "trouble" ? [`${text} ${remedy}`] : [],
      );
    };
    expect(harmed("SELECT 1")).toEqual([]);
    expect(harmed("UPDATE snapshot SET bytes = zeroblob(length(bytes))")).toContainEqual(
      expect.stringMatching(/has a damaged snapshot.* Run sync/),
    );
    expect(harmed("DELETE FROM packed WHERE id = 1")).toContainEqual(
      expect.stringMatching(/does not know all changes that its snapshot holds/),
    );
  });
});

function refuse(): never {
  throw new Error("the device does not run");
}

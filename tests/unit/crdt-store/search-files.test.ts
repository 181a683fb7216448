import { describe, expect, it } from "vitest";

import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import { FaultyFiles } from "#crdt-store/files/faulty.ts";
import { fileRoles } from "#crdt-store/files/file.ts";
import { MemoryFiles, type FileContents } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { searchCodec } from "#crdt-store/database-codec.ts";
import type { SearchIndex } from "#crdt-store/search-index.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { indexed, openIndex, query, setupIndex, titlesOf } from "./search-fixtures.ts";
import { bytesFor, key, reopen, seededBytes, seededNumbers } from "./store-fixtures.ts";

const words = ["kingfisher", "willow"] as const;

/** An index with a commit in the log, as a killed process leaves it. */
async function setupFiles(indexKey: Uint8Array | null = key): Promise<MemoryFiles> {
  const files = new MemoryFiles();
  const index = openIndex(await loadNodeEngine(), files, indexKey);
  index.put([indexed(words[0], { body: `It sits on the ${words[1]}. ${"More. ".repeat(3_000)}` })]);
  index.close();
  return new MemoryFiles(files.snapshot());
}

/** So many notes, one commit each, with "bed" and as many other words in them. */
function putBeds(index: SearchIndex, first: number, count: number, others = 0): void {
  const filler = Array.from({ length: others }, (_, ix) => `word${ix * 7_919}`).join(" ");
  for (let ix = first; ix < first + count; ix += 1) {
    index.put([indexed(`note ${ix}`, { body: `bed ${ix} ${filler}`, version: ix + 1 })]);
  }
}

/** Puts everything into the main file, as a checkpoint does. */
function emptyLog(engine: SqliteEngine, files: MemoryFiles): void {
  Sqlite.open({ engine, files, codec: searchCodec(engine, key, seededBytes(1)) }).close();
}

describe("an index", { timeout: 60_000 }, () => {
  it("is found again after a crash, in clear and encrypted", async () => {
    for (const indexKey of [key, null]) {
      const index = openIndex(await loadNodeEngine(), await setupFiles(indexKey), indexKey);
      expect(titlesOf(index.find(query("willow")))).toEqual(["kingfisher"]);
    }
  });

  it("holds no word in clear, which one without a key does", async () => {
    const holds = (contents: FileContents, text: string): boolean =>
      Object.values(contents).some((bytes) => Buffer.from(bytes).includes(text));
    const sealed = (await setupFiles()).snapshot();
    const clear = (await setupFiles(null)).snapshot();
    for (const text of [...words, "kingf", "CREATE TABLE", "SQLite format 3", "note_text"]) {
      expect(holds(sealed, text)).toBe(false);
    }
    expect(words.every((word) => holds(clear, word))).toBe(true);
  });

  it("of another key, without one, or of the notes' own database, is emptied and made anew", async () => {
    const engine = await loadNodeEngine();
    const notes = new MemoryFiles();
    const store = reopen(engine, notes);
    store.syncLog.add("info", "a page of the notes");
    store.close();
    const cases = [
      [await setupFiles(), bytesFor("another key")],
      [await setupFiles(), null],
      [await setupFiles(null), key],
      [new MemoryFiles(notes.snapshot()), key],
    ] as const;
    for (const [files, tried] of cases) {
      const index = openIndex(engine, files, tried);
      expect(index.documents()).toEqual([]);
      putBeds(index, 0, 3);
      index.close();
      expect(openIndex(engine, files, tried).documents()).toHaveLength(3);
    }
  });

  it("of another format, or with tables that are none of ours, is emptied and made anew", async () => {
    const engine = await loadNodeEngine();
    const changes = ["PRAGMA user_version = 99", "DROP TABLE note_text", "DROP TABLE entry"];
    for (const change of changes) {
      const files = await setupFiles();
      const codec = searchCodec(engine, key, seededBytes(1));
      const sqlite = Sqlite.open({ engine, files, codec });
      sqlite.script(change);
      sqlite.close(); // this also puts the log into the main file
      const index = openIndex(engine, files);
      expect(index.documents()).toEqual([]);
      putBeds(index, 0, 2);
      expect(index.find(query("bed")).total).toBe(2);
    }
  });

  it("that is damaged anywhere is found out and made anew, or sound", async () => {
    const engine = await loadNodeEngine();
    const { index, files } = await setupIndex();
    putBeds(index, 0, 40);
    index.close();
    const inLog = files.snapshot();
    emptyLog(engine, files);
    const inMain = files.snapshot();
    let foundOut = 0;
    let leftOver = 0;
    for (const [role, whole, step] of [
      ["main", inMain, 4_096],
      ["wal", inLog, 90_000],
    ] as const) {
      for (let at = 17; at < whole[role].length; at += step) {
        const bytes = whole[role].slice();
        bytes[at] = (bytes[at] ?? 0) ^ 4;
        const damaged = openIndex(engine, new MemoryFiles({ ...whole, [role]: bytes }));
        if (isDamaged(damaged)) {
          damaged.startAnew();
          foundOut += 1;
          leftOver += damaged.documents().length;
        }
        putBeds(damaged, 100, 2);
        expect(damaged.find(query("bed")).hits.length).toBeGreaterThanOrEqual(2);
        damaged.close();
      }
    }
    expect(foundOut).toBeGreaterThan(0);
    expect(leftOver).toBe(0);
  });

  it("that was cut to any length is sound, or made anew", async () => {
    const engine = await loadNodeEngine();
    const { index, files } = await setupIndex();
    putBeds(index, 0, 20);
    index.close();
    const whole = files.snapshot();
    for (const role of fileRoles) {
      for (const part of [0, 0.3, 0.9]) {
        const cut = whole[role].slice(0, Math.floor(whole[role].length * part));
        const left = openIndex(engine, new MemoryFiles({ ...whole, [role]: cut }));
        if (isDamaged(left)) left.startAnew();
        putBeds(left, 100, 1);
        expect(left.find(query("bed 100")).total).toBe(1);
      }
    }
  });

  it("that loses power at any moment is whole up to some commit, in order, or empty", async () => {
    const engine = await loadNodeEngine();
    let survived = 0;
    for (let seed = 1; seed <= 14; seed += 1) {
      const random = seededNumbers(seed);
      const files = new FaultyFiles(random);
      files.failAfter(Math.floor(random() * 240));
      const acknowledged = putUntilFailure(() => openIndex(engine, files));
      files.losePower();
      const index = openIndex(engine, files);
      if (isDamaged(index)) index.startAnew();
      const kept = index.documents().length;
      // The newest may be gone; what is there is the beginning of what was put.
      expect(kept).toBeLessThanOrEqual(acknowledged + 1);
      for (let ix = 0; ix < kept; ix += 1) {
        expect(index.entry(bytesFor(`note ${ix}`, 16))?.version).toBe(ix + 1);
      }
      expect(index.find(query("bed", { most: 100 })).hits).toHaveLength(kept);
      putBeds(index, kept, 2);
      expect(index.find(query("bed")).total).toBe(kept + 2);
      if (kept > 0) survived += 1;
      index.close();
    }
    expect(survived).toBeGreaterThan(0);
  });

  it("whose emptying is cut short is emptied at the next opening", async () => {
    const engine = await loadNodeEngine();
    const whole = (await setupFiles()).snapshot();
    for (let steps = 0; steps < 14; steps += 1) {
      const files = new FaultyFiles(seededNumbers(steps + 1));
      for (const role of fileRoles) {
        files[role].write(whole[role], 0);
        files[role].flush();
      }
      files.failAfter(steps);
      errorOf(() => openIndex(engine, files, bytesFor("another key")));
      files.losePower();
      const index = openIndex(engine, files, bytesFor("another key"));
      putBeds(index, 0, 1);
      expect(index.find(query("bed")).total).toBe(1);
    }
  });

  it("on a full disk says so, and goes on when there is space", async () => {
    const engine = await loadNodeEngine();
    const files = new FaultyFiles(seededNumbers(1));
    const index = openIndex(engine, files);
    putBeds(index, 0, 3);
    files.taken = () => 0;
    expect(errorOf(() => putBeds(index, 3, 1))).toMatchObject({ type: "disk-full" });
    expect(index.find(query("bed")).total).toBe(3);
    files.taken = (count) => count;
    putBeds(index, 3, 1);
    expect(index.find(query("bed")).total).toBe(4);
  });

  it("that cannot be read at all is not emptied", async () => {
    const engine = await loadNodeEngine();
    const files = new FaultyFiles(seededNumbers(1));
    const index = openIndex(engine, files);
    putBeds(index, 0, 3);
    index.close();
    files.before = ({ type }) => {
      if (type === "read") throw new Error("the disk does not answer");
    };
    expect(errorOf(() => openIndex(engine, files))).toBeInstanceOf(StoreError);
    files.before = () => undefined;
    expect(openIndex(engine, files).documents()).toHaveLength(3);
  });
});

function isDamaged(index: SearchIndex): boolean {
  const error = errorOf(() => {
    index.find(query("bed", { most: 100 }));
    for (const doc of index.documents()) index.entry(doc);
    index.put([indexed("a probe")]);
    index.remove([bytesFor("a probe", 16)]);
    while (index.tidy());
  });
  if (error === null) return false;
  expect(error).toMatchObject({ type: "corrupt" });
  return true;
}

/** How many notes were acknowledged before the power failed. */
function putUntilFailure(open: () => SearchIndex): number {
  let acknowledged = 0;
  errorOf(() => {
    const index = open();
    for (; acknowledged < 40; acknowledged += 1) {
      putBeds(index, acknowledged, 1, 1_500);
      index.tidy();
    }
  });
  return acknowledged;
}

function errorOf(act: () => unknown): unknown {
  try {
    act();
    return null;
  } catch (error) {
    return error;
  }
}

import { describe, expect, it } from "vitest";

import { StoreError } from "#crdt-store/store-error.ts";
import { FaultyFiles, type FileOperation } from "#crdt-store/files/faulty.ts";
import type { FileRole } from "#crdt-store/files/file.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { createPageCodec, type PageCodec } from "#crdt-store/files/page-codec.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { bytesFor, key, seededBytes } from "./store-fixtures.ts";

const logHeaderBytes = 32;
const frameBytes = 24 + 4096;

function codecFor(pageKey = key): PageCodec {
  return createPageCodec({ key: pageKey, databaseId: bytesFor("db", 16), random: seededBytes(4) });
}

async function setupFaulty(codec: PageCodec | null) {
  const engine = await loadNodeEngine();
  const files = new FaultyFiles(() => 0);
  const sqlite = Sqlite.open({ engine, files, codec });
  sqlite.run("CREATE TABLE t (n INTEGER, body BLOB)");
  return { engine, files, sqlite };
}

function fillPages(sqlite: Sqlite, rows: number): void {
  sqlite.transaction(() => {
    for (let n = 1; n <= rows; n += 1) {
      sqlite.run("INSERT INTO t (n, body) VALUES (?, ?)", [n, new Uint8Array(3_000).fill(n)]);
    }
  });
}

const damagedRows =
  "SELECT count(*) AS n FROM t WHERE body <> CAST(replace(hex(zeroblob(3000)), '00', char(n)) AS BLOB)";

function overwrite(sqlite: Sqlite, n: number, fill: number): void {
  sqlite.run("UPDATE t SET body = ? WHERE n = ?", [new Uint8Array(3_000).fill(fill), n]);
}

function errorOf(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  return undefined;
}

function failOn(type: FileOperation["type"], role: FileRole, error: Error) {
  return (operation: FileOperation) => {
    if (operation.type === type && operation.role === role) throw error;
  };
}

for (const [name, codec] of [
  ["in clear", null],
  ["encrypted", codecFor()],
] as const) {
  describe(`a database ${name}, on files that fail`, () => {
    it("reports a full disk as such, undoes the transaction and goes on when there is space", async () => {
      const { files, sqlite } = await setupFaulty(codec);
      fillPages(sqlite, 3);
      for (const error of [
        new DOMException("no space", "QuotaExceededError"),
        Object.assign(new Error("no space"), { code: "ENOSPC" }),
      ]) {
        files.before = failOn("write", "wal", error);
        expect(errorOf(() => fillPages(sqlite, 20))).toMatchObject({ type: "disk-full" });
        files.before = () => undefined;
        expect(sqlite.get("SELECT count(*) AS n FROM t")).toEqual({ n: 3 });
      }
      fillPages(sqlite, 4);
      expect(sqlite.get("SELECT count(*) AS n FROM t")).toEqual({ n: 7 });
    });

    it("takes a short write for a full disk", async () => {
      const { files, sqlite } = await setupFaulty(codec);
      files.taken = (count) => count - 1;
      expect(errorOf(() => fillPages(sqlite, 2))).toMatchObject({ type: "disk-full" });
      files.taken = (count) => count;
      fillPages(sqlite, 2);
      expect(sqlite.all("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    });

    it("reports a failing flush, and the commit is not acknowledged", async () => {
      const { files, sqlite } = await setupFaulty(codec);
      files.before = failOn("flush", "wal", new Error("the disk is gone"));
      expect(errorOf(() => fillPages(sqlite, 1))).toMatchObject({ type: "io" });
      files.before = () => undefined;
      fillPages(sqlite, 1);
    });

    it("reports a failing read without an exception crossing SQLite", async () => {
      const { engine, files, sqlite } = await setupFaulty(codec);
      fillPages(sqlite, 50);
      sqlite.close();
      const again = Sqlite.open({ engine, files, codec });
      files.before = failOn("read", "main", new Error("a bad sector"));
      const error = errorOf(() => again.all("SELECT sum(length(body)) AS total FROM t"));
      expect(error).toBeInstanceOf(StoreError);
      files.before = () => undefined;
      expect(again.get("SELECT count(*) AS n FROM t")).toEqual({ n: 50 });
      again.close();
    });

    it("undoes a transaction whose spilled pages found no space, and reads nothing stale", async () => {
      const { files, sqlite } = await setupFaulty(codec);
      fillPages(sqlite, 60);
      sqlite.run("PRAGMA cache_size=5");
      for (const freeAfter of [1, 2, 3]) {
        let writes = 0;
        files.before = ({ type, role }) => {
          if (type !== "write" || role !== "wal") return;
          writes += 1;
          if (writes > freeAfter) throw Object.assign(new Error("no space"), { code: "ENOSPC" });
        };
        const failed = errorOf(() =>
          sqlite.transaction(() => {
            for (let n = 1; n <= 60; n += 1) overwrite(sqlite, n, 255);
            for (let n = 1; n <= 60; n += 1) overwrite(sqlite, n, 254);
          }),
        );
        expect(failed).toMatchObject({ type: "disk-full" });
        files.before = () => undefined;
        expect(sqlite.get(damagedRows)).toEqual({ n: 0 });
      }
      overwrite(sqlite, 60, 60);
      expect(sqlite.get(damagedRows)).toEqual({ n: 0 });
      expect(sqlite.all("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    });

    it("keeps a transaction that outgrows the cache and writes its pages again and again", async () => {
      const { engine, files, sqlite } = await setupFaulty(codec);
      fillPages(sqlite, 60);
      sqlite.run("PRAGMA cache_size=5");
      sqlite.transaction(() => {
        for (let round = 3; round > 0; round -= 1) {
          for (let n = 1; n <= 60; n += 1) overwrite(sqlite, (n * 37) % 61, round);
          sqlite.get(damagedRows);
        }
      });
      const expected = sqlite.all("SELECT n, body FROM t ORDER BY n");
      const left = new MemoryFiles({
        main: files.main.contents(),
        wal: files.wal.contents(),
        journal: new Uint8Array(),
      });
      const after = Sqlite.open({ engine, files: left, codec });
      expect(after.all("SELECT n, body FROM t ORDER BY n")).toEqual(expected);
      expect(after.get("SELECT count(*) AS n FROM t WHERE hex(substr(body, 1, 1)) = '01'")).toEqual(
        { n: 60 },
      );
      after.close();
      sqlite.close();
    });

    it("sends a commit to the log in one write and one flush", async () => {
      const { files, sqlite } = await setupFaulty(codec);
      fillPages(sqlite, 3);
      const calls: string[] = [];
      files.before = ({ type, role }) => calls.push(`${type} ${role}`);
      fillPages(sqlite, 5);
      expect(calls).toEqual(["write wal", "flush wal"]);
    });

    it("keeps its log short, as every opening reads all of it", async () => {
      const { files, sqlite } = await setupFaulty(codec);
      let longest = 0;
      for (let commit = 0; commit < 500; commit += 1) {
        sqlite.run("INSERT INTO t (n) VALUES (1)");
        longest = Math.max(longest, files.wal.size());
      }
      expect(longest).toBeGreaterThan(390 * frameBytes);
      expect(longest).toBeLessThan(410 * frameBytes);
    });

    it("moves pages from the log to the main file in few writes, flushed before the log is used again", async () => {
      const { files, sqlite } = await setupFaulty(codec);
      fillPages(sqlite, 60);
      const calls: string[] = [];
      files.before = ({ type, role }) => calls.push(`${type} ${role}`);
      sqlite.run("PRAGMA wal_checkpoint");
      sqlite.run("DELETE FROM t WHERE n = 1");
      const changes = calls.filter((call) => !call.startsWith("read"));
      expect(files.main.size()).toBeGreaterThan(60 * 4_096);
      expect(changes.slice(0, 4)).toEqual([
        "flush wal",
        "write main",
        "write main",
        "truncate main",
      ]);
      expect(changes.slice(4, 6)).toEqual(["flush main", "write wal"]);
    });

    it("loses nothing when a checkpoint finds no space, and the next one succeeds", async () => {
      const { engine, files, sqlite } = await setupFaulty(codec);
      fillPages(sqlite, 60);
      const noSpace = Object.assign(new Error("no space"), { code: "ENOSPC" });
      for (const error of [noSpace, new Error("the disk is gone")]) {
        files.before = failOn("write", "main", error);
        expect(errorOf(() => sqlite.run("PRAGMA wal_checkpoint"))).toMatchObject({
          type: error === noSpace ? "disk-full" : "io",
        });
        expect(sqlite.get(damagedRows)).toEqual({ n: 0 });
        fillPages(sqlite, 1);
        files.before = () => undefined;
      }
      sqlite.run("PRAGMA wal_checkpoint(TRUNCATE)");
      expect(files.wal.size()).toBe(0);
      sqlite.close();
      const again = Sqlite.open({ engine, files, codec });
      expect(again.get("SELECT count(*) AS n FROM t")).toEqual({ n: 62 });
      expect(again.all("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
      again.close();
    });

    it("survives handles that are closed under it", async () => {
      const { files, sqlite } = await setupFaulty(codec);
      fillPages(sqlite, 2);
      files.before = () => {
        throw new DOMException("the handle is closed", "InvalidStateError");
      };
      expect(errorOf(() => fillPages(sqlite, 2))).toMatchObject({ type: "io" });
    });
  });
}

describe("an encrypted database", () => {
  it("never writes a rollback journal, even when asked to", async () => {
    const { files, sqlite } = await setupFaulty(codecFor());
    expect(errorOf(() => sqlite.run("PRAGMA journal_mode=DELETE"))).toMatchObject({ type: "io" });
    expect(sqlite.get("PRAGMA journal_mode")).toEqual({ journal_mode: "wal" });
    fillPages(sqlite, 1);
    expect(files.journal.size()).toBe(0);
  });

  it("refuses shared memory, so that forgetting the exclusive lock fails", async () => {
    const engine = await loadNodeEngine();
    const database = engine.open(new MemoryFiles(), codecFor());
    database.allowWrites();
    expect(errorOf(() => database.exec("CREATE TABLE t (a)"))).toBeInstanceOf(Error);
    database.close();
  });

  it("answers no wrong row when any frame of its live log was changed", async () => {
    const engine = await loadNodeEngine();
    const files = new MemoryFiles();
    const sqlite = Sqlite.open({ engine, files, codec: codecFor() });
    sqlite.run("CREATE TABLE t (n INTEGER, body BLOB)");
    fillPages(sqlite, 20);
    sqlite.run("PRAGMA cache_size=1");
    const sum = () =>
      sqlite.get("SELECT count(*) AS n, sum(n) AS total, group_concat(hex(body)) AS bodies FROM t");
    const right = sum();
    const frames = (files.wal.size() - logHeaderBytes) / frameBytes;
    const answers: unknown[] = [];
    for (let frame = 0; frame < frames; frame += 1) {
      const at = logHeaderBytes + frame * frameBytes + 24 + 1_234;
      flip(files, at);
      // SQLite must not answer from its cache.
      sqlite.run("PRAGMA shrink_memory");
      answers.push(answerOf(sum));
      flip(files, at);
    }
    expect(frames).toBeGreaterThan(20);
    const others = answers.filter((answer) => answer !== "corrupt");
    expect(answers.length - others.length).toBeGreaterThan(10);
    expect(others).toEqual(others.map(() => right));
    expect(sum()).toEqual(right);
    sqlite.close();
  });

  it("ends its log at a torn frame, keeping the commits before it", async () => {
    const engine = await loadNodeEngine();
    const files = new MemoryFiles();
    const sqlite = Sqlite.open({ engine, files, codec: codecFor() });
    sqlite.run("CREATE TABLE t (n INTEGER, body BLOB)");
    sqlite.run("INSERT INTO t (n) VALUES (1)");
    const committed = files.wal.size();
    sqlite.run("INSERT INTO t (n) VALUES (2)");
    const left = new MemoryFiles(files.snapshot());
    flip(left, committed + 24 + 100);
    const after = Sqlite.open({ engine, files: left, codec: codecFor() });
    expect(after.all("SELECT n FROM t")).toEqual([{ n: 1 }]);
    expect(after.all("PRAGMA integrity_check")).toEqual([{ integrity_check: "ok" }]);
    after.close();
    sqlite.close();
  });
});

/** What `act` answers, or the type of the {@link StoreError} that it throws. */
function answerOf(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    if (error instanceof StoreError) return error.type;
    throw error;
  }
}

function flip(files: MemoryFiles, at: number): void {
  const byte = new Uint8Array(1);
  files.wal.read(byte, at);
  files.wal.write(new Uint8Array([(byte[0] ?? 0) ^ 1]), at);
}

import { describe, expect, it } from "vitest";

import { FaultyFiles } from "#crdt-store/files/faulty.ts";
import { fileRoles } from "#crdt-store/files/file.ts";
import { MemoryFiles, type FileContents } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { migrate, type Migration } from "#crdt-store/migrate.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import {
  bytesFor,
  doc,
  journalled,
  key,
  reopen,
  setupStore,
  typedChanges,
} from "./store-fixtures.ts";

const canary = "the heron stands in the reeds";

/** What a process killed in the middle of its work leaves: some of it in the main file, the rest in the log. */
async function setupUsedFiles(storeKey: Uint8Array | null = key): Promise<MemoryFiles> {
  const { store, files } = await setupStore({ key: storeKey });
  store.changes.insert(
    (await typedChanges([canary, " and waits"])).map((change) => journalled(change)),
  );
  store.close();
  const again = reopen(await loadNodeEngine(), files, storeKey);
  again.syncLog.add("info", canary);
  const left = new MemoryFiles(files.snapshot());
  again.close();
  return left;
}

function errorType(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error instanceof Error && "type" in error ? error.type : error;
  }
  return "no error";
}

describe("opening a store", () => {
  it("finds everything again after a crash, in clear and encrypted", async () => {
    const engine = await loadNodeEngine();
    for (const storeKey of [key, null]) {
      const store = reopen(engine, await setupUsedFiles(storeKey), storeKey);
      expect(store.changes.bytesOfDocument(doc)).toHaveLength(2);
      expect(store.syncLog.all()).toEqual([{ at: 1_000, level: "info", text: canary }]);
      store.close();
    }
  });

  it("with another key, without one, or with one where there is none, is refused and changes no byte", async () => {
    const engine = await loadNodeEngine();
    for (const [written, tried] of [
      [key, bytesFor("another key")],
      [key, null],
      [null, key],
    ] as const) {
      const files = await setupUsedFiles(written);
      const before = files.snapshot();
      expect(before.wal.length).toBeGreaterThan(0);
      expect(errorType(() => reopen(engine, files, tried))).toBe("wrong-key");
      expect(sameContents(files.snapshot(), before)).toBe(true);
      reopen(engine, files, written).close();
    }
  });

  it("refuses a truncated main file, changing nothing", async () => {
    const engine = await loadNodeEngine();
    const whole = (await setupUsedFiles()).snapshot();
    for (const length of [whole.main.length - 4_096, 4_096, whole.main.length - 1]) {
      const files = new MemoryFiles({
        ...whole,
        main: whole.main.slice(0, length),
        wal: new Uint8Array(),
      });
      const before = files.snapshot();
      expect(errorType(() => useEverything(reopen(engine, files)))).toBe("corrupt");
      expect(files.snapshot().main.length).toBe(before.main.length);
    }
  });

  it("refuses an empty main file beside a log, changing nothing", async () => {
    const engine = await loadNodeEngine();
    const files = new MemoryFiles({
      ...(await setupUsedFiles()).snapshot(),
      main: new Uint8Array(),
    });
    const before = files.snapshot();
    expect(errorType(() => reopen(engine, files))).toBe("corrupt");
    expect(files.snapshot()).toEqual(before);
  });

  it("notices every changed page of the main file", async () => {
    const engine = await loadNodeEngine();
    const { store, files } = await setupStore();
    store.changes.insert((await typedChanges([canary])).map((change) => journalled(change)));
    store.close();
    const whole = files.snapshot();
    for (let at = 17; at < whole.main.length; at += 4_096) {
      const tampered = new MemoryFiles(flipped(whole, at));
      expect(errorType(() => checkIntegrity(engine, tampered))).toMatch(/corrupt|wrong-key/);
    }
    expect(errorType(() => checkIntegrity(engine, files))).toBe("no error");
  });

  it("finishes a creation that a crash cut short, at every step of it", async () => {
    const engine = await loadNodeEngine();
    for (let steps = 0; steps < 12; steps += 1) {
      for (const kept of [0, 0.99]) {
        // Each un-flushed sector is lost (0) or kept (0.99).
        const files = new FaultyFiles(() => kept);
        files.failAfter(steps);
        errorType(() => reopen(engine, files));
        files.losePower();
        const store = reopen(engine, files);
        expect(store.changes.documents()).toEqual([]);
        store.close();
      }
    }
  });

  it("leaves no text in the files, which a store in clear does", async () => {
    const contents = (await setupUsedFiles()).snapshot();
    for (const text of [canary, "CREATE TABLE", "SQLite format 3", "sync_log"]) {
      expect(holds(contents, text)).toBe(false);
    }
    const clear = (await setupUsedFiles(null)).snapshot();
    for (const text of [canary, "CREATE TABLE", "SQLite format 3", "sync_log"]) {
      expect(holds(clear, text)).toBe(true);
    }
  });

  it("by an older program than the last one is refused, changing nothing", async () => {
    const { engine, files, sqlite } = await setupEmpty();
    migrate(sqlite, [createTable, addColumn("a"), addColumn("b")]);
    expect(errorType(() => migrate(sqlite, [createTable]))).toBe("newer-version");
    expect(sqlite.get("SELECT version FROM schema_version")).toEqual({ version: 3 });
    sqlite.close();
    expect(errorType(() => reopen(engine, files))).not.toBe("no error");
  });
});

describe("migrations", () => {
  it("run once each, in order", async () => {
    const { sqlite } = await setupEmpty();
    migrate(sqlite, [createTable, addColumn("a")]);
    migrate(sqlite, [createTable, addColumn("a"), addColumn("b")]);
    migrate(sqlite, [createTable, addColumn("a"), addColumn("b")]);
    sqlite.run("INSERT INTO t (a, b) VALUES (1, 2)");
    expect(sqlite.all("SELECT * FROM t")).toEqual([{ first: null, a: 1, b: 2 }]);
  });

  it("that fail leave the version before them", async () => {
    const { sqlite } = await setupEmpty();
    const failing: Migration = (tables) => {
      addColumn("b")(tables);
      throw new Error("half done");
    };
    expect(() => migrate(sqlite, [createTable, addColumn("a"), failing])).toThrow("half done");
    expect(sqlite.get("SELECT version FROM schema_version")).toEqual({ version: 2 });
    sqlite.run("INSERT INTO t (a) VALUES (1)");
    expect(sqlite.all("SELECT * FROM t")).toEqual([{ first: null, a: 1 }]);
  });

  it.each([
    "DROP TABLE schema_version",
    "UPDATE schema_version SET version = 0",
    "DELETE FROM schema_version",
  ])("refuse tables whose version is lost (%s), changing nothing", async (damage) => {
    const { sqlite } = await setupEmpty();
    migrate(sqlite, [createTable]);
    sqlite.run(damage);
    expect(errorType(() => migrate(sqlite, [createTable, addColumn("a")]))).toBe("corrupt");
    expect(sqlite.all("SELECT * FROM t")).toEqual([]);
  });
});

describe("a transaction", () => {
  it("that throws leaves nothing behind", async () => {
    const { sqlite } = await setupTables();
    const failing = () => {
      sqlite.run("INSERT INTO t (first) VALUES (1)");
      throw new Error("changed my mind");
    };
    expect(() => sqlite.transaction(failing)).toThrow("changed my mind");
    expect(sqlite.all("SELECT * FROM t")).toEqual([]);
  });

  it("joins the one around it, and cannot commit once a part has failed", async () => {
    const { sqlite } = await setupTables();
    const insert = (n: number) => sqlite.run("INSERT INTO t (first) VALUES (?)", [n]);
    sqlite.transaction(() => {
      insert(1);
      sqlite.transaction(() => insert(2));
    });
    expect(() =>
      sqlite.transaction(() => {
        insert(3);
        errorType(() =>
          sqlite.transaction(() => {
            insert(4);
            throw new Error("inner");
          }),
        );
      }),
    ).toThrow("cannot commit");
    expect(sqlite.all("SELECT first FROM t")).toEqual([{ first: 1 }, { first: 2 }]);
  });

  it("keeps integers of 53 bits, empty blobs and any text as they are", async () => {
    const { sqlite } = await setupTables();
    const values = [
      Number.MAX_SAFE_INTEGER,
      -1,
      2 ** 31,
      new Uint8Array(),
      "a\u{1F33F}b",
      "",
      null,
    ];
    sqlite.run("CREATE TABLE v (a INTEGER, b INTEGER, c INTEGER, d BLOB, e TEXT, f TEXT, g TEXT)");
    sqlite.run("INSERT INTO v VALUES (?, ?, ?, ?, ?, ?, ?)", values);
    expect(Object.values(sqlite.get("SELECT * FROM v") ?? {})).toEqual(values);
    expect(sqlite.get("SELECT typeof(a) AS a, typeof(c) AS c, typeof(d) AS d FROM v")).toEqual({
      a: "integer",
      c: "integer",
      d: "blob",
    });
  });
});

async function setupEmpty() {
  const engine = await loadNodeEngine();
  const files = new MemoryFiles();
  const sqlite = Sqlite.open({ engine, files, codec: null });
  return { engine, files, sqlite };
}

async function setupTables() {
  const empty = await setupEmpty();
  createTable(empty.sqlite);
  return empty;
}

const createTable: Migration = (sqlite) => sqlite.script("CREATE TABLE t (first INTEGER)");

function addColumn(name: string): Migration {
  return (sqlite) => sqlite.script(`ALTER TABLE t ADD COLUMN ${name} INTEGER`);
}

function useEverything(store: ReturnType<typeof reopen>): void {
  try {
    store.checkIntegrity();
  } finally {
    store.close();
  }
}

function checkIntegrity(
  engine: Awaited<ReturnType<typeof loadNodeEngine>>,
  files: MemoryFiles,
): void {
  const store = reopen(engine, files);
  try {
    for (const document of store.changes.documents()) store.changes.ofDocument(document);
    store.checkIntegrity();
  } finally {
    store.close();
  }
}

function flipped(contents: FileContents, at: number): FileContents {
  const main = contents.main.slice();
  main[at] = (main[at] ?? 0) ^ 4;
  return { ...contents, main };
}

function sameContents(some: FileContents, others: FileContents): boolean {
  return fileRoles.every((role) => Buffer.from(some[role]).equals(others[role]));
}

function holds(contents: FileContents, text: string): boolean {
  return Object.values(contents).some((bytes) => Buffer.from(bytes).includes(text));
}

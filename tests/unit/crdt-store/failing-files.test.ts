import { describe, expect, it } from "vitest";

import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import { FaultyFiles, type FileOperation } from "#crdt-store/files/faulty.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { opensslCipher } from "#crdt-store/files/node-cipher.ts";
import { createPageCodec, type PageCodec } from "#crdt-store/files/page-codec.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { bytesFor, key, seededBytes } from "./store-fixtures.ts";

const createTable = "CREATE TABLE IF NOT EXISTS t (body BLOB)";
const body = new Uint8Array(2_000).fill(7);

/** What file systems throw, and what they should not. */
const thrown: readonly unknown[] = [
  new Error("a bad sector"),
  Object.assign(new Error("no space"), { code: "ENOSPC" }),
  Object.assign(new Error("over quota"), { code: "EDQUOT" }),
  new DOMException("over quota", "QuotaExceededError"),
  new DOMException("the handle is closed", "InvalidStateError"),
  new TypeError("the buffer is detached"),
  "a string",
  undefined,
  null,
];

interface Run {
  /** Rows whose transaction was acknowledged. */
  readonly acknowledged: number;
  readonly failures: readonly unknown[];
}

/** Opens, commits rows, reads them with next to no cache, moves the log, closes; goes on after every failure. */
function useDatabase(engine: SqliteEngine, files: FaultyFiles, codec: PageCodec | null): Run {
  const failures: unknown[] = [];
  let acknowledged = 0;
  const attempt = (act: () => void): boolean => {
    try {
      act();
      return true;
    } catch (error) {
      failures.push(error);
      return false;
    }
  };
  let opened: Sqlite | undefined;
  if (!attempt(() => (opened = Sqlite.open({ engine, files, codec })))) {
    return { acknowledged, failures };
  }
  const sqlite = opened as Sqlite | undefined;
  if (sqlite === undefined) throw new Error("unreachable: it was opened");
  attempt(() => sqlite.run("PRAGMA cache_size=2"));
  const read = () => {
    if (acknowledged > 0) sqlite.all("SELECT body FROM t");
  };
  for (let commit = 0; commit < 4; commit += 1) {
    const committed = attempt(() =>
      sqlite.transaction(() => {
        sqlite.run(createTable);
        for (let row = 0; row < 3; row += 1) sqlite.run("INSERT INTO t (body) VALUES (?)", [body]);
      }),
    );
    if (committed) acknowledged += 3;
    attempt(read);
  }
  attempt(() => sqlite.run("PRAGMA wal_checkpoint"));
  attempt(read);
  attempt(() => sqlite.close());
  return { acknowledged, failures };
}

/** Every operation of an undisturbed life of the database. */
function operationsOf(engine: SqliteEngine, codec: PageCodec | null): FileOperation[] {
  const files = new FaultyFiles(() => 0);
  const operations: FileOperation[] = [];
  files.before = (operation) => operations.push(operation);
  useDatabase(engine, files, codec);
  return operations;
}

for (const [name, codec] of [
  ["in clear", null],
  [
    "encrypted",
    createPageCodec({
      key,
      databaseId: bytesFor("failing", 16),
      random: seededBytes(5),
      cipher: opensslCipher,
    }),
  ],
] as const) {
  describe(`a database ${name}`, () => {
    it("answers any failure of any call in words, keeps what it acknowledged, and goes on", async () => {
      const engine = await loadNodeEngine();
      const operations = operationsOf(engine, codec);
      let reported = 0;
      for (const [index, { type, role }] of operations.entries()) {
        const files = new FaultyFiles(() => 0);
        let count = 0;
        files.before = () => {
          count += 1;
          // Each call fails once, with one after the other of what may be thrown.
          if (count === index + 1) throw thrown[index % thrown.length];
        };
        const { acknowledged, failures } = useDatabase(engine, files, codec);
        files.before = () => undefined;
        reported += failures.length;

        const after = Sqlite.open({ engine, files, codec });
        after.run(createTable);
        const found = after.get<{ rows: number; unsound: number }>(
          "SELECT count(*) AS rows, coalesce(sum(body <> ?), 0) AS unsound FROM t",
          [body],
        );
        expect({
          call: `${type} of ${role}, call ${index}`,
          withoutWords: failures.filter((failure) => !(failure instanceof StoreError)),
          lost: Math.max(0, acknowledged - (found?.rows ?? 0)),
          unsound: found?.unsound,
          integrity: after.all("PRAGMA integrity_check"),
        }).toEqual({
          call: `${type} of ${role}, call ${index}`,
          withoutWords: [],
          lost: 0,
          unsound: 0,
          integrity: [{ integrity_check: "ok" }],
        });
        after.close();
      }
      expect(new Set(operations.map(({ type, role }) => `${type} ${role}`)).size).toBeGreaterThan(
        8,
      );
      expect(reported).toBeGreaterThan(operations.length / 2);
    });
  });
}

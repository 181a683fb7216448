import { describe, expect, it } from "vitest";

import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import { FaultyFiles } from "#crdt-store/files/faulty.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { createPageCodec, type PageCodec } from "#crdt-store/files/page-codec.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { bytesFor, key, seededBytes, seededNumbers } from "./store-fixtures.ts";

const emptyDiskEvery = 10;

interface Outcome {
  /** Commits that were acknowledged and are gone. */
  lost: number;
  /** Openings that failed, and databases that were open and wrong. */
  damaged: number;
  commits: number;
}

interface Storm {
  readonly cycles: number;
  readonly seed: number;
  readonly codec: PageCodec | null;
  readonly synchronous: "FULL" | "OFF";
}

/** Commits numbered rows until the power fails, again and again, and compares what is found after each cut. */
function runStorm(engine: SqliteEngine, { cycles, seed, codec, synchronous }: Storm): Outcome {
  const random = seededNumbers(seed);
  const outcome: Outcome = { lost: 0, damaged: 0, commits: 0 };
  let files = new FaultyFiles(random);
  let acknowledged = 0;
  for (let cycle = 0; cycle < cycles; cycle += 1) {
    if (cycle % emptyDiskEvery === 0) {
      files = new FaultyFiles(random);
      acknowledged = 0;
      // Also in the very first writes of a database's life.
      files.failAfter(Math.floor(random() * 12));
      tryTo(() => commitUntilFailure(engine, files, codec, synchronous, 0, random));
      files.losePower();
    }
    let found: number;
    try {
      found = checkAfterCut(engine, files, codec);
    } catch {
      outcome.damaged += 1;
      files = new FaultyFiles(random);
      acknowledged = 0;
      continue;
    }
    if (found < acknowledged) outcome.lost += 1;
    files.failAfter(Math.floor(random() * 100));
    acknowledged = commitUntilFailure(engine, files, codec, synchronous, found, random);
    outcome.commits += acknowledged - found;
    files.losePower();
  }
  return outcome;
}

/** The number of rows, which are 1, 2, 3 …; throws if anything else is there. */
function checkAfterCut(engine: SqliteEngine, files: FaultyFiles, codec: PageCodec | null): number {
  const sqlite = Sqlite.open({ engine, files, codec });
  try {
    createTables(sqlite);
    const { ok } =
      sqlite.get<{ ok: string }>("SELECT integrity_check AS ok FROM pragma_integrity_check") ?? {};
    const rows = sqlite.get<{ count: number; last: number; queued: number }>(
      "SELECT count(*) AS count, coalesce(max(n), 0) AS last, (SELECT count(*) FROM queued) AS queued FROM entry",
    );
    if (ok !== "ok" || rows === undefined) throw new Error(`integrity: ${ok}`);
    if (rows.count !== rows.last || rows.queued !== rows.last) throw new Error("rows are missing");
    return rows.last;
  } finally {
    sqlite.close();
  }
}

function commitUntilFailure(
  engine: SqliteEngine,
  files: FaultyFiles,
  codec: PageCodec | null,
  synchronous: string,
  last: number,
  random: () => number,
): number {
  let acknowledged = last;
  let sqlite: Sqlite | undefined;
  try {
    sqlite = Sqlite.open({ engine, files, codec });
    sqlite.run(`PRAGMA synchronous=${synchronous}`);
    // Few pages, so that checkpoints and spills out of the cache happen often.
    sqlite.run("PRAGMA cache_size=50");
    sqlite.run("PRAGMA wal_autocheckpoint=40");
    createTables(sqlite);
    for (;;) {
      commitRow(sqlite, acknowledged + 1, random);
      acknowledged += 1;
    }
  } catch {
    return acknowledged;
  } finally {
    tryTo(() => sqlite?.close());
  }
}

function createTables(sqlite: Sqlite): void {
  sqlite.script(
    "CREATE TABLE IF NOT EXISTS entry (n INTEGER PRIMARY KEY, body BLOB); CREATE TABLE IF NOT EXISTS queued (n INTEGER)",
  );
}

function commitRow(sqlite: Sqlite, n: number, random: () => number): void {
  const body = new Uint8Array(150 + Math.floor(random() * 9_000)).fill(n);
  sqlite.transaction(() => {
    sqlite.run("INSERT INTO entry (n, body) VALUES (?, ?)", [n, body]);
    sqlite.run("INSERT INTO queued (n) VALUES (?)", [n]);
  });
}

function tryTo(act: () => unknown): void {
  try {
    act();
  } catch {
    // The power is off.
  }
}

function codecFor(seed: number): PageCodec {
  return createPageCodec({ key, databaseId: bytesFor("power", 16), random: seededBytes(seed) });
}

describe("after a power cut at any write", () => {
  it("an encrypted database opens whole with every acknowledged commit", async () => {
    const engine = await loadNodeEngine();
    const outcome = runStorm(engine, {
      cycles: 100,
      seed: 1,
      codec: codecFor(1),
      synchronous: "FULL",
    });
    expect(outcome).toMatchObject({ lost: 0, damaged: 0 });
    expect(outcome.commits).toBeGreaterThan(1_000);
  });

  it("so does one in clear", async () => {
    const engine = await loadNodeEngine();
    const outcome = runStorm(engine, { cycles: 50, seed: 2, codec: null, synchronous: "FULL" });
    expect(outcome).toMatchObject({ lost: 0, damaged: 0 });
  });

  it("one that does not flush is found damaged, which shows that this test can fail", async () => {
    const engine = await loadNodeEngine();
    const outcome = runStorm(engine, {
      cycles: 30,
      seed: 3,
      codec: codecFor(3),
      synchronous: "OFF",
    });
    expect(outcome.lost + outcome.damaged).toBeGreaterThan(5);
  });
});

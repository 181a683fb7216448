import { describe, expect, it } from "vitest";

import { MemoryFiles, type FileContents } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { notesCodec } from "#crdt-store/database-codec.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { key, seededBytes } from "./store-fixtures.ts";

const frameBytes = 24 + 4096;

async function openOn(files: MemoryFiles): Promise<Sqlite> {
  const engine = await loadNodeEngine();
  return Sqlite.open({ engine, files, codec: notesCodec(engine, key, seededBytes(5)) });
}

/** Five commits in the log, which the main file has too if they were checkpointed; `after` begins another round then. */
async function setupLog(options: { checkpointed: boolean; after?: number }): Promise<FileContents> {
  const files = new MemoryFiles();
  const sqlite = await openOn(files);
  sqlite.run("CREATE TABLE t (n INTEGER)");
  for (let n = 1; n <= 4; n += 1) sqlite.run("INSERT INTO t VALUES (?)", [n]);
  if (options.checkpointed) sqlite.all("PRAGMA wal_checkpoint(PASSIVE)");
  if (options.after !== undefined) sqlite.run("INSERT INTO t VALUES (?)", [options.after]);
  const contents = files.snapshot();
  sqlite.close();
  return contents;
}

/** Four rows, and pages of a transaction that was cut off before its end: a hundred, without a commit. */
async function setupUnfinished(): Promise<FileContents> {
  const files = new MemoryFiles();
  const sqlite = await openOn(files);
  sqlite.run("CREATE TABLE t (n)");
  for (let n = 1; n <= 4; n += 1) sqlite.run("INSERT INTO t VALUES (?)", [n]);
  sqlite.run("PRAGMA cache_size=5");
  const contents = sqlite.transaction(() => {
    for (let n = 0; n < 130; n += 1) sqlite.run("INSERT INTO t VALUES (zeroblob(3000))");
    return files.snapshot();
  });
  sqlite.close();
  return contents;
}

async function rowsOf(contents: FileContents): Promise<number | undefined> {
  const sqlite = await openOn(new MemoryFiles(contents));
  const count = sqlite.get<{ n: number }>("SELECT count(*) AS n FROM t")?.n;
  sqlite.close();
  return count;
}

function withLog(contents: FileContents, change: (wal: Uint8Array) => void): FileContents {
  const wal = contents.wal.slice();
  change(wal);
  return { ...contents, wal };
}

/** As a write leaves it that took the first 24 bytes of the next round's header. */
function tornHeader(wal: Uint8Array): void {
  wal.set([0, 0, 0, 1, 9, 9, 9, 9, 8, 8, 8, 8], 12);
}

describe("a log with a bad frame", () => {
  it("is refused while a later commit goes on behind it, whatever part of the frame is bad", async () => {
    const contents = await setupLog({ checkpointed: false });
    const frames = Math.floor((contents.wal.length - 32) / frameBytes);
    for (const part of [0, 8, 12, 16, 20, 500, 4_100]) {
      const damaged = withLog(contents, (wal) => {
        const at = 32 + (frames - 3) * frameBytes + part;
        wal[at] = (wal[at] ?? 0) ^ 1;
      });
      await expect(rowsOf(damaged)).rejects.toMatchObject({ type: "corrupt" });
    }
  });

  it("ends there when it is in the last commit, as after a power cut", async () => {
    const contents = await setupLog({ checkpointed: false });
    const torn = withLog(contents, (wal) => wal.fill(0, wal.length - 700));
    expect(await rowsOf(torn)).toBe(3);
  });

  it("ends there when half of the frame's header is that of an undone commit", async () => {
    const contents = await setupUnfinished();
    expect(contents.wal.length).toBeGreaterThan(32 + 70 * frameBytes);
    const withCommitAt = (frame: number): FileContents =>
      withLog(contents, (wal) => wal.set([0, 0, 0, 9], 32 + frame * frameBytes + 4));
    // The headers of these frames lie in two sectors of 512 bytes, of which a cut may let one through.
    for (const frame of [41, 62]) expect(await rowsOf(withCommitAt(frame))).toBe(4);
    await expect(rowsOf(withCommitAt(40))).rejects.toMatchObject({ type: "corrupt" });
  });

  it("may go on with frames of an earlier round", async () => {
    const contents = await setupLog({ checkpointed: true, after: 5 });
    expect(await rowsOf(contents)).toBe(5);
    const torn = withLog(contents, (wal) => wal.fill(0, 32 + 100, 32 + 600));
    expect(await rowsOf(torn)).toBe(4);
  });
});

describe("a log whose header is bad", () => {
  it("is refused while it holds what the main file has not got", async () => {
    const contents = await setupLog({ checkpointed: false });
    await expect(rowsOf(withLog(contents, tornHeader))).rejects.toMatchObject({ type: "corrupt" });
  });

  it("is a new round that a power cut tore, once the main file has all of the last", async () => {
    const contents = await setupLog({ checkpointed: true });
    expect(await rowsOf(withLog(contents, tornHeader))).toBe(4);
  });
});

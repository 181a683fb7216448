import { randomBytes } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { describe, expect, it } from "vitest";

import { loadNodeEngine, openNodeFiles } from "#crdt-store/files/node.ts";
import { databases, foundIn, type Database } from "./canaries.ts";

/** What stands in the files while a process works, after it was killed and another worked, and after closing. */
async function look(database: Database, key: Uint8Array | null): Promise<readonly string[]> {
  const directory = mkdtempSync(join(tmpdir(), "sealeaf-canaries-"));
  const found = new Set<string>();
  const read = (): void => {
    for (const name of readdirSync(directory)) {
      const bytes = readFileSync(join(directory, name));
      for (const word of foundIn(bytes, database.canaries)) found.add(word);
    }
  };
  const engine = await loadNodeEngine();
  const work = () =>
    database.work({ engine, files: openNodeFiles(directory), key, random: (n) => randomBytes(n) });
  try {
    work()();
    read();
    const close = work();
    read();
    close();
    read();
    return [...found];
  } finally {
    rmSync(directory, { recursive: true });
  }
}

for (const database of databases) {
  describe(`the files of the database "${database.name}" in Node`, () => {
    it("hold no word, no name of a table or column and no sign of SQLite", async () => {
      expect(await look(database, new Uint8Array(32).fill(4))).toEqual([]);
    });

    it("hold every one of them in clear, which shows that they would be found", async () => {
      expect([...(await look(database, null))].sort()).toEqual([...database.canaries].sort());
    });
  });
}

import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { closeFiles, type FileSet } from "#crdt-store/files/file.ts";
import { loadNodeEngine, openNodeFiles } from "#crdt-store/files/node.ts";
import { createPageCodec, pageSize, type PageCodec } from "#crdt-store/files/page-codec.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { bytesFor, key, seededBytes } from "./store-fixtures.ts";

const fourGiB = 2 ** 32;
const pages = fourGiB / pageSize + 1_000;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sealeaf-large-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

/** Makes the database believe that it has {@link pages} pages, so that new ones come after them: a hole in the file. */
function stretch(files: FileSet, codec: PageCodec | null): void {
  const page = new Uint8Array(pageSize);
  files.main.read(page, 0);
  if (codec !== null) codec.open(page.slice(), 1, page);
  new DataView(page.buffer).setUint32(28, pages);
  files.main.write(codec === null ? page : codec.seal(page, 1), 0);
  files.main.truncate(pages * pageSize);
}

describe("a database beyond 4 GiB", () => {
  for (const [name, codec] of [
    ["in clear", null],
    [
      "encrypted",
      createPageCodec({ key, databaseId: bytesFor("large", 16), random: seededBytes(1) }),
    ],
  ] as const) {
    it(`${name} writes, moves and reads pages at such offsets`, async () => {
      const engine = await loadNodeEngine();
      const files = openNodeFiles(directory);
      Sqlite.open({ engine, files, codec }).close();
      stretch(files, codec);

      const sqlite = Sqlite.open({ engine, files, codec });
      sqlite.run("CREATE TABLE t (n INTEGER, body BLOB)");
      sqlite.transaction(() => {
        for (let n = 1; n <= 50; n += 1) {
          sqlite.run("INSERT INTO t (n, body) VALUES (?, ?)", [n, new Uint8Array(9_000).fill(n)]);
        }
      });
      sqlite.close();
      expect(files.main.size()).toBeGreaterThan(pages * pageSize + 50 * 9_000);
      expect(statSync(join(directory, "main")).blocks * 512).toBeLessThan(fourGiB / 1_000);

      const again = Sqlite.open({ engine, files, codec });
      const rows = again.all<{ n: number; body: Uint8Array }>("SELECT n, body FROM t ORDER BY n");
      expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
      expect(rows.every(({ n, body }) => Buffer.alloc(9_000, n).equals(body))).toBe(true);
      again.close();
      closeFiles(files);
    });
  }
});

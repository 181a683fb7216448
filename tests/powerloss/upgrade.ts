/**
 * Cuts in the middle of an upgrade. A store of the first version, full of rows, is brought to the newest one and one step
 * further, which rebuilds what it can; after every cut it stands whole at one of the versions.
 */
import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import { FaultyFiles } from "#crdt-store/files/faulty.ts";
import { fileRoles, type FileSet } from "#crdt-store/files/file.ts";
import { MemoryFiles, type FileContents } from "#crdt-store/files/memory.ts";
import { migrate, type Migration } from "#crdt-store/migrate.ts";
import { migrations } from "#crdt-store/schema.ts";
import { Sqlite, type SqlValue } from "#crdt-store/sqlite.ts";
import { notesCodec } from "#crdt-store/database-codec.ts";
import { Chance } from "#tests/support/sim-chance.ts";
import type { LifeOptions, LifeOutcome } from "./life.ts";
import { difference, readTables, type Tables } from "./tables.ts";

const rowsPerTable = 12;

/** A later version that touches much: columns, indexes, copies, deletions. */
const rebuild: Migration = (sqlite) => {
  sqlite.script(`
ALTER TABLE change ADD COLUMN weight INTEGER NOT NULL DEFAULT 0;
UPDATE change SET weight = length(bytes);
CREATE TABLE copied AS SELECT * FROM snapshot;
DELETE FROM snapshot;
CREATE INDEX copied_by_document ON copied (doc);
DROP TABLE key_value;
`);
};

const steps = [...migrations, rebuild];

/** Each cycle is one cut; a store that has reached the last version makes way for a fresh one. */
export function upgrade(options: LifeOptions): LifeOutcome {
  const chance = new Chance(`upgrade ${options.seed}`);
  const outcome: LifeOutcome = { cycles: 0, commits: 0, undone: 0, trouble: null };
  const first = firstVersion(options, chance);
  const expected = tablesByVersion(options, first);
  let files: FaultyFiles | null = null;
  for (let cycle = 0; cycle < options.cycles; cycle += 1) {
    outcome.cycles += 1;
    files ??= onFaultyDisk(first, chance.fork(`cuts ${cycle}`));
    files.failAfter(chance.below(chance.happens(0.5) ? 30 : 250));
    try {
      open(options, options.sabotage.files(files), (sqlite) => {
        sqlite.run(`PRAGMA synchronous=${options.sabotage.synchronous}`);
        sqlite.run("PRAGMA cache_size=20");
        migrate(sqlite, steps);
      });
    } catch {
      // Cut off in the middle of it.
    }
    files.losePower();
    try {
      const { version, tables } = open(options, files, readVersion);
      const different = difference(tables, expected[version] ?? new Map());
      if (different !== null) throw new Error(`at version ${version}, ${different}`);
      outcome.commits += version;
      if (version === steps.length) files = null;
    } catch (error) {
      outcome.trouble = { cycle: outcome.cycles, type: "damaged", what: String(error) };
      return outcome;
    }
  }
  return outcome;
}

function readVersion(sqlite: Sqlite): { readonly version: number; readonly tables: Tables } {
  sqlite.checkIntegrity();
  const row = sqlite.get<{ version: number }>("SELECT version FROM schema_version");
  return { version: row?.version ?? 0, tables: readTables(sqlite) };
}

function open<Result>(
  options: {
    readonly engine: SqliteEngine;
    readonly key: Uint8Array | null;
    readonly seed: string;
  },
  files: FileSet,
  act: (sqlite: Sqlite) => Result,
): Result {
  const nonces = new Chance(`nonces ${options.seed}`);
  const codec = notesCodec(options.engine, options.key, (count) => nonces.bytes(count));
  const sqlite = Sqlite.open({ engine: options.engine, files, codec });
  try {
    return act(sqlite);
  } finally {
    sqlite.close();
  }
}

function firstVersion(options: LifeOptions, chance: Chance): FileContents {
  const files = new MemoryFiles();
  open(options, files, (sqlite) => {
    migrate(sqlite, migrations.slice(0, 1));
    sqlite.transaction(() => fillTables(sqlite, chance));
  });
  return files.snapshot();
}

function tablesByVersion(options: LifeOptions, first: FileContents): readonly Tables[] {
  return [0, ...steps.keys()].map((_, version) =>
    open(options, new MemoryFiles(first), (sqlite) => {
      migrate(sqlite, steps.slice(0, Math.max(1, version)));
      return readTables(sqlite);
    }),
  );
}

function fillTables(sqlite: Sqlite, chance: Chance): void {
  const tables = sqlite.all<{ name: string }>(
    "SELECT name FROM sqlite_schema WHERE type = 'table' AND name <> 'schema_version' ORDER BY rowid",
  );
  for (const { name } of tables) {
    const columns = sqlite.all<{ type: string }>("SELECT type FROM pragma_table_info(?)", [name]);
    const places = columns.map(() => "?").join(", ");
    for (let row = 1; row <= rowsPerTable; row += 1) {
      const values = columns.map(({ type }) => valueOf(type, row, chance));
      sqlite.run(`INSERT INTO "${name}" VALUES (${places})`, values);
    }
  }
}

function valueOf(type: string, row: number, chance: Chance): SqlValue {
  if (type === "INTEGER") return row;
  if (type === "TEXT") return `text ${row}`;
  return chance.bytes(16 + chance.below(chance.happens(0.2) ? 6_000 : 48));
}

function onFaultyDisk(contents: FileContents, cuts: Chance): FaultyFiles {
  const files = new FaultyFiles(() => cuts.next());
  for (const role of fileRoles) {
    files[role].write(contents[role], 0);
    files[role].flush();
  }
  return files;
}

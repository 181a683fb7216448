/**
 * Moves a store from SQLite to PostgreSQL, table by table, row by row: positions, chains, counters,
 * certificates and the relay's own key stay what they are, so that devices go on where they were.
 * It is one transaction: everything is there and has been compared, or nothing is.
 */
import { existsSync } from "node:fs";
import type { Client } from "pg";
import type { DatabaseSyncInstance, StatementSyncInstance } from "@photostructure/sqlite";
import { equal } from "#relay/protocol/bytes.ts";
import {
  boolArray,
  bytesArray,
  int4Array,
  int8Array,
  textArray,
} from "#relay/store/postgres-arrays.ts";
import { openingError } from "#relay/store/postgres-failure.ts";
import { connectReady, placeIn } from "#relay/store/postgres-opening.ts";
import { databasePathIn, openToServe } from "#relay/store/sqlite-opening.ts";
import { StoreError } from "#relay/store/store.ts";

/** `hashes`: 32 bytes each, one after another in SQLite, an array in PostgreSQL. */
type ColumnType = "int8" | "int4" | "flag" | "bytes" | "text" | "hashes";

interface Table {
  readonly name: string;
  readonly columns: Readonly<Record<string, ColumnType>>;
  /** Its rows in the same order on both sides. */
  readonly key: readonly string[];
  /** Whether the database numbers its rows, in a column `id`. */
  readonly isNumbered?: true;
}

const tables: readonly Table[] = [
  {
    name: "space",
    columns: {
      id: "int8",
      space_id: "bytes",
      genesis: "bytes",
      revision: "int8",
      head: "int8",
      chain: "bytes",
      base: "int8",
      counted_bytes: "int8",
      deleted_at: "int8",
    },
    key: ["id"],
    isNumbered: true,
  },
  {
    name: "log",
    columns: {
      space: "int8",
      pos: "int8",
      is_control: "flag",
      doc_id: "bytes",
      entry_kind: "int4",
      size: "int4",
      item_id: "bytes",
      chain: "bytes",
      body: "bytes",
      at: "int8",
    },
    key: ["space", "pos"],
  },
  {
    name: "certificate",
    columns: { space: "int8", dev_pub: "bytes", cap_pub: "bytes", bytes: "bytes", at: "int8" },
    key: ["space", "dev_pub", "cap_pub"],
  },
  {
    name: "counter",
    columns: { space: "int8", dev_pub: "bytes", ctr: "int8", counted_bytes: "int8", at: "int8" },
    key: ["space", "dev_pub"],
  },
  {
    name: "document",
    columns: {
      space: "int8",
      doc_id: "bytes",
      last_pos: "int8",
      last_at: "int8",
      drop_pos: "int8",
      snapshot_pos: "int8",
      swept_pos: "int8",
      counted_bytes: "int8",
    },
    key: ["space", "doc_id"],
  },
  {
    name: "snapshot",
    columns: {
      space: "int8",
      pos: "int8",
      doc_id: "bytes",
      covers_pos: "int8",
      omitted: "hashes",
      chunks: "hashes",
      at: "int8",
    },
    key: ["space", "pos"],
  },
  {
    name: "card",
    columns: { space: "int8", doc_id: "bytes", derived_pos: "int8", body: "bytes" },
    key: ["space", "doc_id"],
  },
  {
    name: "blob",
    columns: {
      id: "int8",
      space: "int8",
      blob_id: "bytes",
      doc_id: "bytes",
      dev_pub: "bytes",
      size: "int8",
      chunks: "hashes",
      pos: "int8",
      at: "int8",
      dropped_at: "int8",
    },
    key: ["id"],
    isNumbered: true,
  },
  { name: "chunk", columns: { blob: "int8", ix: "int4", body: "bytes" }, key: ["blob", "ix"] },
  {
    name: "invite",
    columns: {
      token_hash: "bytes",
      label: "text",
      made_at: "int8",
      expires_at: "int8",
      redeemed_by: "bytes",
    },
    key: ["token_hash"],
  },
  {
    name: "access_key",
    columns: { access_pub: "bytes", label: "text", admitted_at: "int8" },
    key: ["access_pub"],
  },
  {
    name: "space_owner",
    columns: { space_id: "bytes", access_pub: "bytes" },
    key: ["space_id"],
  },
  // Last: a store with a key is one that is whole.
  {
    name: "identity",
    columns: { relay_secret: "bytes", store_id: "bytes" },
    key: ["store_id"],
  },
];

export interface MovedRows {
  readonly spaces: number;
  readonly positions: number;
  readonly chunks: number;
}

const rowsPerStatement = 1_000;
const bytesPerStatement = 4 << 20;

/**
 * @param dir the data directory of a relay that is not running; it stays as it is
 * @param address of an empty database
 * Rejects with a {@link StoreError} a person understands; the database is as it was then.
 */
export async function importStore(dir: string, address: string): Promise<MovedRows> {
  if (!existsSync(databasePathIn(dir))) {
    throw new StoreError("unusable", `There is no store in ${dir}.`);
  }
  const { db, lock } = openToServe(dir);
  try {
    const { client } = await connectReady(address, "endless");
    try {
      return await importInto(client, new Source(db), placeIn(address));
    } catch (error) {
      throw openingError(error, placeIn(address));
    } finally {
      // What was not committed goes with the connection.
      await client.end().catch(() => undefined);
    }
  } finally {
    db.close();
    lock?.close();
  }
}

async function importInto(client: Client, source: Source, place: string): Promise<MovedRows> {
  await client.query("BEGIN; SET LOCAL synchronous_commit = on");
  await client.query("LOCK TABLE sealeaf.identity, sealeaf.space IN ACCESS EXCLUSIVE MODE");
  await refuseUsed(client, place);
  for (const table of tables) {
    refuseOtherColumns(source, table);
    await copy(client, source, table);
    await compare(client, source, table);
    if (table.isNumbered === true) await continueNumbering(client, table);
  }
  await client.query("COMMIT");
  return {
    spaces: source.count("space"),
    positions: source.count("log"),
    chunks: source.count("chunk"),
  };
}

async function refuseUsed(client: Client, place: string): Promise<void> {
  const { rows } = await client.query<{ used: boolean }>(
    "SELECT EXISTS (SELECT FROM sealeaf.identity) OR EXISTS (SELECT FROM sealeaf.space) AS used",
  );
  if (rows[0]?.used !== false) {
    throw new StoreError(
      "unusable",
      `The database ${place} holds a relay's store already: nothing was changed. Name an empty one.`,
    );
  }
}

/** What a later step adds to the tables in SQLite must not be left behind in silence. */
function refuseOtherColumns(source: Source, { name, columns }: Table): void {
  // A table of one row marks it with a column of no other use.
  const found = source.columnsOf(name).filter((column) => column !== "only");
  if (found.toSorted().join() !== Object.keys(columns).toSorted().join()) {
    throw changedError(name);
  }
}

type Cell = number | string | Uint8Array | null;
type Row = Readonly<Record<string, Cell>>;

/** The store that is moved. Its statements are kept: one that is collected ends its rows half-way. */
class Source {
  readonly #db: DatabaseSyncInstance;
  readonly #statements = new Map<string, StatementSyncInstance>();

  constructor(db: DatabaseSyncInstance) {
    this.#db = db;
  }

  rows({ name, columns, key }: Table): Iterable<Row> {
    const selected = Object.keys(columns).join(", ");
    const sql = `SELECT ${selected} FROM ${name} ORDER BY ${key.join(", ")}`;
    const statement = this.#statements.get(sql) ?? this.#db.prepare(sql);
    this.#statements.set(sql, statement);
    return statement.iterate() as Iterable<Row>; // cells of a STRICT table
  }

  columnsOf(name: string): readonly string[] {
    const info = this.#db.prepare(`PRAGMA table_info(${name})`).all() as { name: string }[]; // as SQLite says
    return info.map((column) => column.name);
  }

  count(name: string): number {
    const row = this.#db.prepare(`SELECT count(*) AS rows FROM ${name}`).get() as { rows: number }; // as asked
    return row.rows;
  }
}

async function copy(client: Client, source: Source, table: Table): Promise<void> {
  let rows: Row[] = [];
  let bytes = 0;
  const flush = async () => {
    if (rows.length > 0) await insert(client, table, rows);
    rows = [];
    bytes = 0;
  };
  for (const row of source.rows(table)) {
    rows.push(row);
    for (const cell of Object.values(row)) if (cell instanceof Uint8Array) bytes += cell.length;
    if (rows.length >= rowsPerStatement || bytes >= bytesPerStatement) await flush();
  }
  await flush();
}

async function insert(client: Client, table: Table, rows: readonly Row[]): Promise<void> {
  const columns = Object.entries(table.columns);
  const names = columns.map(([name]) => name).join(", ");
  const values = columns.map(([name, type]) =>
    type === "hashes" ? splitHashes(`moved.${name}`) : `moved.${name}`,
  );
  const arrays = columns.map(([, type], ix) => `$${ix + 1}::${arrayTypes[type]}`);
  const only = table.name === "identity" ? ["is_only, ", "true, "] : ["", ""];
  await client.query(
    `INSERT INTO sealeaf.${table.name} (${only[0] ?? ""}${names}) OVERRIDING SYSTEM VALUE
     SELECT ${only[1] ?? ""}${values.join(", ")} FROM unnest(${arrays.join(", ")}) AS moved (${names})`,
    columns.map(([name, type]) => arrayOf(type, rows, name)),
  );
}

const arrayTypes: Readonly<Record<ColumnType, string>> = {
  int8: "int8[]",
  int4: "int4[]",
  flag: "boolean[]",
  bytes: "bytea[]",
  text: "text[]",
  hashes: "bytea[]",
};

function splitHashes(column: string): string {
  return `ARRAY(SELECT substr(${column}, at, 32) FROM generate_series(1, length(${column}), 32) AS at)`;
}

function arrayOf(type: ColumnType, rows: readonly Row[], name: string): Buffer {
  const cells = rows.map((row) => row[name] ?? null);
  switch (type) {
    case "int8":
      return int8Array(cells.map((cell) => (cell === null ? null : Number(cell))));
    case "int4":
      return int4Array(cells.map((cell) => (cell === null ? null : Number(cell))));
    case "flag":
      return boolArray(cells.map((cell) => cell === 1));
    case "text":
      return textArray(cells.map((cell) => (cell === null ? null : String(cell))));
    case "bytes":
    case "hashes":
      return bytesArray(cells.map((cell) => (cell instanceof Uint8Array ? cell : null)));
  }
}

/** Reads what has arrived and holds it against what was sent, row by row. */
async function compare(client: Client, source: Source, table: Table): Promise<void> {
  const columns = Object.entries(table.columns);
  const selected = columns.map(([name, type]) => `${comparable(name, type)} AS ${name}`);
  await client.query(
    `DECLARE arrived NO SCROLL CURSOR FOR
     SELECT ${selected.join(", ")} FROM sealeaf.${table.name} ORDER BY ${table.key.join(", ")}`,
  );
  let arrived: readonly Row[] = [];
  let at = 0;
  const next = async (): Promise<Row | undefined> => {
    if (at >= arrived.length) {
      ({ rows: arrived } = await client.query<Row>("FETCH 200 FROM arrived"));
      at = 0;
    }
    at += 1;
    return arrived[at - 1];
  };
  for (const sent of source.rows(table)) {
    const found = await next();
    const differs = columns.some(([name]) => !isSame(sent[name] ?? null, found?.[name] ?? null));
    if (found === undefined || differs) throw changedError(table.name);
  }
  if ((await next()) !== undefined) throw changedError(table.name);
  await client.query("CLOSE arrived");
}

function changedError(name: string): StoreError {
  return new StoreError(
    "failed",
    `What arrived in the table ${name} is not what was sent: the database is as it was.`,
  );
}

function comparable(name: string, type: ColumnType): string {
  if (type === "flag") return `${name}::int4`;
  if (type !== "hashes") return name;
  return `(SELECT coalesce(string_agg(hash, '' ORDER BY ix), '')
    FROM unnest(${name}) WITH ORDINALITY AS each (hash, ix))`;
}

/** The driver gives `int8` as text. */
function isSame(sent: Cell, found: Cell): boolean {
  if (sent instanceof Uint8Array) return found instanceof Uint8Array && equal(sent, found);
  return sent === null || found === null ? sent === found : String(sent) === String(found);
}

async function continueNumbering(client: Client, { name }: Table): Promise<void> {
  await client.query(
    `SELECT setval(pg_get_serial_sequence('sealeaf.${name}', 'id'), max(id)) FROM sealeaf.${name}`,
  );
}

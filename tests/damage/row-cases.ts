/**
 * Every column of every table, damaged one value at a time in a store in clear, and then a whole device opened over it,
 * synchronised and read. In an encrypted store none of this can happen to a value: its page would no longer be authentic.
 */
import { Refusal } from "#client/device/refusal.ts";
import { documentIdToText } from "#crdt-store/document-id.ts";
import { MemoryFiles, type FileContents } from "#crdt-store/files/memory.ts";
import { Sqlite, type SqlValue } from "#crdt-store/sqlite.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { Chance } from "#tests/support/sim-chance.ts";
import type { Engines } from "#tests/support/world.ts";
import type { Finding, Verdict } from "./case.ts";
import { Patient, titles, type Shown } from "./patient.ts";

export interface RowCase {
  readonly name: string;
  readonly contents: FileContents;
  /** The document whose row it is; null where the row concerns more than one. */
  readonly doc: Uint8Array | null;
}

interface Column {
  readonly name: string;
  /** Its place in the primary key from 1; 0 if it is not in it. */
  readonly pk: number;
}

type Row = Readonly<Record<string, SqlValue>>;

/** Tables of which more than one row is tried: what each row means differs. */
const everyRow: ReadonlySet<string> = new Set(["setting", "space", "cursor", "schema_version"]);

export function listRowCases({ sqlite: engine }: Engines, contents: FileContents): RowCase[] {
  const sqlite = Sqlite.open({ engine, files: new MemoryFiles(contents), codec: null });
  try {
    const tables = sqlite.all<{ name: string }>(
      "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name",
    );
    return tables.flatMap(({ name }) =>
      casesOf(sqlite, name, (sql, values) => damagedBy(engine, contents, sql, values)),
    );
  } finally {
    sqlite.close();
  }
}

type Damaging = (sql: string, values: readonly SqlValue[]) => FileContents | null;

function casesOf(sqlite: Sqlite, table: string, damage: Damaging): RowCase[] {
  const columns = sqlite.all<{ name: string; pk: number }>(
    "SELECT name, pk FROM pragma_table_info(?)",
    [table],
  );
  const rows = sqlite.all<Row>(`SELECT * FROM "${table}"`);
  const middle = rows.at(Math.floor(rows.length / 2));
  const chosen = everyRow.has(table) ? rows : [...new Set([rows.at(0), rows.at(-1), middle])];
  return chosen.flatMap((row, index) =>
    row === undefined
      ? []
      : columns.flatMap((column) => casesOfValue({ table, columns, row, index, column }, damage)),
  );
}

interface Place {
  readonly table: string;
  readonly columns: readonly Column[];
  readonly row: Row;
  readonly index: number;
  readonly column: Column;
}

function casesOfValue({ table, columns, row, index, column }: Place, damage: Damaging): RowCase[] {
  const keys = columns.some(({ pk }) => pk > 0) ? columns.filter(({ pk }) => pk > 0) : columns;
  const where = keys.map(({ name }) => `"${name}" IS ?`).join(" AND ");
  const keyValues = keys.map(({ name }) => row[name] ?? null);
  const update = `UPDATE "${table}" SET "${column.name}" = ? WHERE ${where}`;
  const doc = row["doc"] instanceof Uint8Array ? row["doc"] : null;
  const label = table === "setting" ? `${table} ${String(row["key"])}` : `${table} ${index}`;
  return damagesTo(row[column.name] ?? null).flatMap(([kind, value]) => {
    const contents = damage(update, [value, ...keyValues]);
    return contents === null ? [] : [{ name: `${label}.${column.name}: ${kind}`, contents, doc }];
  });
}

/** Null if the tables do not take the value, so that it cannot get there. */
export function damagedBy(
  engine: Engines["sqlite"],
  contents: FileContents,
  sql: string,
  values: readonly SqlValue[],
): FileContents | null {
  const files = new MemoryFiles(contents);
  const sqlite = Sqlite.open({ engine, files, codec: null });
  try {
    sqlite.run("PRAGMA foreign_keys=OFF");
    sqlite.run(sql, values);
  } catch {
    return null;
  } finally {
    sqlite.close();
  }
  return files.snapshot();
}

function damagesTo(value: SqlValue): readonly (readonly [kind: string, value: SqlValue])[] {
  if (value instanceof Uint8Array) return damagesToBytes(value);
  if (typeof value === "number") {
    return [
      ["one more", value + 1],
      ["zero", 0],
      ["negative", -1],
      ["huge", 2 ** 52],
    ];
  }
  if (typeof value === "string") {
    return [
      ["flipped", `${String.fromCharCode((value.codePointAt(0) ?? 32) ^ 1)}${value.slice(1)}`],
      ["cut", value.slice(0, Math.floor(value.length / 2))],
      ["empty", ""],
    ];
  }
  return [["bytes out of nowhere", new Uint8Array(32).fill(9)]];
}

function damagesToBytes(value: Uint8Array): readonly (readonly [string, SqlValue])[] {
  const middle = Math.floor(value.length / 2);
  const flipped = value.slice();
  flipped[middle] = (flipped[middle] ?? 0) ^ 1;
  return [
    ["flipped", flipped],
    ["cut", value.slice(0, middle)],
    ["empty", new Uint8Array(0)],
    ["garbage", new Chance("garbage").bytes(value.length + 7)],
  ];
}

/** Opens both people over the damaged files and judges what they show. */
export async function runRowCase(patient: Patient, damage: RowCase): Promise<Finding> {
  const found = (verdict: Verdict, detail: string): Finding => ({
    name: damage.name,
    verdict,
    detail,
  });
  const stray: unknown[] = [];
  const note = (error: unknown): void => void stray.push(error);
  process.on("unhandledRejection", note);
  try {
    await patient.begin(damage.contents);
    const bob = patient.bob.open();
    const ada = patient.ada.open();
    await patient.heal();
    await patient.show(ada);
    // What was mended when it was read goes out now.
    await patient.heal();
    const shown = { ada: await patient.show(ada), bob: await patient.show(bob) };
    await requireWritable(() => ada.createNote({ title: "After" }));
    if (stray.length > 0) return found("bricked", `unhandled: ${textOf(stray[0])}`);
    return found(...judge(patient, damage, shown));
  } catch (error) {
    if (error instanceof StoreError) return found("refused", error.message);
    return found("bricked", textOf(error));
  } finally {
    process.off("unhandledRejection", note);
  }
}

async function requireWritable(write: () => Promise<unknown>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
  }
}

function judge(
  patient: Patient,
  { doc }: RowCase,
  shown: { readonly ada: Shown; readonly bob: Shown },
): [Verdict, string] {
  const { healthy } = patient;
  const damagedId = doc === null ? null : documentIdToText(doc);
  const owner = healthy.ada.rows.find(({ id }) => id === damagedId)?.title;
  const wrong = titles.filter(
    (title) =>
      shown.ada.texts.get(title) !== healthy.ada.texts.get(title) ||
      shown.bob.texts.get(title) !== healthy.bob.texts.get(title),
  );
  const isShown =
    shown.ada.complaints > 0 || shown.ada.rows.some(({ quarantined }) => quarantined > 0);
  if (wrong.length === 0) return [isShown ? "recovered" : "harmless", ""];
  // A row of one note may cost that note something, never another.
  const others = owner === undefined ? [] : wrong.filter((title) => title !== owner);
  if (others.length > 0) return ["lost", `${others.join(", ")} beside ${owner}`];
  return [isShown ? "quarantined" : "believed", wrong.join(", ")];
}

function textOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

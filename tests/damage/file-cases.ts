/**
 * Every kind of byte of a store's files, damaged one at a time: pages of the main file, frames of the log before and
 * after it was recovered, and lengths.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import { MemoryFiles, type FileContents } from "#crdt-store/files/memory.ts";
import { migrate } from "#crdt-store/migrate.ts";
import { migrations } from "#crdt-store/schema.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { notesCodec } from "#crdt-store/database-codec.ts";
import { Store } from "#crdt-store/store.ts";
import { performStep } from "#tests/powerloss/steps.ts";
import { difference, readTables, type Tables } from "#tests/powerloss/tables.ts";
import { Chance } from "#tests/support/sim-chance.ts";
import { isUnchanged, type Finding, type Verdict } from "./case.ts";

export interface FileCaseOptions {
  readonly engine: SqliteEngine;
  readonly encrypted: boolean;
  /** Transactions whose pages are in the main file, and those that are still in the log. */
  readonly settledSteps: number;
  readonly loggedSteps: number;
  /** Every so-manieth page and frame. */
  readonly stride: number;
}

interface Damage {
  readonly name: string;
  readonly contents: FileContents;
}

const seed = "damage";
const pageBytes = 4096;
const logHeaderBytes = 32;
const frameBytes = 24 + pageBytes;
const rightKey = sha256(new TextEncoder().encode("the key"));

/** A store as a killed process leaves it. */
interface Patient {
  readonly engine: SqliteEngine;
  readonly key: Uint8Array | null;
  readonly contents: FileContents;
  /** The tables after each commit that is still in the log, the state before the first of them included. */
  readonly history: readonly Tables[];
}

export function runFileCases(options: FileCaseOptions): Finding[] {
  const patient = setupPatient(options);
  const { contents } = patient;
  return [
    ...mainPages(contents, options.stride).map((damage) => examine(patient, damage, "main")),
    ...frames(contents, options.stride).map((damage) => examine(patient, damage, "log")),
    ...frames(contents, options.stride).map((damage) => examineLive(patient, damage)),
    ...lengths(contents).map((damage) => examine(patient, damage, "length")),
  ];
}

/** How often SQLite alone, without our look at the log, silently ends it early. The control of the log's cases. */
export function countSilentCuts(options: FileCaseOptions): number {
  const patient = setupPatient(options);
  const right = patient.history.length - 1 + options.settledSteps;
  return frames(patient.contents, options.stride).filter(({ contents }) => {
    const { engine, key } = patient;
    const database = engine.open(
      new MemoryFiles(contents),
      notesCodec(engine, key, randomFrom("control")),
    );
    try {
      database.exec("PRAGMA locking_mode=EXCLUSIVE");
      const statement = database.prepare("SELECT value FROM setting WHERE key = 'step'");
      const value = statement.step() ? statement.get()[0] : null;
      statement.free();
      return value instanceof Uint8Array && value[1] !== right;
    } catch {
      return false;
    } finally {
      database.close();
    }
  }).length;
}

function setupPatient({ engine, encrypted, settledSteps, loggedSteps }: FileCaseOptions): Patient {
  const key = encrypted ? rightKey : null;
  const files = new MemoryFiles();
  const history: Tables[] = [];
  const work = (from: number, count: number): Sqlite => {
    const { sqlite, store } = open({ engine, key }, files);
    history.length = 0;
    history.push(readTables(sqlite));
    for (let number = from; number < from + count; number += 1) {
      performStep(store, seed, { number, attempt: 0 });
      history.push(readTables(sqlite));
    }
    return sqlite;
  };
  work(1, settledSteps).close();
  const running = work(settledSteps + 1, loggedSteps);
  const contents = files.snapshot();
  running.close();
  return { engine, key, contents, history };
}

function open({ engine, key }: Pick<Patient, "engine" | "key">, files: MemoryFiles) {
  const sqlite = Sqlite.open({ engine, files, codec: notesCodec(engine, key, randomFrom("work")) });
  try {
    // All of it stays in the log until it is closed.
    sqlite.run("PRAGMA wal_autocheckpoint=0");
    migrate(sqlite, migrations);
  } catch (error) {
    sqlite.abandon();
    throw error;
  }
  return { sqlite, store: new Store(sqlite, files, () => 1) };
}

function examine(patient: Patient, { name, contents }: Damage, place: string): Finding {
  const files = new MemoryFiles(contents);
  let sqlite: Sqlite;
  try {
    ({ sqlite } = open(patient, files));
  } catch (error) {
    return finding(name, refusal(error, isUnchanged(files, contents)), error);
  }
  try {
    return finding(name, judge(patient, sqlite, place, name.endsWith("zeros")), "");
  } catch (error) {
    return finding(name, error instanceof StoreError ? "noticed" : "bricked", error);
  } finally {
    closeQuietly(sqlite);
  }
}

/** The log is damaged while the store is open: what the pages say is asked of the file again. */
function examineLive(patient: Patient, { name, contents }: Damage): Finding {
  const files = new MemoryFiles(patient.contents);
  const { sqlite } = open(patient, files);
  try {
    sqlite.run("PRAGMA cache_size=1");
    sqlite.run("PRAGMA shrink_memory");
    files.wal.write(contents.wal, 0);
    return finding(`live ${name}`, judge(patient, sqlite, "live", false), "");
  } catch (error) {
    return finding(`live ${name}`, error instanceof StoreError ? "noticed" : "bricked", error);
  } finally {
    closeQuietly(sqlite);
  }
}

function judge(patient: Patient, sqlite: Sqlite, place: string, isErased: boolean): Verdict {
  sqlite.checkIntegrity();
  const found = readTables(sqlite);
  const commits = patient.history.length - 1;
  const state = patient.history.findIndex((tables) => difference(found, tables) === null);
  if (state === commits) return "harmless";
  if (place === "log" && state === commits - 1) return "cut";
  // The frame that ends the last commit but one, with nothing of it left, might be the first of a torn one.
  if (place === "log" && state === commits - 2 && isErased) return "cut";
  // A log cut short from outside is an older copy of the store, which nothing in the store can tell.
  if (place === "length" && state >= 0) return "cut";
  if (state >= 0) return "lost";
  // In clear, SQLite's own checks are all there is for a page.
  return patient.key === null ? "believed" : "wrong";
}

function refusal(error: unknown, unchanged: boolean): Verdict {
  if (!(error instanceof StoreError)) return "bricked";
  return unchanged ? "refused" : "lost";
}

function* bytesOf(from: number, kinds: readonly (readonly [string, number, number])[]) {
  for (const [kind, start, end] of kinds) {
    for (const at of new Set([start, Math.floor((start + end) / 2), end - 1])) {
      yield { kind: `${kind}, byte ${at - start}`, at: from + at };
    }
  }
}

const pageParts = [
  ["header", 0, 100],
  ["body", 100, 4056],
  ["tag", 4056, 4072],
  ["nonce", 4072, 4096],
] as const;

const frameParts = [
  ["page number", 0, 4],
  ["commit size", 4, 8],
  ["salts", 8, 16],
  ["checksum", 16, 24],
  ["body", 24, 24 + 4056],
  ["tag", 24 + 4056, 24 + 4072],
  ["nonce", 24 + 4072, 24 + 4096],
] as const;

const logHeaderParts = [
  ["magic number", 0, 4],
  ["version", 4, 8],
  ["page size", 8, 12],
  ["round", 12, 16],
  ["salts", 16, 24],
  ["checksum", 24, 32],
] as const;

function mainPages(contents: FileContents, stride: number): Damage[] {
  const chance = new Chance("pages");
  const count = contents.main.length / pageBytes;
  const found: Damage[] = [];
  for (let page = 0; page < count; page += page === 0 ? 1 : stride) {
    const start = page * pageBytes;
    const add = (kind: string, change: (main: Uint8Array) => void): void => {
      const main = contents.main.slice();
      change(main);
      found.push({ name: `page ${page + 1}: ${kind}`, contents: { ...contents, main } });
    };
    for (const { kind, at } of bytesOf(start, pageParts)) add(kind, (main) => flip(main, at));
    add("zeros", (main) => main.fill(0, start, start + pageBytes));
    add("garbage", (main) => main.set(chance.bytes(pageBytes), start));
    add("torn", (main) => main.set(chance.bytes(512), start + 1024));
    const other = ((page + 1) % count) * pageBytes;
    add("another page", (main) => main.copyWithin(start, other, other + pageBytes));
  }
  return found;
}

function frames(contents: FileContents, stride: number): Damage[] {
  const chance = new Chance("frames");
  const count = Math.floor((contents.wal.length - logHeaderBytes) / frameBytes);
  const found: Damage[] = [];
  const add = (name: string, change: (wal: Uint8Array) => void): void => {
    const wal = contents.wal.slice();
    change(wal);
    found.push({ name, contents: { ...contents, wal } });
  };
  for (const { kind, at } of bytesOf(0, logHeaderParts)) {
    add(`log header: ${kind}`, (wal) => flip(wal, at));
  }
  add("log header: zeros", (wal) => wal.fill(0, 0, logHeaderBytes));
  for (let frame = 0; frame < count; frame += stride) {
    const start = logHeaderBytes + frame * frameBytes;
    for (const { kind, at } of bytesOf(start, frameParts)) {
      add(`frame ${frame}: ${kind}`, (wal) => flip(wal, at));
    }
    add(`frame ${frame}: zeros`, (wal) => wal.fill(0, start, start + frameBytes));
    add(`frame ${frame}: torn`, (wal) => wal.set(chance.bytes(512), start + 512));
  }
  return found;
}

function lengths(contents: FileContents): Damage[] {
  const { main, wal } = contents;
  const mains = [0, 1, 100, 512, 4095, 4096, 4097, 8192, main.length - 4096, main.length - 1];
  const ends = Math.floor((wal.length - logHeaderBytes) / frameBytes);
  const wals = [0, 1, 31, 32, 33];
  for (let frame = 0; frame < ends; frame += 7) {
    const start = logHeaderBytes + frame * frameBytes;
    wals.push(start + 12, start + 24, start + 2_000, start + frameBytes);
  }
  return [
    ...mains.map((length) => ({
      name: `main file of ${length} bytes`,
      contents: { ...contents, main: main.slice(0, length) },
    })),
    ...wals.map((length) => ({
      name: `log of ${length} bytes`,
      contents: { ...contents, wal: wal.slice(0, length) },
    })),
    {
      name: "log with half a page of garbage behind",
      contents: { ...contents, wal: appended(wal, new Uint8Array(2_000).fill(7)) },
    },
    {
      name: "main file with half a page of garbage behind",
      contents: { ...contents, main: appended(main, new Uint8Array(2_000).fill(7)) },
    },
  ];
}

function finding(name: string, verdict: Verdict, error: unknown): Finding {
  return { name, verdict, detail: String(error) };
}

function closeQuietly(sqlite: Sqlite): void {
  try {
    sqlite.close();
  } catch (error) {
    if (!(error instanceof Error)) throw error;
  }
}

function flip(bytes: Uint8Array, at: number): void {
  bytes[at] = (bytes[at] ?? 0) ^ 1;
}

function appended(bytes: Uint8Array, more: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([bytes, more]));
}

function randomFrom(name: string): (count: number) => Uint8Array {
  const chance = new Chance(name);
  return (count) => chance.bytes(count);
}

/**
 * The wrong key for whole files, in every state that a device may leave them in. None may be taken for an empty store,
 * and none may cost a byte: whoever comes back with the right key finds everything.
 */
import { sha256 } from "@noble/hashes/sha2.js";

import { notesCodec, searchCodec } from "#crdt-store/database-codec.ts";
import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import { FaultyFiles } from "#crdt-store/files/faulty.ts";
import { fileRoles, type FileSet } from "#crdt-store/files/file.ts";
import { MemoryFiles, type FileContents } from "#crdt-store/files/memory.ts";
import type { PageCodec } from "#crdt-store/files/page-codec.ts";
import { migrate } from "#crdt-store/migrate.ts";
import { migrations } from "#crdt-store/schema.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { Store } from "#crdt-store/store.ts";
import { lastStep, performStep } from "#tests/powerloss/steps.ts";
import { Chance } from "#tests/support/sim-chance.ts";
import { isUnchanged, type Finding, type Verdict } from "./case.ts";

export interface KeyCaseOptions {
  readonly engine: SqliteEngine;
  /** How many different power cuts leave files to be tried. */
  readonly cuts: number;
}

/** Gives the codec, anew for each opening; null where the pages are in clear. */
type Lock = (engine: SqliteEngine) => PageCodec | null;

interface State {
  readonly name: string;
  readonly contents: FileContents;
  /** How many steps may be in it; none of these where not even the right key opens it. */
  readonly steps: readonly number[];
}

const rightKey = sha256(new TextEncoder().encode("the key"));
const encrypted: Lock = (engine) => notesCodec(engine, rightKey, randomFrom("work"));
const clear: Lock = () => null;

/** What else is tried. By name, what it is in the encrypted store. */
const wrongOnes: readonly (readonly [name: string, lock: Lock])[] = [
  ["another key", under(sha256(new TextEncoder().encode("another key")))],
  ["a key with one other bit", under(rightKey.map((byte, at) => (at === 31 ? byte ^ 1 : byte)))],
  ["the key of another database", (engine) => searchCodec(engine, rightKey, randomFrom("index"))],
  ["no key", clear],
];

export function runKeyCases({ engine, cuts }: KeyCaseOptions): Finding[] {
  return [
    ...statesUnder(engine, encrypted, cuts).flatMap((state) => [
      examineRight(engine, state, encrypted),
      ...wrongOnes.map(([name, lock]) => examine(engine, state, name, lock)),
    ]),
    ...statesUnder(engine, clear, cuts).flatMap((state) => [
      examineRight(engine, state, clear),
      examine(engine, state, "a key for a store in clear", encrypted),
    ]),
  ];
}

/** As the product opens a store: nothing is left open if it fails. */
function open(engine: SqliteEngine, files: FileSet, lock: Lock) {
  const sqlite = Sqlite.open({ engine, files, codec: lock(engine) });
  try {
    migrate(sqlite, migrations);
  } catch (error) {
    sqlite.abandon();
    throw error;
  }
  return { sqlite, store: new Store(sqlite, files, () => 1) };
}

function examine(engine: SqliteEngine, state: State, key: string, lock: Lock): Finding {
  const files = new MemoryFiles(state.contents);
  const found = (verdict: Verdict, detail: unknown): Finding => ({
    name: `${key}, ${state.name}`,
    verdict,
    detail: String(detail),
  });
  try {
    open(engine, files, lock).sqlite.abandon();
  } catch (error) {
    if (!(error instanceof StoreError)) return found("bricked", error);
    if (!isUnchanged(files, state.contents)) return found("lost", "a byte was changed");
    // Where the main file is gone no key opens anything, and the words are about that.
    const expected = state.steps.length === 0 ? "corrupt" : "wrong-key";
    return found(error.type === expected ? "refused" : "wrong", error);
  }
  return found("wrong", "opened");
}

/** The control: it is the key that is refused, not the files. */
function examineRight(engine: SqliteEngine, { name, contents, steps }: State, lock: Lock): Finding {
  const files = new MemoryFiles(contents);
  const found = (verdict: Verdict, detail: unknown): Finding => ({
    name: `the right key, ${name}`,
    verdict,
    detail: String(detail),
  });
  try {
    const { sqlite, store } = open(engine, files, lock);
    sqlite.checkIntegrity();
    const { number } = lastStep(store);
    sqlite.close();
    return found(
      steps.includes(number) ? "harmless" : "lost",
      `step ${number}, not ${steps.join(" or ")}`,
    );
  } catch (error) {
    const isExpected = steps.length === 0 && error instanceof StoreError;
    return found(isExpected && isUnchanged(files, contents) ? "refused" : "bricked", error);
  }
}

function statesUnder(engine: SqliteEngine, lock: Lock, cuts: number): State[] {
  return [...settledStates(engine, lock), ...statesAfterCuts(engine, lock, cuts)];
}

const stepsPerRound = 8;

/** One store's files at the moments between which they differ in kind. */
function settledStates(engine: SqliteEngine, lock: Lock): State[] {
  const files = new MemoryFiles();
  const states: State[] = [];
  const keep = (name: string, steps: number): void => {
    states.push({ name, contents: files.snapshot(), steps: [steps] });
  };
  Sqlite.open({ engine, files, codec: lock(engine) }).abandon();
  keep("a store without a table", 0);
  const { sqlite, store } = open(engine, files, lock);
  sqlite.run("PRAGMA wal_autocheckpoint=0");
  keep("tables in the log alone", 0);
  work(store, 1);
  keep("everything in the log, an empty main file", stepsPerRound);
  states.push({
    name: "a log, and a main file without a byte",
    contents: { ...files.snapshot(), main: new Uint8Array(0) },
    steps: [],
  });
  sqlite.run("PRAGMA wal_checkpoint(PASSIVE)");
  keep("a log that the main file has all of", stepsPerRound);
  work(store, stepsPerRound + 1);
  keep("a new round over an older one", 2 * stepsPerRound);
  sqlite.run("PRAGMA wal_checkpoint(TRUNCATE)");
  keep("after a checkpoint, still open", 2 * stepsPerRound);
  work(store, 2 * stepsPerRound + 1);
  keep("killed after a checkpoint and more", 3 * stepsPerRound);
  sqlite.close();
  keep("closed", 3 * stepsPerRound);
  return states;
}

function work(store: Store, from: number): void {
  for (let number = from; number < from + stepsPerRound; number += 1) {
    performStep(store, "keys", { number, attempt: 0 });
  }
}

/** Power cuts at any write, many of them in the middle of a checkpoint. */
function statesAfterCuts(engine: SqliteEngine, lock: Lock, cuts: number): State[] {
  const chance = new Chance("cuts of keys");
  return Array.from({ length: cuts }, (_, index): State => {
    const files = new FaultyFiles(() => chance.next());
    const { sqlite, store } = open(engine, files, lock);
    sqlite.run("PRAGMA cache_size=50");
    sqlite.run("PRAGMA wal_autocheckpoint=20");
    files.failAfter(chance.below(200));
    let acknowledged = 0;
    try {
      for (; !files.powerIsOff; acknowledged += 1) {
        performStep(store, `keys ${index}`, { number: acknowledged + 1, attempt: 0 });
      }
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
    } finally {
      sqlite.abandon();
      files.losePower();
    }
    const steps = [acknowledged, acknowledged + 1];
    return { name: `after power cut ${index}`, contents: contentsOf(files), steps };
  });
}

function contentsOf(files: FaultyFiles): FileContents {
  const copy = new MemoryFiles();
  for (const role of fileRoles) copy[role].write(files[role].contents(), 0);
  return copy.snapshot();
}

function under(key: Uint8Array): Lock {
  return (engine) => notesCodec(engine, key, randomFrom("another"));
}

function randomFrom(name: string): (count: number) => Uint8Array {
  const chance = new Chance(name);
  return (count) => chance.bytes(count);
}

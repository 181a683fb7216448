/**
 * One life of a store on a disk that fails: it is created, worked on, cut off and found again, time after time. Beside it
 * a twin on files that never fail takes each step that was acknowledged; after every cut all tables of the two must be
 * equal, or equal once the twin has taken the step that was under way.
 */
import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import { FaultyFiles, type FileOperation } from "#crdt-store/files/faulty.ts";
import type { FileSet } from "#crdt-store/files/file.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { migrate } from "#crdt-store/migrate.ts";
import { migrations } from "#crdt-store/schema.ts";
import { Sqlite } from "#crdt-store/sqlite.ts";
import { StoreError } from "#crdt-store/store-error.ts";
import { notesCodec } from "#crdt-store/database-codec.ts";
import { openStore, Store } from "#crdt-store/store.ts";
import { Chance } from "#tests/support/sim-chance.ts";
import { lastStep, performStep, type Step } from "./steps.ts";
import { difference, readTables } from "./tables.ts";

export interface LifeOptions {
  readonly engine: SqliteEngine;
  /** Null for a store in clear. */
  readonly key: Uint8Array | null;
  readonly seed: string;
  readonly cycles: number;
  readonly sabotage: Sabotage;
}

/** What a negative control breaks on purpose. */
export interface Sabotage {
  readonly synchronous: "FULL" | "OFF";
  /** The files as the store gets them. */
  readonly files: (files: FileSet) => FileSet;
}

export interface Trouble {
  readonly cycle: number;
  /** An acknowledged step is gone, or anything else is wrong. */
  readonly type: "lost" | "damaged";
  readonly what: string;
}

export interface LifeOutcome {
  cycles: number;
  commits: number;
  /** Steps that failed on a faulty disk and were undone, without a crash. */
  undone: number;
  /** A life ends at its first trouble. */
  trouble: Trouble | null;
}

const mostStepsPerCycle = 80;
const clock = { now: () => 1 };

class Found extends Error {
  readonly type: Trouble["type"];

  constructor(type: Trouble["type"], what: string) {
    super(what);
    this.type = type;
  }
}

export function live(options: LifeOptions): LifeOutcome {
  const life = new Life(options);
  const outcome: LifeOutcome = { cycles: 0, commits: 0, undone: 0, trouble: null };
  try {
    for (let cycle = 0; cycle < options.cycles; cycle += 1) {
      outcome.cycles += 1;
      life.runCycle(cycle, outcome);
    }
  } catch (error) {
    const type = error instanceof Found ? error.type : "damaged";
    outcome.trouble = { cycle: outcome.cycles, type, what: String(error) };
  } finally {
    life.end();
  }
  return outcome;
}

class Life {
  readonly #options: LifeOptions;
  readonly #chance: Chance;
  readonly #files: FaultyFiles;
  readonly #twin: Sqlite;
  readonly #twinStore: Store;
  #acknowledged: Step = { number: 0, attempt: 0 };
  /** Tries that failed or were cut off since then. */
  #attempts = 0;

  constructor(options: LifeOptions) {
    this.#options = options;
    this.#chance = new Chance(`power ${options.seed}`);
    const cuts = this.#chance.fork("cuts");
    this.#files = new FaultyFiles(() => cuts.next());
    const files = new MemoryFiles();
    this.#twin = Sqlite.open({ engine: options.engine, files, codec: null });
    migrate(this.#twin, migrations);
    this.#twinStore = new Store(this.#twin, files, () => clock.now());
  }

  end(): void {
    this.#twin.close();
  }

  runCycle(cycle: number, outcome: LifeOutcome): void {
    if (cycle === 0) this.#cutOpenings(this.#chance.below(4), 60);
    const chance = this.#chance.fork(`cycle ${cycle}`);
    if (chance.happens(0.3)) this.#cutOpenings(1 + chance.below(2), 30);
    if (chance.happens(0.4)) this.#openAsProduct();
    const { sqlite, store } = this.#open();
    try {
      this.#compare(sqlite, store);
      this.#files.failAfter(chance.below(chance.happens(0.5) ? 60 : 400));
      this.#work(sqlite, store, chance, outcome);
    } finally {
      this.#files.failAfter(0);
      mayFail(() => sqlite.close());
      this.#files.losePower();
    }
    if (cycle === this.#options.cycles - 1) this.#finish();
  }

  #finish(): void {
    const { sqlite, store } = this.#open();
    this.#compare(sqlite, store);
    sqlite.close();
  }

  /** Openings, also the very first, in the middle of which the power fails. */
  #cutOpenings(count: number, mostOperations: number): void {
    for (let left = count; left > 0; left -= 1) {
      this.#files.failAfter(this.#chance.below(mostOperations));
      try {
        this.#openAsProduct();
      } catch (error) {
        if (!this.#files.powerIsOff) throw error;
        requireStoreError(error);
      } finally {
        this.#files.losePower();
      }
    }
  }

  /** Opened, read through and closed, as the product does it. */
  #openAsProduct(): void {
    const { engine, key } = this.#options;
    const store = openStore({ engine, files: this.#given(), key, clock, random: this.#random });
    try {
      store.checkIntegrity();
      for (const doc of store.changes.documents()) store.changes.ofDocument(doc);
    } finally {
      store.close();
    }
  }

  #open(): { readonly sqlite: Sqlite; readonly store: Store } {
    const { engine, key, sabotage } = this.#options;
    const files = this.#given();
    const sqlite = Sqlite.open({ engine, files, codec: notesCodec(engine, key, this.#random) });
    sqlite.run(`PRAGMA synchronous=${sabotage.synchronous}`);
    // Few pages, so that checkpoints and spills out of the cache happen often.
    sqlite.run("PRAGMA cache_size=50");
    sqlite.run("PRAGMA wal_autocheckpoint=40");
    migrate(sqlite, migrations);
    return { sqlite, store: new Store(sqlite, files, () => clock.now()) };
  }

  #given(): FileSet {
    return this.#options.sabotage.files(this.#files);
  }

  get #random(): (count: number) => Uint8Array {
    return (count) => this.#chance.bytes(count);
  }

  #compare(sqlite: Sqlite, store: Store): void {
    sqlite.checkIntegrity();
    const found = lastStep(store);
    const { number, attempt } = this.#acknowledged;
    const isUnderWay = found.number === number + 1 && found.attempt < this.#attempts;
    if (!isUnderWay && (found.number !== number || found.attempt !== attempt)) {
      const type = found.number < number ? "lost" : "damaged";
      throw new Found(
        type,
        `step ${found.number}.${found.attempt} instead of ${number}.${attempt}`,
      );
    }
    if (isUnderWay) this.#acknowledge(found);
    const different = difference(readTables(sqlite), readTables(this.#twin));
    if (different !== null) throw new Found("damaged", different);
  }

  #acknowledge(step: Step): void {
    performStep(this.#twinStore, this.#options.seed, step);
    this.#acknowledged = step;
    this.#attempts = 0;
  }

  #work(sqlite: Sqlite, store: Store, chance: Chance, outcome: LifeOutcome): void {
    for (let left = mostStepsPerCycle; left > 0 && !this.#files.powerIsOff; left -= 1) {
      if (chance.happens(0.15)) this.#plantFault(chance);
      try {
        if (chance.happens(0.06)) this.#maintain(sqlite, chance);
        else this.#step(store, outcome);
      } finally {
        this.#files.before = () => undefined;
        this.#files.taken = (count) => count;
      }
      if (!this.#files.powerIsOff) this.#requireUndone(store);
    }
  }

  #step(store: Store, outcome: LifeOutcome): void {
    const step = { number: this.#acknowledged.number + 1, attempt: this.#attempts };
    this.#attempts += 1;
    try {
      performStep(store, this.#options.seed, step);
    } catch (error) {
      requireStoreError(error);
      if (!this.#files.powerIsOff) outcome.undone += 1;
      return;
    }
    outcome.commits += 1;
    this.#acknowledge(step);
  }

  #maintain(sqlite: Sqlite, chance: Chance): void {
    try {
      sqlite.run(chance.happens(0.5) ? "VACUUM" : "PRAGMA wal_checkpoint(TRUNCATE)");
    } catch (error) {
      requireStoreError(error);
    }
  }

  /** What failed has left nothing, and what was acknowledged is there, now that the disk works again. */
  #requireUndone(store: Store): void {
    const found = lastStep(store);
    const { number, attempt } = this.#acknowledged;
    if (found.number === number && found.attempt === attempt) return;
    throw new Found("damaged", `without a cut, step ${found.number} instead of ${number}`);
  }

  /** The disk misbehaves in the coming step: once, or as long as the step lasts. */
  #plantFault(chance: Chance): void {
    if (chance.happens(0.2)) {
      this.#files.taken = (count) => chance.below(count + 1);
      return;
    }
    const type = chance.pick<FileOperation["type"]>(["write", "flush", "read", "truncate"]);
    const error = chance.pick([
      new Error("a bad sector"),
      Object.assign(new Error("no space"), { code: "ENOSPC" }),
      new DOMException("no space", "QuotaExceededError"),
    ]);
    const isLasting = chance.happens(0.5);
    let calm = chance.below(4);
    this.#files.before = (operation) => {
      if (operation.type !== type) return;
      calm -= 1;
      if (calm < 0 && (isLasting || calm === -1)) throw error;
    };
  }
}

/** Whatever goes wrong with the files has a name that a person can be told. */
function requireStoreError(error: unknown): void {
  if (!(error instanceof StoreError)) throw new Found("damaged", `no StoreError: ${String(error)}`);
}

function mayFail(act: () => void): void {
  try {
    act();
  } catch {
    // The power is off.
  }
}

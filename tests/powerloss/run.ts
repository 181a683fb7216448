/** Many lives under one heading, and what they came to. */
import { sha256 } from "@noble/hashes/sha2.js";
import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import type { FileHandle, FileRole, FileSet } from "#crdt-store/files/file.ts";
import { live, type LifeOutcome, type Sabotage, type Trouble } from "./life.ts";
import { upgrade } from "./upgrade.ts";

export const modes = ["plain", "encrypted"] as const;
export type Mode = (typeof modes)[number];

export interface RunOptions {
  readonly engine: SqliteEngine;
  readonly mode: Mode;
  /** The first life's; the next lives take the numbers after it. */
  readonly seed: number;
  readonly cycles: number;
  readonly sabotage?: Sabotage;
}

export interface RunOutcome {
  readonly cycles: number;
  readonly commits: number;
  readonly undone: number;
  readonly lost: number;
  readonly damaged: number;
  readonly troubles: readonly (Trouble & { readonly seed: number })[];
}

/** After so many cycles everything begins anew on empty disks. */
export const cyclesPerLife = 10;
/** A broken disk shows it early, above all in a life's first hour. */
const cyclesPerControlLife = 1;
/** One life in so many is an upgrade from the first version. */
const livesPerUpgrade = 4;

const honest: Sabotage = { synchronous: "FULL", files: (files) => files };

/** Each has to lose something, or the test proves nothing. */
export const controls: Readonly<Record<string, Sabotage>> = {
  "synchronous=OFF": { synchronous: "OFF", files: (files) => files },
  "the log is never flushed": { synchronous: "FULL", files: (files) => withoutFlush(files, "wal") },
  "the main file is never flushed": {
    synchronous: "FULL",
    files: (files) => withoutFlush(files, "main"),
  },
  "the journal is never flushed": {
    synchronous: "FULL",
    files: (files) => withoutFlush(files, "journal"),
  },
};

export function run({ engine, mode, seed, cycles, sabotage = honest }: RunOptions): RunOutcome {
  const key = mode === "plain" ? null : sha256(new TextEncoder().encode("power"));
  const troubles: (Trouble & { seed: number })[] = [];
  const total = { cycles: 0, commits: 0, undone: 0 };
  const isHonest = sabotage === honest;
  const mostCycles = isHonest ? cyclesPerLife : cyclesPerControlLife;
  for (let life = seed; total.cycles < cycles; life += 1) {
    const liveOne = isHonest && life % livesPerUpgrade === 0 ? upgrade : live;
    const outcome: LifeOutcome = liveOne({
      engine,
      key,
      seed: `${life}`,
      cycles: Math.min(mostCycles, cycles - total.cycles),
      sabotage,
    });
    total.cycles += outcome.cycles;
    total.commits += outcome.commits;
    total.undone += outcome.undone;
    if (outcome.trouble !== null) troubles.push({ ...outcome.trouble, seed: life });
  }
  const lost = troubles.filter(({ type }) => type === "lost").length;
  return { ...total, lost, damaged: troubles.length - lost, troubles };
}

function withoutFlush(files: FileSet, liar: FileRole): FileSet {
  const handle = files[liar];
  const lying: FileHandle = {
    read: (into: Uint8Array, at: number) => handle.read(into, at),
    write: (from: Uint8Array, at: number) => handle.write(from, at),
    size: () => handle.size(),
    truncate: (length: number) => handle.truncate(length),
    flush: () => undefined,
    close: () => handle.close(),
  };
  const { main, wal, journal } = files;
  return { main, wal, journal, [liar]: lying };
}

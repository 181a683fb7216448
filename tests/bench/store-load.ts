/** What the store's benches commit, the same in Node and in a browser, and how they time it. */
import { sha256 } from "@noble/hashes/sha2.js";
import type { NewChange } from "#crdt-store/changes.ts";
import type { FileHandle } from "#crdt-store/files/file.ts";
import type { Store } from "#crdt-store/store.ts";

export type Random = (count: number) => Uint8Array;

/** One of those that are compared. */
export interface Contender {
  readonly name: string;
  /** One transaction, durable afterwards: these changes and an outbox row for each. */
  commit(changes: readonly NewChange[]): void;
}

export interface CommitLoad {
  readonly name: string;
  readonly changes: number;
  readonly turns: number;
  readonly commitsPerTurn: number;
}

export const commitLoads: readonly CommitLoad[] = [
  { name: "commit of 1 change and its outbox row", changes: 1, turns: 50, commitsPerTurn: 10 },
  {
    name: "commit of 100 changes and their outbox rows",
    changes: 100,
    turns: 12,
    commitsPerTurn: 4,
  },
];

/** Milliseconds per commit of one contender. */
export interface CommitTimes {
  readonly name: string;
  readonly medianMs: number;
  /** With the checkpoints, which a median does not show. */
  readonly meanMs: number;
}

export const benchSpace = new Uint8Array(32).fill(1);
const actor = new Uint8Array(16).fill(3);
const typedBytes = 150;

/** Times the contenders in turns, so that a machine that slows down slows them all. */
export function timeCommits(
  contenders: readonly Contender[],
  load: CommitLoad,
  random: Random,
): CommitTimes[] {
  const writer = new ChangeWriter(documentId(0), random);
  const next = () => Array.from({ length: load.changes }, () => writer.next(typedBytes));
  const times = contenders.map((): number[] => []);
  for (let turn = 0; turn <= load.turns; turn += 1) {
    for (const [index, contender] of contenders.entries()) {
      for (let count = 0; count < load.commitsPerTurn; count += 1) {
        const changes = next();
        const start = performance.now();
        contender.commit(changes);
        // The first turn warms up.
        if (turn > 0) times[index]?.push(performance.now() - start);
      }
    }
  }
  return contenders.map(({ name }, index) => ({
    name,
    medianMs: median(times[index] ?? []),
    meanMs: mean(times[index] ?? []),
  }));
}

export function storeContender(name: string, store: Store): Contender {
  return { name, commit: (changes) => commitChanges(store, changes) };
}

const frameBytes = 4_120;
const loggedFrames = 1_000;

/** The floor: as many bytes as such a commit appends to the log, in one write and one flush. */
export function rawContender(name: string, handle: FileHandle): Contender {
  let frame = 0;
  return {
    name,
    commit(changes) {
      const frames = changes.length === 1 ? 4 : 25;
      if (frame + frames > loggedFrames) frame = 0;
      handle.write(new Uint8Array(frames * frameBytes), frame * frameBytes);
      handle.flush();
      frame += frames;
    },
  };
}

export function commitChanges(store: Store, changes: readonly NewChange[]): void {
  store.transaction(() => {
    const added = store.changes.insert(changes);
    const [first] = changes;
    if (first !== undefined) store.outbox.add(benchSpace, first.doc, added);
  });
}

export function documentId(index: number): Uint8Array {
  const id = new Uint8Array(16).fill(2);
  new DataView(id.buffer).setUint32(0, index);
  return id;
}

/** Makes changes of one document, each on top of the one before; the store takes them for real ones. */
export class ChangeWriter {
  readonly #doc: Uint8Array;
  readonly #random: Random;
  #seq = 0;
  #head: Uint8Array | undefined;

  constructor(doc: Uint8Array, random: Random) {
    this.#doc = doc;
    this.#random = random;
  }

  /** A change of about so many bytes. */
  next(about: number): NewChange {
    this.#seq += 1;
    const deps = this.#head === undefined ? [] : [this.#head];
    const { bytes, hash } = changeChunk(deps, this.#seq, this.#random(Math.max(0, about - 80)));
    this.#head = hash;
    return {
      doc: this.#doc,
      hash,
      actor,
      seq: this.#seq,
      deps,
      bytes,
      opCount: 1,
      space: benchSpace,
      pos: null,
      signer: null,
      local: true,
      at: 0,
    };
  }
}

// Automerge's binary format (see crdt-store/chunks.ts): no operations, and bytes of no meaning at the end.
function changeChunk(deps: readonly Uint8Array[], seq: number, extra: Uint8Array) {
  const body = [
    ...uleb(deps.length),
    ...deps.flatMap((dep) => [...dep]),
    ...uleb(actor.length),
    ...actor,
    ...uleb(seq),
    ...uleb(seq), // first operation
    0, // time
    0, // message
    0, // other actors
    0, // columns
  ];
  const bodyLength = body.length + extra.length;
  const hashed = new Uint8Array([1, ...uleb(bodyLength), ...body, ...extra]);
  const hash = sha256(hashed);
  const bytes = new Uint8Array(8 + hashed.length);
  bytes.set([0x85, 0x6f, 0x4a, 0x83]);
  bytes.set(hash.subarray(0, 4), 4);
  bytes.set(hashed, 8);
  return { bytes, hash };
}

function uleb(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...uleb(value >>> 7)];
}

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

import { createHash } from "node:crypto";

import * as Automerge from "@automerge/automerge/slim";

import { measureChange, parseChange, type Change } from "#crdt-store/chunks.ts";
import type { NewChange } from "#crdt-store/changes.ts";
import type { SqliteEngine } from "#crdt-store/files/engine.ts";
import type { FileSet } from "#crdt-store/files/file.ts";
import { MemoryFiles } from "#crdt-store/files/memory.ts";
import { loadNodeEngine } from "#crdt-store/files/node.ts";
import { openStore, type Store } from "#crdt-store/store.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";

/** Numbers from 0 to below 1 that depend on the seed alone (mulberry32). */
export function seededNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export function seededBytes(seed: number): (count: number) => Uint8Array {
  const next = seededNumbers(seed);
  return (count) => Uint8Array.from({ length: count }, () => Math.floor(next() * 256));
}

/** So many bytes that depend on the name alone. */
export function bytesFor(name: string, count = 32): Uint8Array {
  return new Uint8Array(createHash("sha256").update(name).digest()).slice(0, count);
}

export const space = bytesFor("space");
export const doc = bytesFor("document", 16);
export const key = bytesFor("key");

export interface StoreFixture {
  readonly store: Store;
  readonly files: MemoryFiles;
  readonly clock: { time: number; now(): number };
}

export async function setupStore(
  options: { key?: Uint8Array | null; files?: MemoryFiles } = {},
): Promise<StoreFixture> {
  const engine = await loadNodeEngine();
  const files = options.files ?? new MemoryFiles();
  const clock = { time: 1_000, now: () => clock.time };
  const store = reopen(engine, files, options.key === undefined ? key : options.key, clock);
  return { store, files, clock };
}

export function reopen(
  engine: SqliteEngine,
  files: FileSet,
  storeKey: Uint8Array | null = key,
  clock: { now(): number } = { now: () => 1_000 },
): Store {
  return openStore({ engine, files, key: storeKey, clock, random: seededBytes(7) });
}

/** One change per word, typed one after the other. */
export async function typedChanges(
  words: readonly string[],
  actor = "aa".repeat(16),
): Promise<Change[]> {
  await loadAutomerge();
  let document = Automerge.init<{ text: string }>({ actor });
  return words.map((word, index) => {
    document = Automerge.change(document, { time: 0 }, (draft) => {
      if (index === 0) draft.text = "";
      Automerge.splice(draft, ["text"], draft.text.length, 0, word);
    });
    const bytes = Automerge.getLastLocalChange(document);
    if (bytes === undefined) throw new Error("the edit made no change");
    return parsed(bytes);
  });
}

export function parsed(bytes: Uint8Array): Change {
  const result = parseChange(bytes);
  if (result.type === "failed") throw new Error(`not a change: ${result.failure.type}`);
  return result.change;
}

export function journalled(change: Change, more: Partial<NewChange> = {}): NewChange {
  const opCount = measureChange(change)?.operations ?? 0;
  return {
    ...change,
    doc,
    opCount,
    space,
    pos: null,
    signer: null,
    local: true,
    at: 1_000,
    ...more,
  };
}

import { sha256 } from "@noble/hashes/sha2.js";

import { mapKey } from "./hash-list.ts";

/*
 * Automerge's binary chunks, read without Automerge (https://automerge.org/automerge-binary-format-spec).
 *
 *   chunk:    magic 85 6f 4a 83 | checksum 4 | type u8 | length uLEB | body
 *   change:   deps n, 32 n | actor length, actor | seq | startOp | time | message | other actors | columns | extra
 *   document: actors n, (length, actor) n | heads n, 32 n | …
 *
 * SHA-256 over type, length and body is the change's hash; its first 4 bytes are the checksum. All numbers are LEB128.
 */

const magic = [0x85, 0x6f, 0x4a, 0x83] as const;
const headerBytes = 9;
const hashBytes = 32;
const documentType = 0;
const changeType = 1;

/** Why bytes are not what they should be; `at` is the offset of the chunk in them. */
export interface ChunkFailure {
  readonly type: "bad-magic" | "bad-checksum" | "truncated" | "wrong-type" | "malformed";
  readonly at: number;
}

export interface Change {
  readonly hash: Uint8Array;
  readonly deps: readonly Uint8Array[];
  readonly actor: Uint8Array;
  readonly seq: number;
  readonly startOp: number;
  /** The whole chunk; a view on the bytes that were parsed. */
  readonly bytes: Uint8Array;
}

export interface DocumentChunk {
  readonly heads: readonly Uint8Array[];
  readonly bytes: Uint8Array;
}

export type ParsedChange =
  | { readonly type: "ok"; readonly change: Change }
  | { readonly type: "failed"; readonly failure: ChunkFailure };

export type ParsedChanges =
  | { readonly type: "ok"; readonly changes: readonly Change[] }
  /** `changes` are those before the failure. */
  | {
      readonly type: "failed";
      readonly changes: readonly Change[];
      readonly failure: ChunkFailure;
    };

export type ParsedSave =
  | {
      readonly type: "ok";
      readonly documents: readonly DocumentChunk[];
      readonly changes: readonly Change[];
    }
  | {
      readonly type: "failed";
      readonly documents: readonly DocumentChunk[];
      readonly changes: readonly Change[];
      readonly failure: ChunkFailure;
    };

/** Parses concatenated change chunks, as `saveSince` writes them. Verifies every checksum; never throws. */
export function parseChanges(bytes: Uint8Array): ParsedChanges {
  const changes: Change[] = [];
  let at = 0;
  while (at < bytes.length) {
    const chunk = readChunk(bytes, at);
    if ("failure" in chunk) return { type: "failed", changes, failure: chunk.failure };
    const change = readChange(chunk, at);
    if ("failure" in change) return { type: "failed", changes, failure: change.failure };
    changes.push(change);
    at += chunk.bytes.length;
  }
  return { type: "ok", changes };
}

/** Parses exactly one change chunk. Verifies the checksum; never throws. */
export function parseChange(bytes: Uint8Array): ParsedChange {
  const parsed = parseChanges(bytes);
  if (parsed.type === "failed") return parsed;
  const [change, ...rest] = parsed.changes;
  if (change === undefined) return { type: "failed", failure: { type: "truncated", at: 0 } };
  if (rest.length > 0) {
    return { type: "failed", failure: { type: "malformed", at: change.bytes.length } };
  }
  return { type: "ok", change };
}

/** Parses concatenated document and change chunks, as `save` writes them. Verifies every checksum; never throws. */
export function parseSave(bytes: Uint8Array): ParsedSave {
  const documents: DocumentChunk[] = [];
  const changes: Change[] = [];
  let at = 0;
  while (at < bytes.length) {
    const chunk = readChunk(bytes, at);
    if ("failure" in chunk) return { type: "failed", documents, changes, failure: chunk.failure };
    if (chunk.type === documentType) {
      const heads = readDocumentHeads(chunk.body);
      if (heads === undefined) {
        return { type: "failed", documents, changes, failure: { type: "malformed", at } };
      }
      documents.push({ heads, bytes: chunk.bytes });
    } else {
      const change = readChange(chunk, at);
      if ("failure" in change) {
        return { type: "failed", documents, changes, failure: change.failure };
      }
      changes.push(change);
    }
    at += chunk.bytes.length;
  }
  return { type: "ok", documents, changes };
}

/** How much work a change makes, told by its columns alone. */
export interface ChangeSize {
  /** Run lengths of the action column: the number of operations. */
  readonly operations: number;
  /**
   * Rows of the longest column, at least `operations`: what a limit should bound, since a few bytes of run lengths in
   * any column (predecessors, say) can stand for millions of rows.
   */
  readonly rows: number;
}

/** Undefined if the columns cannot be read. Never throws; does not unroll anything. */
export function measureChange(change: Change): ChangeSize | undefined {
  const chunk = readChunk(change.bytes, 0);
  if ("failure" in chunk) return undefined;
  const reader = new Reader(chunk.body);
  skipChangeHeader(reader);
  const columns: { spec: number; length: number }[] = [];
  for (let left = reader.count(); left > 0; left -= 1) {
    columns.push({ spec: reader.unsigned(), length: reader.unsigned() });
    if (reader.failed) return undefined;
  }
  let operations = 0;
  let rows = 0;
  for (const { spec, length } of columns) {
    const count = countRows(spec, reader.bytes(length));
    if (count === undefined) return undefined;
    if (spec === actionColumn) operations = count;
    rows = Math.max(rows, count);
  }
  return reader.failed ? undefined : { operations, rows };
}

/** The number of operations in a change ({@link ChangeSize}); undefined if its columns cannot be read. Never throws. */
export function countOperations(change: Change): number | undefined {
  return measureChange(change)?.operations;
}

/**
 * The changes with every dependency before its dependants, otherwise in the given order; dependencies that are not
 * among them are ignored, duplicates dropped.
 */
export function topologicalOrder<Item extends Pick<Change, "hash" | "deps">>(
  changes: readonly Item[],
): Item[] {
  const waiting = new Map(changes.map((change) => [mapKey(change.hash), change]));
  const ordered: Item[] = [];
  // An explicit stack: a chain of dependencies is as long as a document's history.
  for (const first of changes) {
    const stack = visit(waiting, first);
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const dep = top.depsLeft.pop();
      const missing = dep === undefined ? undefined : waiting.get(mapKey(dep));
      if (missing !== undefined) stack.push(...visit(waiting, missing));
      if (dep === undefined) {
        ordered.push(top.item);
        stack.pop();
      }
    }
  }
  return ordered;
}

/** Takes the item out of `waiting`; nothing if it was taken before. */
function visit<Item extends Pick<Change, "hash" | "deps">>(waiting: Map<string, Item>, item: Item) {
  return waiting.delete(mapKey(item.hash)) ? [{ item, depsLeft: [...item.deps] }] : [];
}

interface Chunk {
  readonly type: number;
  readonly hash: Uint8Array;
  readonly bytes: Uint8Array;
  readonly body: Uint8Array;
}

function readChunk(bytes: Uint8Array, at: number): Chunk | { failure: ChunkFailure } {
  for (const [index, expected] of magic.entries()) {
    if (at + index >= bytes.length) return { failure: { type: "truncated", at } };
    if (bytes[at + index] !== expected) return { failure: { type: "bad-magic", at } };
  }
  if (at + headerBytes > bytes.length) return { failure: { type: "truncated", at } };
  const reader = new Reader(bytes.subarray(at + headerBytes));
  const length = reader.unsigned();
  const end = at + headerBytes + reader.position + length;
  if (reader.failed) return { failure: { type: reader.failed, at } };
  if (end > bytes.length) return { failure: { type: "truncated", at } };
  const hash = sha256(bytes.subarray(at + 8, end));
  for (let index = 0; index < 4; index += 1) {
    if (hash[index] !== bytes[at + 4 + index]) return { failure: { type: "bad-checksum", at } };
  }
  return {
    // The header is whole, so byte 8 is there.
    type: bytes[at + 8] ?? changeType,
    hash,
    bytes: bytes.subarray(at, end),
    body: bytes.subarray(at + headerBytes + reader.position, end),
  };
}

function readChange(chunk: Chunk, at: number): Change | { failure: ChunkFailure } {
  if (chunk.type !== changeType) return { failure: { type: "wrong-type", at } };
  const reader = new Reader(chunk.body);
  const { deps, actor, seq, startOp } = skipChangeHeader(reader);
  if (reader.failed || seq === 0 || startOp === 0) return { failure: { type: "malformed", at } };
  return { hash: chunk.hash, deps, actor, seq, startOp, bytes: chunk.bytes };
}

/** Reads up to the list of columns. */
function skipChangeHeader(reader: Reader) {
  const deps = reader.hashes();
  const actor = reader.bytes(reader.count());
  const seq = reader.unsigned();
  const startOp = reader.unsigned();
  reader.signed(); // time
  reader.bytes(reader.count()); // message
  for (let left = reader.count(); left > 0 && !reader.failed; left -= 1) {
    reader.bytes(reader.count());
  }
  return { deps, actor, seq, startOp };
}

function readDocumentHeads(body: Uint8Array): Uint8Array[] | undefined {
  const reader = new Reader(body);
  for (let left = reader.count(); left > 0 && !reader.failed; left -= 1) {
    reader.bytes(reader.count());
  }
  const heads = reader.hashes();
  return reader.failed ? undefined : heads;
}

// A column's number is id << 4 | deflated << 3 | type.
const actionColumn = 0x42;
const deflatedBit = 0x08;
const typeBits = 0x07;
const booleanType = 4;
const stringType = 5;
const rawType = 7;
const deltaType = 3;

function countRows(spec: number, bytes: Uint8Array): number | undefined {
  // Columns of a change are never deflated by themselves.
  if ((spec & deflatedBit) !== 0) return undefined;
  const reader = new Reader(bytes);
  const type = spec & typeBits;
  if (type === rawType) return 0;
  let rows = 0;
  while (!reader.isAtEnd() && !reader.failed) {
    rows += type === booleanType ? reader.unsigned() : countRun(reader, type);
  }
  return reader.failed || !Number.isSafeInteger(rows) ? undefined : rows;
}

/** One run of the run-length encoding: n > 0 copies of a value, −n different values, or 0 and a number of nulls. */
function countRun(reader: Reader, type: number): number {
  const length = reader.signed();
  if (length === 0) return reader.unsigned();
  const values = length > 0 ? 1 : -length;
  for (let left = values; left > 0 && !reader.failed; left -= 1) {
    if (type === stringType) reader.bytes(reader.count());
    else if (type === deltaType) reader.signed();
    else reader.unsigned();
  }
  return Math.abs(length);
}

/** Reads on from `position`; after the first failure every answer is empty and `failed` says why. */
class Reader {
  position = 0;
  failed: "truncated" | "malformed" | undefined;
  readonly #bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  isAtEnd(): boolean {
    return this.position >= this.#bytes.length;
  }

  /** A number of things that take at least a byte each, so never more than there are bytes. */
  count(): number {
    const count = this.unsigned();
    if (count <= this.#bytes.length - this.position) return count;
    this.failed ??= "malformed";
    return 0;
  }

  bytes(length: number): Uint8Array {
    if (this.failed || this.position + length > this.#bytes.length) {
      this.failed ??= "truncated";
      return new Uint8Array(0);
    }
    this.position += length;
    return this.#bytes.subarray(this.position - length, this.position);
  }

  hashes(): Uint8Array[] {
    const hashes: Uint8Array[] = [];
    for (let left = this.count(); left > 0 && !this.failed; left -= 1) {
      hashes.push(this.bytes(hashBytes));
    }
    return hashes;
  }

  unsigned(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 0x80;
    }
    return this.#safe(value);
  }

  signed(): number {
    let value = 0;
    let scale = 1;
    for (;;) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
      if (byte < 0x80) {
        if ((byte & 0x40) !== 0) value -= scale;
        break;
      }
    }
    return this.#safe(value);
  }

  #byte(): number {
    const byte = this.failed ? undefined : this.#bytes[this.position];
    if (byte === undefined) {
      this.failed ??= "truncated";
      return 0;
    }
    this.position += 1;
    return byte;
  }

  #safe(value: number): number {
    if (this.failed === undefined && Number.isSafeInteger(value)) return value;
    this.failed ??= "malformed";
    return 0;
  }
}

/**
 * Small things that claim a lot of work: run lengths are a few bytes for any number of rows. Well formed and, where it matters,
 * rightly signed, as a malicious member makes them.
 */
import * as A from "@automerge/automerge/slim";
import { sha256 } from "@noble/hashes/sha2.js";
import { concat } from "#relay/protocol/bytes.ts";

export interface BombChange {
  readonly actor: Uint8Array;
  readonly seq: number;
  readonly startOp: number;
  readonly deps: readonly Uint8Array[];
  readonly rows: number;
}

/** A change of some 120 bytes that sets one key of the root so many times. Automerge takes it, and its time. */
export function bombChange({ actor, seq, startOp, deps, rows }: BombChange): Uint8Array {
  const run = (...value: number[]): number[] => [...leb(rows, 0x40), ...value];
  const columns: readonly (readonly [spec: number, bytes: readonly number[]])[] = [
    [0x15, run(1, 97)], // the key: "a"
    [0x34, leb(rows, 0x80)], // nothing is inserted into a list
    [0x42, run(1)], // each sets a value …
    [0x56, run(0)], // … which is null
    [0x70, run(0)], // and overwrites nothing
  ];
  return chunk(1, [
    ...leb(deps.length, 0x80),
    ...deps.flatMap((dep) => [...dep]),
    ...leb(actor.length, 0x80),
    ...actor,
    ...leb(seq, 0x80),
    ...leb(startOp, 0x80),
    0, // time
    0, // message
    0, // other actors
    ...leb(columns.length, 0x80),
    ...columns.flatMap(([spec, bytes]) => [spec, ...leb(bytes.length, 0x80)]),
    ...columns.flatMap(([, bytes]) => bytes),
  ]);
}

/** The run length that a model of a bomb has: two bytes that stand nowhere else in it. */
const modelRows = 1_000;

/** A saved document of some 150 bytes with so many rows; its heads are those of the model. */
export function bombDocument(rows: number): Uint8Array {
  const actor = new Uint8Array(16).fill(7);
  const change = bombChange({ actor, seq: 1, startOp: 1, deps: [], rows: modelRows });
  const [doc] = A.applyChanges(A.init(), [change]);
  const saved = A.save(doc);
  A.free(doc);
  const reader = { at: 9 };
  const bytes = (length: number): number[] => {
    reader.at += length;
    return [...saved.subarray(reader.at - length, reader.at)];
  };
  const number = (): number => {
    for (let value = 0, scale = 1; ; scale *= 0x80) {
      const [byte = 0] = bytes(1);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  };
  number(); // the body's length
  const actors = Array.from({ length: number() }, () => bytes(number()));
  const heads = Array.from({ length: number() }, () => bytes(32));
  const metadata = (): [number, number][] =>
    Array.from({ length: number() }, () => [number(), number()]);
  const [ofChanges, ofRows] = [metadata(), metadata()];
  const data = (columns: readonly [number, number][]): [number, number[]][] =>
    columns.map(([spec, length]) => [spec, longer(bytes(length), rows)]);
  const [changes, operations] = [data(ofChanges), data(ofRows)];
  const rest = [...saved.subarray(reader.at)];
  const told = (columns: readonly [number, number[]][]): number[] => [
    ...leb(columns.length, 0x80),
    ...columns.flatMap(([spec, column]) => [...leb(spec, 0x80), ...leb(column.length, 0x80)]),
  ];
  return chunk(0, [
    ...leb(actors.length, 0x80),
    ...actors.flatMap((name) => [...leb(name.length, 0x80), ...name]),
    ...leb(heads.length, 0x80),
    ...heads.flat(),
    ...told(changes),
    ...told(operations),
    ...changes.flatMap(([, column]) => column),
    ...operations.flatMap(([, column]) => column),
    ...rest,
  ]);
}

/** The column with the longer run in place of the model's. */
function longer(column: number[], rows: number): number[] {
  const run = leb(modelRows, 0x40);
  const at = column.findIndex((_, ix) => run.every((byte, after) => column[ix + after] === byte));
  if (at < 0) return column;
  return [...column.slice(0, at), ...leb(rows, 0x40), ...column.slice(at + run.length)];
}

function chunk(type: number, body: readonly number[]): Uint8Array {
  const typed = Uint8Array.from([type, ...leb(body.length, 0x80), ...body]);
  const checksum = sha256(typed).subarray(0, 4);
  return concat(Uint8Array.from([0x85, 0x6f, 0x4a, 0x83]), checksum, typed);
}

/** LEB128; `limit` is 0x40 for signed numbers, 0x80 for unsigned ones. */
function leb(value: number, limit: 0x40 | 0x80): number[] {
  const bytes: number[] = [];
  let left = value;
  while (left >= limit) {
    bytes.push((left & 0x7f) | 0x80);
    left = Math.floor(left / 128);
  }
  return [...bytes, left];
}

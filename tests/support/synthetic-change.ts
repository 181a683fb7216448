import { sha256 } from "@noble/hashes/sha2.js";

/*
 * A change chunk that is whole and authentic for the store, which never asks Automerge: header, dependencies, actor and
 * counters as in https://automerge.org/automerge-binary-format-spec, no columns, and trailing bytes for its size.
 */

export interface SyntheticChange {
  readonly hash: Uint8Array;
  readonly deps: readonly Uint8Array[];
  readonly actor: Uint8Array;
  readonly seq: number;
  readonly bytes: Uint8Array;
}

/** `actor` has fewer than 128 bytes, and there are fewer than 128 `deps`. */
export function syntheticChange(options: {
  readonly actor: Uint8Array;
  readonly seq: number;
  readonly deps: readonly Uint8Array[];
  readonly filling: Uint8Array;
}): SyntheticChange {
  const { actor, seq, deps, filling } = options;
  const body = Buffer.concat([
    Buffer.from([deps.length]),
    ...deps,
    Buffer.from([actor.length]),
    actor,
    unsigned(seq),
    unsigned(1), // the first operation's number
    Buffer.from([0, 0, 0, 0]), // time, message, other actors, columns
    filling,
  ]);
  const hashed = Buffer.concat([Buffer.from([1]), unsigned(body.length), body]);
  const hash = sha256(hashed);
  const magic = Buffer.from([0x85, 0x6f, 0x4a, 0x83]);
  const bytes = new Uint8Array(Buffer.concat([magic, hash.subarray(0, 4), hashed]));
  return { hash, deps, actor, seq, bytes };
}

function unsigned(value: number): Buffer {
  const bytes: number[] = [];
  for (let left = value; ; left = Math.floor(left / 128)) {
    const last = left < 128;
    bytes.push((left % 128) + (last ? 0 : 128));
    if (last) return Buffer.from(bytes);
  }
}

import { concatBytes } from "@noble/hashes/utils.js";

const hashBytes = 32;

/** The hashes one after the other, as a column holds them. */
export function packHashes(hashes: readonly Uint8Array[]): Uint8Array {
  return concatBytes(...hashes);
}

export function unpackHashes(packed: Uint8Array): Uint8Array[] {
  const hashes: Uint8Array[] = [];
  for (let at = 0; at + hashBytes <= packed.length; at += hashBytes) {
    hashes.push(packed.slice(at, at + hashBytes));
  }
  return hashes;
}

/**
 * A hash, or an id of a few bytes, as the key of a map that nobody else sees: a letter for each byte, which takes a
 * quarter of the time of hex digits.
 */
export function mapKey(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

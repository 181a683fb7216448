import { sha256 } from "@noble/hashes/sha2.js";
import { utf8 } from "#relay/protocol/bytes.ts";

/** Chance that follows from a name: the same name gives the same run. */
export class Chance {
  #a: number;
  #b: number;
  #c: number;
  #d: number;
  readonly #name: string;

  constructor(name: string) {
    this.#name = name;
    const view = new DataView(sha256(utf8(name)).buffer);
    this.#a = view.getUint32(0);
    this.#b = view.getUint32(4);
    this.#c = view.getUint32(8);
    this.#d = 1;
  }

  /** A chance of its own: what is drawn from it moves nothing here. */
  fork(name: string): Chance {
    return new Chance(`${this.#name}/${name}`);
  }

  /** 0 ≤ x < 1 */
  next(): number {
    return this.#word() / 0x1_0000_0000;
  }

  /** A whole number from 0 to `below - 1`. */
  below(below: number): number {
    return Math.floor(this.next() * below);
  }

  between(from: number, to: number): number {
    return from + this.next() * (to - from);
  }

  happens(probability: number): boolean {
    return this.next() < probability;
  }

  /** Undefined for an empty list. */
  pick<T>(from: readonly T[]): T | undefined {
    return from[this.below(from.length)];
  }

  bytes(length: number): Uint8Array {
    const out = new Uint8Array(length);
    for (let at = 0; at < length; at += 1) out[at] = this.#word() >>> 24;
    return out;
  }

  // sfc32 by Chris Doty-Humphrey, PractRand 0.94 (public domain).
  #word(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }
}

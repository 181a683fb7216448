/** Byte-string basics shared by both sides of the wire. Nothing here knows what the bytes mean. */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** A fresh byte string holding the parts in order. */
export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const part of parts) length += part.length;
  const out = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Not constant-time: only for public values (ids, hashes, keys on the wire). */
export function equal(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return false;
  return true;
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

const hexDigits = utf8("0123456789abcdef");
/** What one call of `fromCharCode` is given at most, far below the arguments that engines allow. */
const hexPieceBytes = 1024;

/** Names of documents, changes and devices in maps: called for every change, so it adds no string to a string. */
export function toHex(bytes: Uint8Array): string {
  if (bytes.length <= hexPieceBytes) return pieceToHex(bytes);
  const pieces: string[] = [];
  for (let at = 0; at < bytes.length; at += hexPieceBytes) {
    pieces.push(pieceToHex(bytes.subarray(at, at + hexPieceBytes)));
  }
  return pieces.join("");
}

function pieceToHex(bytes: Uint8Array): string {
  const codes: number[] = [];
  for (const byte of bytes) codes.push(hexDigits[byte >> 4] ?? 0, hexDigits[byte & 15] ?? 0);
  return String.fromCharCode(...codes);
}

/** Null unless the text is an even number of hex digits. */
export function parseHex(text: string): Uint8Array | null {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return null;
  const out = new Uint8Array(text.length / 2);
  for (let i = 0; i < out.length; i += 1) {
    out[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  }
  return out;
}

/** The same of what this program wrote itself: throws where it is no hex. */
export function mustHex(text: string): Uint8Array {
  const bytes = parseHex(text);
  if (bytes === null) throw new Error("what should be hex is not");
  return bytes;
}

const base64urlDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/** RFC 4648 §5 without padding. */
export function toBase64url(bytes: Uint8Array): string {
  let out = "";
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    bits += 8;
    while (bits >= 6) {
      bits -= 6;
      out += base64urlDigits[(buffer >> bits) & 63];
    }
    buffer &= (1 << bits) - 1;
  }
  if (bits > 0) out += base64urlDigits[(buffer << (6 - bits)) & 63];
  return out;
}

/** Null unless the text is canonical unpadded base64url (spare bits zero). */
export function parseBase64url(text: string): Uint8Array | null {
  if (text.length % 4 === 1) return null;
  const out = new Uint8Array(Math.floor((text.length * 6) / 8));
  let buffer = 0;
  let bits = 0;
  let at = 0;
  for (const digit of text) {
    const value = base64urlDigits.indexOf(digit);
    if (value < 0) return null;
    buffer = (buffer << 6) | value;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out[at] = (buffer >> bits) & 255;
      at += 1;
    }
    buffer &= (1 << bits) - 1;
  }
  return buffer === 0 ? out : null;
}

/** What a parser of untrusted bytes gives: never an exception. */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: string };

class Malformed extends Error {}

/**
 * Runs a parser over bytes that anybody may have written. Reading past the end, a bad length or a
 * refused value becomes `{ok: false}`; so do bytes left over.
 */
export function parseAll<T>(bytes: Uint8Array, parse: (reader: Reader) => T): Parsed<T> {
  const reader = new Reader(bytes);
  try {
    const value = parse(reader);
    reader.end();
    return { ok: true, value };
  } catch (error) {
    if (error instanceof Malformed) return { ok: false, error: error.message };
    throw error;
  }
}

/** A bounded big-endian reader. Every slice is a copy: frames may be reused by their owner. */
export class Reader {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    // Node's Buffer overrides slice() to alias: a plain view of the same memory copies.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get offset(): number {
    return this.#at;
  }

  get remaining(): number {
    return this.#bytes.length - this.#at;
  }

  refuse(reason: string): never {
    throw new Malformed(`${reason} at byte ${this.#at}`);
  }

  #advance(length: number): number {
    if (length > this.remaining) this.refuse(`${length} bytes wanted, ${this.remaining} left`);
    const from = this.#at;
    this.#at += length;
    return from;
  }

  u8(): number {
    return this.#view.getUint8(this.#advance(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#advance(2));
  }

  u32(): number {
    return this.#view.getUint32(this.#advance(4));
  }

  /** Positions, counters and times stay safe integers: larger values are refused. */
  u64(): number {
    const value = this.#view.getBigUint64(this.#advance(8));
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) this.refuse("number above 2^53");
    return Number(value);
  }

  bytes(length: number): Uint8Array {
    const from = this.#advance(length);
    return this.#bytes.slice(from, from + length);
  }

  /** A byte string with its length before it; `max` bounds what is allocated. */
  block16(max: number): Uint8Array {
    const length = this.u16();
    if (length > max) this.refuse(`block of ${length} bytes, at most ${max}`);
    return this.bytes(length);
  }

  block32(max: number): Uint8Array {
    const length = this.u32();
    if (length > max) this.refuse(`block of ${length} bytes, at most ${max}`);
    return this.bytes(length);
  }

  text16(max: number): string {
    const bytes = this.block16(max);
    try {
      return decoder.decode(bytes);
    } catch {
      return this.refuse("text that is not UTF-8");
    }
  }

  /** `count` items, refused before reading when they cannot fit in what is left. */
  list<T>(count: number, minimumSize: number, read: () => T): T[] {
    if (count * minimumSize > this.remaining) this.refuse(`${count} items do not fit`);
    return Array.from({ length: count }, read);
  }

  end(): void {
    if (this.remaining !== 0) this.refuse(`${this.remaining} bytes left over`);
  }
}

/** A growing big-endian writer. Throws on numbers out of range: that is our own mistake. */
export class Writer {
  #bytes = new Uint8Array(256);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  #reserve(length: number): number {
    const from = this.#length;
    const needed = from + length;
    if (needed > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(needed, this.#bytes.length * 2));
      grown.set(this.#bytes.subarray(0, from));
      this.#bytes = grown;
      this.#view = new DataView(grown.buffer);
    }
    this.#length = needed;
    return from;
  }

  #check(value: number, limit: number): void {
    if (!Number.isInteger(value) || value < 0 || value > limit) {
      throw new RangeError(`${value} does not fit its field`);
    }
  }

  u8(value: number): this {
    this.#check(value, 0xff);
    const from = this.#reserve(1); // may replace the view
    this.#view.setUint8(from, value);
    return this;
  }

  u16(value: number): this {
    this.#check(value, 0xffff);
    const from = this.#reserve(2); // may replace the view
    this.#view.setUint16(from, value);
    return this;
  }

  u32(value: number): this {
    this.#check(value, 0xffff_ffff);
    const from = this.#reserve(4); // may replace the view
    this.#view.setUint32(from, value);
    return this;
  }

  u64(value: number): this {
    this.#check(value, Number.MAX_SAFE_INTEGER);
    const from = this.#reserve(8);
    this.#view.setBigUint64(from, BigInt(value));
    return this;
  }

  bytes(value: Uint8Array): this {
    const from = this.#reserve(value.length);
    this.#bytes.set(value, from);
    return this;
  }

  /** A field of exactly `length` bytes: keys, hashes, nonces. */
  fixed(value: Uint8Array, length: number): this {
    if (value.length !== length) throw new RangeError(`${value.length} bytes, not ${length}`);
    return this.bytes(value);
  }

  block16(value: Uint8Array): this {
    return this.u16(value.length).bytes(value);
  }

  block32(value: Uint8Array): this {
    return this.u32(value.length).bytes(value);
  }

  text16(value: string): this {
    return this.block16(utf8(value));
  }

  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }
}

import { nobleCipher, type PageCipher, type PageCipherOf } from "./page-cipher.ts";

/*
 * Encryption at rest, one database page at a time.
 *
 *   stored page, 4096 bytes:  0 ciphertext 4056 | 4056 Poly1305 tag 16 | 4072 nonce 24
 *   additional data, 20 bytes: database id 16 | page number u32 big-endian, from 1
 *
 * XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03); nonces are random. The main file and the log use the same additional
 * data, so a checkpoint can copy a page's stored form instead of sealing it again. What this does not hide: the number
 * of pages, which pages change, and the 8 bytes of SQLite's checksum in each log frame header. It cannot notice that a
 * whole page or file was put back to an older state.
 */

export const pageSize = 4096;
/** Bytes at the end of each page that SQLite leaves alone (byte 20 of the database header). */
export const reservedBytes = 40;

const nonceBytes = 24;
const payloadBytes = pageSize - reservedBytes;
const nonceOffset = pageSize - nonceBytes;
const noncesPerRefill = 256;

export interface PageCodec {
  /**
   * The stored form of `page`. The result is the codec's own buffer: use it before the next call.
   * Throws if the page is not {@link pageSize} bytes or its reserved bytes are not zero.
   */
  seal(page: Uint8Array, pageNumber: number): Uint8Array;
  /** Decrypts `stored` into `page`, with zeros in the reserved bytes; false, leaving `page` as it was, if it is not authentic. */
  open(stored: Uint8Array, pageNumber: number, page: Uint8Array): boolean;
}

/**
 * `key` is 32 bytes, `databaseId` 16: it keeps pages of two databases under one key apart. Both are copied.
 * `random` gives that many fresh random bytes; `cipher` is the platform's fastest, by default the portable one.
 */
export function createPageCodec(options: {
  readonly key: Uint8Array;
  readonly databaseId: Uint8Array;
  readonly random: (count: number) => Uint8Array;
  readonly cipher?: PageCipherOf;
}): PageCodec {
  if (options.key.length !== 32) throw new Error("a page key has 32 bytes");
  // Locking zeroes a key: whoever comes late with it must not seal anything under a key that everybody knows.
  if (options.key.every((byte) => byte === 0)) throw new Error("this page key was zeroed");
  if (options.databaseId.length !== 16) throw new Error("a database id has 16 bytes");
  const cipher = (options.cipher ?? nobleCipher)(options.key);
  return new SealedPages(cipher, options.databaseId, options.random);
}

class SealedPages implements PageCodec {
  readonly #cipher: PageCipher;
  readonly #random: (count: number) => Uint8Array;
  readonly #additionalData = new Uint8Array(20);
  readonly #sealed = new Uint8Array(pageSize);
  readonly #opened = new Uint8Array(payloadBytes);
  readonly #nonce = new Uint8Array(nonceBytes);
  #nonces = new Uint8Array(0);
  #nextNonce = 0;
  // The page opened last, as it is stored and in clear: a checkpoint reads it from the log and writes it to main.
  #lastNumber = 0;
  readonly #lastStored = new Uint8Array(pageSize);

  constructor(cipher: PageCipher, databaseId: Uint8Array, random: (count: number) => Uint8Array) {
    this.#cipher = cipher;
    this.#random = random;
    this.#additionalData.set(databaseId);
  }

  seal(page: Uint8Array, pageNumber: number): Uint8Array {
    if (page.length !== pageSize) throw new Error(`a page has ${pageSize} bytes`);
    for (let index = payloadBytes; index < pageSize; index += 1) {
      if (page[index] !== 0) throw new Error("SQLite wrote into the reserved bytes of a page");
    }
    if (pageNumber === this.#lastNumber && startsWith(page, this.#opened)) return this.#lastStored;
    this.#takeNonce();
    this.#cipher.seal(
      page.subarray(0, payloadBytes),
      this.#nonce,
      this.#bindTo(pageNumber),
      this.#sealed.subarray(0, nonceOffset),
    );
    this.#sealed.set(this.#nonce, nonceOffset);
    return this.#sealed;
  }

  open(stored: Uint8Array, pageNumber: number, page: Uint8Array): boolean {
    this.#lastNumber = 0;
    this.#nonce.set(stored.subarray(nonceOffset, pageSize));
    const isAuthentic = this.#cipher.open(
      stored.subarray(0, nonceOffset),
      this.#nonce,
      this.#bindTo(pageNumber),
      this.#opened,
    );
    if (!isAuthentic) return false;
    this.#lastStored.set(stored);
    this.#lastNumber = pageNumber;
    page.set(this.#opened);
    page.fill(0, payloadBytes, pageSize);
    return true;
  }

  #bindTo(pageNumber: number): Uint8Array {
    new DataView(this.#additionalData.buffer).setUint32(16, pageNumber);
    return this.#additionalData;
  }

  #takeNonce(): void {
    if (this.#nextNonce + nonceBytes > this.#nonces.length) {
      this.#nonces = new Uint8Array(this.#random(nonceBytes * noncesPerRefill));
      this.#nextNonce = 0;
    }
    this.#nonce.set(this.#nonces.subarray(this.#nextNonce, this.#nextNonce + nonceBytes));
    this.#nextNonce += nonceBytes;
  }
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  for (let index = 0; index < prefix.length; index += 1) {
    if (bytes[index] !== prefix[index]) return false;
  }
  return true;
}

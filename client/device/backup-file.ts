/*
 * The bytes of a backup file, once for writing and reading.
 *
 *   header, 64 bytes:  0 "sealeaf backup\n" 15 | 15 version u8 = 1 | 16 salt 32 | 48 check 16
 *   then chunks:       ciphertext ≤ 65,536 | Poly1305 tag 16      all but the last hold 65,536 bytes
 *
 * Key and check are HKDF-SHA-256(D(backup), salt, "sealeaf/1/backup-file" and "…-check"): the salt is random, so a
 * file has a key of its own, and the check tells wrong words from damage without telling anything else.
 * XChaCha20-Poly1305; nonce = zeros 16 | index u64; additional data = header 64 | index u64 | last u8 (1 on the last
 * chunk, else 0). So a chunk cannot be left out, moved, doubled, or taken from another file, and the file cannot end
 * early. The chunks hold the pages of the notes database (crdt-store/store-copy.ts), in clear.
 */
import type { PageCipher, PageCipherOf } from "#crdt-store/files/page-cipher.ts";
import { concat, equal, utf8 } from "#relay/protocol/bytes.ts";
import { backupFileKeys } from "#client/crypto/derive.ts";
import type { Random } from "#client/sync/ports.ts";

export const headerBytes = 64;
/** What a chunk holds in clear; the last may hold less. */
export const chunkBytes = 65_536;
export const tagBytes = 16;

const magic = utf8("sealeaf backup\n");
const version = 1;
const saltBytes = 32;
const nonceBytes = 24;

/** Seals or opens the chunks of one file, each once and in order. */
export class BackupChunks {
  readonly #cipher: PageCipher;
  readonly #nonce = new Uint8Array(nonceBytes);
  readonly #aad: Uint8Array;
  #index = 0;

  constructor(cipher: PageCipher, header: Uint8Array) {
    this.#cipher = cipher;
    this.#aad = concat(header, new Uint8Array(9));
  }

  seal(plain: Uint8Array, isLast: boolean): Uint8Array {
    const sealed = new Uint8Array(plain.length + tagBytes);
    this.#place(isLast);
    this.#cipher.seal(plain, this.#nonce, this.#aad, sealed);
    this.#index += 1;
    return sealed;
  }

  /** Null if it is not this file's next chunk, unharmed. `isLast`: nothing follows in the file. */
  open(sealed: Uint8Array, isLast: boolean): Uint8Array | null {
    if (sealed.length < tagBytes) return null;
    const plain = new Uint8Array(sealed.length - tagBytes);
    this.#place(isLast);
    if (!this.#cipher.open(sealed, this.#nonce, this.#aad, plain)) return null;
    this.#index += 1;
    return plain;
  }

  #place(isLast: boolean): void {
    const index = BigInt(this.#index);
    new DataView(this.#nonce.buffer).setBigUint64(16, index);
    const view = new DataView(this.#aad.buffer, headerBytes);
    view.setBigUint64(0, index);
    view.setUint8(8, isLast ? 1 : 0);
  }
}

/** The beginning of a new file, and what seals the rest of it. */
export function beginBackup(
  backupKey: Uint8Array,
  random: Random,
  cipher: PageCipherOf,
): { readonly header: Uint8Array; readonly chunks: BackupChunks } {
  const salt = random(saltBytes);
  const { key, check } = backupFileKeys(backupKey, salt);
  const header = concat(magic, new Uint8Array([version]), salt, check);
  return { header, chunks: new BackupChunks(cipher(key), header) };
}

export type OpenedBackup =
  | { readonly type: "opened"; readonly chunks: BackupChunks }
  | { readonly type: "foreign" | "newer" | "cut-short" | "wrong-key" };

/** @param header the first {@link headerBytes} of the file, or all of a shorter one */
export function openBackup(
  backupKey: Uint8Array,
  header: Uint8Array,
  cipher: PageCipherOf,
): OpenedBackup {
  if (!equal(header.subarray(0, magic.length), magic)) return { type: "foreign" };
  if ((header[magic.length] ?? version) !== version) return { type: "newer" };
  if (header.length < headerBytes) return { type: "cut-short" };
  const { key, check } = backupFileKeys(backupKey, header.slice(16, 16 + saltBytes));
  if (!equal(check, header.subarray(16 + saltBytes))) return { type: "wrong-key" };
  return { type: "opened", chunks: new BackupChunks(cipher(key), header.slice()) };
}

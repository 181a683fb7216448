/**
 * A key locked with a passphrase: the record that a browser keeps in IndexedDB and a home in its key file.
 *
 * ```
 *  0 magic "SLPL" | 4 version u8 = 1 | 5 kdf u8 = 1 (Argon2id 1.3, one lane) | 6 memory u32 KiB | 10 passes u32
 * 14 salt 16 | 30 nonce 24 | 54 sealed key 48
 * ```
 *
 * The sealing key is Argon2id(passphrase as NFKC in UTF-8, salt), 32 bytes; XChaCha20-Poly1305 with
 * "sealeaf/1/passphrase-lock" | 0 | bytes 0 to 54 as associated data. So nobody can make the parameters of a
 * record cheaper: it would no longer open, and what is cheaper than we ever write is not even tried.
 */
import { concat, parseAll, utf8, Writer } from "#relay/protocol/bytes.ts";
import { aeadNonceBytes, open, seal } from "./aead.ts";

/** What one guess costs. */
export interface Argon2idWork {
  readonly memoryKiB: number;
  readonly passes: number;
}

/**
 * Argon2id version 1.3 with one lane: 32 bytes, or null where the memory cannot be had.
 * @param salt 16 bytes
 */
export type Argon2id = (
  password: Uint8Array,
  salt: Uint8Array,
  work: Argon2idWork,
) => Promise<Uint8Array | null>;

/** The second choice of RFC 9106 §4 with one lane: half a second on a phone of today. */
export const usualWork: Argon2idWork = { memoryKiB: 64 * 1024, passes: 3 };
/** OWASP's least (Password Storage Cheat Sheet), for devices that cannot spare more. */
export const leanWork: Argon2idWork = { memoryKiB: 19 * 1024, passes: 2 };
/** More than any version will ask for; beyond it a record is a way to exhaust the device. */
const mostWork: Argon2idWork = { memoryKiB: 1024 * 1024, passes: 64 };

/** NIST SP 800-63B §5.1.1.1; what guards against guessing is the length, not the kinds of characters. */
export const fewestCharacters = 8;
const mostCharacters = 1_024;

const magic = utf8("SLPL");
const version = 1;
const argon2idKdf = 1;
const saltBytes = 16;
const headerBytes = 54;
const keyBytes = 32;
const context = utf8("sealeaf/1/passphrase-lock\0");

/** Whether these bytes are meant as a record of any version. */
export function isPassphraseLock(bytes: Uint8Array): boolean {
  return magic.every((byte, index) => bytes[index] === byte);
}

/** A sentence for whoever chose it, null if it will do. */
export function passphraseFault(typed: string): string | null {
  if (charactersIn(typed.normalize("NFKC").trim()) < fewestCharacters) {
    return `A passphrase needs at least ${fewestCharacters} characters. Four or five words are easy to remember and hard to guess.`;
  }
  if (charactersIn(typed) > mostCharacters) {
    return `A passphrase has at most ${mostCharacters} characters.`;
  }
  return null;
}

function charactersIn(text: string): number {
  return Array.from(text).length;
}

/**
 * The record that opens with `passphrase` and gives `key` (32 bytes). Null where not even the least memory
 * can be had. The caller has asked {@link passphraseFault}.
 */
export async function lockWithPassphrase(
  key: Uint8Array,
  passphrase: string,
  ports: { readonly argon2id: Argon2id; readonly random: (count: number) => Uint8Array },
): Promise<Uint8Array | null> {
  const password = passwordOf(passphrase);
  const salt = ports.random(saltBytes);
  for (const work of [usualWork, leanWork]) {
    const sealingKey = await ports.argon2id(password, salt, work);
    if (sealingKey === null) continue;
    const nonce = ports.random(aeadNonceBytes);
    const header = headerOf(work, salt, nonce);
    const record = concat(header, seal(sealingKey, nonce, concat(context, header), key));
    sealingKey.fill(0);
    return record;
  }
  return null;
}

export type PassphraseOpening =
  | { readonly type: "open"; readonly key: Uint8Array }
  /** Another passphrase, or altered bytes: nobody can tell the two apart. */
  | { readonly type: "wrong-passphrase" }
  /** Not a record, or one whose parameters nobody writes. */
  | { readonly type: "damaged" }
  | { readonly type: "newer-version" }
  | { readonly type: "no-memory" };

export async function openPassphraseLock(
  record: Uint8Array,
  passphrase: string,
  argon2id: Argon2id,
): Promise<PassphraseOpening> {
  if (isPassphraseLock(record) && (record[4] ?? 0) > version) return { type: "newer-version" };
  const parsed = parseRecord(record);
  if (parsed === null) return { type: "damaged" };
  // Nothing so short or long was ever accepted, so it is not worth the work.
  if (passphraseFault(passphrase) !== null) return { type: "wrong-passphrase" };
  const { work, salt, nonce, sealed } = parsed;
  const sealingKey = await argon2id(passwordOf(passphrase), salt, work);
  if (sealingKey === null) return { type: "no-memory" };
  const header = record.subarray(0, headerBytes);
  const key = open(sealingKey, nonce, concat(context, header), sealed);
  sealingKey.fill(0);
  return key === null ? { type: "wrong-passphrase" } : { type: "open", key };
}

interface Record {
  readonly work: Argon2idWork;
  readonly salt: Uint8Array;
  readonly nonce: Uint8Array;
  readonly sealed: Uint8Array;
}

function parseRecord(bytes: Uint8Array): Record | null {
  if (!isPassphraseLock(bytes)) return null;
  const parsed = parseAll(bytes, (reader) => {
    reader.bytes(magic.length);
    return {
      version: reader.u8(),
      kdf: reader.u8(),
      work: { memoryKiB: reader.u32(), passes: reader.u32() },
      salt: reader.bytes(saltBytes),
      nonce: reader.bytes(aeadNonceBytes),
      sealed: reader.bytes(keyBytes + 16),
    };
  });
  if (!parsed.ok) return null;
  const { kdf, work, salt, nonce, sealed } = parsed.value;
  const isOurs = parsed.value.version === version && kdf === argon2idKdf && isPlausible(work);
  return isOurs ? { work, salt, nonce, sealed } : null;
}

function isPlausible({ memoryKiB, passes }: Argon2idWork): boolean {
  return (
    memoryKiB >= leanWork.memoryKiB &&
    passes >= leanWork.passes &&
    memoryKiB <= mostWork.memoryKiB &&
    passes <= mostWork.passes
  );
}

function headerOf(work: Argon2idWork, salt: Uint8Array, nonce: Uint8Array): Uint8Array {
  return new Writer()
    .fixed(magic, magic.length)
    .u8(version)
    .u8(argon2idKdf)
    .u32(work.memoryKiB)
    .u32(work.passes)
    .fixed(salt, saltBytes)
    .fixed(nonce, aeadNonceBytes)
    .finish();
}

// The same characters are typed as different code points on different keyboards (RFC 8265 §4.2 has the problem).
function passwordOf(passphrase: string): Uint8Array {
  return utf8(passphrase.normalize("NFKC"));
}

/**
 * What somebody who copies a document into another space states of its past: its changes come along, the signatures on them
 * are of the other document and do not. Signed by the device that signed the copy's origin (PROTOCOL §1).
 */
import { parseAll, Writer, type Reader } from "#relay/protocol/bytes.ts";
import { inDomain } from "#relay/protocol/domain.ts";
import type { Ed25519, SigningKey } from "./ed25519.ts";
import { maxNameBytes } from "./profile.ts";

/** A device that wrote in the document before it was copied. */
export interface PastAuthor {
  /** A capability of the space it was written in; null where nobody is known. */
  readonly person: Uint8Array | null;
  readonly name: string;
  /** The copier saw signatures of a device that this person alone has vouched for. */
  readonly verified: boolean;
  /** Null where nobody signed. */
  readonly device: Uint8Array | null;
  readonly changes: number;
  /** When the newest of them came to the copier, ms since 1970; null where that is not known any more. */
  readonly lastAt: number | null;
}

export interface Past {
  /** When the document was last changed, ms since 1970. */
  readonly updatedAt: number;
  /** At most {@link mostPastAuthors}. */
  readonly authors: readonly PastAuthor[];
}

export const mostPastAuthors = 255;
const version = 1;
const verifiedFlag = 1;
const nobody = new Uint8Array(32);

/**
 * ```
 * 0 ver 1 | updatedAt u64 | n u8 | n × author | sig_dev 64
 * author = person 32 | device 32 | flags u8 (1 verified) | changes u32 | lastAt u64 | nameLen u16 | name     zeros: not known
 * ```
 */
export function signPast(
  ed: Ed25519,
  device: SigningKey,
  docId: Uint8Array,
  past: Past,
): Uint8Array {
  const said = encodePast(past);
  const signature = ed.sign(device.seed, inDomain("past", docId, said));
  return new Writer().fixed(said, said.length).fixed(signature, 64).finish();
}

/** Null for bytes of a later version, and for what this device did not sign. */
export function openPast(
  ed: Ed25519,
  devPub: Uint8Array,
  docId: Uint8Array,
  bytes: Uint8Array,
): Past | null {
  const past = parsePast(bytes);
  if (past === null) return null;
  const said = bytes.slice(0, -64);
  return ed.verify(devPub, inDomain("past", docId, said), bytes.slice(-64)) ? past : null;
}

/** The same on anybody's word. */
export function parsePast(bytes: Uint8Array): Past | null {
  const parsed = parseAll(bytes, (reader) => {
    if (reader.u8() !== version) reader.refuse("unknown version");
    const updatedAt = reader.u64();
    const authors = Array.from({ length: reader.u8() }, () => readAuthor(reader));
    reader.bytes(64);
    return { updatedAt, authors };
  });
  return parsed.ok ? parsed.value : null;
}

function encodePast({ updatedAt, authors }: Past): Uint8Array {
  const writer = new Writer().u8(version).u64(updatedAt).u8(authors.length);
  for (const { person, device, verified, changes, lastAt, name } of authors) {
    writer
      .fixed(person ?? nobody, 32)
      .fixed(device ?? nobody, 32)
      .u8(verified ? verifiedFlag : 0)
      .u32(changes)
      .u64(lastAt ?? 0)
      .text16(name);
  }
  return writer.finish();
}

function readAuthor(reader: Reader): PastAuthor {
  const person = known(reader.bytes(32));
  const device = known(reader.bytes(32));
  const verified = (reader.u8() & verifiedFlag) !== 0;
  const changes = reader.u32();
  const lastAt = reader.u64();
  const name = reader.text16(maxNameBytes);
  return { person, device, verified, changes, lastAt: lastAt === 0 ? null : lastAt, name };
}

function known(key: Uint8Array): Uint8Array | null {
  return key.every((byte) => byte === 0) ? null : key;
}

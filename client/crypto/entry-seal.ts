/** Sealing and opening entries: AEAD under the epoch, signature by the device. */
import {
  encodeEntry,
  encodeEntryAad,
  entryIdOf,
  entryKinds,
  entryMessage,
  type Entry,
  type EntryHeader,
} from "#relay/protocol/entry.ts";
import { open, seal } from "./aead.ts";
import { epochSubkey, type EpochPurpose } from "./derive.ts";
import type { Ed25519, SigningKey } from "./ed25519.ts";

const tagBytes = 16;
export const noExt = new Uint8Array(0);

/**
 * The finished entry and its id. The caller commits both before the first send.
 *
 * @param ext what the entry says in the clear (docs/protocol.md, SNAP-1 and CARD-1)
 */
export function sealEntry(
  ed: Ed25519,
  device: SigningKey,
  header: EntryHeader,
  ext: Uint8Array,
  epochKey: Uint8Array,
  plaintext: Uint8Array,
): { readonly bytes: Uint8Array; readonly entryId: Uint8Array } {
  const aad = encodeEntryAad(header, ext, plaintext.length + tagBytes);
  const key = epochSubkey(epochKey, header.spaceId, purposeOf(header.kind));
  const ciphertext = seal(key, header.nonce, aad, plaintext);
  const entryId = entryIdOf(aad, ciphertext);
  const signature = ed.sign(device.seed, entryMessage(entryId));
  return { bytes: encodeEntry(aad, ciphertext, signature), entryId };
}

/** The plaintext, or null if it was not sealed under this epoch key with this header. */
export function openEntry(entry: Entry, epochKey: Uint8Array): Uint8Array | null {
  const key = epochSubkey(epochKey, entry.spaceId, purposeOf(entry.kind));
  return open(key, entry.nonce, entry.aad, entry.ciphertext);
}

function purposeOf(kind: number): EpochPurpose {
  if (kind === entryKinds.card) return "card";
  return kind === entryKinds.snapshot ? "snapshot" : "update";
}

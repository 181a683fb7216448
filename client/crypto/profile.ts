/**
 * How a person is called, signed by the capability it describes: nobody can take another's name
 * in the members list of a notebook (PROTOCOL §4).
 */
import { parseAll, utf8, Writer } from "#relay/protocol/bytes.ts";
import { inDomain } from "#relay/protocol/domain.ts";
import type { Ed25519, SigningKey } from "./ed25519.ts";

const colourVersion = 1;

/** Longest display name, in UTF-8 bytes. */
export const maxNameBytes = 120;

/**
 * ```
 * 0 nameLen u16 | name | sig_cap 64
 * ```
 */
export function signProfile(
  ed: Ed25519,
  capability: SigningKey,
  spaceId: Uint8Array,
  name: string,
): Uint8Array {
  const signature = ed.sign(capability.seed, profileMessage(spaceId, capability.publicKey, name));
  return new Writer().text16(name).fixed(signature, 64).finish();
}

/** The name, or null if the bytes are not a profile that this capability signed. */
export function openProfile(
  ed: Ed25519,
  capPub: Uint8Array,
  spaceId: Uint8Array,
  bytes: Uint8Array,
): string | null {
  const parsed = parseAll(bytes, (reader) => ({
    name: reader.text16(maxNameBytes),
    signature: reader.bytes(64),
  }));
  if (!parsed.ok) return null;
  const { name, signature } = parsed.value;
  return ed.verify(capPub, profileMessage(spaceId, capPub, name), signature) ? name : null;
}

function profileMessage(spaceId: Uint8Array, capPub: Uint8Array, name: string): Uint8Array {
  return inDomain("profile", spaceId, capPub, utf8(name));
}

/** Which of the eight hues a person is shown in, 0 to 7. */
export const personColours = 8;

/**
 * ```
 * 0 ver u8 = 1 | 1 colour u8 | 2 sig_cap 64
 * ```
 * Beside the name, not in it: whoever knows only names reads those as before.
 */
export function signColour(
  ed: Ed25519,
  capability: SigningKey,
  spaceId: Uint8Array,
  colour: number,
): Uint8Array {
  const message = colourMessage(spaceId, capability.publicKey, colour);
  const signature = ed.sign(capability.seed, message);
  return new Writer().u8(colourVersion).u8(colour).fixed(signature, 64).finish();
}

/** The colour, or null if the bytes are not one that this capability signed. */
export function openColour(
  ed: Ed25519,
  capPub: Uint8Array,
  spaceId: Uint8Array,
  bytes: Uint8Array,
): number | null {
  const parsed = parseAll(bytes, (reader) => {
    if (reader.u8() !== colourVersion) reader.refuse("unknown version");
    const colour = reader.u8();
    if (colour >= personColours) reader.refuse("no such colour");
    return { colour, signature: reader.bytes(64) };
  });
  if (!parsed.ok) return null;
  const { colour, signature } = parsed.value;
  return ed.verify(capPub, colourMessage(spaceId, capPub, colour), signature) ? colour : null;
}

function colourMessage(spaceId: Uint8Array, capPub: Uint8Array, colour: number): Uint8Array {
  return inDomain("person-colour", spaceId, capPub, new Writer().u8(colour).finish());
}

/** The colour of somebody who chose none. */
export function colourOf(capPub: Uint8Array): number {
  return (capPub[0] ?? 0) % personColours;
}

/** A display name as it may be kept: one line, no control characters, bounded. */
export function cleanName(typed: string): string {
  let name = typed
    .normalize("NFC")
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, " ")
    .trim();
  while (utf8(name).length > maxNameBytes) name = name.replace(/.$/su, "");
  return name;
}

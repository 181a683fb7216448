/**
 * What the vault says of a notebook's log: how far a device of this person has read it. So another one, that has never
 * been there, knows when a relay shows less.
 */
import type { SpaceWitness } from "#crdt-store/space-witnesses.ts";
import { equal, parseAll, parseHex, Writer } from "#relay/protocol/bytes.ts";
import { chainTagBytes } from "#relay/protocol/domain.ts";
import { spaceIdBytes } from "#relay/protocol/genesis.ts";

export const witnessPrefix = "seen ";

export type WitnessKey = `${typeof witnessPrefix}${string}`;

/** @param space its id in hex */
export function witnessKey(space: string): WitnessKey {
  return `${witnessPrefix}${space}`;
}

/** What is told of a log. */
export type Told = Pick<SpaceWitness, "pos" | "chainTag" | "at">;

const packVersion = 1;

/** `ver u8 | at u64 | pos u64 | chainTag 16` */
export function packWitness({ pos, chainTag, at }: Told): Uint8Array {
  return new Writer().u8(packVersion).u64(at).u64(pos).fixed(chainTag, chainTagBytes).finish();
}

/** Null for bytes of a later version, or that are none. */
export function unpackWitness(bytes: Uint8Array): Told | null {
  const parsed = parseAll(bytes, (reader) => {
    if (reader.u8() !== packVersion) reader.refuse("unknown version");
    const at = reader.u64();
    return { at, pos: reader.u64(), chainTag: reader.bytes(chainTagBytes) };
  });
  return parsed.ok ? parsed.value : null;
}

/** Whose log a key of the vault's index is about; null for any other key. */
export function spaceOfWitness(key: string): Uint8Array | null {
  const space = key.startsWith(witnessPrefix) ? parseHex(key.slice(witnessPrefix.length)) : null;
  return space?.length === spaceIdBytes ? space : null;
}

const tellAfterMs = 24 * 60 * 60 * 1_000;

/**
 * Whether a device that has read all there is tells how far that is. Once a day for a log that moves, whoever does it; what
 * goes further than the log does now stays, unless this device knows that it was given back all of it.
 *
 * @param isRestored this device had read all that was told, and has seen to it that it is there again
 */
export function isWorthTelling(
  own: Pick<Told, "pos" | "chainTag">,
  told: Told | null,
  now: number,
  isRestored: boolean,
): boolean {
  if (told === null) return own.pos > 0;
  const isSame = own.pos === told.pos && equal(own.chainTag, told.chainTag);
  if (isSame) return false;
  if (isRestored) return true;
  return own.pos >= told.pos && now - told.at >= tellAfterMs;
}

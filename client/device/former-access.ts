/**
 * What opened a notebook before this person's access to it was renewed. The vault keeps it beside the new secret: until the
 * notebook's log has taken the new one in, only the former lets anybody do that.
 */
import { parseAll, Writer } from "#relay/protocol/bytes.ts";
import { spaceIdBytes } from "#relay/protocol/genesis.ts";

export interface FormerAccess {
  readonly space: Uint8Array;
  /** 32 bytes: the secret of a capability. */
  readonly capSecret: Uint8Array;
}

export const formerPrefix = "former ";

export type FormerKey = `${typeof formerPrefix}${string}`;

/** @param cap the former capability in hex */
export function formerKey(cap: string): FormerKey {
  return `${formerPrefix}${cap}`;
}

const packVersion = 1;

/** `ver u8 | space 32 | capSecret 32` */
export function packFormer({ space, capSecret }: FormerAccess): Uint8Array {
  return new Writer().u8(packVersion).fixed(space, spaceIdBytes).fixed(capSecret, 32).finish();
}

/** Null for bytes of a later version, or that are none. */
export function unpackFormer(bytes: Uint8Array): FormerAccess | null {
  const parsed = parseAll(bytes, (reader) => {
    if (reader.u8() !== packVersion) reader.refuse("unknown version");
    return { space: reader.bytes(spaceIdBytes), capSecret: reader.bytes(32) };
  });
  return parsed.ok ? parsed.value : null;
}

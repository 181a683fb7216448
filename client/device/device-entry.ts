/**
 * What the vault says of one of its own devices, written by that device alone: how its owner calls it and
 * when it was last here. Whether it still belongs to the vault is in the control log, not here.
 */
import { parseAll, Writer } from "#relay/protocol/bytes.ts";
import { cleanName, maxNameBytes } from "#client/crypto/profile.ts";

export interface DeviceEntry {
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly lastSeenAt: number;
}

export const devicePrefix = "device ";

export type DeviceKey = `${typeof devicePrefix}${string}`;

/** @param cap the device's capability in the vault, in hex */
export function deviceKey(cap: string): DeviceKey {
  return `${devicePrefix}${cap}`;
}

const packVersion = 1;

/** `ver u8 | lastSeenAt u64 | nameLen u16 | name` */
export function packDevice({ name, lastSeenAt }: DeviceEntry): Uint8Array {
  return new Writer().u8(packVersion).u64(lastSeenAt).text16(name).finish();
}

/** Null for bytes of a later version, or that are none. */
export function unpackDevice(bytes: Uint8Array): DeviceEntry | null {
  const parsed = parseAll(bytes, (reader) => {
    if (reader.u8() !== packVersion) reader.refuse("unknown version");
    const lastSeenAt = reader.u64();
    return { lastSeenAt, name: cleanName(reader.text16(maxNameBytes)) };
  });
  return parsed.ok ? parsed.value : null;
}

/** What anybody may know of a relay: `/relay.json`, from the objects that it enforces. */
import type { Access } from "#relay/protocol/access.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import { sha256Of } from "#relay/protocol/domain.ts";
import { protocolVersion, type Limits } from "#relay/protocol/limits.ts";

export interface RelayDescription {
  readonly name: "sealeaf";
  readonly version: string;
  readonly protocol: number;
  readonly relayKey: string;
  readonly access: Access["mode"];
  readonly guests: boolean;
  readonly limits: Limits;
  /** Of all spaces made with one access key; null where nobody needs one. */
  readonly keyBytes: number | null;
}

export function describeRelay(relay: {
  readonly version: string;
  readonly relayPub: Uint8Array;
  readonly access: Access;
  readonly config: { readonly limits: Limits; readonly keyQuotaBytes: number };
}): RelayDescription {
  const { mode, guests } = relay.access;
  return {
    name: "sealeaf",
    version: relay.version,
    protocol: protocolVersion,
    relayKey: fingerprintOf(relay.relayPub),
    access: mode,
    guests: guests || mode === "open",
    limits: relay.config.limits,
    keyBytes: mode === "open" ? null : relay.config.keyQuotaBytes,
  };
}

/** What two people can compare by eye: 32 hex digits of the key's hash, in groups of four. */
function fingerprintOf(relayPub: Uint8Array): string {
  return toHex(sha256Of(relayPub).slice(0, 16)).replace(/(.{4})(?=.)/g, "$1 ");
}

import { toHex } from "#relay/protocol/bytes.ts";
import { sha256Of } from "#relay/protocol/domain.ts";

/** A public key as two people compare it: 32 hex digits of its hash in groups of four (docs/protocol.md, SES). */
export function fingerprintOf(publicKey: Uint8Array): string {
  return toHex(sha256Of(publicKey).slice(0, 16)).replace(/(.{4})(?=.)/g, "$1 ");
}

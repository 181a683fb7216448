/**
 * Who may make spaces at a relay, and how a client proves that it is one of them (docs/protocol.md,
 * AUTH). An access key is an Ed25519 key that a client makes for one relay; the relay knows no more
 * of it than that it was admitted.
 */
import { sha256Of } from "./domain.ts";

/** `open`: anybody. `invite`: whoever redeems a token once. `allowlist`: the operator's list of keys. */
export type AccessMode = "open" | "invite" | "allowlist";

export interface Access {
  readonly mode: AccessMode;
  /** Whether a client without an access key is served in spaces that are there. */
  readonly guests: boolean;
}

/** One-time tokens: random, so that none can be guessed. */
export const inviteTokenBytes = 16;

const modeCodes: Record<AccessMode, number> = { open: 0, invite: 1, allowlist: 2 };
const withoutGuests = 4;

/** As WELCOME says it: the mode, and 4 more where guests are not served. */
export function accessCode({ mode, guests }: Access): number {
  return modeCodes[mode] + (guests || mode === "open" ? 0 : withoutGuests);
}

/** Null for a code of a later version. */
export function accessOf(code: number): Access | null {
  const modes: readonly AccessMode[] = ["open", "invite", "allowlist"];
  const access = modes
    .flatMap((mode) => [
      { mode, guests: true },
      { mode, guests: false },
    ])
    .find((candidate) => accessCode(candidate) === code);
  return access ?? null;
}

/** What a relay keeps of a token, 32 bytes: who reads its store cannot redeem what is in it. */
export function inviteHash(token: Uint8Array): Uint8Array {
  return sha256Of(token);
}

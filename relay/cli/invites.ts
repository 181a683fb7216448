/** `invite make`, `invite list`, `invite revoke`: also while the relay serves. */
import { inviteHash } from "#relay/protocol/access.ts";
import { toHex } from "#relay/protocol/bytes.ts";
import type { AccessStore } from "#relay/store/access-store.ts";
import { OperatorError } from "./program.ts";

const dayMs = 86_400_000;
/** Digits of a hash or key that name it in the list and to `revoke`. */
const idDigits = 16;
const maxLabel = 80;
const maxDays = 3650;

export async function makeInvite(
  access: AccessStore,
  invite: {
    readonly token: Uint8Array;
    readonly label: string | null;
    readonly days: string | null;
    readonly now: number;
  },
): Promise<void> {
  const label = invite.label ?? "";
  if (label.length > maxLabel || /\p{Cc}/u.test(label)) {
    throw new OperatorError(`A label is one line of at most ${maxLabel} characters.`);
  }
  const days = invite.days === null ? null : Number(invite.days);
  if (days !== null && !(Number.isInteger(days) && days >= 1 && days <= maxDays)) {
    throw new OperatorError(`--days is a number from 1 to ${maxDays}, not "${invite.days}".`);
  }
  await access.addInvite({
    tokenHash: inviteHash(invite.token),
    label,
    madeAt: invite.now,
    expiresAt: days === null ? null : invite.now + days * dayMs,
  });
}

/** Lines for the operator, invitations first. */
export async function listAccess(access: AccessStore, now: number): Promise<readonly string[]> {
  const invites = (await access.listInvites()).map(({ tokenHash, label, expiresAt }) => {
    const end = expiresAt === null ? "" : `, until ${dayOf(expiresAt)}`;
    const state = expiresAt !== null && expiresAt <= now ? "expired" : "not redeemed";
    return `${idOf(tokenHash)}  invitation, ${state}${end}${named(label)}`;
  });
  const keys = (await access.listAccessKeys()).map(
    ({ accessPub, label, admittedAt }) =>
      `${idOf(accessPub)}  access key, since ${dayOf(admittedAt)}${named(label)}`,
  );
  return [...invites, ...keys];
}

/** Ends the invitation or key whose id begins like this. */
export async function revokeAccess(access: AccessStore, id: string): Promise<"invitation" | "key"> {
  if (!/^[0-9a-f]{4,64}$/.test(id)) {
    throw new OperatorError(`"${id}" is not an id: invite list shows them.`);
  }
  const invites = (await access.listInvites()).filter(({ tokenHash }) =>
    toHex(tokenHash).startsWith(id),
  );
  const keys = (await access.listAccessKeys()).filter(({ accessPub }) =>
    toHex(accessPub).startsWith(id),
  );
  if (invites.length + keys.length > 1) {
    throw new OperatorError(`Several ids begin with ${id}: say more of it.`);
  }
  const [invite] = invites;
  const [key] = keys;
  if (invite !== undefined && (await access.revokeInvite(invite.tokenHash))) return "invitation";
  if (key !== undefined && (await access.revokeAccessKey(key.accessPub))) return "key";
  throw new OperatorError(`There is no invitation and no key ${id}: invite list shows them.`);
}

function idOf(bytes: Uint8Array): string {
  return toHex(bytes).slice(0, idDigits);
}

function dayOf(ms: number): string {
  return new Date(ms).toISOString().slice(0, 10);
}

function named(label: string): string {
  return label === "" ? "" : `  ${label}`;
}

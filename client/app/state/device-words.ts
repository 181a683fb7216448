/** What this person's devices, and what becomes of them, are called on the screen. */
import type { AccessRenewal, DeviceRow, RemovedDevice } from "#client/device/api.ts";

import { timeAgo } from "./time-words.ts";

export function nameOfDevice(row: Pick<DeviceRow, "name">): string {
  return row.name === "" ? "A device without a name" : row.name;
}

export function seenWords(row: DeviceRow, now: number): string {
  if (row.self) return "this device";
  return row.lastSeenAt === null ? "never seen here" : `seen ${timeAgo(row.lastSeenAt, now)}`;
}

/** Before it is done. */
export function removingWords(name: string): string {
  return `${name} can read nothing new from now on and change nothing any more. What has already arrived there stays, until somebody erases it. Your notebooks get new keys.`;
}

/** After it was done. What waits for others is listed by itself. */
export function removedWords(name: string, { notebooks }: RemovedDevice): string {
  const renewed = notebooks === 1 ? "One notebook has" : `${notebooks} notebooks have`;
  return `${name} is removed.${notebooks === 0 ? "" : ` ${renewed} new keys.`}`;
}

/** Where somebody who administers a notebook has to see to it. */
export function waitingWords({ name, asked }: AccessRenewal["waiting"][number]): string {
  const ask = asked ? "They are asked as soon as they open it." : "Ask them.";
  return `In “${name}” somebody who administers it has to let this device in anew, under the fingerprint below, and end the former access. ${ask} Until then the removed device may still read there.`;
}

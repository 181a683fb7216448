/** What this person's devices, and what becomes of them, are called on the screen. */
import type { AccessRenewal, DeviceRow, FoundByWords, RemovedDevice } from "#client/device/api.ts";

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

/** After something was removed. What waits for others is listed by itself. */
export function renewedWords({ notebooks }: RemovedDevice): string {
  if (notebooks === 0) return "";
  return notebooks === 1 ? "One notebook has new keys." : `${notebooks} notebooks have new keys.`;
}

/** Where somebody who administers a notebook has to see to it. */
export function waitingWords({ name, asked }: AccessRenewal["waiting"][number]): string {
  const ask = asked ? "They are asked as soon as they open it." : "Ask them.";
  return `In “${name}” somebody who administers it has to let this device in anew, under the fingerprint below, and end the former access. ${ask} Until then the removed device may still read there.`;
}

/** Of an offer that ends: "9:05". */
export function timeLeft(until: number, now: number): string {
  const seconds = Math.max(0, Math.ceil((until - now) / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** What words open, before anything is done with it. */
export function foundWords(
  { notebooks, devices, lastChangeAt }: FoundByWords,
  now: number,
): string {
  const counted = [
    notebooks === 1 ? "one notebook" : `${notebooks} notebooks`,
    devices === 1 ? "one device" : `${devices} devices`,
  ].join(" and ");
  return lastChangeAt === null
    ? `These words open ${counted}.`
    : `These words open ${counted}, last changed ${timeAgo(lastChangeAt, now)}.`;
}

import type { AutoLock } from "#client/worker/lock-api.ts";

/** "5 min", "1 hour", "Never". */
export function autoLockWords(minutes: AutoLock): string {
  if (minutes === null) return "Never";
  return minutes === 60 ? "1 hour" : `${minutes} min`;
}

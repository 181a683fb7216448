/** What a person is told about the trash, and about deleting for ever. */
import type { EmptiedTrash, RetentionSettings, TrashedNote } from "#client/device/api.ts";
import { bytesInWords } from "#client/notes/bytes-in-words.ts";

const dayMs = 24 * 60 * 60 * 1000;

/** How long a note stays in the trash, for a narrow place; null if nothing takes it away by itself. */
export function leftWords({ goesAt, unsent }: TrashedNote, now: number): string | null {
  if (goesAt === null) return null;
  if (unsent) return "waits for the relay";
  const days = Math.round((goesAt - now) / dayMs);
  if (days <= 0) return "goes today";
  return days === 1 ? "1 day left" : `${days} days left`;
}

export function windowWords(days: RetentionSettings["trashDays"]): string {
  return days === null
    ? "Notes stay here until you delete them."
    : `Deleted from this device after ${daysInWords(days)}.`;
}

function daysInWords(days: number): string {
  return days === 365 ? "a year" : `${days} days`;
}

/** What is about to be deleted when the trash is emptied. */
export function inTrashWords(notes: number): string {
  if (notes === 0) return "Nothing is in the trash.";
  return notes === 1 ? "One note" : `All ${notes} notes in the trash`;
}

/** What deleting for ever would lose, besides what is elsewhere too; null if nothing. */
export function onlyHereWords(unsent: number, ofAll: boolean): string | null {
  if (unsent === 0) return null;
  if (!ofAll) return "Some of this note is only on this device. It would be lost.";
  return unsent === 1
    ? "One note is partly only on this device. It stays in the trash, unless you mean it too."
    : `${unsent} notes are partly only on this device. They stay in the trash, unless you mean them too.`;
}

export function emptiedWords({ deleted, kept }: EmptiedTrash): string {
  const gone = deleted === 1 ? "One note was" : `${deleted === 0 ? "No" : deleted} notes were`;
  if (kept === 0) return `${gone} deleted for ever.`;
  const stays = kept === 1 ? "One stays: some of it is" : `${kept} stay: some of what they say is`;
  return `${gone} deleted for ever. ${stays} only on this device.`;
}

export function freedWords(bytes: number): string {
  return bytes === 0 ? "There was nothing to give back." : `${bytesInWords(bytes)} given back.`;
}

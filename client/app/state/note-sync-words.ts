/** What the sheet of one note's sync says. */
import type { NoteRow, NoteSync, SyncStatus } from "#client/device/api.ts";

import { namesOf } from "./note-rows.ts";
import type { Tick } from "./note-rows.ts";

/** How far everything of a note has come, the safe part of the truth first. */
export function noteSyncSentence(
  row: Pick<NoteRow, "waiting" | "seenBy" | "here">,
  tick: Tick,
  { durable, workingOffline }: Pick<SyncStatus, "durable" | "workingOffline">,
): string {
  const here = durable ? "Saved on this device" : "Only in this window";
  if (!row.here) return "On the relay. It has not come to this device yet.";
  switch (tick) {
    case "here":
      return `${here}.`;
    case "waiting": {
      const waits = row.waiting === 1 ? "One change waits" : `${row.waiting} changes wait`;
      const until = workingOffline ? " You chose to work offline." : "";
      return `${here}. ${waits} to be sent to the relay.${until}`;
    }
    case "relay":
      return durable ? `${here} and on the relay.` : "On the relay.";
    case "seen":
      return `${durable ? `${here}, on the relay` : "On the relay"}, and seen by ${namesOf(row.seenBy)}.`;
  }
}

export function noteConflictText({ open, reviewed }: NoteSync["conflicts"]): string {
  if (open + reviewed === 0) return "No passage";
  const passages = (count: number): string => `${count} ${count === 1 ? "passage" : "passages"}`;
  if (open === 0) return `${passages(reviewed)}, reviewed`;
  const rest = reviewed === 0 ? "" : `, ${reviewed} reviewed`;
  return `${passages(open)} to look at${rest}. Both edits are in the note.`;
}

/** What is said of those who wrote a note. */
import type { NoteAuthor } from "#client/device/api.ts";

export function authorName({ name, person }: NoteAuthor): string {
  if (name !== "") return name;
  return person === null ? "Somebody unknown" : "Somebody without a name";
}

/** Why it is not certain who that was; null where it is. */
export function authorDoubt({ verified, device, name }: NoteAuthor): string | null {
  if (verified) return null;
  if (device === "") return "Nobody has signed these changes.";
  return name === ""
    ? "A device signed these changes, and nobody known here says that it is theirs."
    : "It is not certain that this device is theirs.";
}

export function changesWords(changes: number): string {
  return changes === 1 ? "1 change" : `${changes} changes`;
}

/** On whose word this is said; null where signatures tell it. */
export function statedWords({ statedBy }: NoteAuthor): string | null {
  if (statedBy === null) return null;
  if (statedBy.self) return "Before you moved the note here.";
  const who = statedBy.name || "somebody";
  return `Before ${who} moved the note here, as ${statedBy.name || "they"} saw it.`;
}

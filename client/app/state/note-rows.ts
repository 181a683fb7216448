/** Which notes a list shows and what a row says about its note. */
import type { NoteRow, NoteState } from "#client/device/api.ts";

export type NoteFilter =
  | { readonly type: "all" }
  | { readonly type: "trash" }
  | { readonly type: "notebook"; readonly id: string };

/** Newest first; notes in the trash appear nowhere but there. */
export function selectRows(rows: readonly NoteRow[], filter: NoteFilter): NoteRow[] {
  return rows
    .filter((row) => {
      if (filter.type === "trash") return row.trashed;
      return !row.trashed && (filter.type === "all" || row.notebook === filter.id);
    })
    .toSorted((a, b) => b.updatedAt - a.updatedAt || (a.id < b.id ? -1 : 1));
}

export type Tick = "here" | "waiting" | "relay" | "seen";

/** How far the newest change of a note has come, as one of the list's four signs. */
export function tickOf(
  { state, waiting }: Pick<NoteRow, "state" | "waiting">,
  hasRelay: boolean,
): Tick {
  if (state === "saved-here") return hasRelay && waiting > 0 ? "waiting" : "here";
  return state === "on-relay" ? "relay" : "seen";
}

/** What a tick means, for those who hear it and for tooltips. */
export function tickWords(tick: Tick, seenBy: readonly string[]): string {
  switch (tick) {
    case "here":
      return "Saved on this device";
    case "waiting":
      return "Waiting to send";
    case "relay":
      return "On the relay";
    case "seen":
      return `Seen by ${namesOf(seenBy)}`;
  }
}

export function namesOf(names: readonly string[]): string {
  const [first, second, ...others] = names;
  if (first === undefined) return "another device";
  if (second === undefined) return first;
  if (others.length === 0) return `${first} and ${second}`;
  return `${first}, ${second} and ${others.length} more`;
}

/** One or two letters for a name, as people write their initials. */
export function initialsOf(name: string): string {
  const words = name.trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : undefined]
    .map((word) => Array.from(word ?? "")[0] ?? "")
    .join("");
  return letters.toLocaleUpperCase() || "?";
}

/** What the line under an open note says of it. */
export function stateLine(
  state: NoteState,
  waiting: number,
  hasRelay: boolean,
  seenBy: readonly string[],
): string {
  const tick = tickOf({ state, waiting }, hasRelay);
  // The safe part of the truth first: a note that waits is saved all the same.
  return tick === "waiting" ? "Saved on this device" : tickWords(tick, seenBy);
}

export function rowTitle(row: Pick<NoteRow, "title">): string {
  return row.title || "Untitled";
}

export function isBlank(row: Pick<NoteRow, "title" | "preview">): boolean {
  return row.title.trim() === "" && row.preview.trim() === "";
}

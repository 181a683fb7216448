/** Which notes a list shows and what a row says about its note. */
import type { NotebookRow, NoteRow, NoteState } from "#client/device/api.ts";
import { isWithinTag, tagKey } from "#client/notes/tags.ts";

export type NoteFilter =
  | { readonly type: "all" }
  | { readonly type: "trash" }
  | { readonly type: "pinned" }
  /** What others can open, too, or share with this person. */
  | { readonly type: "shared" }
  | { readonly type: "notebook"; readonly id: string }
  /** With those below it. */
  | { readonly type: "tag"; readonly name: string };

/** Pinned ones first, then the newest; notes in the trash appear nowhere but there, those of a deleted notebook nowhere. */
export function selectRows(
  rows: readonly NoteRow[],
  filter: NoteFilter,
  notebooks: readonly NotebookRow[] = [],
): NoteRow[] {
  const notebookById = new Map(notebooks.map((notebook) => [notebook.id, notebook]));
  return rows
    .filter((row) => {
      const notebook = notebookById.get(row.notebook);
      return notebook?.state !== "deleted" && isShownBy(row, filter, notebook);
    })
    .toSorted(byPinAndTime);
}

function isShownBy(row: NoteRow, filter: NoteFilter, notebook: NotebookRow | undefined): boolean {
  if (row.trashed || filter.type === "trash") return row.trashed && filter.type === "trash";
  switch (filter.type) {
    case "all":
      return true;
    case "pinned":
      return row.pinned;
    case "shared":
      return notebook?.shared === true || notebook?.single === true;
    case "notebook":
      return (
        row.notebook === filter.id || (notebook?.single === true && notebook.parent === filter.id)
      );
    case "tag": {
      const wanted = tagKey(filter.name);
      return row.tags.some((tag) => isWithinTag(tagKey(tag), wanted));
    }
  }
}

function byPinAndTime(a: NoteRow, b: NoteRow): number {
  const pinsApart = a.trashed ? 0 : Number(b.pinned) - Number(a.pinned);
  return pinsApart || b.updatedAt - a.updatedAt || (a.id < b.id ? -1 : 1);
}

export interface TagCount {
  readonly name: string;
  readonly notes: number;
}

/** Every tag of notes outside the trash, as most notes write it, with how many have it or one below it; by name. */
export function countTags(rows: readonly NoteRow[]): readonly TagCount[] {
  const spellings = new Map<string, Map<string, number>>();
  const notesByKey = new Map<string, number>();
  for (const row of rows) {
    if (row.trashed) continue;
    for (const name of row.tags) add(spellings, tagKey(name), name);
    const keys = new Set(row.tags.flatMap((name) => withParents(tagKey(name))));
    for (const key of keys) notesByKey.set(key, (notesByKey.get(key) ?? 0) + 1);
  }
  return [...spellings]
    .map(([key, names]) => ({ name: mostFrequent(names), notes: notesByKey.get(key) ?? 0 }))
    .toSorted((a, b) => a.name.localeCompare(b.name));
}

function withParents(key: string): string[] {
  const parts = key.split("/");
  return parts.map((_, ix) => parts.slice(0, ix + 1).join("/"));
}

function add(spellings: Map<string, Map<string, number>>, key: string, name: string): void {
  const names = spellings.get(key) ?? new Map<string, number>();
  names.set(name, (names.get(name) ?? 0) + 1);
  spellings.set(key, names);
}

function mostFrequent(names: ReadonlyMap<string, number>): string {
  const [[first] = [""]] = [...names].toSorted((a, b) => b[1] - a[1]);
  return first;
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

/** Without this person's own other devices, which have no initials. */
export function peopleAmong(names: readonly string[]): readonly string[] {
  return names.filter((name) => name !== "another device");
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

/** `conflicts` for a person: the passages that were changed in two places at once. */
import type { ConflictRow, DiffPart } from "#client/device/api.ts";

/** @param titles of notes, by their ids */
export function conflictsText(
  rows: readonly ConflictRow[],
  titles: ReadonlyMap<string, string>,
): string {
  if (rows.length === 0) return "No passage was changed in two places at once.\n";
  return rows.map((row) => conflictText(row, titles.get(row.note) ?? "")).join("\n");
}

function conflictText(row: ConflictRow, title: string): string {
  const times = row.times === 1 ? "" : `, ${row.times} times`;
  const state = row.reviewed ? "reviewed" : "to review";
  return [
    `${row.id}  ${state}`,
    `  ${title || "Untitled"} (${row.note}), ${row.field}, with ${row.with}${times}, ${new Date(row.at).toISOString()}`,
    `  here:  ${diffText(row.ours)}`,
    `  there: ${diffText(row.theirs)}`,
    "",
  ].join("\n");
}

/** [-taken away-] and {+put in+}, as word differences are commonly written. */
function diffText(parts: readonly DiffPart[]): string {
  return parts
    .map(({ type, text }) => {
      const line = text.replaceAll("\n", "⏎");
      if (type === "same") return line;
      return type === "removed" ? `[-${line}-]` : `{+${line}+}`;
    })
    .join("");
}

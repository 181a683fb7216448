/** Notebooks as this person has arranged them: one in another, any number deep. */
import type { NotebookRow } from "#client/device/api.ts";

export interface NotebookBranch {
  readonly notebook: NotebookRow;
  /** 0 at the top. */
  readonly depth: number;
  /** Whether others lie in it. */
  readonly isParent: boolean;
}

type Rows = readonly NotebookRow[];

/** Every notebook with those in it right below, and none of those that lie in a folded one. */
export function branchesOf(rows: Rows, folded: ReadonlySet<string>): readonly NotebookBranch[] {
  const ids = new Set(rows.map(({ id }) => id));
  const below = new Map<string | null, NotebookRow[]>();
  for (const row of rows) {
    const parent = row.parent !== null && ids.has(row.parent) ? row.parent : null;
    below.set(parent, [...(below.get(parent) ?? []), row]);
  }
  const walk = (parent: string | null, depth: number): NotebookBranch[] =>
    (below.get(parent) ?? []).flatMap((notebook) => [
      { notebook, depth, isParent: below.has(notebook.id) },
      ...(folded.has(notebook.id) ? [] : walk(notebook.id, depth + 1)),
    ]);
  return walk(null, 0);
}

/** Where a notebook can be put: anywhere but into itself and what lies in it. */
export function placesFor(rows: Rows, id: string): Rows {
  const parents = new Map(rows.map((row) => [row.id, row.parent]));
  const isWithin = (row: NotebookRow): boolean => {
    for (let at: string | null = row.id; at !== null; at = parents.get(at) ?? null) {
      if (at === id) return true;
    }
    return false;
  };
  return rows.filter((row) => !isWithin(row));
}

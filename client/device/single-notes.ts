/** One note that is shared alone: it has a notebook of its own, of which nobody sees more than the note. */
import { cleanName } from "#client/crypto/profile.ts";
import type { CallName } from "./api.ts";
import type { Notebooks } from "./notebooks.ts";
import type { Notes } from "./notes.ts";
import { mustWrite, type Shelf } from "./shelf.ts";

export interface SingleNotesPorts {
  readonly shelf: Shelf;
  readonly notes: Notes;
  readonly notebooks: Notebooks;
}

/** Refused before anything is made where the note cannot go there. */
export async function shareAlone(
  { shelf, notes, notebooks }: SingleNotesPorts,
  id: string,
  call: CallName | undefined,
): Promise<{ notebook: string; id: string }> {
  const { row, space } = notes.must(id);
  if (shelf.facts(space.id).single === true) return { notebook: space.hex, id };
  mustWrite(space);
  const named = (part: string): CallName | undefined => call && `${call}/${part}`;
  const name = cleanName(row.title) || "Note";
  const notebook = await notebooks.createSingle(name, space, named("notebook"));
  const { id: moved } = await notes.move(id, notebook.id, named("note"));
  return { notebook: notebook.id, id: moved };
}

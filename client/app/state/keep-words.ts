/** How much of a notebook a device keeps, as it is offered. */
import type { NotebookRow } from "#client/device/api.ts";

export const keepWords: readonly {
  readonly keep: NotebookRow["keep"];
  readonly words: string;
}[] = [
  { keep: "everything", words: "everything" },
  { keep: "recent", words: "recent notes" },
  { keep: "on-opening", words: "notes I have opened" },
];

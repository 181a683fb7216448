/** What may come of damage, and the sum of many cases. */
import type { MemoryFiles, FileContents } from "#crdt-store/files/memory.ts";
import { fileRoles } from "#crdt-store/files/file.ts";

export const verdicts = {
  /** A StoreError at opening, and no byte was changed. */
  refused: "refused at opening, files unchanged",
  /** A StoreError when what is damaged is read; nothing was deleted. */
  noticed: "noticed when read",
  /** Set aside and shown. */
  quarantined: "set aside and shown",
  /** Damaged, and yet everything is right: rebuilt from somewhere else. */
  recovered: "recovered",
  /** The answers are the right ones. */
  harmless: "harmless",
  /** An earlier whole state, as a power cut may leave it: the last commit is missing. */
  cut: "taken for a power cut",
  /** Other answers than before, and nobody noticed: only where nothing guards. */
  believed: "believed, as nothing guards it",
  /** Something that was saved is gone although it was not what was damaged. */
  lost: "LOST",
  /** Other answers than before, unnoticed, where something should have guarded. */
  wrong: "WRONG",
  /** An exception that is no StoreError, or nothing opens any more. */
  bricked: "BRICKED",
} as const;

export type Verdict = keyof typeof verdicts;

const failures: ReadonlySet<Verdict> = new Set(["lost", "wrong", "bricked"]);

export interface Finding {
  /** What was damaged and how. */
  readonly name: string;
  readonly verdict: Verdict;
  readonly detail: string;
}

export function isFailure({ verdict }: Finding): boolean {
  return failures.has(verdict);
}

export function countByVerdict(findings: readonly Finding[]): Partial<Record<Verdict, number>> {
  const counts: Partial<Record<Verdict, number>> = {};
  for (const { verdict } of findings) counts[verdict] = (counts[verdict] ?? 0) + 1;
  return counts;
}

/** Whether the files still hold every byte that they were given, and no other. */
export function isUnchanged(files: MemoryFiles, contents: FileContents): boolean {
  const now = files.snapshot();
  return fileRoles.every((role) => Buffer.compare(now[role], contents[role]) === 0);
}

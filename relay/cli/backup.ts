/** `backup FILE`: one consistent copy, also while the store is served; whole on the disk, or not there. */
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { backup, DatabaseSync } from "@photostructure/sqlite";
import { openBeside } from "#relay/store/sqlite-opening.ts";
import { OperatorError } from "./program.ts";

/** Answers the copy's size in bytes. */
export async function backUp(databasePath: string, target: string): Promise<number> {
  if (existsSync(target)) {
    throw new OperatorError(
      `${target} is there already. A backup is never written over: name another file.`,
    );
  }
  const partial = `${target}.partial`;
  const { db } = openBeside(databasePath, "read");
  try {
    rmSync(partial, { force: true });
    // All pages in one step: of a store that is written to meanwhile, the state of one moment.
    await backup(db, partial, { rate: -1 });
    makePlain(partial);
    flush(partial);
    renameSync(partial, target);
    flush(dirname(target));
  } catch (error) {
    removePartial(partial);
    if (error instanceof OperatorError) throw error;
    const why = error instanceof Error ? error.message : "the disk refused it";
    throw new OperatorError(`${target} could not be written: ${why}. The store is as it was.`);
  } finally {
    db.close();
  }
  return statSync(target).size;
}

/** One file without companions, read once more: what the disk gives back is what counts. */
function makePlain(path: string): void {
  const copy = new DatabaseSync(path);
  try {
    copy.exec("PRAGMA journal_mode = DELETE");
    const verdict: unknown = copy.prepare("PRAGMA integrity_check(1)").get();
    const isWell = typeof verdict === "object" && Object.values(verdict ?? {})[0] === "ok";
    if (!isWell)
      throw new OperatorError("The copy does not hold together: run verify on the store.");
  } finally {
    copy.close();
  }
}

function flush(path: string): void {
  const file = openSync(path, "r");
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function removePartial(partial: string): void {
  for (const suffix of ["", "-journal", "-wal", "-shm"]) rmSync(partial + suffix, { force: true });
}

/** What went wrong, as one sentence and an exit code. */
import { StoreError, type StoreErrorType } from "#crdt-store/store-error.ts";
import { Refusal } from "#client/device/refusal.ts";

export const exitCodes = { done: 0, refused: 1, usage: 2, offline: 3 } as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** What a command leaves behind, wherever it ran. */
export interface Outcome {
  readonly code: ExitCode;
  readonly stdout: string;
  readonly stderr: string;
  /** Repeat the command with this: words on standard input, or a person's yes. */
  readonly wants?: "words" | "yes";
}

export function failure(message: string, code: ExitCode = exitCodes.refused): Outcome {
  return { code, stdout: "", stderr: `${message}\n` };
}

/** @param home where the command worked, as typed */
export function failureOf(error: unknown, home: string): Outcome {
  if (error instanceof Refusal) {
    return failure(error.message, error.code === "offline" ? exitCodes.offline : exitCodes.refused);
  }
  if (error instanceof StoreError) {
    return failure(storeWords[error.type]?.(home) ?? error.message);
  }
  if (!(error instanceof Error)) return failure(`Something went wrong: ${String(error)}.`);
  const words = systemWordsOf(error);
  if (words === undefined) return failure(`Something went wrong: ${error.message}`);
  const place = "path" in error && typeof error.path === "string" ? error.path : home;
  return failure(`The home ${home} cannot be used: ${words} (${place}).`);
}

/** What is wrong, for an error of the operating system that people meet. */
export function systemWordsOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? systemWords.get(error.code) : undefined;
}

/** The store speaks to people in a browser; here a home is a directory and the key a file in it. */
const storeWords: Partial<Record<StoreErrorType, (home: string) => string>> = {
  "wrong-key": (home) =>
    `The notes in ${home} do not open with the key file beside them: one of the two is damaged or of another home. Nothing was changed.`,
  corrupt: (home) =>
    `The notes in ${home} are damaged. Nothing was deleted: copy the directory, then restore a backup, or restore your words in another home.`,
  io: (home) =>
    `The files in ${home} could not be read or written. Nothing was deleted: check the disk and try again.`,
  "disk-full": (home) =>
    `There is no space left for ${home}. Nothing was changed: free some space.`,
  "newer-version": (home) =>
    `The notes in ${home} were last opened by a newer version of Sealeaf. Install that version.`,
  "self-test-failed": () =>
    "The database engine did not pass its check, so the notes were not opened. Install Sealeaf again.",
};

const systemWords = new Map<unknown, string>([
  ["EACCES", "permission denied"],
  ["EPERM", "permission denied"],
  ["EROFS", "the disk is read-only"],
  ["ENOSPC", "the disk is full"],
  ["EDQUOT", "your share of the disk is used up"],
  ["ENOTDIR", "a part of its path is not a directory"],
  ["EEXIST", "it is not a directory"],
  ["EISDIR", "a directory stands where a file should be"],
  ["ENOENT", "there is no such place"],
  ["ENAMETOOLONG", "its name is too long"],
  ["ELOOP", "its links lead in a circle"],
  ["EIO", "the disk does not answer"],
  ["EBUSY", "a disk is mounted there: name a directory in it"],
  ["EXDEV", "a disk is mounted there: name a directory in it"],
  ["ENOTEMPTY", "it is not empty"],
]);

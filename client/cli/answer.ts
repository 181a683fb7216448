import { exitCodes, type ExitCode } from "./failure.ts";

/** What a command says: `json` is printed with --json, `text` without, `trouble` on standard error. */
export interface Answer {
  readonly json: unknown;
  readonly text: string;
  readonly code: ExitCode;
  readonly trouble: string;
  /** Repeat the command with this on standard input. */
  readonly wants?: "words";
}

export function done(json: unknown, text: string): Answer {
  return { json, text, code: exitCodes.done, trouble: "" };
}

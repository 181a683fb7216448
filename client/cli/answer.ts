import type { Device } from "#client/device/device.ts";
import { refuse } from "#client/device/refusal.ts";
import { exitCodes, type ExitCode } from "./failure.ts";

/** What a command says: `json` is printed with --json, `text` without, `trouble` on standard error. */
export interface Answer {
  readonly json: unknown;
  readonly text: string;
  readonly code: ExitCode;
  readonly trouble: string;
  /** Repeat the command with this: words on standard input, or a person's yes. */
  readonly wants?: "words" | "yes";
}

export function done(json: unknown, text: string): Answer {
  return { json, text, code: exitCodes.done, trouble: "" };
}

export function mustKnowRelay(device: Device): void {
  if (device.relayUrl === null) {
    refuse("bad-relay", "This home knows no relay yet. Say --relay URL once.");
  }
}

export function linesOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

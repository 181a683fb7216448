/** Standard input, output and error of this process. */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { refuse } from "#client/device/refusal.ts";

/** Larger notes take minutes to open. */
const mostInputBytes = 16 << 20;

/** All of standard input. Refuses what is not UTF-8: a note is text, and nothing of it is to be lost. */
export async function readInput(): Promise<string> {
  if (process.stdin.isTTY)
    process.stderr.write("Type the text, then Ctrl-D on a line of its own.\n");
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of process.stdin) {
    const bytes = part as Buffer; // stdin without encoding gives buffers
    size += bytes.length;
    if (size > mostInputBytes) {
      refuse("bad-input", `A note has at most ${mostInputBytes >> 20} MB. Nothing was written.`);
    }
    parts.push(bytes);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(parts));
  } catch {
    return refuse("bad-input", "The text on standard input is not UTF-8. Nothing was written.");
  }
}

/**
 * What a person at the terminal answers, whose standard input has ended with the words; yes where there is no person, as
 * in a script.
 */
export function isWanted(question: string): boolean {
  if (!process.stdin.isTTY) return true;
  let terminal: number;
  try {
    terminal = openSync("/dev/tty", "r+");
  } catch {
    return refuse("bad-input", "This terminal cannot be asked. Say --yes. Nothing was changed.");
  }
  try {
    writeSync(terminal, question);
    const answer = Buffer.alloc(16);
    const length = readSync(terminal, answer);
    return /^\s*y/i.test(answer.toString("utf8", 0, length));
  } finally {
    closeSync(terminal);
  }
}

/** Resolves when nobody reads standard output any more (`sealeaf watch | head -1`). */
export function outputClosed(): Promise<void> {
  return new Promise((resolve) => {
    process.stdout.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") {
        process.exitCode = 1;
        process.stderr.write(`The output could not be written: ${error.message}.\n`);
      }
      resolve();
    });
    process.stderr.on("error", () => resolve());
  });
}

/** Prints as it is to a pipe or file; to a terminal without what would steer it: titles are others' words. */
export function printOut(text: string): void {
  if (!process.stdout.isTTY) process.stdout.write(text);
  else process.stdout.write(text === "" || text.endsWith("\n") ? tame(text) : `${tame(text)}\n`);
}

export function printTrouble(text: string): void {
  process.stderr.write(process.stderr.isTTY ? tame(text) : text);
}

function tame(text: string): string {
  return text.replace(/(?![\n\t])\p{Cc}/gu, "\u{fffd}");
}

/** Where passphrases come from: a file, a terminal, or lines on standard input; never the command line itself. */
import { closeSync, openSync, readFileSync } from "node:fs";
import { ReadStream } from "node:tty";
import { refuse } from "#client/device/refusal.ts";
import { HiddenLine } from "./hidden-line.ts";
import type { PassphraseChange } from "./home-key.ts";
import { readInput } from "./standard-streams.ts";

const variable = "SEALEAF_PASSPHRASE_FILE";

/**
 * The passphrase that opens the home: from the file, else typed. Asked once, however often it is called.
 * @param named the file of --passphrase-file; null: that of SEALEAF_PASSPHRASE_FILE, if any
 */
export function currentPassphrase(named: string | null): () => Promise<string> {
  let asked: Promise<string> | null = null;
  return () => (asked ??= readCurrent(named));
}

async function readCurrent(named: string | null): Promise<string> {
  const file = named ?? process.env[variable] ?? "";
  if (file !== "") return firstLineOf(file);
  if (process.stderr.isTTY) return typed("Passphrase: ");
  return refuse(
    "locked",
    `This home is locked with a passphrase. Name a file that holds it with --passphrase-file or ${variable}, or run the command in a terminal.`,
  );
}

/**
 * What `passphrase set|change|remove` was given: the current one from the file if there is one, the rest typed
 * twice at a terminal or read as lines from standard input.
 */
export async function readChange(
  action: PassphraseChange["action"],
  named: string | null,
): Promise<PassphraseChange> {
  const file = named ?? process.env[variable] ?? "";
  const atTerminal = process.stdin.isTTY;
  const asksCurrent = action !== "set" && file === "";
  const lines =
    atTerminal || (action === "remove" && !asksCurrent) ? [] : linesOf(await readInput());
  const nextLine = (what: string): string =>
    lines.shift() ??
    refuse("bad-input", `Standard input ends before the ${what} passphrase. Nothing was changed.`);
  const current = async (): Promise<string> => {
    if (!asksCurrent) return firstLineOf(file);
    return atTerminal ? typed("Current passphrase: ") : nextLine("current");
  };
  const next = async (): Promise<string> => (atTerminal ? typedTwice() : nextLine("new"));
  switch (action) {
    case "set":
      return { action, next: await next() };
    case "change":
      return { action, current: await current(), next: await next() };
    case "remove":
      return { action, current: await current() };
  }
}

function firstLineOf(file: string): string {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const reason = error instanceof Error && "code" in error ? String(error.code) : "unknown";
    return refuse("bad-input", `The passphrase file ${file} cannot be read (${reason}).`);
  }
  try {
    return linesOf(new TextDecoder("utf-8", { fatal: true }).decode(bytes))[0] ?? "";
  } catch {
    return refuse("bad-input", `The passphrase file ${file} is not UTF-8 text.`);
  }
}

function linesOf(text: string): string[] {
  const lines = text.split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

async function typedTwice(): Promise<string> {
  const once = await typed("New passphrase: ");
  const again = await typed("The same again: ");
  if (once !== again) refuse("bad-input", "The two are not the same. Nothing was changed.");
  return once;
}

/** From the terminal itself: standard input may be a note's text, or at its end already. */
async function typed(question: string): Promise<string> {
  const terminal = openTerminal();
  const line = new HiddenLine();
  terminal.setRawMode(true);
  terminal.setEncoding("utf8");
  process.stderr.write(question);
  try {
    for await (const part of terminal) {
      const end = line.type(String(part));
      if (end?.type === "typed") return end.text;
      if (end?.type === "cancelled") break;
    }
    return refuse("refused", "Cancelled. Nothing was changed.");
  } finally {
    terminal.setRawMode(false);
    terminal.destroy();
    process.stderr.write("\n");
  }
}

function openTerminal(): ReadStream {
  let file: number | null = null;
  try {
    file = openSync("/dev/tty", "r");
    return new ReadStream(file);
  } catch {
    if (file !== null) closeSync(file);
    return refuse(
      "unavailable",
      `There is no terminal to type a passphrase at. Name a file that holds it with --passphrase-file or ${variable}.`,
    );
  }
}

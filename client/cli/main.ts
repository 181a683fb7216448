#!/usr/bin/env node
/** `sealeaf`: the client without a screen. Composition root. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { StoreError } from "#crdt-store/store-error.ts";
import { backupKeyOf, learnBackupKey } from "#client/device/backup.ts";
import { sameRelay } from "#client/device/relay-address.ts";
import { restoreBackupFile, writeBackupFile } from "./backups.ts";
import { parseLine, usage, type CommandLine } from "./command-line.ts";
import { runCommand } from "./commands.ts";
import { examineHome, examineOpenHome, reportOf } from "./doctor.ts";
import { exitCodes, failure, failureOf, type ExitCode, type Outcome } from "./failure.ts";
import { hasPassphrase, type KeyReader, type PassphraseChange } from "./home-key.ts";
import { holdHome, isEmptyHome, openHome, otherRelay, type OpenHome } from "./home.ts";
import { nodeEd25519, nodeTimers } from "./node-ports.ts";
import { changePassphrase } from "./passphrase-command.ts";
import { currentPassphrase, readChange } from "./passphrase-source.ts";
import { askServing, canBeServed, serveHome } from "./serving.ts";
import { isWanted, outputClosed, printOut, printTrouble, readInput } from "./standard-streams.ts";
import { eventLine } from "./watching.ts";

/** Another command is waited for this long: most are over in a moment. */
const lockTries = 50;
const lockTryEveryMs = 100;
/** Packing that is not done by then is left to later commands. */
const longestTidyMs = 500;
const longestIntervalMs = 2 ** 31 - 1;

/** What an empty home can begin with. */
const beginnings: ReadonlySet<string> = new Set(["init", "restore", "become", "shut-out-others"]);
/** What takes its text, or the words, from standard input. */
const readers: ReadonlySet<string> = new Set(["new", "edit", "restore", "shut-out-others"]);

const unread = outputClosed();
const code = await main(process.argv.slice(2));
process.exitCode ??= code;

async function main(args: readonly string[]): Promise<ExitCode> {
  const parsed = parseLine(args);
  switch (parsed.type) {
    case "help":
      printOut(`${usage}\n`);
      return exitCodes.done;
    case "version":
      printOut(`${version()}\n`);
      return exitCodes.done;
    case "wrong":
      return print(wrongUsage(parsed.message));
    case "run": {
      const line = inDirectory(parsed.line, process.cwd());
      try {
        return line.command.name === "watch" ? await watch(line) : print(await run(args, line));
      } catch (error) {
        return print(failureOf(error, line.home));
      }
    }
  }
}

/** With every path absolute. */
function inDirectory(line: CommandLine, cwd: string): CommandLine {
  const { command } = line;
  const home = resolve(cwd, line.home);
  if (!("file" in command)) return { ...line, home };
  return { ...line, home, command: { ...command, file: resolve(cwd, command.file) } };
}

function wrongUsage(message: string): Outcome {
  return failure(`${message} See sealeaf --help.`, exitCodes.usage);
}

function emptyHome(dir: string): Outcome {
  return failure(
    `The home ${dir} is empty. Run init for a new identity, or restore with your words.`,
  );
}

function print(outcome: Outcome): ExitCode {
  printOut(outcome.stdout);
  printTrouble(outcome.stderr);
  return outcome.code;
}

/** Here, or in the `watch` that has this home open. */
async function run(args: readonly string[], line: CommandLine): Promise<Outcome> {
  const { command } = line;
  const { name } = command;
  if (command.name === "restore-backup") {
    await restoreBackupFile(command.file, line.home, await readInput());
    return answered(line, { home: line.home, file: command.file }, restoredText(line.home));
  }
  const begins = beginnings.has(name);
  if (!begins && isEmptyHome(line.home)) return emptyHome(line.home);
  if (command.name === "passphrase") return runPassphrase(args, line, command.action);
  const reader = keyReader(line);
  // Read beforehand: a home is not held while somebody types.
  const input = readers.has(name) ? await readInput() : "";
  const outcome = await runWith(args, line, input, reader);
  if (outcome.wants === undefined) return outcome;
  printTrouble(outcome.stderr);
  if (outcome.wants === "yes") {
    if (!isWanted("Is this yours? [y/N] ")) return failure("Nothing was changed.");
    const sure = { ...line, command: { name: "restore", isSure: true } as const };
    return runWith([...args, "--yes"], sure, input, reader);
  }
  return runWith(args, line, await readInput(), reader);
}

async function runWith(
  args: readonly string[],
  line: CommandLine,
  input: string,
  reader: KeyReader,
): Promise<Outcome> {
  return whenUnlocked(async () => {
    const served = await askServing(line.home, { args, input, cwd: process.cwd() });
    if (served !== null) return served;
    if (line.command.name === "doctor") {
      return reportOf(line, await examineHome(line.home, reader.passphrase));
    }
    const home = await open(line, "on-demand", reader);
    try {
      return await carryOut(home, line, input);
    } finally {
      await home.close();
    }
  });
}

function answered(line: CommandLine, json: unknown, text: string): Outcome {
  return {
    code: exitCodes.done,
    stdout: line.json ? `${JSON.stringify(json)}\n` : text,
    stderr: "",
  };
}

function restoredText(home: string): string {
  return `The home ${home} holds everything that was in the backup. Run sync to fetch what is newer.\n`;
}

async function open(
  { home: dir, relay }: CommandLine,
  connect: "always" | "on-demand",
  reader: KeyReader,
): Promise<OpenHome> {
  // Beforehand, like the input.
  if (hasPassphrase(dir)) await reader.passphrase();
  return openHome({ dir, relay, connect, keyReader: reader });
}

function keyReader(line: CommandLine): KeyReader {
  return {
    passphrase: currentPassphrase(line.passphraseFile),
    warn: (sentence) => printTrouble(`${sentence}\n`),
  };
}

/** Needs no device: a `watch` goes on with the key it has. */
async function runPassphrase(
  args: readonly string[],
  line: CommandLine,
  action: PassphraseChange["action"],
): Promise<Outcome> {
  const change = await readChange(action, line.passphraseFile);
  return whenUnlocked(async () => {
    const request = { args, input: JSON.stringify(change), cwd: process.cwd() };
    const served = await askServing(line.home, request);
    return served ?? holdHome(line.home, () => changePassphrase(line, change));
  });
}

/** Two commands may well be started at the same time; the second one waits for its turn. */
async function whenUnlocked<T>(act: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await act();
    } catch (error) {
      const isLocked = error instanceof StoreError && error.type === "locked";
      if (!isLocked || tries >= lockTries) throw error;
    }
    await new Promise<void>((done) => {
      nodeTimers.after(lockTryEveryMs, done);
    });
  }
}

async function carryOut(home: OpenHome, line: CommandLine, input: string): Promise<Outcome> {
  const { device } = home;
  const { command } = line;
  if (command.name === "watch") return failure("This home is being watched already.");
  const begins = beginnings.has(command.name);
  if (!device.hasIdentity && !begins) return emptyHome(line.home);
  try {
    if (command.name === "doctor") return reportOf(line, await examineOpenHome(home.store));
    if (command.name === "restore-backup") return failure("A home in use cannot be restored.");
    if (command.name === "backup") return await backUp(home, line, command.file, input);
    if (command.name === "passphrase") {
      const change = JSON.parse(input) as PassphraseChange; // from this program, see runPassphrase
      return await changePassphrase(line, change);
    }
    const answer = await runCommand(device, { now: () => Date.now() }, command, input);
    const stdout = line.json ? `${JSON.stringify(answer.json)}\n` : answer.text;
    await device.tidy(longestTidyMs, command.name === "sync" ? "everything" : "what-changed");
    return {
      code: answer.code,
      stdout: answer.wants === undefined ? stdout : "",
      stderr: answer.trouble,
      ...(answer.wants !== undefined && { wants: answer.wants }),
    };
  } catch (error) {
    return failureOf(error, line.home);
  }
}

async function backUp(
  { device, store }: OpenHome,
  line: CommandLine,
  file: string,
  input: string,
): Promise<Outcome> {
  const known = backupKeyOf(store);
  if (known === null && input === "") {
    const asked = failure(
      "This home began before there were backups: give it your 24 words once, on standard input.",
    );
    return { ...asked, wants: "words" };
  }
  // Typing that a crash left behind becomes part of its note here, and not in every copy once more.
  await device.describeStale();
  await writeBackupFile(store, known ?? learnBackupKey(store, nodeEd25519(), input), file);
  return answered(
    line,
    { file },
    `${file} holds everything in this home; only your words open it.\n`,
  );
}

/** Holds the home, stays connected, prints events, and serves the home's other commands. */
async function watch(line: CommandLine): Promise<ExitCode> {
  const stopped = Promise.race([signalled(), unread]);
  const { home: dir } = line;
  if (isEmptyHome(dir)) return print(emptyHome(dir));
  const reader = keyReader(line);
  const home = await whenUnlocked(async () => {
    const { command } = line;
    const args = ["--home", dir, command.name];
    const served = await askServing(dir, { args, input: "", cwd: dir });
    if (served !== null) return null;
    return open(line, "always", reader);
  });
  if (home === null) return print(failure("This home is being watched already."));
  try {
    if (!home.device.hasIdentity) return print(emptyHome(dir));
    const stopServing = await serve(dir, home);
    home.device.subscribe((event) => printOut(eventLine(event)));
    printOut(`${JSON.stringify({ type: "watching", relay: home.device.relayUrl })}\n`);
    if (home.device.relayUrl === null) {
      printTrouble("This home knows no relay yet, so nothing is sent. Start with --relay URL.\n");
    }
    await stopped;
    await stopServing();
    return exitCodes.done;
  } finally {
    await home.close();
  }
}

async function serve(dir: string, home: OpenHome): Promise<() => Promise<void>> {
  if (!canBeServed(dir)) {
    printTrouble(
      `The path ${dir} is too long for a socket: other commands cannot use this home until watch ends.\n`,
    );
    // Without a relay to talk to either, nothing else would keep the process going.
    const going = setInterval(() => undefined, longestIntervalMs);
    return async () => clearInterval(going);
  }
  return serveHome(dir, async (request) => {
    const parsed = parseLine(request.args);
    if (parsed.type !== "run") return wrongUsage("The watch of this home is of another version.");
    const { relay } = parsed.line;
    const known = home.device.relayUrl;
    if (relay !== null && known !== null && !sameRelay(known, relay)) {
      return failure(otherRelay(known));
    }
    if (relay !== null && known === null) home.device.setRelay(relay);
    const line = inDirectory(parsed.line, request.cwd);
    return carryOut(home, { ...line, home: dir }, request.input);
  });
}

function signalled(): Promise<void> {
  return new Promise((stop) => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const)
      process.once(signal, () => stop());
  });
}

function version(): string {
  const manifest = new URL("../package.json", import.meta.url);
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}

#!/usr/bin/env node
/** `sealeaf`: the client without a screen. Composition root and exit codes. */
import { readFileSync } from "node:fs";
import { StoreError } from "#crdt-store/store-error.ts";
import type { DeviceEvent } from "#client/device/api.ts";
import { Refusal } from "#client/device/refusal.ts";
import { parseLine, usage, type CommandLine } from "./command-line.ts";
import { runCommand } from "./commands.ts";
import { openHome, type OpenHome } from "./home.ts";
import { askServing, serveHome, type Request, type Response } from "./serving.ts";

const exitCodes = { done: 0, refused: 1, usage: 2, offline: 3 } as const;

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const parsed = parseLine(args);
  switch (parsed.type) {
    case "help":
      console.log(usage);
      return exitCodes.done;
    case "version":
      console.log(version());
      return exitCodes.done;
    case "wrong":
      console.error(`${parsed.message}\n\n${usage}`);
      return exitCodes.usage;
    case "run":
      return parsed.line.command.name === "watch" ? watch(parsed.line) : runOnce(args, parsed.line);
  }
}

async function runOnce(args: readonly string[], line: CommandLine): Promise<number> {
  const input = await inputOf(line);
  const served = await askServing(line.home, { args, input });
  if (served !== null) return print(served);
  let home: OpenHome | null = null;
  try {
    home = await openHome({ dir: line.home, relay: line.relay, connect: "on-demand" });
    return print(await carryOut(home, line, async () => input ?? ""));
  } catch (error) {
    return print(failure(error));
  } finally {
    await home?.close();
  }
}

/** Read beforehand: the command may be carried out by a serving process. */
async function inputOf(line: CommandLine): Promise<string | null> {
  return ["new", "edit", "restore"].includes(line.command.name) ? await readInput() : null;
}

async function carryOut(
  home: OpenHome,
  line: CommandLine,
  input: () => Promise<string>,
): Promise<Response> {
  if (line.command.name === "watch") {
    return { code: exitCodes.refused, stdout: "", stderr: "This home is being watched already.\n" };
  }
  const { device } = home;
  if (!device.hasIdentity && !["init", "restore"].includes(line.command.name)) {
    return {
      code: exitCodes.refused,
      stdout: "",
      stderr: "This home is empty. Run init for a new identity, or restore with your words.\n",
    };
  }
  try {
    const answer = await runCommand(device, line.command, input);
    const text = line.json ? `${JSON.stringify(answer.json)}\n` : ended(answer.text);
    return { code: answer.offline ? exitCodes.offline : exitCodes.done, stdout: text, stderr: "" };
  } catch (error) {
    return failure(error);
  }
}

function failure(error: unknown): Response {
  const known = error instanceof Refusal || error instanceof StoreError;
  const message = error instanceof Error ? error.message : String(error);
  const code =
    error instanceof Refusal && error.code === "offline" ? exitCodes.offline : exitCodes.refused;
  return { code, stdout: "", stderr: `${known ? message : `Something went wrong: ${message}`}\n` };
}

function print(response: Response): number {
  process.stdout.write(response.stdout);
  process.stderr.write(response.stderr);
  return response.code;
}

/** Holds the home, stays connected, prints events, and serves the home's other commands. */
async function watch(line: CommandLine): Promise<number> {
  let home: OpenHome;
  try {
    home = await openHome({ dir: line.home, relay: line.relay, connect: "always" });
  } catch (error) {
    return print(failure(error));
  }
  if (!home.device.hasIdentity) {
    await home.close();
    console.error("This home is empty. Run init for a new identity, or restore with your words.");
    return exitCodes.refused;
  }
  const held = home;
  const stopServing = await serveHome(line.home, async (request: Request) => {
    const parsed = parseLine(request.args);
    if (parsed.type !== "run") return { code: exitCodes.usage, stdout: "", stderr: `${usage}\n` };
    return carryOut(held, parsed.line, async () => request.input ?? "");
  });
  const stop = new Promise<void>((resolve) => {
    process.once("SIGINT", resolve);
    process.once("SIGTERM", resolve);
  });
  held.device.subscribe((event) => printEvent(event));
  console.log(JSON.stringify({ type: "watching", relay: held.device.relayUrl }));
  await stop;
  await stopServing();
  await held.close();
  return exitCodes.done;
}

function printEvent(event: DeviceEvent): void {
  switch (event.type) {
    case "changes":
      console.log(JSON.stringify({ type: "changes", id: event.id, changes: event.changes.length }));
      break;
    case "presence":
      console.log(
        JSON.stringify({
          type: "presence",
          id: event.id,
          people: event.peers.map((peer) => peer.name),
        }),
      );
      break;
    default:
      console.log(JSON.stringify(event));
  }
}

async function readInput(): Promise<string> {
  if (process.stdin.isTTY) return "";
  const parts: Buffer[] = [];
  for await (const part of process.stdin) parts.push(part as Buffer); // stdin without encoding gives buffers
  return Buffer.concat(parts).toString("utf8");
}

function ended(text: string): string {
  return text === "" || text.endsWith("\n") ? text : `${text}\n`;
}

function version(): string {
  const manifest = new URL("../package.json", import.meta.url);
  return (JSON.parse(readFileSync(manifest, "utf8")) as { version: string }).version;
}

/**
 * A running `watch` has the home's lock; other commands reach its device through a socket in the
 * home that only the owner may open. One line of JSON each way.
 */
import { chmodSync, rmSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { refuse } from "#client/device/refusal.ts";
import type { Outcome } from "./failure.ts";
import { nodeTimers } from "./node-ports.ts";

export interface Request {
  readonly args: readonly string[];
  /** Standard input, "" for commands that take none. */
  readonly input: string;
  /** Where the names of files among the arguments are looked for. */
  readonly cwd: string;
}

/** Beyond some hundred bytes a Unix socket's name is cut off (Linux 107, macOS 103). */
const longestSocketPath = 103;
const mostLineBytes = 128 << 20;
/** Commands under way may finish before a stopping `watch` hangs up. */
const finishWithinMs = 2_000;

/** Whether the home's path leaves room for a socket in it. */
export function canBeServed(dir: string): boolean {
  return Buffer.byteLength(socketPath(dir)) <= longestSocketPath;
}

function socketPath(dir: string): string {
  return join(dir, "socket");
}

/**
 * Serves until the returned function is called. The caller holds the home's lock.
 * @param answer never rejects
 */
export async function serveHome(
  dir: string,
  answer: (request: Request) => Promise<Outcome>,
): Promise<() => Promise<void>> {
  const path = socketPath(dir);
  rmSync(path, { force: true }); // we hold the lock, so whoever listened there has gone
  const open = new Map<Socket, Promise<void>>();
  const server = createServer((socket) => {
    open.set(socket, serveOne(socket, answer));
    socket.on("close", () => open.delete(socket));
  });
  await listen(server, path);
  return async () => {
    const closed = new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
    await inTime(Promise.all(open.values()));
    for (const socket of open.keys()) socket.destroy();
    await closed;
  };
}

function inTime(work: Promise<unknown>): Promise<void> {
  return new Promise((resolve) => {
    const cancel = nodeTimers.after(finishWithinMs, resolve);
    void work.then(() => {
      cancel();
      resolve();
    });
  });
}

async function listen(server: Server, path: string): Promise<void> {
  // Created with the right mode from the first moment: between listen and chmod anybody could connect.
  const mask = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(mask);
  }
  chmodSync(path, 0o600);
}

async function serveOne(
  socket: Socket,
  answer: (request: Request) => Promise<Outcome>,
): Promise<void> {
  try {
    const request = JSON.parse(await readLine(socket)) as Request; // from a process of the same user
    const outcome = await answer(request);
    await new Promise<void>((resolve) => {
      socket.once("close", () => resolve());
      socket.end(`${JSON.stringify(outcome)}\n`, () => resolve());
    });
  } catch {
    socket.destroy(); // the other side went away or does not speak this: it sees a broken connection
  }
}

/** What the `watch` that serves this home answered, or null if none does. */
export async function askServing(dir: string, request: Request): Promise<Outcome | null> {
  if (!canBeServed(dir)) return null;
  const socket = createConnection(socketPath(dir));
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
  } catch {
    return null;
  }
  try {
    socket.write(`${JSON.stringify(request)}\n`);
    return JSON.parse(await readLine(socket)) as Outcome; // from a process of the same user
  } catch {
    return refuse(
      "unavailable",
      "The watch that holds this home ended before it answered. Look whether the command was carried out, then repeat it.",
    );
  } finally {
    socket.destroy();
  }
}

function readLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let size = 0;
    socket.on("data", (data: Buffer) => {
      const end = data.indexOf(10);
      parts.push(end < 0 ? data : data.subarray(0, end));
      size += data.length;
      if (end >= 0) resolve(Buffer.concat(parts).toString("utf8"));
      else if (size > mostLineBytes) socket.destroy();
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the other side closed")));
  });
}

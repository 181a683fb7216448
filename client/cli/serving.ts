/**
 * A running `watch` has the home's lock; other commands reach its device through a socket in the
 * home that only the owner may open. One line of JSON each way.
 */
import { chmodSync, rmSync } from "node:fs";
import { createConnection, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";

export interface Request {
  readonly args: readonly string[];
  readonly input: string | null;
}

export interface Response {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A Unix socket's name may have about 100 bytes: longer homes cannot be served. */
const longestSocketPath = 100;
const mostRequestBytes = 64 << 20;

function socketPath(dir: string): string {
  return join(dir, "socket");
}

/** Serves until the returned function is called. */
export async function serveHome(
  dir: string,
  answer: (request: Request) => Promise<Response>,
): Promise<() => Promise<void>> {
  const path = socketPath(dir);
  if (Buffer.byteLength(path) > longestSocketPath) {
    throw new Error(`The path ${path} is too long for a socket: choose a shorter home.`);
  }
  rmSync(path, { force: true }); // we hold the home's lock, so nobody listens there any more
  const open = new Set<Socket>();
  const server = createServer((socket) => {
    open.add(socket);
    socket.on("close", () => open.delete(socket));
    void serveOne(socket, answer);
  });
  await listen(server, path);
  return async () => {
    for (const socket of open) socket.destroy();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
    });
  };
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
  answer: (request: Request) => Promise<Response>,
): Promise<void> {
  try {
    const request = JSON.parse(await readLine(socket)) as Request; // from a process of the same user
    socket.end(`${JSON.stringify(await answer(request))}\n`);
  } catch {
    socket.destroy(); // the other side went away or does not speak this: it sees a broken connection
  }
}

/** The answer of the `watch` that serves this home, or null if none does. */
export async function askServing(dir: string, request: Request): Promise<Response | null> {
  const socket = createConnection(socketPath(dir));
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
  } catch {
    return null;
  }
  socket.write(`${JSON.stringify(request)}\n`);
  return JSON.parse(await readLine(socket)) as Response;
}

function readLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    let size = 0;
    socket.on("data", (data: Buffer) => {
      parts.push(data);
      size += data.length;
      if (size > mostRequestBytes) socket.destroy();
      const end = data.indexOf(10);
      if (end >= 0) resolve(Buffer.concat(parts).toString("utf8").split("\n", 1)[0] ?? "");
    });
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the other side closed")));
  });
}

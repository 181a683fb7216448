/** What a relay costs while nothing happens: a connection that only stands, and a relay with one notebook. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { WebSocket } from "ws";
import { endProcess, startRelayProcess, type BuiltRelay } from "#tests/support/built-relay.ts";
import { RawClient } from "#tests/support/relay.ts";
import { TestSpace } from "#tests/support/space-identities.ts";
import type { Measurement } from "./measurement.ts";
import { benchSettings, dialMany, median } from "./relay-load.ts";

const connections = 5_000;
/** What the first connections cost is the program's own: code that is compiled, buffers that grow. */
const warmUp = 500;
const starts = 5;
const memoryBudget = { must: 1.5, aim: 1.2, unit: "×" } as const;
const idleMemoryBudget = { must: 100, aim: 100, unit: " MB" } as const;
const startBudget = { must: 1_000, aim: 1_000, unit: " ms" } as const;

export async function benchIdle(built: BuiltRelay): Promise<Measurement[]> {
  return [...(await benchConnections(built)), ...(await benchOneSpace(built))];
}

async function benchConnections(built: BuiltRelay): Promise<Measurement[]> {
  const bareBytes = await bareConnectionBytes();
  const bareName = `bare ws: memory of an idle connection, of ${connections.toLocaleString("en")}`;
  const rowOf = (name: string, bytes: number): Measurement => ({
    name,
    ratio: bytes / bareBytes,
    note: `${kibibytes(bytes)}; ${bareName}`,
    budget: { figure: bytes / bareBytes, ...memoryBudget },
  });
  return [
    { name: bareName, note: kibibytes(bareBytes) },
    rowOf("relay: the same, welcomed", await relayConnectionBytes(built, "welcomed")),
    rowOf("relay: the same, subscribed", await relayConnectionBytes(built, "subscribed")),
  ];
}

async function relayConnectionBytes(
  built: BuiltRelay,
  state: "welcomed" | "subscribed",
): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), "sealeaf-bench-idle-"));
  const relay = await startRelayProcess(built.program, { ...benchSettings, SEALEAF_DATA: dir });
  const space = new TestSpace("where nothing happens");
  const founder = await RawClient.connect(relay.url);
  await founder.createSpace(space);
  const bytes = await bytesPerConnection(relay.child.pid, async () => {
    const client = await RawClient.connect(relay.url);
    if (state === "subscribed") await client.subscribe(space);
    return client.socket;
  });
  await endProcess(relay.child, "SIGTERM");
  rmSync(dir, { recursive: true, force: true });
  return bytes;
}

async function bareConnectionBytes(): Promise<number> {
  const bare = await startBareProcess();
  const bytes = await bytesPerConnection(bare.pid, async () => {
    const [socket] = await dialMany(1, () => bare.url);
    if (socket === undefined) throw new Error("one was dialled");
    return socket;
  });
  await bare.stop();
  return bytes;
}

async function bytesPerConnection(
  pid: number | undefined,
  connect: () => Promise<WebSocket>,
): Promise<number> {
  const sockets: WebSocket[] = [];
  while (sockets.length < warmUp) sockets.push(await connect());
  const before = memoryOf(pid, "RssAnon");
  while (sockets.length < warmUp + connections) sockets.push(await connect());
  const after = memoryOf(pid, "RssAnon");
  for (const socket of sockets) socket.terminate();
  return (after - before) / connections;
}

/** A process of its own, so that nothing but its connections grows in it. */
async function startBareProcess(): Promise<{
  readonly pid: number | undefined;
  readonly url: string;
  stop(): Promise<unknown>;
}> {
  const program = fileURLToPath(new URL("bare-ws-process.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const url of createInterface({ input: child.stdout })) {
    child.stdout.resume();
    return { pid: child.pid, url, stop: () => endProcess(child, "SIGTERM") };
  }
  throw new Error("the bare server ended before it listened");
}

async function benchOneSpace(built: BuiltRelay): Promise<Measurement[]> {
  const times: number[] = [];
  const memory: number[] = [];
  for (let n = 0; n < starts; n += 1) {
    const dir = mkdtempSync(join(tmpdir(), "sealeaf-bench-one-"));
    const began = performance.now();
    const relay = await startRelayProcess(built.program, { ...benchSettings, SEALEAF_DATA: dir });
    times.push(performance.now() - began);
    const client = await RawClient.connect(relay.url);
    await client.createSpace(new TestSpace(`the only one ${n}`));
    await client.close();
    memory.push(memoryOf(relay.child.pid, "VmRSS") / 1e6);
    await endProcess(relay.child, "SIGTERM");
    rmSync(dir, { recursive: true, force: true });
  }
  const startMs = median(times);
  const residentMB = median(memory);
  return [
    {
      name: "relay with one space: from its start to its first answer",
      ms: startMs,
      budget: { figure: startMs, ...startBudget },
    },
    {
      name: "relay with one space: resident memory",
      note: `${residentMB.toFixed(0)} MB`,
      budget: { figure: residentMB, ...idleMemoryBudget },
    },
  ];
}

/** In bytes, as proc(5) has it. */
function memoryOf(pid: number | undefined, field: "RssAnon" | "VmRSS"): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) * 1024;
}

function kibibytes(bytes: number): string {
  return `${(bytes / 1024).toFixed(1)} KiB`;
}

/**
 * One isolated edit from device A to the text of device B, through the durable relay with everything
 * sealed, signed and verified, against a bare pipe that sends the same Automerge changes in clear.
 * Both ends and the server share this process in every row.
 */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as A from "@automerge/automerge/slim";
import { WebSocket, WebSocketServer } from "ws";
import type { NoteDocument } from "#client/device/api.ts";
import { openHome, type OpenHome } from "#client/cli/home.ts";
import { nodeAutomerge } from "#client/cli/node-ports.ts";
import { buildRelay } from "#tests/support/built-relay.ts";
import { noPassphrase } from "#tests/support/no-passphrase.ts";
import { startTestRelay } from "#tests/support/relay.ts";
import type { Measurement } from "./measurement.ts";

const warmUp = 20;
const edits = 200;
const settleWithinMs = 20_000;

export async function benchLatency(): Promise<Measurement[]> {
  await nodeAutomerge();
  const bare = await measureBarePipe();
  const ours = await measureDevices();
  const named = (
    name: string,
    times: readonly number[],
    against: readonly number[] | null,
  ): Measurement => ({
    name,
    ms: percentile(times, 0.5),
    ...(against === null ? {} : { ratio: percentile(times, 0.5) / percentile(against, 0.5) }),
    note: `p95 ${percentile(times, 0.95).toFixed(2)} ms${against === null ? "" : ", against the bare pipe"}`,
  });
  return [
    named("isolated edit A → B, bare Automerge over ws", bare, null),
    named("isolated edit A → B, two devices and a durable relay", ours, bare),
  ];
}

async function measureBarePipe(): Promise<readonly number[]> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false });
  server.on("connection", (socket) => {
    socket.on("message", (data) => {
      for (const other of server.clients) if (other !== socket) other.send(data);
    });
  });
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // it listens on TCP
  const [a, b] = await Promise.all([open(port), open(port)]);
  let here = A.from<{ body: string }>({ body: "" });
  let there = A.load<{ body: string }>(A.save(here));
  let arrived: () => void = () => {};
  b.on("message", (data: Buffer) => {
    [there] = A.applyChanges(there, [new Uint8Array(data)]);
    arrived();
  });
  const times: number[] = [];
  for (let count = 0; count < warmUp + edits; count += 1) {
    const start = performance.now();
    const done = new Promise<void>((resolve) => (arrived = resolve));
    here = A.change(here, (doc) => A.splice(doc, ["body"], doc.body.length, 0, "x"));
    const change = A.getLastLocalChange(here);
    if (change === undefined) throw new Error("an edit made no change");
    a.send(change);
    await done;
    if (count >= warmUp) times.push(performance.now() - start);
  }
  if (there.body !== here.body) throw new Error("the pipe lost something");
  a.terminate();
  b.terminate();
  server.close();
  return times;
}

function open(port: number): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
  return new Promise((resolve) => socket.once("open", () => resolve(socket)));
}

async function measureDevices(): Promise<readonly number[]> {
  const root = mkdtempSync(join(tmpdir(), "sealeaf-bench-"));
  const built = await buildRelay();
  const relay = await startTestRelay({
    dir: join(root, "relay"),
    workerUrl: built.workerUrl,
    limits: { entriesPerSecond: 1_000_000, entryBurst: 1_000_000 },
  });
  const homes: OpenHome[] = [];
  try {
    const [ana, ben] = await Promise.all(
      ["ana", "ben"].map(async (name) => {
        const home = await openHome({
          dir: join(root, name),
          relay: relay.url,
          connect: "always",
          keyReader: noPassphrase,
        });
        homes.push(home);
        home.device.create();
        return home.device;
      }),
    );
    if (ana === undefined || ben === undefined)
      throw new Error("unreachable: two names, two devices");
    const { id } = await ana.createNote({ title: "Latency" });
    const [notebook] = await ana.notebooks();
    const { link } = await ana.share(notebook?.id ?? "", "edit");
    if (!(await ana.settled(settleWithinMs))) throw new Error("the first device did not settle");
    await ben.join(link);
    if (!(await ben.settled(settleWithinMs))) throw new Error("the second device did not settle");

    const [opened, received] = await Promise.all([
      ana.openNote(id, "ana"),
      ben.openNote(id, "ben"),
    ]);
    let here = A.clone(load(opened.chunks), { actor: opened.actor });
    let there = load(received.chunks);
    let arrived: () => void = () => {};
    ben.subscribe((event) => {
      if (event.type !== "changes" || event.id !== id) return;
      [there] = A.applyChanges(there, [...event.changes]);
      arrived();
    });
    const times: number[] = [];
    for (let count = 0; count < warmUp + edits; count += 1) {
      const start = performance.now();
      const done = new Promise<void>((resolve) => (arrived = resolve));
      here = A.change(here, (doc) => A.splice(doc, ["body"], doc.body.length, 0, "x"));
      const change = A.getLastLocalChange(here);
      if (change === undefined) throw new Error("an edit made no change");
      await ana.commit(id, { session: "ana", changes: [change], title: "Latency", preview: "" });
      await done;
      if (count >= warmUp) times.push(performance.now() - start);
    }
    if (there.body !== here.body) throw new Error("the devices differ");
    return times;
  } finally {
    for (const home of homes) await home.close();
    await relay.stop();
    built.remove();
    rmSync(root, { recursive: true, force: true });
  }
}

function load(chunks: readonly Uint8Array[]): A.Doc<NoteDocument> {
  return A.applyChanges(A.init<NoteDocument>(), [...chunks])[0];
}

function percentile(times: readonly number[], share: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Many notes: all of them to a device that has nothing, and a device that has them all connecting again. */
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocket, WebSocketServer } from "ws";
import type { Budget, Measurement } from "../measurement.ts";
import { figuresOf, kilobytes, measureAll, rowsOf, type Bench, type Stage } from "./contender.ts";
import { noteText, now, type Arrival } from "./library.ts";
import type { Traffic } from "./wire.ts";

const firstNotes = 1_000;
const allNotes = 10_000;
const roundTripMs = 500;
const atRestAfterMs = 3_000;
const withinMs = 150_000;
/** Most of it is writing them. */
const againWithinMs = 240_000;

interface Arrived {
  readonly arrival: Arrival;
  readonly received: number;
}

interface Reconnected {
  readonly ms: number;
  /** From a server that far away. */
  readonly farMs: number;
  readonly traffic: Traffic;
}

/** All of them to a device that has nothing. */
export async function benchArrival(bench: Bench): Promise<Measurement[]> {
  const floor = await rawBytes();
  const arrived = await measureAll(bench, withinMs, measureArrival);
  const repo = figuresOf(arrived, "automerge-repo, files")?.arrival;
  const yjs = figuresOf(arrived, "y-websocket, LevelDB")?.arrival;
  const hocuspocus = figuresOf(arrived, "Hocuspocus, SQLite")?.arrival;
  const notes = `${firstNotes.toLocaleString("en")} notes × 2 KB, empty device`;
  const arrivalRows = (
    what: string,
    read: (arrival: Arrival) => number,
    budget: (ms: number) => Budget | null,
  ): Measurement[] =>
    rowsOf(
      `${notes} → ${what}`,
      arrived,
      ({ arrival, received }) => ({ ms: read(arrival), note: `${kilobytes(received)} received` }),
      budget,
    );
  return [
    { name: `${notes}: the bare text over ws`, ms: floor },
    ...arrivalRows(
      "list shown",
      ({ listed }) => listed,
      (ms) => budgetOf(ms, hocuspocus?.listed, 5 * floor),
    ),
    ...arrivalRows(
      "any of them open",
      ({ opened }) => opened,
      () => null,
    ),
    ...arrivalRows(
      "all there",
      ({ here }) => here,
      () => null,
    ),
    ...arrivalRows(
      "all searchable",
      ({ searchable }) => searchable,
      (ms) => budgetOf(ms, repo?.searchable, yjs?.searchable),
    ),
  ];
}

/** A device that has them all connects again. */
export async function benchReconnection(bench: Bench): Promise<Measurement[]> {
  const reconnected = await measureAll(bench, againWithinMs, measureReconnection);
  return rowsOf(
    `connecting again with ${allNotes.toLocaleString("en")} notes up to date`,
    reconnected,
    ({ ms, farMs, traffic: { sent, received } }) => ({
      ms,
      note: `${kilobytes(sent)} sent, ${kilobytes(received)} received, ${roundTrips(ms, farMs)}`,
    }),
    () => null,
  );
}

async function measureArrival(stage: Stage): Promise<Arrived> {
  const writer = await stage.device();
  await writer.found();
  await writer.create(firstNotes);
  await stage.holds(firstNotes);
  const fresh = await stage.device();
  await fresh.traffic();
  const arrival = await fresh.arrive(await writer.invitation());
  return { arrival, received: (await fresh.traffic()).received };
}

async function measureReconnection(stage: Stage): Promise<Reconnected> {
  const writer = await stage.device();
  await writer.found();
  await writer.create(allNotes);
  await stage.holds(allNotes);
  // Hocuspocus writes what has changed a little later, and would have who comes back wait for that.
  await sleep(atRestAfterMs);
  await writer.disconnect();
  await writer.traffic();
  const near = await writer.reconnect(0);
  const traffic = await writer.traffic();
  await writer.disconnect();
  const far = await writer.reconnect(roundTripMs);
  return { ms: near.to - near.from, farMs: far.to - far.from, traffic };
}

/** How often somebody waited for an answer: by how much longer it takes from far away. */
function roundTrips(ms: number, farMs: number): string {
  // Where the work itself takes so long, its own changes from one time to the next would be taken for distance.
  if (ms > 10 * roundTripMs) return "round trips cannot be told";
  return `${Math.max(0, (farMs - ms) / roundTripMs).toFixed(1)} round trips`;
}

/** The same texts, in clear, a message each, to one who only counts them. */
async function rawBytes(): Promise<number> {
  const texts = Array.from({ length: firstNotes }, (_, ix) => JSON.stringify(noteText(ix)));
  const server = new WebSocketServer({ host: "127.0.0.1", port: 0 });
  await once(server, "listening");
  server.on("connection", (socket) => {
    for (const text of texts) socket.send(text);
  });
  const { port } = server.address() as AddressInfo; // it listens on TCP
  const start = now();
  const socket = new WebSocket(`ws://127.0.0.1:${port}`);
  let left = texts.length;
  await new Promise<void>((resolve) => {
    socket.on("message", () => {
      left -= 1;
      if (left === 0) resolve();
    });
  });
  const ms = now() - start;
  socket.terminate();
  server.close();
  return ms;
}

function budgetOf(ms: number, must: number | undefined, aim: number | undefined): Budget | null {
  if (must === undefined || aim === undefined) return null;
  return { figure: ms, must: Math.round(must), aim: Math.round(aim), unit: " ms" };
}

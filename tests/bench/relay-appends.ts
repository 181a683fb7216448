/** Acknowledged appends a second: on each store, and on one and two relays that share a PostgreSQL. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { WebSocket } from "ws";
import { encodeMessage } from "#relay/protocol/messages.ts";
import {
  endProcess,
  startRelayProcess,
  type BuiltRelay,
  type RelayProcess,
} from "#tests/support/built-relay.ts";
import type { OwnPostgres } from "#tests/support/postgres.ts";
import { RawClient, startTestRelay } from "#tests/support/relay.ts";
import { TestDevice, TestSpace } from "#tests/support/space-identities.ts";
import type { Measurement } from "./measurement.ts";
import {
  benchLimits,
  benchSettings,
  dialMany,
  isStored,
  startEcho,
  timeExchanges,
  withNativeSigner,
} from "./relay-load.ts";

const connections = 50;
const inFlight = 8;
const messagesPerConnection = 400;
/** What DESIGN §8 asks for: the share of a bare echo. Here as its reciprocal, so that less is better. */
const budget = { must: 10, aim: 6.67, unit: "×" } as const;

interface Load {
  readonly sockets: readonly WebSocket[];
  readonly frames: readonly (readonly Uint8Array[])[];
}

export async function benchAppends(
  built: BuiltRelay,
  postgres: OwnPostgres,
): Promise<Measurement[]> {
  const onSqlite = await appendsOf("sqlite", built.workerUrl);
  const onPostgres = await appendsOf(await postgres.createDatabase(), null);
  const echoed = await echoesOf(onSqlite.frames);
  const echoName = `bare ws echo, ${connections} connections, ${inFlight} in flight`;
  const rowOf = (store: string, perSecond: number): Measurement => ({
    name: `relay on ${store}: durable acknowledged appends, every signature verified`,
    perSecond,
    ratio: perSecond / echoed,
    note: echoName,
    budget: { figure: echoed / perSecond, ...budget },
  });
  return [
    { name: echoName, perSecond: echoed },
    rowOf("SQLite", onSqlite.perSecond),
    rowOf("PostgreSQL", onPostgres.perSecond),
    ...(await benchNodes(built, postgres)),
  ];
}

/** Clients, relay and store share this process and its cores, as those of the echo do. */
async function appendsOf(
  store: string,
  workerUrl: URL | null,
): Promise<{ readonly perSecond: number; readonly frames: Load["frames"] }> {
  const relay = await startTestRelay({
    ...(workerUrl === null ? {} : { workerUrl }),
    limits: benchLimits,
    settings: { store },
  });
  const load = await prepare([relay.url], store);
  const perSecond = await run(load);
  await relay.stop();
  return { perSecond, frames: load.frames };
}

async function echoesOf(frames: Load["frames"]): Promise<number> {
  const echo = await startEcho();
  const sockets = await dialMany(connections, () => echo.url);
  const ms = await timeExchanges(sockets, frames, inFlight, () => true);
  await echo.stop();
  return perSecondIn(ms);
}

/** Each relay is a process of its own, the database too: on a machine with few cores they share them. */
async function benchNodes(built: BuiltRelay, postgres: OwnPostgres): Promise<Measurement[]> {
  const alone = await appendsOnNodes(built, postgres, 1);
  const together = await appendsOnNodes(built, postgres, 2);
  const aloneName = "one relay process on a PostgreSQL: appends";
  return [
    { name: aloneName, perSecond: alone },
    {
      name: "two relay processes on one PostgreSQL: appends",
      perSecond: together,
      ratio: together / alone,
      note: aloneName,
    },
  ];
}

async function appendsOnNodes(
  built: BuiltRelay,
  postgres: OwnPostgres,
  count: number,
): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), "sealeaf-bench-nodes-"));
  const settings = {
    ...benchSettings,
    SEALEAF_DATA: dir,
    SEALEAF_STORE: await postgres.createDatabase(),
  };
  const nodes: RelayProcess[] = [];
  try {
    while (nodes.length < count) nodes.push(await startRelayProcess(built.program, settings));
    const urls = nodes.map(({ url }) => url);
    return await run(await prepare(urls, `${count} nodes`));
  } finally {
    for (const { child } of nodes) await endProcess(child, "SIGTERM");
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A space and a device for each connection, its entries signed beforehand. */
async function prepare(urls: readonly string[], name: string): Promise<Load> {
  const sockets: WebSocket[] = [];
  const frames: Uint8Array[][] = [];
  for (let n = 0; n < connections; n += 1) {
    const client = await RawClient.connect(urls[n % urls.length] ?? "");
    const space = new TestSpace(`bench ${n} on ${name}`);
    const device = withNativeSigner(new TestDevice(space, "laptop"));
    await client.createSpace(space);
    await client.certify(device);
    sockets.push(client.socket);
    frames.push(
      Array.from({ length: messagesPerConnection }, (_, ix) =>
        encodeMessage(ix + 1, { type: "push", entries: [device.entry()] }),
      ),
    );
  }
  return { sockets, frames };
}

async function run({ sockets, frames }: Load): Promise<number> {
  const ms = await timeExchanges(sockets, frames, inFlight, isStored);
  for (const socket of sockets) socket.terminate();
  return perSecondIn(ms);
}

function perSecondIn(ms: number): number {
  return ((connections * messagesPerConnection) / ms) * 1000;
}

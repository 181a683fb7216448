/** One writer and very many readers, against a server that sends the same bytes to all of its sockets. */
import type { BuiltRelay } from "#tests/support/built-relay.ts";
import { RawClient, startTestRelay } from "#tests/support/relay.ts";
import { TestDevice, TestSpace } from "#tests/support/space-identities.ts";
import type { Measurement } from "./measurement.ts";
import {
  benchLimits,
  dialMany,
  itemsIn,
  startBare,
  whenArrived,
  withNativeSigner,
} from "./relay-load.ts";
import type { WebSocket } from "ws";

const broadcasts = 12;
/** Entries that several people write at about the same time: the relay sends them as one frame. */
const burst = 8;
/** Of a broadcast to a thousand: what DESIGN §8 asks for, as a part of the time of a bare one. */
const budgeted = 1_000;
const budget = { must: 1, aim: 0.33, unit: "×" } as const;

interface Rounds {
  readonly singleMs: number;
  readonly burstMs: number;
}

export async function benchFanOut(built: BuiltRelay, subscribers: number): Promise<Measurement[]> {
  const relay = await relayRounds(built, subscribers);
  const bare = await bareRounds(subscribers);
  return [
    ...rowsOf(subscribers, "1 message", relay.singleMs, bare.singleMs),
    ...rowsOf(subscribers, `${burst} messages at once`, relay.burstMs, bare.burstMs),
  ];
}

async function relayRounds(built: BuiltRelay, subscribers: number): Promise<Rounds> {
  const relay = await startTestRelay({ workerUrl: built.workerUrl, limits: benchLimits });
  const space = new TestSpace(`fan-out to ${subscribers}`);
  const device = withNativeSigner(new TestDevice(space, "laptop"));
  const writer = await RawClient.connect(relay.url);
  await writer.createSpace(space);
  await writer.certify(device);
  const sockets: WebSocket[] = [];
  for (let n = 0; n < subscribers; n += 1) {
    const reader = await RawClient.connect(relay.url);
    await reader.subscribe(space);
    await reader.next("caughtUp");
    sockets.push(reader.socket);
  }
  const entries = Array.from({ length: 2 * broadcasts * burst }, () => device.entry());
  const pushSome = (count: number) => () => {
    for (const entry of entries.splice(0, count)) writer.send({ type: "push", entries: [entry] });
  };
  const rounds = {
    singleMs: await msPerRound(sockets, 1, itemsIn, pushSome(1)),
    burstMs: await msPerRound(sockets, burst, itemsIn, pushSome(burst)),
  };
  for (const socket of sockets) socket.terminate();
  await relay.stop();
  return rounds;
}

async function bareRounds(subscribers: number): Promise<Rounds> {
  const bare = await startBare(() => undefined);
  const sockets = await dialMany(subscribers, () => bare.url);
  const frame = new TestDevice(new TestSpace("bare"), "laptop").entry();
  const sendSome = (count: number) => () => {
    for (let n = 0; n < count; n += 1) {
      for (const socket of bare.server.clients) socket.send(frame);
    }
  };
  const one = () => 1;
  const rounds = {
    singleMs: await msPerRound(sockets, 1, one, sendSome(1)),
    burstMs: await msPerRound(sockets, burst, one, sendSome(burst)),
  };
  await bare.stop();
  return rounds;
}

function rowsOf(
  subscribers: number,
  what: string,
  relayMs: number,
  bareMs: number,
): readonly Measurement[] {
  const to = subscribers.toLocaleString("en");
  const bareName = `bare ws broadcast to ${to}: ${what}`;
  return [
    { name: bareName, ms: bareMs },
    {
      name: `relay to ${to} subscribers, durable first: ${what}`,
      ms: relayMs,
      ratio: bareMs / relayMs,
      note: bareName,
      ...(subscribers === budgeted ? { budget: { figure: relayMs / bareMs, ...budget } } : {}),
    },
  ];
}

/** Each round begins when all sockets have everything of the one before. */
async function msPerRound(
  sockets: readonly WebSocket[],
  messagesPerRound: number,
  countIn: (frame: Buffer) => number,
  broadcast: () => void,
): Promise<number> {
  const start = performance.now();
  for (let round = 0; round < broadcasts; round += 1) {
    const arrived = whenArrived(sockets, sockets.length * messagesPerRound, countIn);
    broadcast();
    await arrived;
  }
  return (performance.now() - start) / broadcasts;
}

/** How fast the relay acknowledges what is on the disk, against a WebSocket that only echoes. */
import { createPrivateKey, sign } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import { toBase64url } from "#relay/protocol/bytes.ts";
import { subprotocol } from "#relay/protocol/limits.ts";
import { encodeMessage, messageHeaderBytes, parseMessage } from "#relay/protocol/messages.ts";
import { buildRelay } from "#tests/support/built-relay.ts";
import { RawClient, startTestRelay } from "#tests/support/relay.ts";
import { TestDevice, TestSpace, type Signer } from "#tests/support/space-identities.ts";
import type { Measurement } from "./measurement.ts";

const connections = 50;
const inFlight = 8;
const messagesPerConnection = 400;
const subscribers = 1000;
const broadcasts = 12;
/** Entries that several people write at about the same time: the relay sends them as one frame. */
const burst = 8;

/** A few seconds. Both ends share this process and its cores in every row, so ratios are what counts. */
export async function benchRelay(): Promise<Measurement[]> {
  const built = await buildRelay();
  try {
    return [...(await benchAppends(built.workerUrl)), ...(await benchFanOut(built.workerUrl))];
  } finally {
    built.remove();
  }
}

async function benchAppends(workerUrl: URL): Promise<Measurement[]> {
  const relay = await startTestRelay({
    workerUrl,
    limits: {
      entriesPerSecond: 1_000_000,
      entryBurst: 1_000_000,
      connectionsPerAddress: connections + 1,
    },
  });
  const clients: RawClient[] = [];
  const frames: Uint8Array[][] = [];
  for (let n = 0; n < connections; n += 1) {
    const client = await RawClient.connect(relay.url);
    const space = new TestSpace(`bench ${n}`);
    const device = withNativeSigner(new TestDevice(space, "laptop"));
    await client.createSpace(space);
    await client.certify(device);
    clients.push(client);
    frames.push(
      Array.from({ length: messagesPerConnection }, (_, ix) =>
        encodeMessage(ix + 1, { type: "push", entries: [device.entry()] }),
      ),
    );
  }
  const appendsMs = await timeExchanges(
    clients.map(({ socket }) => socket),
    frames,
    isStored,
  );
  for (const client of clients) client.socket.terminate();
  await relay.stop();

  const echo = await startEcho();
  const sockets = await dialMany(echo.url, connections);
  const echoMs = await timeExchanges(sockets, frames, () => true);
  for (const socket of sockets) socket.terminate();
  await echo.stop();

  const exchanged = connections * messagesPerConnection;
  const appended = (exchanged / appendsMs) * 1000;
  const echoed = (exchanged / echoMs) * 1000;
  const echoName = "bare ws echo, 50 connections, 8 in flight";
  return [
    { name: echoName, ms: echoMs, perSecond: echoed },
    {
      name: "relay: durable acknowledged appends, every signature verified",
      ms: appendsMs,
      perSecond: appended,
      ratio: appended / echoed,
      note: echoName,
    },
  ];
}

async function benchFanOut(workerUrl: URL): Promise<Measurement[]> {
  const limits = {
    entriesPerSecond: 1_000_000,
    entryBurst: 1_000_000,
    connectionsPerAddress: subscribers + 2,
  };
  const relay = await startTestRelay({ workerUrl, limits });
  const space = new TestSpace("fan-out");
  const device = withNativeSigner(new TestDevice(space, "laptop"));
  const writer = await RawClient.connect(relay.url);
  await writer.createSpace(space);
  await writer.certify(device);
  const readers: RawClient[] = [];
  for (let n = 0; n < subscribers; n += 1) {
    const reader = await RawClient.connect(relay.url);
    await reader.subscribe(space);
    await reader.next("caughtUp");
    reader.inbox = [];
    readers.push(reader);
  }
  const entries = Array.from({ length: 2 * broadcasts * burst }, () => device.entry());
  const sockets = readers.map(({ socket }) => socket);
  const pushSome = (count: number) => () => {
    for (const entry of entries.splice(0, count)) writer.send({ type: "push", entries: [entry] });
  };
  const singleMs = await timeBroadcasts(sockets, 1, itemsIn, pushSome(1));
  const burstMs = await timeBroadcasts(sockets, burst, itemsIn, pushSome(burst));
  for (const reader of readers) reader.socket.terminate();
  await relay.stop();

  const echo = await startEcho();
  const bareSockets = await dialMany(echo.url, subscribers);
  const frame = device.entry();
  const sendSome = (count: number) => () => {
    for (let n = 0; n < count; n += 1) {
      for (const socket of echo.server.clients) socket.send(frame);
    }
  };
  const one = () => 1;
  const bareSingleMs = await timeBroadcasts(bareSockets, 1, one, sendSome(1));
  const bareBurstMs = await timeBroadcasts(bareSockets, burst, one, sendSome(burst));
  for (const socket of bareSockets) socket.terminate();
  await echo.stop();
  return [
    ...fanOutRows("1 message", singleMs, bareSingleMs),
    ...fanOutRows(`${burst} messages at once`, burstMs, bareBurstMs),
  ];
}

function fanOutRows(what: string, relayMs: number, bareMs: number): Measurement[] {
  const bareName = `bare ws broadcast to 1,000: ${what}`;
  return [
    { name: bareName, ms: bareMs },
    {
      name: `relay to 1,000 subscribers, durable first: ${what}`,
      ms: relayMs,
      ratio: bareMs / relayMs,
      note: bareName,
    },
  ];
}

/** How many log items a DATA frame carries; no other frame comes to a subscriber here. */
function itemsIn(frame: Buffer): number {
  return frame.readUInt16BE(messageHeaderBytes + 4);
}

/** Keeps a fixed number of messages in flight on each socket until all are answered. */
async function timeExchanges(
  sockets: readonly WebSocket[],
  frames: readonly (readonly Uint8Array[])[],
  isGood: (answer: Uint8Array) => boolean,
): Promise<number> {
  const start = performance.now();
  await Promise.all(
    sockets.map(async (socket, ix) => {
      const own = frames[ix] ?? [];
      let sent = 0;
      let answered = 0;
      await new Promise<void>((resolve, reject) => {
        const sendNext = () => {
          const frame = own[sent];
          sent += 1;
          if (frame !== undefined) socket.send(frame);
        };
        socket.removeAllListeners("message");
        socket.on("message", (data: Buffer) => {
          if (!isGood(new Uint8Array(data))) reject(new Error("a bench message was refused"));
          answered += 1;
          if (answered === own.length) resolve();
          else sendNext();
        });
        for (let n = 0; n < inFlight; n += 1) sendNext();
      });
    }),
  );
  return performance.now() - start;
}

/** Milliseconds per round: each begins when all sockets have everything of the one before. */
async function timeBroadcasts(
  sockets: readonly WebSocket[],
  messagesPerRound: number,
  countIn: (frame: Buffer) => number,
  broadcast: () => void,
): Promise<number> {
  let waiting = 0;
  let onAll = () => {};
  for (const socket of sockets) {
    socket.removeAllListeners("message");
    socket.on("message", (frame: Buffer) => {
      waiting -= countIn(frame);
      if (waiting === 0) onAll();
    });
  }
  const start = performance.now();
  for (let round = 0; round < broadcasts; round += 1) {
    waiting = sockets.length * messagesPerRound;
    const arrived = new Promise<void>((resolve) => {
      onAll = resolve;
    });
    broadcast();
    await arrived;
  }
  return (performance.now() - start) / broadcasts;
}

function isStored(answer: Uint8Array): boolean {
  const parsed = parseMessage(answer);
  if (!parsed.ok || parsed.value.message.type !== "pushAck") return false;
  return parsed.value.message.results.every(({ status }) => status === 0);
}

async function startEcho(): Promise<{
  readonly url: string;
  readonly server: WebSocketServer;
  stop(): Promise<void>;
}> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false });
  await once(server, "listening");
  server.on("connection", (socket) => {
    socket.on("message", (data: Buffer) => {
      socket.send(data);
    });
  });
  const { port } = server.address() as AddressInfo; // it listens on TCP
  return {
    url: `ws://127.0.0.1:${port}`,
    server,
    stop: () =>
      new Promise((resolve) => {
        for (const socket of server.clients) socket.terminate();
        server.close(() => {
          resolve();
        });
      }),
  };
}

async function dialMany(url: string, count: number): Promise<WebSocket[]> {
  const sockets: WebSocket[] = [];
  for (let n = 0; n < count; n += 1) {
    const socket = new WebSocket(url, subprotocol);
    await once(socket, "open");
    sockets.push(socket);
  }
  return sockets;
}

/** Signing in JavaScript would take longer than all that is measured. */
function withNativeSigner(device: TestDevice): TestDevice {
  const { signer } = device;
  const key = createPrivateKey({
    key: {
      kty: "OKP",
      crv: "Ed25519",
      d: toBase64url(signer.secret),
      x: toBase64url(signer.pub),
    },
    format: "jwk",
  });
  const native: Signer = {
    ...signer,
    sign: (message) => new Uint8Array(sign(null, message, key)),
  };
  return Object.assign(device, { signer: native });
}

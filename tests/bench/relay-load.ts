/** What the relay's benches share: many sockets, much at once, and bare servers to compare with. */
import { createPrivateKey, sign } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import { toBase64url } from "#relay/protocol/bytes.ts";
import { subprotocol, type Limits } from "#relay/protocol/limits.ts";
import { messageHeaderBytes, parseMessage } from "#relay/protocol/messages.ts";
import type { Settings } from "#tests/support/built-relay.ts";
import type { Signer, TestDevice } from "#tests/support/space-identities.ts";

/** A relay refuses none of what a bench asks of it. */
export const benchLimits = {
  entriesPerSecond: 1_000_000,
  entryBurst: 1_000_000,
  connectionsPerAddress: 10_000,
} satisfies Partial<Limits>;

/** The same for a relay in a process of its own. */
export const benchSettings: Settings = {
  SEALEAF_PORT: "0",
  SEALEAF_KEEP_FREE: "0",
  SEALEAF_ENTRIES_PER_SECOND: String(benchLimits.entriesPerSecond),
  SEALEAF_ENTRY_BURST: String(benchLimits.entryBurst),
  SEALEAF_CONNECTIONS_PER_ADDRESS: String(benchLimits.connectionsPerAddress),
};

/** Keeps a fixed number of messages in flight on each socket until all are answered; in ms. */
export async function timeExchanges(
  sockets: readonly WebSocket[],
  frames: readonly (readonly Uint8Array[])[],
  inFlight: number,
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

/** Resolves when all sockets together have had so many items; `countIn` says how many a frame carries. */
export function whenArrived(
  sockets: readonly WebSocket[],
  items: number,
  countIn: (frame: Buffer) => number,
): Promise<void> {
  let waiting = items;
  return new Promise((resolve) => {
    for (const socket of sockets) {
      socket.removeAllListeners("message");
      socket.on("message", (frame: Buffer) => {
        waiting -= countIn(frame);
        if (waiting <= 0) resolve();
      });
    }
  });
}

/** How many log items a DATA frame carries; no other frame comes to a subscriber here. */
export function itemsIn(frame: Buffer): number {
  return frame.readUInt16BE(messageHeaderBytes + 4);
}

export function isStored(answer: Uint8Array): boolean {
  const parsed = parseMessage(answer);
  if (!parsed.ok || parsed.value.message.type !== "pushAck") return false;
  return parsed.value.message.results.every(({ status }) => status === 0);
}

export interface BareServer {
  readonly url: string;
  readonly server: WebSocketServer;
  stop(): Promise<void>;
}

/** A WebSocket server that does only what `serve` does with each of its sockets. */
export async function startBare(
  serve: (socket: WebSocket, path: string) => void,
): Promise<BareServer> {
  const server = new WebSocketServer({ port: 0, host: "127.0.0.1", perMessageDeflate: false });
  await once(server, "listening");
  server.on("connection", (socket, request) => serve(socket, request.url ?? "/"));
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

export function startEcho(): Promise<BareServer> {
  return startBare((socket) => {
    socket.on("message", (data: Buffer) => {
      socket.send(data);
    });
  });
}

export async function dialMany(
  count: number,
  urlOf: (index: number) => string,
): Promise<WebSocket[]> {
  const sockets: WebSocket[] = [];
  for (let n = 0; n < count; n += 1) {
    const socket = new WebSocket(urlOf(n), subprotocol);
    await once(socket, "open");
    sockets.push(socket);
  }
  return sockets;
}

/** Signing in JavaScript would take longer than all that is measured. */
export function withNativeSigner(device: TestDevice): TestDevice {
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

export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;
}

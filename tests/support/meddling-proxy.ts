/** A relay that lies to whoever comes by this address: an honest one behind, and a meddler in between. For real browsers. */
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { WebSocket, WebSocketServer } from "ws";
import { subprotocol } from "#relay/protocol/limits.ts";
import type { Meddler } from "./sim-network.ts";

export interface MeddlingProxy extends AsyncDisposable {
  /** Where people go. */
  readonly address: string;
}

export async function startMeddlingProxy(
  targetPort: number,
  meddler: Meddler,
): Promise<MeddlingProxy> {
  const server = createServer((incoming, response) => {
    const { method, url, headers } = incoming;
    const target = { host: "127.0.0.1", port: targetPort, method, path: url, headers };
    const forwarded = request(target, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    forwarded.on("error", () => response.destroy());
    incoming.pipe(forwarded);
  });
  const sockets = new WebSocketServer({ server, handleProtocols: () => subprotocol });
  const relays = new Set<WebSocket>();
  sockets.on("connection", (device, { url = "/", headers }) => {
    const { host = "", origin = "" } = headers;
    const relay = new WebSocket(`ws://127.0.0.1:${targetPort}${url}`, subprotocol, {
      headers: { host },
      origin,
      perMessageDeflate: false,
    });
    relays.add(relay);
    const waiting: Uint8Array[] = [];
    const send = (frame: Uint8Array): void => {
      if (relay.readyState === WebSocket.OPEN) relay.send(frame);
      else waiting.push(frame);
    };
    relay.on("open", () => waiting.splice(0).forEach((frame) => relay.send(frame)));
    device.on("message", (data: Buffer) => {
      const frames = meddler.toRelay(new Uint8Array(data), (frame) => device.send(frame));
      for (const frame of frames) send(frame);
    });
    relay.on("message", (data: Buffer) => {
      for (const frame of meddler.toDevice(new Uint8Array(data))) device.send(frame);
    });
    device.on("close", () => relay.terminate());
    relay.on("close", () => {
      relays.delete(relay);
      device.terminate();
    });
    relay.on("error", () => device.terminate());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const { port } = server.address() as AddressInfo; // not a pipe
  return {
    address: `http://localhost:${port}/`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of [...sockets.clients, ...relays]) socket.terminate();
      server.closeAllConnections();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

/**
 * The edge: one port for the web client, what is public about the relay, and its WebSockets. It
 * turns requests into connections of the relay (relay.ts) and knows nothing of spaces.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import { toHex } from "#relay/protocol/bytes.ts";
import { sha256Of } from "#relay/protocol/domain.ts";
import {
  maxMessageBytes,
  protocolVersion,
  subprotocol,
  type Limits,
} from "#relay/protocol/limits.ts";
import { ClientFiles } from "#relay/client-files.ts";
import type { Log, Relay } from "#relay/relay.ts";

export interface ServerOptions {
  readonly relay: Relay;
  readonly relayPub: Uint8Array;
  readonly version: string;
  readonly limits: Limits;
  readonly clientDir: string;
  readonly host: string;
  readonly port: number;
  readonly log: Log;
}

export interface RelayServer {
  /** The port it listens on: the one asked for, or the free one it found. */
  readonly port: number;
  /** Takes no more connections, drains the relay, and settles when the last socket is closed. */
  stop(): Promise<void>;
}

const socketPath = "/v1";
/** Sockets that do not answer the closing handshake are cut after this. */
const closingGraceMs = 2000;
const requestTimeoutMs = 30_000;

/** Listens. Rejects with the system's error when the port is taken or not allowed. */
export async function startServer(options: ServerOptions): Promise<RelayServer> {
  const { relay, limits, log } = options;
  const files = new ClientFiles(options.clientDir);
  const about = JSON.stringify({
    name: "sealeaf",
    version: options.version,
    protocol: protocolVersion,
    relayKey: fingerprintOf(options.relayPub),
    access: "open",
    limits,
  });
  const connectionsByAddress = new Map<string, number>();
  let isStopping = false;

  const http = createServer({ requestTimeout: requestTimeoutMs }, (request, response) => {
    answer(request, response, files, about).catch(() => {
      log("error", "a page could not be served");
      if (!response.headersSent) response.writeHead(500);
      response.end();
    });
  });
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: maxMessageBytes,
    clientTracking: true,
    handleProtocols: (offered) => (offered.has(subprotocol) ? subprotocol : false),
  });

  http.on("upgrade", (request, socket, head) => {
    const refusal = refuseUpgrade(request, isStopping);
    const address = addressOf(request);
    const count = connectionsByAddress.get(address) ?? 0;
    if (refusal !== null) refuse(socket, refusal);
    else if (count >= limits.connectionsPerAddress) refuse(socket, "429 Too Many Requests");
    else {
      connectionsByAddress.set(address, count + 1);
      socket.once("close", () => {
        const left = (connectionsByAddress.get(address) ?? 1) - 1;
        if (left > 0) connectionsByAddress.set(address, left);
        else connectionsByAddress.delete(address);
      });
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        connectSocket(relay, webSocket, request.headers.host ?? null);
      });
    }
  });

  await new Promise<void>((resolve, reject) => {
    http.once("error", reject);
    http.listen(options.port, options.host, () => {
      http.off("error", reject);
      resolve();
    });
  });

  return {
    port: (http.address() as AddressInfo).port, // listening on TCP, as just asked
    async stop() {
      isStopping = true;
      const closed = new Promise((resolve) => http.close(resolve));
      http.closeIdleConnections();
      await relay.stop();
      const cut = setTimeout(() => {
        for (const webSocket of sockets.clients) webSocket.terminate();
        http.closeAllConnections();
      }, closingGraceMs);
      await closed;
      clearTimeout(cut);
    },
  };
}

function connectSocket(relay: Relay, webSocket: WebSocket, host: string | null): void {
  const connection = relay.connect({
    send: (frame) => {
      webSocket.send(frame);
    },
    close: (code, reason) => {
      webSocket.close(code, reason);
      // Whoever never reads never answers the closing handshake either.
      setTimeout(() => {
        webSocket.terminate();
      }, closingGraceMs).unref();
    },
    buffered: () => webSocket.bufferedAmount,
    host,
  });
  webSocket.binaryType = "nodebuffer";
  webSocket.on("message", (data: Buffer, isBinary) => {
    if (isBinary) connection.receive(new Uint8Array(data.buffer, data.byteOffset, data.length));
    else connection.receiveText();
  });
  webSocket.on("close", () => {
    connection.closed();
  });
  // Errors of a socket end in its close; a frame above the limit is answered by ws with code 1009.
  webSocket.on("error", () => undefined);
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  files: ClientFiles,
  about: string,
): Promise<void> {
  response.setHeader("x-content-type-options", "nosniff");
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.writeHead(405, { allow: "GET, HEAD" }).end();
    return;
  }
  const path = pathOf(request);
  if (path === null) {
    response.writeHead(400).end();
  } else if (path === "/healthz") {
    send(request, response, "text/plain; charset=utf-8", "ok\n");
  } else if (path === "/relay.json") {
    // A client served from elsewhere may ask too: there is nothing secret in it.
    response.setHeader("access-control-allow-origin", "*");
    send(request, response, "application/json; charset=utf-8", about);
  } else if (path === socketPath) {
    response.writeHead(426, { connection: "Upgrade", upgrade: "websocket" }).end();
  } else {
    await files.serve(request, response, path);
  }
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  contentType: string,
  body: string,
): void {
  response.writeHead(200, {
    "content-type": contentType,
    "cache-control": "no-store",
    "content-length": String(Buffer.byteLength(body)),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function refuseUpgrade(request: IncomingMessage, isStopping: boolean): string | null {
  if (isStopping) return "503 Service Unavailable";
  if (pathOf(request) !== socketPath) return "404 Not Found";
  const offered = String(request.headers["sec-websocket-protocol"] ?? "");
  const protocols = offered.split(",").map((name) => name.trim());
  return protocols.includes(subprotocol) ? null : "400 Bad Request";
}

function refuse(socket: Duplex, status: string): void {
  socket.on("error", () => undefined);
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** The decoded path, null if it is none. */
function pathOf(request: IncomingMessage): string | null {
  try {
    // Appended, not resolved: a path that begins with two slashes would name another host.
    return decodeURIComponent(new URL(`http://relay${request.url ?? "/"}`).pathname);
  } catch {
    return null;
  }
}

/** Everybody behind one IPv6 /64 is one. */
function addressOf(request: IncomingMessage): string {
  const address = request.socket.remoteAddress ?? "";
  if (!address.includes(":") || address.startsWith("::ffff:")) return address;
  return address.split(":").slice(0, 4).join(":");
}

/** What two people can compare by eye: 32 hex digits of the key's hash, in groups of four. */
function fingerprintOf(relayPub: Uint8Array): string {
  return toHex(sha256Of(relayPub).slice(0, 16)).replace(/(.{4})(?=.)/g, "$1 ");
}

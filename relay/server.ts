/**
 * The edge: one port for the web client, what is public about the relay, and its WebSockets. It
 * turns requests into connections of the relay (relay.ts) and knows nothing of spaces.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import { maxMessageBytes, subprotocol } from "#relay/protocol/limits.ts";
import type { ClientFiles } from "#relay/client-files.ts";
import type { Networks } from "#relay/config/networks.ts";
import { callerOf } from "#relay/forwarded.ts";
import type { Readiness } from "#relay/readiness.ts";
import type { Log, Relay } from "#relay/relay.ts";
import { ConnectionMeter, type RelayMetrics } from "#relay/relay-metrics.ts";

export interface ServerOptions {
  readonly relay: Relay;
  readonly files: ClientFiles;
  /** What anybody may know of this relay, as JSON. */
  readonly about: string;
  /** The path people open, without a slash at its end; empty for the root. */
  readonly basePath: string;
  readonly trustedProxies: Networks;
  readonly connectionsPerAddress: number;
  readonly readiness: Readiness;
  readonly metrics: RelayMetrics;
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
  const { relay, log, metrics } = options;
  const connectionsByAddress = new Map<string, number>();
  let isStopping = false;

  const http = createServer({ requestTimeout: requestTimeoutMs }, (request, response) => {
    answer(request, response, options).catch(() => {
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
    const { remoteAddress = "" } = request.socket;
    const caller = callerOf(request.headers, remoteAddress, options.trustedProxies);
    const count = connectionsByAddress.get(caller.address) ?? 0;
    const isCrowded = count >= options.connectionsPerAddress;
    const refusal =
      refuseUpgrade(request, options.basePath, isStopping) ??
      (isCrowded ? "429 Too Many Requests" : null);
    if (refusal !== null) {
      metrics.refusedConnections.add(1, { status: refusal.slice(0, 3) });
      log("debug", "a connection was refused", { status: Number(refusal.slice(0, 3)) });
      refuse(socket, refusal);
      return;
    }
    connectionsByAddress.set(caller.address, count + 1);
    socket.once("close", () => {
      const left = (connectionsByAddress.get(caller.address) ?? 1) - 1;
      if (left > 0) connectionsByAddress.set(caller.address, left);
      else connectionsByAddress.delete(caller.address);
    });
    sockets.handleUpgrade(request, socket, head, (webSocket) => {
      connectSocket(options, webSocket, caller.host);
    });
  });

  await new Promise<void>((resolve, reject) => {
    http.once("error", reject);
    http.listen({ port: options.port, host: options.host, backlog: 4096 }, () => {
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

function connectSocket(
  { relay, metrics, log }: ServerOptions,
  webSocket: WebSocket,
  host: string | null,
): void {
  const meter = new ConnectionMeter(metrics, () => performance.now());
  metrics.connections.add();
  log("debug", "a connection began");
  const connection = relay.connect({
    send: (frame) => {
      meter.sent(frame);
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
    if (!isBinary) {
      connection.receiveText();
      return;
    }
    const frame = new Uint8Array(data.buffer, data.byteOffset, data.length);
    meter.received(frame);
    connection.receive(frame);
  });
  webSocket.on("close", (code) => {
    log("debug", "a connection ended", { code });
    connection.closed();
  });
  // Errors of a socket end in its close; a frame above the limit is answered by ws with code 1009.
  webSocket.on("error", () => undefined);
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  { files, about, basePath, readiness }: ServerOptions,
): Promise<void> {
  response.setHeader("x-content-type-options", "nosniff");
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.writeHead(405, { allow: "GET, HEAD" }).end();
    return;
  }
  const path = pathOf(request, basePath);
  if (path === null) {
    response.writeHead(400).end();
  } else if (path === "/healthz") {
    send(request, response, 200, "text/plain; charset=utf-8", "ok\n");
  } else if (path === "/readyz") {
    const { isReady, ...parts } = await readiness.look();
    const body = `${JSON.stringify({ ready: isReady, ...parts })}\n`;
    send(request, response, isReady ? 200 : 503, "application/json; charset=utf-8", body);
  } else if (path === "/relay.json") {
    // A client served from elsewhere may ask too: there is nothing secret in it.
    response.setHeader("access-control-allow-origin", "*");
    send(request, response, 200, "application/json; charset=utf-8", about);
  } else if (path === socketPath) {
    response.writeHead(426, { connection: "Upgrade", upgrade: "websocket" }).end();
  } else if (path === "") {
    // The page's files are relative to a folder.
    response.writeHead(308, { location: `${basePath}/` }).end();
  } else {
    await files.serve(request, response, path);
  }
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  contentType: string,
  body: string,
): void {
  response.writeHead(status, {
    "content-type": contentType,
    "cache-control": "no-store",
    "content-length": String(Buffer.byteLength(body)),
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function refuseUpgrade(
  request: IncomingMessage,
  basePath: string,
  isStopping: boolean,
): string | null {
  if (isStopping) return "503 Service Unavailable";
  if (pathOf(request, basePath) !== socketPath) return "404 Not Found";
  const offered = String(request.headers["sec-websocket-protocol"] ?? "");
  const protocols = offered.split(",").map((name) => name.trim());
  return protocols.includes(subprotocol) ? null : "400 Bad Request";
}

function refuse(socket: Duplex, status: string): void {
  socket.on("error", () => undefined);
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

/**
 * The decoded path below the base, null if it is none. Some proxies pass the base on, others take it
 * away: both are served.
 */
function pathOf(request: IncomingMessage, basePath: string): string | null {
  try {
    // Appended, not resolved: a path that begins with two slashes would name another host.
    const path = decodeURIComponent(new URL(`http://relay${request.url ?? "/"}`).pathname);
    const isBelow = basePath !== "" && (path === basePath || path.startsWith(`${basePath}/`));
    return isBelow ? path.slice(basePath.length) : path;
  } catch {
    return null;
  }
}

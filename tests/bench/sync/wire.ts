/** The WebSockets of a process, whichever library opens them: what they carry, and how far away they are. */
import { subscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { nodeTimers } from "#client/cli/node-ports.ts";
import { WebSocket } from "ws";

/** Bytes as TCP carries them, opening handshakes included. */
export interface Traffic {
  readonly sent: number;
  readonly received: number;
}

type Method = (this: WebSocket, ...args: unknown[]) => unknown;

const sockets: Socket[] = [];
let before: Traffic = { sent: 0, received: 0 };
let oneWayMs = 0;

subscribe("net.client.socket", (message) => {
  sockets.push((message as { socket: Socket }).socket); // as Node documents the channel
});

const send = Reflect.get(WebSocket.prototype, "send") as Method;
const emit = Reflect.get(WebSocket.prototype, "emit") as Method;
Reflect.set(WebSocket.prototype, "send", function sendLater(this: WebSocket, ...args: unknown[]) {
  if (oneWayMs === 0) return Reflect.apply(send, this, args);
  nodeTimers.after(oneWayMs, () => {
    if (this.readyState === WebSocket.OPEN) Reflect.apply(send, this, args);
  });
  return undefined;
});
Reflect.set(WebSocket.prototype, "emit", function emitLater(this: WebSocket, ...args: unknown[]) {
  if (oneWayMs === 0 || args[0] !== "message") return Reflect.apply(emit, this, args);
  nodeTimers.after(oneWayMs, () => void Reflect.apply(emit, this, args));
  return true;
});

/** Every message takes half of it in each direction; opening a connection takes nothing of it. */
export function setRoundTrip(ms: number): void {
  oneWayMs = ms / 2;
}

/** Since the last call. */
export function trafficSince(): Traffic {
  const total = {
    sent: sockets.reduce((sum, socket) => sum + socket.bytesWritten, 0),
    received: sockets.reduce((sum, socket) => sum + socket.bytesRead, 0),
  };
  const since = { sent: total.sent - before.sent, received: total.received - before.received };
  before = total;
  return since;
}

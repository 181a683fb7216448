/** What a process exchanges over its WebSockets, whichever library opens them. */
import { subscribe } from "node:diagnostics_channel";
import type { Socket } from "node:net";
import { WebSocket } from "ws";

/** Bytes as TCP carries them, opening handshakes included. */
export interface Traffic {
  readonly sent: number;
  readonly received: number;
  /** Of the socket with the most: how often something was sent on it that could follow from what had come, the opening not counted. */
  readonly turns: number;
}

interface Turns {
  count: number;
  hasHeard: boolean;
}

const sockets: Socket[] = [];
const turnsBySocket = new Map<WebSocket, Turns>();
let before = { sent: 0, received: 0 };

subscribe("net.client.socket", (message) => {
  sockets.push((message as { socket: Socket }).socket); // as Node documents the channel
});

watch("send", (turns) => {
  if (turns.hasHeard) turns.count += 1;
  turns.hasHeard = false;
});
watch("emit", (turns, event) => {
  if (event === "message") turns.hasHeard = true;
});

/** Calls `look` before every call of a method of every WebSocket. */
function watch(method: "send" | "emit", look: (turns: Turns, first: unknown) => void): void {
  const original = Reflect.get(WebSocket.prototype, method) as (...args: unknown[]) => unknown;
  Reflect.set(WebSocket.prototype, method, function watched(this: WebSocket, ...args: unknown[]) {
    const turns = turnsBySocket.get(this) ?? { count: 1, hasHeard: false };
    turnsBySocket.set(this, turns);
    look(turns, args[0]);
    return Reflect.apply(original, this, args);
  });
}

/** Since the last call. */
export function trafficSince(): Traffic {
  const total = {
    sent: sockets.reduce((sum, socket) => sum + socket.bytesWritten, 0),
    received: sockets.reduce((sum, socket) => sum + socket.bytesRead, 0),
  };
  const turns = Math.max(0, ...[...turnsBySocket.values()].map(({ count }) => count));
  const since = { sent: total.sent - before.sent, received: total.received - before.received };
  before = total;
  turnsBySocket.clear();
  return { ...since, turns };
}

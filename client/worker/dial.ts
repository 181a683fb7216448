/** The browser's WebSocket as a wire. */
import { subprotocol } from "#relay/protocol/limits.ts";
import type { Dial } from "#client/sync/ports.ts";

export const dialWebSocket: Dial = (url, events) => {
  let over = false;
  const finish = (): void => {
    if (over) return;
    over = true;
    events.closed();
  };
  const socket = openSocket(url);
  if (socket === null) {
    queueMicrotask(finish);
    return {
      send: () => undefined,
      close: () => {
        over = true;
      },
    };
  }
  socket.binaryType = "arraybuffer";
  socket.addEventListener("open", () => events.opened());
  socket.addEventListener("message", ({ data }: MessageEvent<unknown>) => {
    // A text message is not ours: the parser refuses what it becomes.
    events.received(data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(0));
  });
  socket.addEventListener("close", finish);
  socket.addEventListener("error", finish);
  return {
    send: (bytes) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(new Uint8Array(bytes));
    },
    close: () => {
      // A socket that swallows everything takes long to close: whoever hung up is not kept waiting.
      over = true;
      socket.close();
    },
  };
};

/** Null where the browser refuses the address as such: one without encryption, from a page that came with it. */
function openSocket(url: string): WebSocket | null {
  try {
    return new WebSocket(url, subprotocol);
  } catch {
    return null;
  }
}

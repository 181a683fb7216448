/** The browser's WebSocket as a wire. */
import { subprotocol } from "#relay/protocol/limits.ts";
import type { Dial } from "#client/sync/ports.ts";

export const dialWebSocket: Dial = (url, events) => {
  const socket = new WebSocket(url, subprotocol);
  socket.binaryType = "arraybuffer";
  let over = false;
  const finish = (): void => {
    if (over) return;
    over = true;
    events.closed();
  };
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

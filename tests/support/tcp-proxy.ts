/** A network between a client and a relay that a test can break and mend while they run. */
import { createServer, connect } from "node:net";
import type { AddressInfo, Socket } from "node:net";

export type ProxyMode =
  /** Everything gets through. */
  | "pass"
  /** New connections are reset; those that exist go on. */
  | "refuse"
  /** Everything is reset, what exists and what comes. */
  | "cut"
  /** Connections are accepted and stay open, but nothing gets through either way until the next "pass". */
  | "swallow";

export interface TcpProxy extends AsyncDisposable {
  /** On loopback. */
  readonly port: number;
  /** Connections accepted so far, whatever became of them. */
  accepted(): number;
  /** Bytes that have come for those who connect. */
  delivered(): number;
  /** What those who connect have sent, one connection's bytes among the others'. */
  sent(): Buffer;
  setMode(mode: ProxyMode): void;
  close(): Promise<void>;
}

export async function startTcpProxy(targetPort: number): Promise<TcpProxy> {
  let mode: ProxyMode = "pass";
  let accepted = 0;
  let delivered = 0;
  const sent: Buffer[] = [];
  const open = new Set<Socket>();

  const server = createServer((near) => {
    accepted += 1;
    near.on("error", () => near.destroy());
    if (mode === "refuse" || mode === "cut") {
      near.resetAndDestroy();
      return;
    }
    const far = connect({ port: targetPort, host: "127.0.0.1" });
    join(near, far);
    join(far, near);
    near.on("data", (bytes: Buffer) => sent.push(bytes));
    far.on("data", (bytes: Buffer) => {
      delivered += bytes.length;
    });
  });

  function join(from: Socket, to: Socket): void {
    open.add(from);
    from.on("error", () => from.destroy());
    from.on("data", (bytes: Buffer) => {
      if (!to.write(bytes)) from.pause();
    });
    to.on("drain", () => {
      if (mode !== "swallow") from.resume();
    });
    from.on("end", () => to.end());
    from.on("close", () => {
      open.delete(from);
      to.destroy();
    });
    if (mode === "swallow") from.pause();
  }

  function resetAll(): void {
    for (const socket of open) socket.resetAndDestroy();
  }

  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });

  async function close(): Promise<void> {
    mode = "cut";
    resetAll();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  return {
    // A listening TCP server has an address of this form.
    port: (server.address() as AddressInfo).port,
    accepted: () => accepted,
    delivered: () => delivered,
    sent: () => Buffer.concat(sent),
    setMode: (next) => {
      mode = next;
      if (next === "cut") resetAll();
      // Unread bytes wait in the kernel, as they would for a link that comes back.
      for (const socket of open) {
        if (next === "swallow") socket.pause();
        else socket.resume();
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

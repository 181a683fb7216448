import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { startTcpProxy } from "#tests/support/tcp-proxy.ts";

const closing: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** A server that sends back what it gets, behind a proxy. */
async function echoBehindProxy() {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => new Promise<void>((resolve) => server.close(() => resolve())));
  const proxy = await startTcpProxy((server.address() as AddressInfo).port);
  closing.push(() => proxy.close());
  return proxy;
}

function dial(port: number): Socket {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => {});
  closing.push(() => {
    socket.destroy();
  });
  return socket;
}

/** `once` would reject with the reset that a test provokes. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once("close", () => resolve()));
}

async function echo(socket: Socket, text: string): Promise<string> {
  socket.write(text);
  const [bytes] = (await once(socket, "data")) as [Buffer];
  return bytes.toString();
}

describe("the test proxy", () => {
  it("passes bytes both ways", async () => {
    const proxy = await echoBehindProxy();
    expect(await echo(dial(proxy.port), "hello")).toBe("hello");
    expect(proxy.accepted()).toBe(1);
  });

  it("refuses newcomers and leaves the others alone", async () => {
    const proxy = await echoBehindProxy();
    const early = dial(proxy.port);
    await echo(early, "a");
    proxy.setMode("refuse");
    await closed(dial(proxy.port));
    expect(await echo(early, "b")).toBe("b");
  });

  it("cuts what exists and what comes, and mends", async () => {
    const proxy = await echoBehindProxy();
    const early = dial(proxy.port);
    await echo(early, "a");
    const cut = closed(early);
    proxy.setMode("cut");
    await cut;
    await closed(dial(proxy.port));
    proxy.setMode("pass");
    expect(await echo(dial(proxy.port), "again")).toBe("again");
  });

  it("swallows everything without closing, and delivers it when the link is back", async () => {
    const proxy = await echoBehindProxy();
    const socket = dial(proxy.port);
    await echo(socket, "a");
    proxy.setMode("swallow");
    const late = echo(socket, "lost?");
    // A connection that goes round the proxy's loop twice proves that the bytes above had their chance.
    await once(dial(proxy.port), "connect");
    await once(dial(proxy.port), "connect");
    expect(await Promise.race([late, Promise.resolve("nothing")])).toBe("nothing");
    proxy.setMode("pass");
    expect(await late).toBe("lost?");
  });
});

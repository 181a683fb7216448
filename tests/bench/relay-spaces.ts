/** A thousand notebooks, each with somebody who writes and somebody who reads along. */
import { WebSocket } from "ws";
import { encodeMessage } from "#relay/protocol/messages.ts";
import type { BuiltRelay } from "#tests/support/built-relay.ts";
import { RawClient, startTestRelay } from "#tests/support/relay.ts";
import { TestDevice, TestSpace } from "#tests/support/space-identities.ts";
import type { Measurement } from "./measurement.ts";
import {
  benchLimits,
  dialMany,
  isStored,
  itemsIn,
  startBare,
  timeExchanges,
  whenArrived,
  withNativeSigner,
} from "./relay-load.ts";

const spaces = 1_000;
const entriesPerSpace = 4;

export async function benchSpaces(built: BuiltRelay): Promise<Measurement[]> {
  const { ms, frames } = await relayRun(built);
  const bareMs = await bareRun(frames);
  const perSecond = (inMs: number): number => ((spaces * entriesPerSpace) / inMs) * 1000;
  const bareName = `bare ws, ${spaces.toLocaleString("en")} pairs: from the one to the other`;
  return [
    { name: bareName, ms: bareMs, perSecond: perSecond(bareMs) },
    {
      name: `relay, ${spaces.toLocaleString("en")} spaces × 2 clients: from the one to the other, durable first`,
      ms,
      perSecond: perSecond(ms),
      ratio: bareMs / ms,
      note: bareName,
    },
  ];
}

async function relayRun(
  built: BuiltRelay,
): Promise<{ readonly ms: number; readonly frames: readonly (readonly Uint8Array[])[] }> {
  const relay = await startTestRelay({ workerUrl: built.workerUrl, limits: benchLimits });
  const writers: WebSocket[] = [];
  const readers: WebSocket[] = [];
  const frames: Uint8Array[][] = [];
  for (let n = 0; n < spaces; n += 1) {
    const space = new TestSpace(`one of many ${n}`);
    const device = withNativeSigner(new TestDevice(space, "laptop"));
    const writer = await RawClient.connect(relay.url);
    await writer.createSpace(space);
    await writer.certify(device);
    const reader = await RawClient.connect(relay.url);
    await reader.subscribe(space);
    await reader.next("caughtUp");
    writers.push(writer.socket);
    readers.push(reader.socket);
    frames.push(
      Array.from({ length: entriesPerSpace }, (_, ix) =>
        encodeMessage(ix + 1, { type: "push", entries: [device.entry()] }),
      ),
    );
  }
  const start = performance.now();
  const arrived = whenArrived(readers, spaces * entriesPerSpace, itemsIn);
  await timeExchanges(writers, frames, 1, isStored);
  await arrived;
  const ms = performance.now() - start;
  for (const socket of [...writers, ...readers]) socket.terminate();
  await relay.stop();
  return { ms, frames };
}

/** Passes what a writer sends to the reader of its pair and answers the writer, as the relay does. */
async function bareRun(frames: readonly (readonly Uint8Array[])[]): Promise<number> {
  const readerByPair = new Map<string, WebSocket>();
  const bare = await startBare((socket, path) => {
    const [, kind, pair = ""] = path.split("/");
    if (kind === "read") readerByPair.set(pair, socket);
    else {
      socket.on("message", (data: Buffer) => {
        readerByPair.get(pair)?.send(data);
        socket.send(data);
      });
    }
  });
  const readers = await dialMany(spaces, (n) => `${bare.url}/read/${n}`);
  const writers = await dialMany(spaces, (n) => `${bare.url}/write/${n}`);
  const start = performance.now();
  const arrived = whenArrived(readers, spaces * entriesPerSpace, () => 1);
  await timeExchanges(writers, frames, 1, () => true);
  await arrived;
  const ms = performance.now() - start;
  await bare.stop();
  return ms;
}

/** A device that has been away: the whole of a long log, against the same bytes sent at once. */
import { once } from "node:events";
import { WebSocket } from "ws";
import { encodeMessage, parseMessage } from "#relay/protocol/messages.ts";
import { chainStart, chainTag } from "#relay/protocol/domain.ts";
import { maxPushEntries, subprotocol } from "#relay/protocol/limits.ts";
import type { BuiltRelay } from "#tests/support/built-relay.ts";
import { RawClient, startTestRelay } from "#tests/support/relay.ts";
import { TestDevice, TestSpace } from "#tests/support/space-identities.ts";
import type { Measurement } from "./measurement.ts";
import { benchLimits, median, startBare, withNativeSigner } from "./relay-load.ts";

const entries = 10_000;
const repeats = 5;
const frameBytes = 256 << 10;

export async function benchCatchUp(built: BuiltRelay): Promise<Measurement[]> {
  const relay = await startTestRelay({ workerUrl: built.workerUrl, limits: benchLimits });
  const space = new TestSpace("a long log");
  const device = withNativeSigner(new TestDevice(space, "laptop"));
  const writer = await RawClient.connect(relay.url);
  await writer.createSpace(space);
  await writer.certify(device);
  for (let left = entries; left > 0; left -= maxPushEntries) {
    const count = Math.min(left, maxPushEntries);
    await writer.push(...Array.from({ length: count }, () => device.entry()));
  }
  await writer.close();
  const runs: { readonly ms: number; readonly bytes: number }[] = [];
  while (runs.length < repeats) runs.push(await catchUp(relay.url, space));
  await relay.stop();
  const bytes = runs[0]?.bytes ?? 0;
  const bareRuns: number[] = [];
  while (bareRuns.length < repeats) bareRuns.push(await download(bytes));
  const ms = median(runs.map((run) => run.ms));
  const bareMs = median(bareRuns);
  const bareName = `bare ws: the same ${(bytes / (1 << 20)).toFixed(1)} MiB in frames of 256 KiB`;
  return [
    { name: bareName, ms: bareMs },
    {
      name: `relay: catch-up of ${entries.toLocaleString("en")} entries, with credit`,
      ms,
      ratio: bareMs / ms,
      note: bareName,
    },
  ];
}

/** From SUB to CAUGHT_UP, reading no more of a frame than which it is. */
async function catchUp(
  url: string,
  space: TestSpace,
): Promise<{ readonly ms: number; readonly bytes: number }> {
  const { socket } = await RawClient.connect(url);
  socket.removeAllListeners("message");
  let bytes = 0;
  let items = 0;
  const done = new Promise<void>((resolve) => {
    socket.on("message", (data: Buffer) => {
      const parsed = parseMessage(data);
      if (!parsed.ok) return;
      const { message } = parsed.value;
      if (message.type === "data") {
        bytes += data.length;
        items += message.items.length;
        socket.send(encodeMessage(0, { type: "credit", bytes: data.length }));
      } else if (message.type === "caughtUp") resolve();
    });
  });
  const start = performance.now();
  const { spaceId, readToken } = space;
  const from = { cursor: 0, chainTag: chainTag(chainStart(spaceId)), ctrlSeq: 0 };
  const spaces = [{ spaceId, readToken, ...from, mode: "live" as const }];
  socket.send(encodeMessage(1, { type: "subscribe", spaces }));
  await done;
  const ms = performance.now() - start;
  if (items < entries) throw new Error(`only ${items} of ${entries} entries came`);
  socket.terminate();
  return { ms, bytes };
}

async function download(bytes: number): Promise<number> {
  const bare = await startBare((socket) => {
    socket.on("message", () => {
      for (let left = bytes; left > 0; left -= frameBytes) {
        socket.send(new Uint8Array(Math.min(left, frameBytes)));
      }
    });
  });
  const socket = new WebSocket(bare.url, subprotocol);
  await once(socket, "open");
  let left = bytes;
  const done = new Promise<void>((resolve) => {
    socket.on("message", (data: Buffer) => {
      left -= data.length;
      if (left <= 0) resolve();
    });
  });
  const start = performance.now();
  socket.send("go");
  await done;
  const ms = performance.now() - start;
  await bare.stop();
  return ms;
}

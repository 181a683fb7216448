/** Whether the time of an answer tells a space that exists from one that does not (SUB-3). */
import type { BuiltRelay } from "#tests/support/built-relay.ts";
import { RawClient, startTestRelay } from "#tests/support/relay.ts";
import { bytesNamed, TestSpace } from "#tests/support/space-identities.ts";
import type { Measurement } from "./measurement.ts";
import { benchLimits, median } from "./relay-load.ts";

const rounds = 1_500;
const warmUp = 200;

export async function benchRefusals(built: BuiltRelay): Promise<Measurement[]> {
  const relay = await startTestRelay({ workerUrl: built.workerUrl, limits: benchLimits });
  const client = await RawClient.connect(relay.url);
  const known = new TestSpace("there is one");
  await client.createSpace(known);
  const unknown = new TestSpace("there is none");
  const wrong = bytesNamed("a wrong token", 16);
  const knownMs: number[] = [];
  const unknownMs: number[] = [];
  // In turn, so that whatever else the machine does falls on both.
  for (let round = 0; round < rounds + warmUp; round += 1) {
    const ofKnown = await timeRefusal(client, known, wrong);
    const ofUnknown = await timeRefusal(client, unknown, wrong);
    if (round < warmUp) continue;
    knownMs.push(ofKnown);
    unknownMs.push(ofUnknown);
  }
  await client.close();
  await relay.stop();
  const ms = median(knownMs);
  const unknownName = "SUB of a space that is not there: refused";
  return [
    { name: unknownName, ms: median(unknownMs) },
    {
      name: "SUB with a wrong token: refused",
      ms,
      ratio: ms / median(unknownMs),
      note: `${unknownName}; between 0.9 and 1.1 nobody can tell`,
    },
  ];
}

async function timeRefusal(
  client: RawClient,
  space: TestSpace,
  readToken: Uint8Array,
): Promise<number> {
  const began = performance.now();
  await client.subscribe(space, { readToken });
  return performance.now() - began;
}

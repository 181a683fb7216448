import { expect, it } from "vitest";
import { nodeRandom } from "#client/cli/node-ports.ts";
import { parseHex } from "#relay/protocol/bytes.ts";
import { bytesFor, journalled, typedChanges } from "#tests/unit/crdt-store/store-fixtures.ts";
import { onlyNotebook, setupDevice } from "./setup-device.ts";

const notes = 10_000;

it(
  "ten thousand notes are listed with their states, and the time it takes is printed",
  { timeout: 60_000 },
  async () => {
    await using fixture = await setupDevice();
    const { device, store } = fixture;
    const space = parseHex((await onlyNotebook(device)).id);
    const [change] = await typedChanges(["a"]);
    if (space === null || change === undefined) throw new Error("a notebook and a change");
    store.transaction(() => {
      for (let number = 1; number <= notes; number += 1) {
        const doc = nodeRandom(16);
        const row = {
          title: `Note ${number}`,
          preview: "",
          tags: [],
          trashedAt: null,
          movedTo: null,
        };
        const times = { createdAt: number, updatedAt: number };
        store.notes.upsert({ doc, space, ...row, ...times, listed: true, stale: false });
        const more = { doc, space, hash: nodeRandom(32), pos: number };
        store.changes.insert([journalled(change, more)]);
      }
      store.inbox.setFrontier(space, bytesFor("another device"), notes / 2);
    });
    const first = await timed(() => device.notes());
    const again = await timed(() => device.notes());
    process.stdout.write(
      `${notes} notes listed in ${first.ms.toFixed(0)} ms, again in ${again.ms.toFixed(0)} ms\n`,
    );
    const seen = again.result.filter(({ state }) => state === "seen-elsewhere");
    expect([again.result.length, seen.length]).toEqual([notes, notes / 2]);
  },
);

async function timed<T>(act: () => Promise<T>): Promise<{ result: T; ms: number }> {
  const start = performance.now();
  return { result: await act(), ms: performance.now() - start };
}

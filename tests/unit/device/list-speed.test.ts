import { expect, it } from "vitest";
import { nodeRandom } from "#client/cli/node-ports.ts";
import { parseHex } from "#relay/protocol/bytes.ts";
import { bytesFor, journalled, typedChanges } from "#tests/unit/crdt-store/store-fixtures.ts";
import { setupDevice } from "./setup-device.ts";

const notes = 10_000;
const notebooks = 50;

it(
  "ten thousand notes in fifty notebooks are listed with their states, and the time it takes is printed",
  { timeout: 60_000 },
  async () => {
    await using fixture = await setupDevice();
    const { device, store } = fixture;
    const [change] = await typedChanges(["a"]);
    if (change === undefined) throw new Error("a change");
    while ((await device.notebooks()).length < notebooks) await device.createNotebook("Another");
    const spaces = (await device.notebooks()).flatMap(({ id }) => parseHex(id) ?? []);
    store.transaction(() => {
      for (let number = 1; number <= notes; number += 1) {
        const space = spaces[number % notebooks] ?? bytesFor("none");
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
      for (const space of spaces) {
        store.inbox.setFrontier(space, bytesFor("another device"), notes / 2);
      }
    });
    const first = await timed(() => device.notes());
    const again = await timed(() => device.notes());
    const counted = await timed(() => device.notebooks());
    process.stdout.write(
      `${notes} notes listed in ${first.ms.toFixed(0)} ms, again in ${again.ms.toFixed(0)} ms, ` +
        `${notebooks} notebooks in ${counted.ms.toFixed(0)} ms\n`,
    );
    expect(counted.result.map((row) => row.notes)).toEqual(spaces.map(() => notes / notebooks));
    const seen = again.result.filter(({ state }) => state === "seen-elsewhere");
    expect([again.result.length, seen.length]).toEqual([notes, notes / 2]);
  },
);

async function timed<T>(act: () => Promise<T>): Promise<{ result: T; ms: number }> {
  const start = performance.now();
  return { result: await act(), ms: performance.now() - start };
}

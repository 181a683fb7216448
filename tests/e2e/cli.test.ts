/** Two people and a relay on the command line: apart, together, and when something breaks. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Limits } from "#relay/protocol/limits.ts";
import { Home, Watch, type ReadNote } from "#tests/support/cli.ts";
import { startTestRelay, type TestRelay } from "#tests/support/relay.ts";

/** Ana has shared a note with Ben; both are up to date. */
async function setupPair(limits: Partial<Limits> = {}) {
  const dir = mkdtempSync(join(tmpdir(), "sealeaf-relay-"));
  const relay = await startTestRelay({ dir, limits });
  const { port, httpUrl } = relay;
  let running: TestRelay | null = relay;
  const stopRelay = async (): Promise<void> => {
    await running?.stop();
    running = null;
  };
  const startRelay = async (): Promise<void> => {
    running = await startTestRelay({ dir, limits, port });
  };
  const ana = new Home();
  const ben = new Home();
  const [words] = await Promise.all([ana.init(httpUrl), ben.init(httpUrl)]);
  const id = await ana.write("Shopping", "We need bread and milk.\nAnd salt.\n");
  const { link } = await ana.json<{ link: string }>(["share"]);
  await ana.json(["sync"]);
  await ben.json(["join", link]);
  await ben.json(["sync"]);
  return {
    httpUrl,
    stopRelay,
    startRelay,
    ana,
    ben,
    words,
    id,
    [Symbol.asyncDispose]: async () => {
      ana[Symbol.dispose]();
      ben[Symbol.dispose]();
      await stopRelay();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

describe.concurrent("two homes and a relay", () => {
  it("hold one text with both edits of the same sentence; a third home restores it", async () => {
    await using pair = await setupPair();
    const { httpUrl, ana, ben, words, id } = pair;
    // The list is complete right after the first sync.
    expect(await ben.list()).toEqual([expect.objectContaining({ id, title: "Shopping" })]);

    await Promise.all([
      ana.json(["edit", id], "We need rye bread and milk.\nAnd salt.\n"),
      ben.json(["edit", id], "We need bread and oat milk.\nAnd salt.\nBen was here.\n"),
    ]);
    expect((await ana.list())[0]?.state).toBe("saved-here");
    for (const home of [ana, ben, ana]) await home.json(["sync"]);
    const [first, second] = [await ana.read(id), await ben.read(id)];
    expect(first.body).toBe("We need rye bread and oat milk.\nAnd salt.\nBen was here.\n");
    expect(second).toEqual(first);
    expect((await ana.list())[0]?.state).not.toBe("saved-here");

    using third = new Home();
    await third.json(["--relay", httpUrl, "restore"], words);
    await third.json(["sync"]);
    expect(await third.read(id)).toEqual(first);
    expect(await third.list()).toHaveLength(1);
  });

  it("keep somebody's newer text when an edit names old heads", async () => {
    using ana = new Home();
    await ana.init();
    const id = await ana.write("", "one\ntwo\n");
    const { heads } = await ana.read(id);
    await ana.json(["edit", id], "one\ntwo\nnewer\n");
    const merged = await ana.json<ReadNote>(
      ["edit", id, "--base", heads.join(",")],
      "ONE\r\ntwo\r\n",
    );
    expect(merged.body).toBe("ONE\ntwo\nnewer\n");
    expect(await ana.read(id)).toEqual(merged);
    // Negative control: without the old heads the same input deletes the line.
    expect((await ana.json<ReadNote>(["edit", id], "ONE\ntwo\n")).body).toBe("ONE\ntwo\n");
  });

  it("carry a text larger than what the relay takes at once", async () => {
    await using pair = await setupPair({ entryBytes: 64 << 10 });
    const { ana, ben } = pair;
    // Digits without a pattern: some 45 % of their size remain. Wherever it is cut, emoji are near.
    const line = (ix: number): string => `${((ix + 1) * 2_654_435_761) % 4_294_967_291} 🌿`;
    const body = Array.from({ length: 15_000 }, (_, ix) => line(ix)).join("");
    const id = await ana.write("Huge", body);
    await ana.json(["sync"]);
    await ben.json(["sync"]);
    expect((await ben.read(id)).body === body).toBe(true);
  });

  it("lose and double nothing when the relay stops and starts in the middle", async () => {
    await using pair = await setupPair();
    const { ana, ben, id } = pair;
    await using watch = await Watch.start(ana);
    await watch.seen(({ status }) => wordOf(status) === "up-to-date");
    await pair.stopRelay();
    await watch.seen(({ status }) => wordOf(status) === "offline");

    // Both write while it is away: one through the watch, one on its own.
    const written = await ana.write("Made offline", "kept");
    await ana.json(["edit", id], "We need bread and milk.\nAnd salt.\nAna again.\n");
    await ben.json(["edit", id], "Ben again.\nWe need bread and milk.\nAnd salt.\n");
    const failed = await ben.run(["--json", "sync"]);
    expect(failed.code).toBe(3);
    expect(failed.stderr).toMatch(/offline.*1 change waits to be sent\.\n$/);
    expect(JSON.parse(failed.stdout)).toMatchObject({ word: "offline", waiting: 1 });

    await pair.startRelay();
    for (const home of [ana, ben, ana]) await home.json(["sync", "--timeout", "20"]);
    const [one, other] = [await ana.read(id), await ben.read(id)];
    expect(one.body).toBe("Ben again.\nWe need bread and milk.\nAnd salt.\nAna again.\n");
    expect(other).toEqual(one);
    expect((await ben.read(written)).body).toBe("kept");
    expect((await ben.list()).map((row) => row.id).toSorted()).toEqual([id, written].toSorted());
    expect(await watch.stop("SIGTERM")).toBe(0);
  });
});

function wordOf(status: unknown): unknown {
  return typeof status === "object" && status !== null && "word" in status
    ? status.word
    : undefined;
}

/** The opener's real thread in Chromium: what hangs, panics or needs too much ends it, and the page goes on (PROTOCOL §6). */
import automergeWasm from "@automerge/automerge/automerge.wasm?url";
import * as A from "@automerge/automerge/slim";
import { beforeAll, describe, expect, it } from "vitest";
import { defaultOpenerLimits, Opener, type OpenerLimits } from "#client/device/opener.ts";
import { browserOpener } from "#client/worker/start-opener.ts";
import { parseChange, type Change } from "#crdt-store/chunks.ts";
import { browserTimers } from "#client/worker/browser-timers.ts";
import { bombChange, bombDocument } from "#tests/support/bombs.ts";

beforeAll(() => A.initializeWasm(automergeWasm));

function opener(limits: Partial<OpenerLimits> = {}) {
  /** What its threads answered. */
  const heard: string[] = [];
  const made = new Opener({
    start: (events) =>
      browserOpener({
        ...events,
        answered: (answer) => {
          heard.push(answer.type);
          events.answered(answer);
        },
      }),
    clock: Date,
    timers: browserTimers,
    limits: { ...defaultOpenerLimits, ...limits },
  });
  return { made, heard, [Symbol.dispose]: () => made.close() };
}

function mustParse(chunk: Uint8Array): Change {
  const parsed = parseChange(chunk);
  if (parsed.type === "failed") throw new Error(parsed.failure.type);
  return parsed.change;
}

function bomb(rows: number): Change {
  const actor = new Uint8Array(16).fill(9);
  return mustParse(bombChange({ actor, seq: 1, startOp: 1, deps: [], rows }));
}

const empty = { snapshot: null, beginning: "nothing", changes: [] } as const;
const note = () => A.save(A.from({ body: "hello" }));

/** Resolves after so many frames: never, while this thread is kept busy. */
async function frames(count: number): Promise<void> {
  for (let left = count; left > 0; left -= 1) await new Promise(requestAnimationFrame);
}

describe("the opener's thread in a browser (attack 51)", { timeout: 120_000 }, () => {
  it("opens a document, and is ended over the next that keeps it busy for too long; the page is not", async () => {
    using held = opener({ openMs: 300 });
    const opened = await held.made.openDocument(note());
    expect(opened).toMatchObject({ changes: [expect.any(Uint8Array)] });
    const [verdict] = await Promise.all([
      held.made.openDocument(bombDocument(4_000_000)),
      frames(5),
    ]);
    expect(verdict).toBe("harmful");
    // It had no time to say anything of it.
    expect(held.heard).toEqual(["ready", "opened"]);
    expect(await held.made.openDocument(note())).toMatchObject({ heads: [expect.any(Uint8Array)] });
  });

  it("is ended over a change that never ends, and by one that needs more memory than it may have", async () => {
    using brief = opener({ tryMs: 500 });
    const endless = bomb(60_000_000);
    expect(await brief.made.tryOut(empty, [endless])).toEqual({ refused: [], tooMuch: [endless] });

    using patient = opener({ tryMs: 100_000 });
    const greedy = bomb(6_000_000);
    expect(await patient.made.tryOut(empty, [greedy])).toEqual({ refused: [], tooMuch: [greedy] });
    expect(patient.heard).toEqual(["ready", "built"]);
  });

  it("has fresh memory after a panic", async () => {
    using held = opener();
    // Automerge panics at once: nobody has so much memory.
    expect(await held.made.openDocument(bombDocument(60_000_000))).toBe("harmful");
    expect(held.heard).toEqual(["ready", "unreadable"]);
    expect(await held.made.openDocument(note())).toMatchObject({ heads: [expect.any(Uint8Array)] });
    expect(held.heard.filter((answer) => answer === "ready")).toHaveLength(2);
  });
});

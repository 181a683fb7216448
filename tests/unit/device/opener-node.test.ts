/** The opener's real thread on Node: what hangs, panics or needs too much ends it, and nothing else (PROTOCOL §6). */
import * as A from "@automerge/automerge/slim";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeAutomerge, nodeTimers } from "#client/cli/node-ports.ts";
import { nodeOpener } from "#client/cli/start-opener.ts";
import { defaultOpenerLimits, Opener, type OpenerLimits } from "#client/device/opener.ts";
import { openerInProcess } from "#client/device/opener-in-process.ts";
import { parseChange, type Change } from "#crdt-store/chunks.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";
import { buildOpenerThread, type BuiltOpener } from "#tests/support/built-opener.ts";
import { bombChange, bombDocument } from "#tests/support/bombs.ts";
import { altered, alterations, harmOf } from "#tests/support/hostile-changes.ts";

let thread: BuiltOpener;
beforeAll(async () => {
  await loadAutomerge();
  thread = await buildOpenerThread();
}, 60_000);
afterAll(() => thread.remove());

function opener(limits: Partial<OpenerLimits> = {}, start = nodeOpener(thread.script)) {
  /** What its threads answered. */
  const heard: string[] = [];
  const made = new Opener({
    start: (events) =>
      start({
        ...events,
        answered: (answer) => {
          heard.push(answer.type);
          events.answered(answer);
        },
      }),
    clock: Date,
    timers: nodeTimers,
    limits: { ...defaultOpenerLimits, ...limits },
  });
  return { made, heard, [Symbol.dispose]: () => made.close() };
}

function mustParse(chunk: Uint8Array): Change {
  const parsed = parseChange(chunk);
  if (parsed.type === "failed") throw new Error(parsed.failure.type);
  return parsed.change;
}

const empty = { snapshot: null, beginning: "nothing", changes: [] } as const;

function noteOf(text: string): {
  readonly changes: readonly Uint8Array[];
  readonly saved: Uint8Array;
} {
  const doc = A.from({ body: text }, { actor: "01".repeat(16) });
  return { changes: A.getAllChanges(doc), saved: A.save(doc) };
}

/** Far longer than anybody waits, and more memory than there may be. */
const endless = 60_000_000;

describe("the opener's thread on Node (attack 51)", { timeout: 120_000 }, () => {
  it("opens a document as this thread would", async () => {
    using held = opener();
    const { saved, changes } = noteOf("hello");
    const opened = await held.made.openDocument(saved);
    if (typeof opened === "string") throw new Error(opened);
    expect(opened.changes).toEqual(changes);
    expect(opened.heads).toHaveLength(1);
  });

  it("is ended over a document that keeps it busy for too long, and the next question is answered", async () => {
    using held = opener({ openMs: 300 });
    const bomb = bombDocument(4_000_000);
    expect(bomb.length).toBeLessThan(200);
    expect(await held.made.openDocument(bomb)).toBe("harmful");
    // It had no time to say anything of it.
    expect(held.heard).toEqual(["ready"]);
    const opened = await held.made.openDocument(noteOf("after").saved);
    expect(opened).toMatchObject({ changes: [expect.any(Uint8Array)] });
  });

  it("is what makes the difference: in this thread the same document is worked at to its end", async () => {
    using held = opener({ openMs: 300 }, openerInProcess(nodeAutomerge));
    expect(await held.made.openDocument(bombDocument(4_000_000))).toBe("harmful");
    expect(held.heard).toEqual(["ready", "unreadable"]);
  });

  it("finds the one change of several over which it has to be ended", async () => {
    using held = opener({ tryMs: 1_500 });
    const doc = A.from({ body: "hello" }, { actor: "01".repeat(16) });
    const [root] = A.getAllChanges(doc).map(mustParse);
    if (root === undefined) throw new Error("a document has a root");
    const good = ["02", "03"].map((name) =>
      A.getChangesSince(
        A.change(A.clone(doc, { actor: name.repeat(16) }), { time: 0 }, (draft) => {
          draft.body = `hello ${name}`;
        }),
        A.getHeads(doc),
      ).map(mustParse),
    );
    const actor = new Uint8Array(16).fill(9);
    const bomb = mustParse(
      bombChange({ actor, seq: 1, startOp: 50, deps: [root.hash], rows: endless }),
    );
    const [one, two] = good.flat();
    if (one === undefined || two === undefined) throw new Error("two changes");
    const ground = { ...empty, changes: [root.bytes] };
    const verdicts = await held.made.tryOut(ground, [one, bomb, two]);
    expect(verdicts).toEqual({ refused: [], tooMuch: [bomb] });
  });

  it("is ended by what needs more memory than it may have, long before its time is up", async () => {
    using held = opener({ tryMs: 100_000 });
    const actor = new Uint8Array(16).fill(9);
    const bomb = mustParse(bombChange({ actor, seq: 1, startOp: 1, deps: [], rows: 6_000_000 }));
    const verdicts = await held.made.tryOut(empty, [bomb]);
    expect(verdicts).toEqual({ refused: [], tooMuch: [bomb] });
    expect(held.heard).toEqual(["ready", "built"]);
  });

  it("names the change that Automerge panics on, and answers the next question with fresh memory", async () => {
    using held = opener();
    const doc = A.from({ body: "hello" }, { actor: "01".repeat(16) });
    const [model] = A.getChangesSince(
      A.change(A.clone(doc, { actor: "02".repeat(16) }), { time: 0 }, (draft) => {
        A.splice(draft, ["body"], 0, 0, "victim");
      }),
      A.getHeads(doc),
    );
    if (model === undefined) throw new Error("a change was made");
    const place = alterations(model).find((at) => {
      const made = altered(model, at);
      return parseChange(made).type === "ok" && harmOf(doc, made) === "panics";
    });
    if (place === undefined) throw new Error("there is such a change");
    const panicking = mustParse(altered(model, place));
    const ground = { ...empty, changes: A.getAllChanges(doc) };
    const verdicts = await held.made.tryOut(ground, [panicking, mustParse(model)]);
    expect(verdicts).toEqual({ refused: [panicking], tooMuch: [] });
    expect(await held.made.tryOut(ground, [mustParse(model)])).toEqual({
      refused: [],
      tooMuch: [],
    });
  });
});

/** The opener's rules, on a thread that a test plays: who is ended when, and what becomes of what was asked. */
import { describe, expect, it } from "vitest";
import { defaultOpenerLimits, Opener, type OpenerEvents } from "#client/device/opener.ts";
import type { OpenerAnswer, OpenerQuestion } from "#client/device/opener-work.ts";
import { packChunks } from "#client/device/packed-chunks.ts";
import { parseChange, type Change } from "#crdt-store/chunks.ts";
import { syntheticChange } from "#tests/support/synthetic-change.ts";
import { Timeline } from "#tests/support/sim-timeline.ts";

class Thread {
  readonly events: OpenerEvents;
  readonly asked: OpenerQuestion[] = [];
  isKilled = false;

  constructor(events: OpenerEvents) {
    this.events = events;
  }

  ask(question: OpenerQuestion): void {
    this.asked.push(question);
  }

  kill(): void {
    this.isKilled = true;
  }

  answer(answer: OpenerAnswer): void {
    this.events.answered(answer);
  }
}

const limits = { ...defaultOpenerLimits, openMsPerMiB: 0 };

function setup() {
  const timeline = new Timeline();
  const threads: Thread[] = [];
  const opener = new Opener({
    start: (events) => {
      const thread = new Thread(events);
      threads.push(thread);
      return thread;
    },
    clock: timeline,
    timers: timeline,
    limits,
  });
  const thread = (ix: number): Thread => {
    const found = threads[ix];
    if (found === undefined) throw new Error("no such thread was started");
    return found;
  };
  return { opener, timeline, threads, thread };
}

const document = Uint8Array.of(1, 2, 3);
const opened = { type: "opened", heads: packChunks([]), changes: packChunks([document]) } as const;
const ground = { snapshot: null, beginning: "nothing", changes: [] } as const;

/** Changes without dependencies, in this order. */
function changes(count: number): Change[] {
  return Array.from({ length: count }, (_, ix) => {
    const made = syntheticChange({
      actor: new Uint8Array(16).fill(ix),
      seq: 1,
      deps: [],
      filling: new Uint8Array(0),
    });
    const parsed = parseChange(made.bytes);
    if (parsed.type === "failed") throw new Error(parsed.failure.type);
    return parsed.change;
  });
}

describe("an opener", () => {
  it("starts a thread when it is first asked, asks one thing after another, and ends it when nobody asks", async () => {
    const { opener, timeline, threads, thread } = setup();
    expect(threads).toEqual([]);
    const first = opener.openDocument(document);
    const second = opener.openDocument(document);
    expect(thread(0).asked).toEqual([]);
    thread(0).answer({ type: "ready" });
    expect(thread(0).asked).toHaveLength(1);
    thread(0).answer(opened);
    expect(await first).toEqual({ heads: [], changes: [document] });
    expect(thread(0).asked).toHaveLength(2);
    thread(0).answer(opened);
    await second;
    expect(threads).toHaveLength(1);
    await timeline.advance(limits.idleMs - 1);
    expect(thread(0).isKilled).toBe(false);
    await timeline.advance(1);
    expect(thread(0).isKilled).toBe(true);
  });

  it("ends a thread that takes too long, calls the document harmful, and asks the next of another", async () => {
    const { opener, timeline, threads, thread } = setup();
    const first = opener.openDocument(document);
    const second = opener.openDocument(document);
    thread(0).answer({ type: "ready" });
    await timeline.advance(limits.openMs - 1);
    expect(thread(0).isKilled).toBe(false);
    await timeline.advance(1);
    expect(thread(0).isKilled).toBe(true);
    expect(await first).toBe("harmful");
    expect(threads).toHaveLength(2);
    // What the first still says is said to nobody.
    thread(0).answer(opened);
    thread(1).answer({ type: "ready" });
    thread(1).answer(opened);
    expect(await second).toEqual({ heads: [], changes: [document] });
  });

  it("gives a long document more time", async () => {
    const { timeline, threads } = setup();
    const opener = new Opener({
      start: (events) => {
        const thread = new Thread(events);
        threads.push(thread);
        return thread;
      },
      clock: timeline,
      timers: timeline,
      limits: { ...limits, openMsPerMiB: 1_000 },
    });
    void opener.openDocument(new Uint8Array(2 << 20));
    threads[0]?.answer({ type: "ready" });
    await timeline.advance(limits.openMs + 1_999);
    expect(threads[0]?.isKilled).toBe(false);
    await timeline.advance(1);
    expect(threads[0]?.isKilled).toBe(true);
  });

  it("holds it against no document that no thread can be started, or that it is closed", async () => {
    const { opener, timeline, thread } = setup();
    const first = opener.openDocument(document);
    await timeline.advance(limits.startMs);
    expect(await first).toBe("later");
    const second = opener.openDocument(document);
    thread(1).events.died();
    expect(await second).toBe("later");
    const third = opener.openDocument(document);
    thread(2).answer({ type: "ready" });
    opener.close();
    expect(thread(2).isKilled).toBe(true);
    expect(await third).toBe("later");
    expect(await opener.openDocument(document)).toBe("later");
  });

  it("holds a thread's death against what was asked, and starts anew after anything that panicked", async () => {
    const { opener, threads, thread } = setup();
    const first = opener.openDocument(document);
    thread(0).answer({ type: "ready" });
    thread(0).events.died();
    expect(await first).toBe("harmful");
    const [change] = changes(1);
    if (change === undefined) throw new Error("unreachable");
    const second = opener.tryOut(ground, [change]);
    thread(1).answer({ type: "ready" });
    thread(1).answer({ type: "built" });
    thread(1).answer({ type: "tried", refused: [Buffer.from(change.hash).toString("hex")] });
    expect(await second).toEqual({ refused: [change], tooMuch: [] });
    expect(thread(1).isKilled).toBe(true);
    void opener.openDocument(document);
    expect(threads).toHaveLength(3);
  });
});

describe("changes that are tried", () => {
  it("are held against nobody when what they build upon is not there in time", async () => {
    const { opener, timeline, thread } = setup();
    const tried = opener.tryOut(ground, changes(1));
    thread(0).answer({ type: "ready" });
    await timeline.advance(limits.openMs);
    expect(await tried).toBeNull();
    const again = opener.tryOut(ground, changes(1));
    thread(1).answer({ type: "ready" });
    thread(1).answer({ type: "unreadable" });
    expect(await again).toBeNull();
  });

  it("have more time where what they build upon took long", async () => {
    const { opener, timeline, thread } = setup();
    void opener.tryOut(ground, changes(1));
    thread(0).answer({ type: "ready" });
    await timeline.advance(4_000);
    thread(0).answer({ type: "built" });
    await timeline.advance(limits.tryMs + limits.tryFactor * 4_000 - 1);
    expect(thread(0).isKilled).toBe(false);
    await timeline.advance(1);
    expect(thread(0).isKilled).toBe(true);
  });

  it("are halved until those are found that take too long, whichever they are", async () => {
    const { opener, timeline, threads } = setup();
    const all = changes(9);
    const endless = new Set(
      [1, 6, 7].map((ix) => Buffer.from(all[ix]?.bytes ?? []).toString("hex")),
    );
    const holdsEndless = ({ bytes, lengths }: { bytes: Uint8Array; lengths: Uint32Array }) => {
      let at = 0;
      return [...lengths].some((length) => {
        at += length;
        return endless.has(Buffer.from(bytes.subarray(at - length, at)).toString("hex"));
      });
    };
    const tried = opener.tryOut(ground, all);
    let isDone = false;
    void tried.then(() => (isDone = true));
    for (let ix = 0; !isDone && ix < 100; ix += 1) {
      const thread = threads.at(-1);
      if (thread?.isKilled !== false) throw new Error("somebody is at work");
      if (thread.asked.length === 0) thread.answer({ type: "ready" });
      const question = thread.asked.at(-1);
      if (question?.type !== "try") throw new Error("changes are tried");
      // What was found is not built upon.
      expect(holdsEndless(question.base)).toBe(false);
      thread.answer({ type: "built" });
      if (holdsEndless(question.tried)) await timeline.advance(limits.tryMs);
      else thread.answer({ type: "tried", refused: [] });
      await timeline.advance(0);
    }
    const verdicts = await tried;
    expect(verdicts?.tooMuch.map((change) => all.indexOf(change))).toEqual([1, 6, 7]);
    expect(verdicts?.refused).toEqual([]);
  });
});

import * as A from "@automerge/automerge/slim";
import { beforeAll, describe, expect, it } from "vitest";

import type { NoteField, Splice } from "#client/device/api.ts";
import { applySplices } from "#client/notes/text-splices.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";

import { actorOf, genesis, openForTest, settle, type OpenedForTest } from "./open-note-setup.ts";

beforeAll(loadAutomerge);

function type(opened: OpenedForTest, text: string, at = opened.note.text("body").length): void {
  opened.note.edit("body", [{ at, remove: 0, insert: text }]);
}

function typeEach(opened: OpenedForTest, text: string): void {
  for (const letter of text) type(opened, letter);
}

/** Changes somebody else made to the same note. */
function elsewhere(
  saved: Uint8Array,
  edits: readonly { field?: NoteField; at: number; remove?: number; insert: string }[],
): Uint8Array[] {
  const base = A.load<{ body: string; title: string }>(saved, { actor: actorOf(98) });
  const heads = A.getHeads(base);
  const edited = edits.reduce(
    (document, { field = "body", at, remove = 0, insert }) =>
      A.change(document, (draft) => A.splice(draft, [field], at, remove, insert)),
    base,
  );
  return A.getChangesSince(edited, heads);
}

describe("typing alone", () => {
  it("gathers keystrokes into one change after a pause of 300 ms", async () => {
    const opened = await openForTest();
    typeEach(opened, "seeds");
    await opened.timers.advance(299);
    expect(opened.journal.commits).toHaveLength(0);

    await opened.timers.advance(1);
    expect(opened.journal.changes).toHaveLength(1);
    expect(opened.handle.doc().body).toBe("seeds");
  });

  it("makes a change at least every second of typing without a pause", async () => {
    const opened = await openForTest();
    for (let key = 0; key < 50; key++) {
      type(opened, "x");
      await opened.timers.advance(100);
    }
    expect(opened.journal.changes).toHaveLength(5);
    const starts = opened.journal.commits.map((posted) => posted.at);
    expect(Math.max(...starts.slice(1).map((at, i) => at - (starts[i] ?? 0)))).toBeLessThanOrEqual(
      1100,
    );
  });

  it("is by the actor the device gave, from seq 1 on, in one change of as few operations as it needs", async () => {
    const opened = await openForTest({ body: "one two", title: "t" });
    opened.note.edit("title", [{ at: 1, remove: 0, insert: "!" }]);
    type(opened, "ab");
    opened.note.edit("body", [{ at: 8, remove: 1, insert: "" }]);
    type(opened, "c");
    await opened.note.flush();

    const [bytes] = opened.journal.changes;
    const change = A.decodeChange(bytes ?? new Uint8Array());
    expect(opened.journal.changes).toHaveLength(1);
    expect(change.actor).toBe(opened.actor);
    expect(change.seq).toBe(1);
    expect(opened.handle.doc().body).toBe("one twoac");
    // "!", "a" and "c": the deleted "b" was never in the document.
    expect(change.ops).toHaveLength(3);

    type(opened, "d");
    await opened.note.flush();
    expect(A.decodeChange(opened.journal.changes[1] ?? new Uint8Array()).seq).toBe(2);
  });

  it("posts a draft with the first keystroke", async () => {
    const opened = await openForTest({ body: "ab" });
    const heads = opened.note.heads();
    type(opened, "c");
    expect(opened.journal.drafts.map((posted) => posted.value)).toEqual([
      {
        session: "session-0",
        actor: opened.actor,
        heads,
        edits: [{ field: "body", at: 2, remove: 0, insert: "c" }],
      },
    ]);
  });

  it("posts a draft no later than 50 ms after any keystroke, also while one is in flight", async () => {
    const opened = await openForTest();
    opened.journal.manual = true;
    type(opened, "a");
    await opened.timers.advance(10);
    type(opened, "b");
    await opened.timers.advance(20);
    type(opened, "c");
    expect(opened.journal.drafts).toHaveLength(1);

    await opened.timers.advance(30);
    const second = opened.journal.drafts[1];
    expect(second?.value.edits).toEqual([{ field: "body", at: 0, remove: 0, insert: "abc" }]);
    expect((second?.at ?? 0) - (opened.journal.drafts[0]?.at ?? 0)).toBeLessThanOrEqual(60);
    expect(opened.journal.drafts).toHaveLength(2);
  });

  it("gathers what is typed while a draft is in flight into the next one", async () => {
    const opened = await openForTest();
    opened.journal.manual = true;
    typeEach(opened, "abcd");
    expect(opened.journal.drafts).toHaveLength(1);
    opened.journal.drafts[0]?.answer();
    await settle();
    expect(opened.journal.drafts).toHaveLength(2);
    expect(opened.journal.drafts[1]?.value.edits[0]?.insert).toBe("abcd");
  });

  it("has the journal drop the draft of typing that undid itself", async () => {
    const opened = await openForTest();
    type(opened, "a");
    opened.note.edit("body", [{ at: 0, remove: 1, insert: "" }]);
    await opened.note.flush();
    expect(opened.journal.commits.map((posted) => posted.value.changes)).toEqual([[]]);
    expect(opened.note.state).toBe("saved-here");
  });

  it("tells the journal the note's name and what it begins with", async () => {
    const opened = await openForTest({ title: "Garden" });
    type(opened, "# Beds\n\n- [ ] order **seeds**");
    await opened.note.flush();
    expect(opened.journal.commits[0]?.value).toMatchObject({
      title: "Garden",
      preview: "Beds order seeds",
    });
  });
});

describe("typing beside somebody else", () => {
  it("commits the first keystroke at once, then once every 62 ms", async () => {
    const opened = await openForTest();
    opened.note.setPresent(true);
    type(opened, "a");
    expect(opened.journal.changes).toHaveLength(1);

    for (let key = 0; key < 13; key++) {
      await opened.timers.advance(10);
      type(opened, "b");
    }
    expect(opened.journal.changes).toHaveLength(3);
    await opened.timers.advance(62);
    expect(opened.journal.changes).toHaveLength(4);
    expect(opened.handle.doc().body).toBe("a" + "b".repeat(13));
    expect(opened.journal.drafts).toHaveLength(0);
  });

  it("sends what was gathered as soon as somebody comes", async () => {
    const opened = await openForTest();
    typeEach(opened, "alone");
    opened.note.setPresent(true);
    expect(opened.journal.changes).toHaveLength(1);
  });
});

describe("saving", () => {
  it("says saved only when every keystroke is covered by an answer", async () => {
    const opened = await openForTest();
    const states: string[] = [];
    opened.note.onState((state) => states.push(state));
    opened.journal.manual = true;
    expect(opened.note.state).toBe("saved-here");

    type(opened, "a");
    expect(opened.note.state).toBe("saving");
    type(opened, "b");
    expect(opened.note.state).toBe("editing");
    opened.journal.drafts[0]?.answer();
    await settle();
    expect(opened.note.state).toBe("saving");
    opened.journal.drafts[1]?.answer();
    await settle();
    expect(opened.note.state).toBe("saved-here");

    await opened.timers.advance(300);
    expect(opened.note.state).toBe("saving");
    opened.journal.commits[0]?.answer();
    await settle();
    expect(opened.note.state).toBe("saved-here");
    expect(states).toEqual(["saving", "editing", "saving", "saved-here", "saving", "saved-here"]);
  });

  it("does not count a draft that a later commit has made void", async () => {
    const opened = await openForTest();
    opened.journal.manual = true;
    type(opened, "a");
    await opened.timers.advance(300);
    opened.journal.drafts[0]?.answer();
    await settle();
    expect(opened.note.state).toBe("saving");
  });

  it("keeps everything and tries again, in order, when the journal fails", async () => {
    const opened = await openForTest();
    opened.journal.failing = true;
    typeEach(opened, "one ");
    await settle();
    expect(opened.note.state).toBe("not-saved");
    await opened.timers.advance(400);
    typeEach(opened, "two ");
    await opened.timers.advance(3000);
    typeEach(opened, "three");
    await opened.timers.advance(20_000);
    expect(opened.note.state).toBe("not-saved");
    const attempts = opened.journal.commits.length;

    opened.journal.failing = false;
    let flushed = false;
    void opened.note.flush().then(() => (flushed = true));
    await settle();
    expect(flushed).toBe(false);
    await opened.timers.advance(5000);
    expect(flushed).toBe(true);
    expect(opened.note.state).toBe("saved-here");

    const stored = opened.journal.commits
      .slice(attempts)
      .flatMap((posted) => [...posted.value.changes]);
    expect(stored.map((bytes) => A.decodeChange(bytes).seq)).toEqual([1, 2, 3]);
    const [restored] = A.applyChanges(A.load<{ body: string }>(genesis()), stored);
    expect(restored.body).toBe("one two three");
    expect(opened.faults.every((fault) => fault.type === "journal")).toBe(true);
  });

  it("backs off: a journal that keeps failing is asked less and less often", async () => {
    const opened = await openForTest();
    opened.journal.failing = true;
    type(opened, "a");
    await opened.timers.advance(60_000);
    const asked = opened.journal.drafts.length + opened.journal.commits.length;
    expect(asked).toBeGreaterThan(8);
    expect(asked).toBeLessThan(20);
  });

  it("posts a draft again when its answer was a failure", async () => {
    const opened = await openForTest();
    opened.journal.failing = true;
    type(opened, "a");
    await settle();
    opened.journal.failing = false;
    await opened.timers.advance(250);
    expect(opened.journal.drafts).toHaveLength(2);
    expect(opened.note.state).toBe("saved-here");
  });

  it("resolves close only once what was typed is durable, and takes no typing after", async () => {
    const opened = await openForTest();
    opened.journal.manual = true;
    type(opened, "last words");
    let closed = false;
    void opened.note.close().then(() => (closed = true));
    await settle();
    expect(closed).toBe(false);
    expect(() => type(opened, "more")).toThrow("closed");
    opened.journal.commits[0]?.answer();
    await settle();
    expect(closed).toBe(true);
  });
});

describe("remote changes", () => {
  it("reach the screen as splices, one batch per field and apply", async () => {
    const saved = genesis({ title: "Plan", body: "hello 😀 world" });
    const opened = await openForTest({ saved });
    const batches: [NoteField, readonly Splice[]][] = [];
    opened.note.onRemote((field, splices) => batches.push([field, splices]));
    opened.note.receive(
      elsewhere(saved, [
        { at: 6, remove: 2, insert: "🎉🎉" },
        { at: 0, insert: ">" },
        { field: "title", at: 4, insert: " B" },
      ]),
    );
    await opened.timers.advance(0);
    expect(batches.map(([field]) => field)).toEqual(["title", "body"]);
    expect(applySplices("hello 😀 world", batches[1]?.[1] ?? [])).toBe(">hello 🎉🎉 world");
    expect(opened.note.text("body")).toBe(">hello 🎉🎉 world");
    expect(opened.note.text("title")).toBe("Plan B");
  });

  it("never meet a buffer: what is typed becomes a change first", async () => {
    const saved = genesis({ body: "middle" });
    const opened = await openForTest({ saved });
    const shown: string[] = [];
    let screen = "middle";
    opened.note.onRemote((_field, splices) => shown.push((screen = applySplices(screen, splices))));
    opened.note.receive(elsewhere(saved, [{ at: 0, insert: "start " }]));
    type(opened, " end");
    screen += " end";
    await opened.timers.advance(0);
    expect(shown).toEqual(["start middle end"]);
    const own = A.decodeChange(opened.journal.changes[0] ?? new Uint8Array());
    expect(own.deps).toEqual(A.getHeads(A.load(saved)));
    expect(opened.note.text("body")).toBe("start middle end");
  });

  it("that are in the document already show nothing", async () => {
    const saved = genesis();
    const opened = await openForTest({ saved });
    type(opened, "mine");
    await opened.note.flush();
    let calls = 0;
    opened.note.onRemote(() => calls++);
    opened.note.receive(opened.journal.changes);
    await opened.timers.advance(100);
    expect(calls).toBe(0);
    expect(opened.note.text("body")).toBe("mine");

    // Still whole: the next change is this session's next.
    type(opened, "!");
    await opened.note.flush();
    expect(A.decodeChange(opened.journal.changes[1] ?? new Uint8Array()).seq).toBe(2);
  });

  it("that come before those they rest on wait in the document", async () => {
    const saved = genesis();
    const opened = await openForTest({ saved });
    const [first, second] = elsewhere(saved, [
      { at: 0, insert: "a" },
      { at: 1, insert: "b" },
    ]);
    if (!first || !second) throw new Error("two changes were made");
    opened.note.receive([second]);
    await opened.timers.advance(100);
    expect(opened.note.text("body")).toBe("");
    opened.note.receive([first]);
    await opened.timers.advance(100);
    expect(opened.note.text("body")).toBe("ab");
  });

  it("are applied the first time at once, then never sooner than five times what the last took", async () => {
    const saved = genesis();
    const opened = await openForTest({ saved });
    const changes = elsewhere(
      saved,
      "abcdef".split("").map((insert, at) => ({ at, insert })),
    );
    // Reading the clock is what measures an apply: here each takes 40 ms.
    const applied: number[] = [];
    const now = opened.timers.now.bind(opened.timers);
    opened.handle.on("heads-changed", () => {
      applied.push(now());
      opened.timers.spend(40);
    });
    for (const change of changes) {
      opened.note.receive([change]);
      await opened.timers.advance(30);
    }
    await opened.timers.advance(1000);
    expect(opened.note.text("body")).toBe("abcdef");
    expect(applied.length).toBeGreaterThan(1);
    const gaps = applied.slice(1).map((at, index) => at - (applied[index] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(200);
  });

  it("wait while an input method is composing, but not longer than two seconds", async () => {
    const saved = genesis();
    const opened = await openForTest({ saved });
    const [first, second] = elsewhere(saved, [
      { at: 0, insert: "a" },
      { at: 1, insert: "b" },
    ]);
    if (!first || !second) throw new Error("two changes were made");
    opened.note.setHeld(true);
    opened.note.receive([first]);
    await opened.timers.advance(1999);
    expect(opened.note.text("body")).toBe("");
    await opened.timers.advance(1);
    expect(opened.note.text("body")).toBe("a");
    opened.note.receive([second]);
    await opened.timers.advance(100);
    expect(opened.note.text("body")).toBe("a");
    opened.note.setHeld(false);
    await opened.timers.advance(0);
    expect(opened.note.text("body")).toBe("ab");
  });

  it("that Automerge refuses leave the note as it was, and the good ones beside them are applied", async () => {
    const saved = genesis({ body: "safe" });
    const opened = await openForTest({ saved });
    const good = elsewhere(saved, [
      { at: 0, insert: "a " },
      { at: 0, insert: "b " },
    ]);
    const broken = (good[1] ?? new Uint8Array()).slice();
    broken.fill(255, 60);
    const panics = (good[1] ?? new Uint8Array()).slice();
    panics[60] = (panics[60] ?? 0) ^ 255;
    type(opened, "!");
    opened.note.receive([broken]);
    await opened.timers.advance(100);
    expect(opened.note.text("body")).toBe("safe!");
    expect(opened.handle.doc().body).toBe("safe!");

    opened.note.receive([new Uint8Array([1, 2, 3]), ...good, panics]);
    await opened.timers.advance(100);
    expect(opened.note.text("body")).toBe("b a safe!");
    expect(opened.faults.map((fault) => fault.type)).toEqual(
      Array.from({ length: 3 }, () => "bad-changes"),
    );

    type(opened, "?");
    await opened.note.flush();
    expect(opened.handle.doc().body).toBe("b a safe!?");
    expect(opened.note.state).toBe("saved-here");
  });

  it("reach the other listeners when one throws", async () => {
    const saved = genesis();
    const opened = await openForTest({ saved });
    let heard = "";
    opened.note.onRemote(() => {
      throw new Error("a screen broke");
    });
    opened.note.onRemote((_field, splices) => (heard = applySplices("", splices)));
    opened.note.receive(elsewhere(saved, [{ at: 0, insert: "a" }]));
    await opened.timers.advance(0);
    expect(heard).toBe("a");
    expect(opened.faults.map((fault) => fault.type)).toEqual(["listener"]);
  });
});

describe("characters of two units", () => {
  it("are replaced whole when only one half differs", async () => {
    const opened = await openForTest({ body: "a😀b" });
    // 😀 and 😁 share their first half: an editor may well replace the second alone.
    opened.note.edit("body", [{ at: 2, remove: 1, insert: "\ude01" }]);
    await opened.note.flush();
    expect(opened.handle.doc().body).toBe("a😁b");
    expect(opened.note.text("body")).toBe("a😁b");
  });

  it("may arrive in halves", async () => {
    const opened = await openForTest();
    type(opened, "\ud83d");
    type(opened, "\ude00");
    await opened.note.flush();
    expect(opened.handle.doc().body).toBe("😀");
  });

  it("that stay half become one mark, on the screen too", async () => {
    const opened = await openForTest({ body: "a😀b" });
    let screen = "a\ude00b";
    opened.note.onRemote((_field, splices) => (screen = applySplices(screen, splices)));
    opened.note.edit("body", [{ at: 1, remove: 1, insert: "" }]);
    await opened.note.flush();
    await opened.timers.advance(0);
    expect(opened.handle.doc().body).toBe("a\ufffdb");
    expect(screen).toBe("a\ufffdb");
    expect(opened.note.text("body")).toBe("a\ufffdb");
  });
});

describe("cursors", () => {
  it("keep their place through edits, buffered or not", async () => {
    const saved = genesis({ body: "one two" });
    const here = await openForTest({ saved });
    const there = await openForTest({ saved, number: 1 });
    const cursor = there.note.cursorFor("body", 4);
    expect(here.note.offsetOf("body", cursor)).toBe(4);
    type(here, "zero ", 0);
    expect(here.note.offsetOf("body", cursor)).toBe(9);
    await here.note.flush();
    expect(here.note.offsetOf("body", cursor)).toBe(9);
    expect(here.note.offsetOf("body", here.note.cursorFor("body", 12))).toBe(12);
  });

  it("that name unknown text, or nothing, are null", async () => {
    const { note } = await openForTest({ body: "one" });
    expect(note.offsetOf("body", `7@${actorOf(55)}`)).toBeNull();
    expect(note.offsetOf("body", "nonsense")).toBeNull();
  });
});

it("an edit outside the text is refused before anything changes", async () => {
  const { note, journal } = await openForTest({ body: "abc" });
  expect(() => note.edit("body", [{ at: 2, remove: 2, insert: "" }])).toThrow(RangeError);
  expect(note.text("body")).toBe("abc");
  expect(journal.drafts).toHaveLength(0);
});

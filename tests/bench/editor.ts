import * as A from "@automerge/automerge/slim";
import { Repo } from "@automerge/automerge-repo/slim";
import { ChangeSet, EditorState, Text } from "@codemirror/state";

import type { NoteDocument } from "#client/device/api.ts";
import { OpenNote, type NoteTimers } from "#client/notes/open-note.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";
import { benchLongNote } from "./long-note.ts";
import type { Measurement } from "./measurement.ts";

const length = 100_000;
const repeats = 300;

/**
 * What the note costs on top of a bare CodeMirror transaction, in a note of 100,000 characters.
 * Without a screen: drawing costs the same in every row, and the end-to-end bench measures it.
 */
export async function benchEditor(): Promise<Measurement[]> {
  await loadAutomerge();
  const bare = benchBare();
  const alone = await benchTyping(false);
  const beside = await benchTyping(true);
  const { apply, typed } = await benchRemote();
  return [
    { name: "CodeMirror transaction, 1 character", ms: bare },
    { name: "note: keystroke, alone", ms: alone, ratio: alone / bare, note: "bare transaction" },
    {
      name: "note: keystroke, each one change",
      ms: beside,
      ratio: beside / bare,
      note: "bare transaction",
    },
    { name: "bare Automerge apply of 100 changes", ms: apply },
    {
      name: "note: batch of 100 changes → screen",
      ms: typed,
      ratio: typed / apply,
      note: "bare apply",
    },
    ...(await benchLongNote()),
  ];
}

function benchBare(): number {
  let state = EditorState.create({ doc: longText() });
  const times: number[] = [];
  for (let round = 0; round < repeats; round++) {
    times.push(
      timeOf(() => {
        state = state.update({ changes: { from: middle(round), insert: "x" } }).state;
      }),
    );
  }
  return median(times);
}

async function benchTyping(present: boolean): Promise<number> {
  const { note, clock } = await open(longText());
  note.setPresent(present);
  let state = EditorState.create({ doc: longText() });
  const times: number[] = [];
  for (let round = 0; round < repeats; round++) {
    clock.pass(present ? 60 : 20);
    const at = middle(round);
    times.push(
      timeOf(() => {
        state = state.update({ changes: { from: at, insert: "x" } }).state;
        note.edit("body", [{ at, remove: 0, insert: "x" }]);
      }),
    );
    // The journal answers between keystrokes, so that every one of them posts its draft.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return median(times);
}

async function benchRemote(): Promise<{ apply: number; typed: number }> {
  const { note, clock, saved } = await open(longText());
  const bare = A.load<NoteDocument>(saved);
  let writer = A.load<NoteDocument>(saved, { actor: "aa".repeat(16) });
  let screen = Text.of(longText().split("\n"));
  note.onRemote((_field, splices) => {
    for (const { at, remove, insert } of splices) {
      const change = { from: at, to: at + remove, insert };
      screen = ChangeSet.of(change, screen.length).apply(screen);
    }
  });
  const batches = Array.from({ length: 15 }, (_, batch) => {
    const heads = A.getHeads(writer);
    for (let step = 0; step < 100; step++) {
      writer = A.change(writer, (draft) =>
        A.splice(draft, ["body"], middle(batch * 100 + step), 0, "y"),
      );
    }
    return A.getChangesSince(writer, heads);
  });
  let applied = bare;
  const applyTimes: number[] = [];
  const noteTimes: number[] = [];
  // In turns, so that a machine that slows down slows both.
  for (const batch of batches) {
    applyTimes.push(timeOf(() => ([applied] = A.applyChanges(applied, batch))));
    noteTimes.push(
      timeOf(() => {
        note.receive(batch);
        clock.pass(100_000);
      }),
    );
  }
  if (screen.toString() !== note.text("body")) throw new Error("the screen is not the note");
  return { apply: median(applyTimes), typed: median(noteTimes) };
}

class BenchClock implements NoteTimers {
  #now = 0;
  #due: { readonly at: number; readonly run: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  after(ms: number, run: () => void): () => void {
    const entry = { at: this.#now + ms, run };
    this.#due.push(entry);
    return () => (this.#due = this.#due.filter((other) => other !== entry));
  }

  pass(ms: number): void {
    this.#now += ms;
    const due = this.#due.filter((entry) => entry.at <= this.#now);
    this.#due = this.#due.filter((entry) => entry.at > this.#now);
    for (const entry of due) entry.run();
  }
}

async function open(body: string) {
  const clock = new BenchClock();
  const document = A.from<NoteDocument & Record<string, unknown>>({
    format: 1,
    title: "",
    body,
    tags: {},
    attachments: {},
    createdAt: 0,
  });
  const saved = A.save(document);
  const handle = new Repo({}).import<NoteDocument>(saved);
  await handle.whenReady();
  const done = () => Promise.resolve();
  const journal = { draft: done, commit: done };
  const actor = "bb".repeat(16);
  const note = new OpenNote({ handle, session: "bench", actor, timers: clock, journal });
  return { note, clock, saved };
}

function longText(): string {
  return "The north side gets the morning sun. \n".repeat(length / 38 + 1).slice(0, length);
}

function middle(round: number): number {
  return length / 2 + (round % 60);
}

function timeOf(run: () => void): number {
  const start = performance.now();
  run();
  return performance.now() - start;
}

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
}

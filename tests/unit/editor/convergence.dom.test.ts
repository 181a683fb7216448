// @vitest-environment happy-dom
import { redo, undo } from "@codemirror/commands";
import type { ChangeSpec } from "@codemirror/state";
import { beforeAll, describe, expect, it } from "vitest";

import { loadAutomerge } from "#tests/support/automerge.ts";

import { genesis } from "../notes/open-note-setup.ts";
import { openEditor, type EditorForTest } from "./setup.ts";

beforeAll(loadAutomerge);

const beginning = "# Beds 🌱\n\n- [ ] order 😀 seeds\nThe north side.\n";
const pieces = ["a", " ", "\n", "😀", "🌱🌱", "- [ ] ", "**", "é", "\ud83d", "\ude00", "word"];

type Chance = (below: number) => number;

// mulberry32: small, seeded, good enough to draw operations (Tommy Ettinger, public domain).
function chanceFrom(seed: number): Chance {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

function writeSomething(editor: EditorForTest, chance: Chance): void {
  const { view } = editor;
  const length = view.state.doc.length;
  const at = chance(length + 1);
  const insert = pieces[chance(pieces.length)] ?? "";
  const kind = chance(12);
  if (kind < 5) view.dispatch({ changes: { from: at, insert }, userEvent: "input.type" });
  else if (kind < 8) {
    const to = Math.min(length, at + chance(6));
    view.dispatch({ changes: { from: at, to, insert: kind < 7 ? "" : insert } });
  } else if (kind === 8) {
    const changes: ChangeSpec[] = [
      { from: 0, insert },
      { from: at, to: Math.min(length, at + 1) },
      { from: length, insert },
    ];
    view.dispatch({ changes });
  } else if (kind === 9) undo(view);
  else if (kind === 10) redo(view);
  else view.dispatch({ selection: { anchor: at } });
}

async function exchange(editors: readonly EditorForTest[], chance: Chance): Promise<void> {
  for (const editor of editors) void editor.note.flush();
  for (const to of editors) {
    for (const from of editors) {
      if (from === to) continue;
      const changes = [...from.journal.changes];
      // Late, doubled and out of order, as a network may bring them.
      const shuffled = changes.toSorted(() => chance(3) - 1);
      to.note.receive(shuffled.slice(0, chance(shuffled.length + 1)));
      to.note.receive(shuffled);
    }
  }
  for (const editor of editors) await editor.timers.advance(100);
}

/** What is wrong after people wrote for a while, were cut off and met again: nothing. */
async function session(seed: number, people: number): Promise<string[]> {
  const chance = chanceFrom(seed);
  const saved = genesis({ body: beginning });
  const editors: EditorForTest[] = [];
  for (let number = 0; number < people; number++) {
    const editor = await openEditor({ saved, number });
    editor.note.setPresent(chance(2) === 0);
    editors.push(editor);
  }
  for (let round = 0; round < 4; round++) {
    for (let step = 0; step < 12; step++) {
      const writer = editors[chance(people)];
      if (!writer) continue;
      writeSomething(writer, chance);
      if (chance(4) === 0) await writer.timers.advance(chance(400));
      if (chance(6) === 0) {
        const reader = editors[chance(people)];
        if (reader && reader !== writer) reader.note.receive(writer.journal.changes);
      }
    }
    // Somebody may stay cut off until the end.
    await exchange(chance(2) === 0 ? editors : editors.slice(1), chance);
  }
  // Once for what was typed, once more for half pairs that became marks on somebody's screen.
  await exchange(editors, chance);
  await exchange(editors, chance);
  for (const editor of editors) await editor.timers.advance(2000);

  const [reference] = editors;
  const wrong = editors.flatMap((editor, index) =>
    reference
      ? disagreements(editor, reference).map((what) => `seed ${seed}, ${index}: ${what}`)
      : [],
  );
  for (const editor of editors) editor.editor.destroy();
  return wrong;
}

function disagreements(editor: EditorForTest, reference: EditorForTest): string[] {
  const screen = editor.view.state.doc.toString();
  const heads = (of: EditorForTest) => of.note.heads().toSorted().join();
  const claims: Record<string, boolean> = {
    "the screen shows its document": screen === editor.handle.doc().body,
    "the screen shows its note": screen === editor.note.text("body"),
    "the screen shows what the first one does": screen === reference.view.state.doc.toString(),
    "the heads are the first one's": heads(editor) === heads(reference),
    "nothing was repaired": editor.editor.health.repairs === 0,
    "nothing went wrong": editor.faults.length === 0,
    "all is saved": editor.note.state === "saved-here",
  };
  return Object.keys(claims).filter((claim) => !claims[claim]);
}

describe("people who write at once, apart for a while, see the same text in the end", () => {
  const seedsPerTest = 25;
  const firstSeeds = (first: number, last: number) =>
    Array.from(
      { length: (last - first + 1) / seedsPerTest },
      (_, run) => first + run * seedsPerTest,
    );

  it.each([
    ...firstSeeds(1, 200).map((first) => ({ people: 2, first })),
    ...firstSeeds(1001, 1050).map((first) => ({ people: 3, first })),
  ])("$people people, 25 seeds from $first on", { timeout: 60_000 }, async ({ people, first }) => {
    const wrong: string[] = [];
    for (let seed = first; seed < first + seedsPerTest; seed++) {
      wrong.push(...(await session(seed, people)));
    }
    expect(wrong).toEqual([]);
  });
});

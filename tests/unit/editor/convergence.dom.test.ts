// @vitest-environment happy-dom
import { redo, undo } from "@codemirror/commands";
import type { ChangeSpec } from "@codemirror/state";
import { describe, expect, it } from "vitest";

import { genesis } from "../notes/open-note-setup.ts";
import { openEditor, type EditorForTest } from "./setup.ts";

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

async function session(seed: number, people: number): Promise<void> {
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

  const texts = editors.map((editor) => editor.view.state.doc.toString());
  for (const [index, editor] of editors.entries()) {
    const heads = `${editor.note.heads().toSorted().join()}`;
    expect(editor.handle.doc().body, `seed ${seed}: document ${index}`).toBe(texts[index]);
    expect(editor.note.text("body"), `seed ${seed}: note ${index}`).toBe(texts[index]);
    expect(texts[index], `seed ${seed}: screen ${index}`).toBe(texts[0]);
    expect(heads).toBe(editors[0]?.note.heads().toSorted().join());
    expect(editor.editor.health.repairs, `seed ${seed}: repairs ${index}`).toBe(0);
    expect(editor.faults, `seed ${seed}: faults ${index}`).toEqual([]);
    expect(editor.note.state).toBe("saved-here");
    editor.editor.destroy();
  }
}

describe("people who write at once, apart for a while, see the same text in the end", () => {
  const seedsPerTest = 25;
  for (let first = 1; first <= 200; first += seedsPerTest) {
    it(
      `two people, seeds ${first} to ${first + seedsPerTest - 1}`,
      { timeout: 60_000 },
      async () => {
        for (let seed = first; seed < first + seedsPerTest; seed++) await session(seed, 2);
      },
    );
  }
  for (let first = 1001; first <= 1050; first += seedsPerTest) {
    it(
      `three people, seeds ${first} to ${first + seedsPerTest - 1}`,
      { timeout: 60_000 },
      async () => {
        for (let seed = first; seed < first + seedsPerTest; seed++) await session(seed, 3);
      },
    );
  }
});

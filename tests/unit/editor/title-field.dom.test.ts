// @vitest-environment happy-dom
import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";

import { bindTitleField, spliceBeforeCaret } from "#client/app/editor/title-field.ts";
import { applySplices } from "#client/notes/text-splices.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";

import { genesis, openForTest } from "../notes/open-note-setup.ts";

beforeAll(loadAutomerge);

async function openTitle(title: string, kind: "input" | "textarea" = "input") {
  const saved = genesis({ title });
  const opened = await openForTest({ saved, number: 1 });
  const input = document.createElement(kind);
  document.body.append(input);
  let bodyFocused = 0;
  const cursors: [number, number][] = [];
  const unbind = bindTitleField({
    input,
    note: opened.note,
    focusBody: () => bodyFocused++,
    onCursor: (anchor, head) => cursors.push([anchor, head]),
  });
  const type = (value: string, caret = value.length) => {
    input.value = value;
    input.setSelectionRange(caret, caret);
    input.dispatchEvent(new InputEvent("input", { bubbles: true }));
  };
  return { ...opened, saved, input, type, unbind, cursors, bodyFocused: () => bodyFocused };
}

describe("the title field", () => {
  it("records what is typed as one small splice", async () => {
    const { note, type, journal } = await openTitle("Garden");
    type("Garden plan");
    expect(note.text("title")).toBe("Garden plan");
    expect(journal.drafts[0]?.value.edits).toEqual([
      { field: "title", at: 6, remove: 0, insert: " plan" },
    ]);
    await note.flush();
    expect(journal.commits[0]?.value.title).toBe("Garden plan");
  });

  it("shows what others write and keeps the selection where it was", async () => {
    const here = await openTitle("Garden plan");
    const there = await openForTest({ saved: here.saved, number: 2 });
    here.input.focus();
    here.input.setSelectionRange(7, 11, "backward");
    there.note.edit("title", [{ at: 0, remove: 0, insert: "My " }]);
    await there.note.flush();
    here.note.receive(there.journal.changes);
    await here.timers.advance(100);
    expect(here.input.value).toBe("My Garden plan");
    expect([here.input.selectionStart, here.input.selectionEnd]).toEqual([10, 14]);
    expect(here.input.selectionDirection).toBe("backward");
  });

  it("leads on to the body with Enter, and is one line whatever is pasted", async () => {
    const { input, note, type, bodyFocused } = await openTitle("Garden", "textarea");
    const enter = new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true });
    input.dispatchEvent(enter);
    expect(enter.defaultPrevented).toBe(true);
    expect(bodyFocused()).toBe(1);
    type("Garden\r\nplan\n");
    expect(input.value).toBe("Garden plan ");
    expect(note.text("title")).toBe("Garden plan ");
  });

  it("says where the caret is", async () => {
    const { input, cursors } = await openTitle("Garden");
    input.setSelectionRange(1, 4);
    input.dispatchEvent(new Event("select"));
    expect(cursors.at(-1)).toEqual([1, 4]);
  });

  it("is left alone after it is unbound", async () => {
    const { note, type, unbind } = await openTitle("Garden");
    unbind();
    type("Other");
    expect(note.text("title")).toBe("Garden");
  });
});

describe("the splice of a field's new value", () => {
  it("is where the caret says it happened", () => {
    expect(spliceBeforeCaret("aa", "aaa", 1)).toEqual({ at: 0, remove: 0, insert: "a" });
    expect(spliceBeforeCaret("aa", "aaa", 3)).toEqual({ at: 2, remove: 0, insert: "a" });
    expect(spliceBeforeCaret("aaa", "aa", 1)).toEqual({ at: 1, remove: 1, insert: "" });
    expect(spliceBeforeCaret("a😀b", "a😁b", 3)).toEqual({ at: 1, remove: 2, insert: "😁" });
    expect(spliceBeforeCaret("same", "same", 2)).toBeNull();
  });

  it("always makes the new value", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "😀", "😁"), maxLength: 8 });
    fc.assert(
      fc.property(text, text, fc.nat(20), (before, after, at) => {
        const splice = spliceBeforeCaret(before, after, Math.min(at, after.length));
        expect(splice ? applySplices(before, [splice]) : before).toBe(after);
      }),
    );
  });
});

// @vitest-environment happy-dom
import { redo, undo } from "@codemirror/commands";
import { StateEffect } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import * as A from "@automerge/automerge/slim";
import { beforeAll, describe, expect, it } from "vitest";

import { loadAutomerge } from "#tests/support/automerge.ts";

import { genesis, type OpenedForTest } from "../notes/open-note-setup.ts";
import { marked, openEditor, typeText } from "./setup.ts";

beforeAll(loadAutomerge);

/** Gives each everything the other has committed. */
async function exchange(a: OpenedForTest, b: OpenedForTest): Promise<void> {
  await Promise.all([a.note.flush(), b.note.flush()]);
  a.note.receive(b.journal.changes);
  b.note.receive(a.journal.changes);
  await a.timers.advance(2000);
  await b.timers.advance(2000);
}

async function openTwo(body: string) {
  const saved = genesis({ body });
  const ana = await openEditor({ saved, number: 1 });
  const ben = await openEditor({ saved, number: 2 });
  return { ana, ben };
}

describe("the editor and the note", () => {
  it("agree after typing, in one change per pause", async () => {
    const { view, note, journal, timers, handle } = await openEditor({ body: "one |three" });
    for (const letter of "two ") typeText(view, letter);
    expect(note.text("body")).toBe("one two three");
    await timers.advance(300);
    expect(handle.doc().body).toBe("one two three");
    expect(journal.changes).toHaveLength(1);
    expect(A.decodeChange(journal.changes[0] ?? new Uint8Array()).ops).toHaveLength(4);
  });

  it("agree after a transaction that changes many places", async () => {
    const { view, note, timers, handle } = await openEditor({ body: "a b c d" });
    view.dispatch({
      changes: [
        { from: 0, to: 1, insert: "AAA" },
        { from: 2, to: 4 },
        { from: 6, insert: "😀" },
      ],
    });
    expect(note.text("body")).toBe(view.state.doc.toString());
    await timers.advance(300);
    expect(handle.doc().body).toBe("AAA c 😀d");
  });

  it("show what others write in one transaction that keeps selection and history", async () => {
    const { ana, ben } = await openTwo("one two three");
    ana.view.dispatch({ selection: { anchor: 4, head: 7 } });
    ben.view.dispatch({
      changes: [
        { from: 0, insert: "zero " },
        { from: 13, insert: "!" },
      ],
    });
    let transactions = 0;
    const count = EditorView.updateListener.of((update) => {
      transactions += update.transactions.length;
    });
    ana.view.dispatch({ effects: StateEffect.appendConfig.of(count) });
    transactions = 0;
    await exchange(ana, ben);
    expect(transactions).toBe(1);
    expect(marked(ana.view)).toBe("zero one |two| three!");
  });

  // The published binding leaves remote text in the history: there, undo turned "AhelloREMOTE" into
  // "Ahello", taking away what somebody else wrote and keeping what was typed here.
  it("never undo what somebody else wrote", async () => {
    const { ana, ben } = await openTwo("hello");
    ana.view.dispatch({ selection: { anchor: 0 } });
    typeText(ana.view, "A");
    ben.view.dispatch({ changes: { from: 5, insert: "REMOTE" } });
    await exchange(ana, ben);
    expect(ana.view.state.doc.toString()).toBe("AhelloREMOTE");

    undo(ana.view);
    expect(ana.view.state.doc.toString()).toBe("helloREMOTE");
    expect(undo(ana.view)).toBe(false);
    redo(ana.view);
    await exchange(ana, ben);
    expect(ben.view.state.doc.toString()).toBe("AhelloREMOTE");
  });

  it("agree on notes with carriage returns, and paste brings none", async () => {
    const { view, note, timers, handle, editor } = await openEditor({
      saved: genesis({ body: "a\r\nb" }),
    });
    expect(view.state.doc.toString()).toBe("a\r\nb");
    view.dispatch({ changes: { from: 4, insert: "c" } });
    await timers.advance(2000);
    expect(handle.doc().body).toBe("a\r\nbc");
    expect(note.text("body")).toBe(view.state.doc.toString());

    view.dispatch({ selection: { anchor: 5 } });
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", "1\r\n2\r3");
    view.contentDOM.dispatchEvent(
      new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }),
    );
    expect(view.state.doc.toString()).toBe("a\r\nbc1\n2\n3");
    expect(editor.health.repairs).toBe(0);
  });

  it("hold remote text while an input method composes", async () => {
    const { ana, ben } = await openTwo("");
    ben.view.dispatch({ changes: { from: 0, insert: "remote" } });
    await ben.note.flush();
    ana.view.contentDOM.dispatchEvent(new CompositionEvent("compositionstart"));
    ana.note.receive(ben.journal.changes);
    await ana.timers.advance(1000);
    expect(ana.view.state.doc.toString()).toBe("");
    ana.view.contentDOM.dispatchEvent(new CompositionEvent("compositionend"));
    await ana.timers.advance(0);
    expect(ana.view.state.doc.toString()).toBe("remote");
  });

  it("are made equal again, and it is counted, when a screen missed something", async () => {
    const { ana, ben } = await openTwo("hello");
    const dispatch = ana.view.dispatch.bind(ana.view);
    ana.view.dispatch = () => {
      throw new Error("an extension broke");
    };
    ben.view.dispatch({ changes: { from: 5, insert: " world" } });
    await ben.note.flush();
    ana.note.receive(ben.journal.changes);
    await ana.timers.advance(10);
    ana.view.dispatch = dispatch;
    expect(ana.view.state.doc.toString()).toBe("hello");

    await ana.timers.advance(2000);
    expect(ana.view.state.doc.toString()).toBe("hello world");
    expect(ana.editor.health.repairs).toBe(1);
    expect(undo(ana.view)).toBe(false);
  });

  async function openWithGap() {
    const { ana, ben } = await openTwo("hello");
    const edit = ana.note.edit.bind(ana.note);
    ana.note.edit = () => {
      throw new Error("out of memory");
    };
    const logged = console.error;
    console.error = () => undefined;
    ana.view.dispatch({ changes: { from: 5, insert: " there" } });
    console.error = logged;
    ana.note.edit = edit;
    expect(ana.note.text("body")).toBe("hello");
    return { ana, ben };
  }

  it("lose no typing when recording it once failed: the next typing brings it along", async () => {
    const { ana } = await openWithGap();
    ana.view.dispatch({ changes: { from: 0, insert: "oh, " } });
    expect(ana.note.text("body")).toBe("oh, hello there");
    ana.view.dispatch({ changes: { from: 15, insert: "!" } });
    expect(ana.note.text("body")).toBe("oh, hello there!");
  });

  it("lose no typing when recording it once failed and others wrote meanwhile", async () => {
    const { ana, ben } = await openWithGap();
    ben.view.dispatch({ changes: { from: 0, insert: "oh, " } });
    await exchange(ana, ben);
    await exchange(ana, ben);
    expect(ana.note.text("body")).toBe("oh, hello there");
    expect(ana.view.state.doc.toString()).toBe("oh, hello there");
    expect(ben.view.state.doc.toString()).toBe("oh, hello there");
  });

  it("say where the caret is", async () => {
    const { view, cursors } = await openEditor({ body: "hello" });
    view.dispatch({ selection: { anchor: 1, head: 3 } });
    expect(cursors.at(-1)).toEqual([1, 3]);
  });

  it("stop hearing of each other when the editor is destroyed", async () => {
    const { ana, ben } = await openTwo("hello");
    ana.editor.destroy();
    ben.view.dispatch({ changes: { from: 0, insert: "x" } });
    await exchange(ana, ben);
    expect(ana.note.text("body")).toBe("xhello");
    expect(ana.view.state.doc.toString()).toBe("hello");
  });
});

describe("the editor", () => {
  it("is a named, spell-checked text box", async () => {
    const { view } = await openEditor();
    const attributes = ["role", "aria-multiline", "aria-label", "spellcheck", "contenteditable"];
    expect(attributes.map((name) => view.contentDOM.getAttribute(name))).toEqual([
      "textbox",
      "true",
      "Note body",
      "true",
      "true",
    ]);
  });

  it("can be made read-only and writable again", async () => {
    const { view, editor } = await openEditor({ body: "x", readOnly: true });
    expect(view.state.readOnly).toBe(true);
    expect(view.contentDOM.getAttribute("aria-readonly")).toBe("true");
    expect(view.contentDOM.getAttribute("contenteditable")).toBe("false");
    editor.setReadOnly(false);
    expect(view.state.readOnly).toBe(false);
    expect(view.contentDOM.getAttribute("contenteditable")).toBe("true");
  });
});

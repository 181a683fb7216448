// @vitest-environment happy-dom
import { beforeAll, describe, expect, it } from "vitest";

import { shownPeers } from "#client/app/editor/carets.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";

import { openEditor, typeText } from "./setup.ts";

beforeAll(loadAutomerge);

const ben = { peer: "p1", name: "Ben", hue: 3, anchor: 4, head: 7 };

describe("other people's carets", () => {
  it("are drawn with their name, their hue and their selection", async () => {
    const { view, editor } = await openEditor({ body: "one two three" });
    editor.setPeers([ben, { peer: "p2", name: "Cleo", hue: 0, anchor: 0, head: 0 }]);
    const carets = [...view.contentDOM.querySelectorAll(".cm-peer-caret")];
    expect(carets.map((caret) => caret.getAttribute("aria-label"))).toEqual([
      "Cleo is writing here",
      "Ben is writing here",
    ]);
    expect(carets[1]?.classList.contains("cm-peer-3")).toBe(true);
    expect(carets[1]?.querySelector(".cm-peer-name")?.textContent).toBe("Ben");
    expect(view.contentDOM.querySelector(".cm-peer-selection")?.textContent).toBe("two");
    editor.setPeers([]);
    expect(view.contentDOM.querySelector(".cm-peer-caret")).toBeNull();
  });

  it("move along with the text around them, behind what others write and before what is typed here", async () => {
    const { view, note, editor, timers } = await openEditor({ body: "one two" });
    editor.setPeers([{ ...ben, anchor: 3, head: 3 }]);
    view.dispatch({ changes: { from: 0, insert: ">>" } });
    expect(shownPeers(view.state)[0]).toMatchObject({ anchor: 5, head: 5 });
    view.dispatch({ selection: { anchor: 5 } });
    typeText(view, "mine");
    expect(shownPeers(view.state)[0]?.head).toBe(5);

    await note.flush();
    const other = await openEditor({ body: "one two", number: 1 });
    other.view.dispatch({ changes: { from: 3, insert: "theirs" } });
    await other.note.flush();
    editor.setPeers([{ ...ben, anchor: 9, head: 9 }]);
    note.receive(other.journal.changes);
    await timers.advance(100);
    const at = view.state.doc.toString().indexOf("theirs");
    expect([at, at + 6]).toContain(shownPeers(view.state)[0]?.head);
  });

  it("show the name anew when they are moved, not when text moves them", async () => {
    const { view, editor } = await openEditor({ body: "one two" });
    const caret = () => view.contentDOM.querySelector(".cm-peer-caret");
    editor.setPeers([{ ...ben, anchor: 7, head: 7 }]);
    const first = caret();
    view.dispatch({ changes: { from: 0, insert: ">" } });
    editor.setPeers([{ ...ben, anchor: 8, head: 8 }]);
    expect(caret()).toBe(first);
    editor.setPeers([{ ...ben, anchor: 2, head: 2 }]);
    expect(caret()).not.toBe(first);
  });

  it("outside of the text stand at its edge", async () => {
    const { view, editor } = await openEditor({ body: "one" });
    editor.setPeers([{ ...ben, anchor: -5, head: 99 }]);
    expect(shownPeers(view.state)[0]).toMatchObject({ anchor: 0, head: 3 });
  });

  it("leave this person's undo alone", async () => {
    const { view, editor } = await openEditor({ body: "one|" });
    typeText(view, "!");
    editor.setPeers([ben]);
    expect(view.state.doc.toString()).toBe("one!");
  });
});

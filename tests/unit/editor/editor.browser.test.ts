import wasm from "@automerge/automerge/automerge.wasm?url";
import { initializeWasm } from "@automerge/automerge-repo/slim";
import { beforeAll, describe, expect, it } from "vitest";
import { userEvent } from "vitest/browser";

import { adoptEditorStyles } from "#client/app/editor/theme.ts";

import { genesis } from "../notes/open-note-setup.ts";
import { openEditor, type EditorForTest } from "./setup.ts";

beforeAll(async () => {
  await initializeWasm(wasm);
  adoptEditorStyles();
});

const longBody = Array.from({ length: 400 }, (_, line) => `line ${line}`).join("\n");

/** Everything asked for in this frame has been drawn. */
async function drawn(): Promise<void> {
  for (let frame = 0; frame < 3; frame++) await new Promise(requestAnimationFrame);
}

async function writeAbove(reader: EditorForTest, saved: Uint8Array): Promise<void> {
  const writer = await openEditor({ saved, number: 1 });
  const insert = `${"new line\n".repeat(7)}${"long ".repeat(200)}\n`;
  writer.view.dispatch({ changes: { from: 0, insert } });
  await writer.note.flush();
  writer.editor.destroy();
  reader.note.receive(writer.journal.changes);
  await reader.timers.advance(100);
  await drawn();
}

function topOf(editor: EditorForTest, text: string): number | undefined {
  const lines = [...editor.view.contentDOM.querySelectorAll(".cm-line")];
  return lines.find((line) => line.textContent === text)?.getBoundingClientRect().top;
}

describe("an editor in a browser", () => {
  it("is styled without any style element", async () => {
    const { view, editor } = await openEditor({ body: "text" });
    expect(document.querySelectorAll("style[class^=cm], .cm-editor style")).toHaveLength(0);
    expect(document.adoptedStyleSheets.length).toBeGreaterThan(0);
    expect(getComputedStyle(view.contentDOM).whiteSpace).toBe("break-spaces");
    expect(getComputedStyle(view.contentDOM).lineHeight).toBe("28px");
    editor.destroy();
  });

  it("ticks a task with a click, on the screen and in the note", async () => {
    const { view, note, editor } = await openEditor({ body: "- [ ] dig\n\n|" });
    const box = view.contentDOM.querySelector("input");
    if (!box) throw new Error("a task has a box");
    await userEvent.click(box);
    expect(note.text("body")).toBe("- [x] dig\n\n");
    expect(box.isConnected && box.checked).toBe(true);
    await userEvent.click(box);
    expect(note.text("body")).toBe("- [ ] dig\n\n");
    expect(box.checked).toBe(false);
    editor.destroy();
  });

  it("records what is typed with a keyboard", async () => {
    const { view, note, editor } = await openEditor({ body: "- [ ] one|" });
    view.focus();
    await userEvent.keyboard("{Enter}two{Control>}b{/Control}");
    expect(view.state.doc.toString()).toBe("- [ ] one\n- [ ] **two**");
    expect(note.text("body")).toBe(view.state.doc.toString());
    editor.destroy();
  });

  it.each(["the page around it", "the page around it, with the focus", "the editor itself"])(
    "keeps what is read in its place while others write above, where %s scrolls",
    async (where) => {
      const saved = genesis({ body: longBody });
      const reader = await openEditor({ saved });
      const { view, editor } = reader;
      const outer = view.dom.parentElement ?? view.dom;
      const scroller = where === "the editor itself" ? view.scrollDOM : outer;
      const frame = where === "the editor itself" ? view.dom : outer;
      frame.style.height = "400px";
      if (scroller === outer) outer.style.overflow = "auto";
      if (where.endsWith("focus")) view.contentDOM.focus({ preventScroll: true });
      await drawn();
      scroller.scrollTop = 4000;
      await drawn();
      const before = topOf(reader, "line 150");
      expect(before).toBeDefined();

      await writeAbove(reader, saved);
      expect(topOf(reader, "line 150")).toBeCloseTo(before ?? 0, 0);
      expect(scroller.scrollTop).toBeGreaterThan(4200);
      editor.destroy();
      outer.remove();
    },
  );

  it("shows a name beside a caret that moved, and only for a while", async () => {
    const { view, editor } = await openEditor({ body: "one two" });
    editor.setPeers([{ peer: "p", name: "Ben", hue: 2, anchor: 3, head: 3 }]);
    await drawn();
    const name = view.contentDOM.querySelector(".cm-peer-name");
    if (!name) throw new Error("a caret has a name");
    expect(getComputedStyle(name).opacity).toBe("1");
    const [animation] = name.getAnimations();
    expect(animation?.effect?.getTiming().duration).toBe(2000);
    animation?.finish();
    expect(getComputedStyle(name).opacity).toBe("0");
    editor.destroy();
  });
});

// @vitest-environment happy-dom
import * as A from "@automerge/automerge/slim";
import type { EditorView } from "@codemirror/view";
import { beforeAll, describe, expect, it } from "vitest";

import { linkAt } from "#client/app/editor/live-preview.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";

import { genesis } from "../notes/open-note-setup.ts";
import { marked, openEditor, press } from "./setup.ts";

beforeAll(loadAutomerge);

/** What a reader sees: the lines as they are drawn, with boxes as ☐ and ☑. */
function shown(view: EditorView): string[] {
  return [...view.contentDOM.querySelectorAll(".cm-line")].map((line) => {
    const copy = line.cloneNode(true);
    if (!(copy instanceof HTMLElement)) return "";
    const boxes = copy.querySelectorAll<HTMLInputElement>("input[type=checkbox]");
    for (const box of boxes) box.replaceWith(box.hasAttribute("checked") ? "☑" : "☐");
    return copy.textContent ?? "";
  });
}

async function preview(body: string, options: { readOnly?: boolean } = {}) {
  const opened = await openEditor({ body, ...options });
  const classed = (name: string) =>
    [...opened.view.contentDOM.querySelectorAll(`.${name}`)].map((element) => element.textContent);
  return { ...opened, classed };
}

describe("away from the caret", () => {
  it.each([
    ["a heading", "## Beds", "Beds", "cm-heading-2", "Beds"],
    ["emphasis", "so *very* good", "so very good", "cm-emphasis", "very"],
    ["strong text", "so **very** good", "so very good", "cm-strong", "very"],
    ["strikethrough", "so ~~very~~ good", "so very good", "cm-strike", "very"],
    ["inline code", "run `make` now", "run make now", "cm-inline-code", "make"],
    ["a link", 'the [plan](https://example.org "title") is', "the plan is", "cm-link", "plan"],
    [
      "an address in brackets",
      "<https://example.org>",
      "https://example.org",
      "cm-link",
      "https://example.org",
    ],
    [
      "a bare address",
      "at https://example.org now",
      "at https://example.org now",
      "cm-link",
      "https://example.org",
    ],
    ["a bullet", "- seeds", "• seeds", "cm-bullet", "•"],
    ["a number", "1. seeds", "1. seeds", "cm-mark", "1."],
    ["a quote", "> said", "said", "cm-quote", "said"],
    ["a rule", "***", "", "cm-rule", ""],
    ["an escape", "\\*so\\*", "*so*", "cm-line", "*so*"],
  ])("%s is drawn without its marks", async (_name, body, line, className, text) => {
    const { view, classed } = await preview(`${body}\n\nelsewhere|`);
    expect(shown(view)[0]).toBe(line);
    expect(classed(className)).toContain(text);
  });

  it("a table keeps its bars, in letters of one width", async () => {
    const { view } = await openEditor({
      saved: genesis({ body: "| a | b |\n|---|---|\n| 1 | 2 |" }),
    });
    const lines = [...view.contentDOM.querySelectorAll(".cm-table-line")];
    expect(lines.map((line) => line.textContent)).toEqual(["| a | b |", "|---|---|", "| 1 | 2 |"]);
  });

  it("fenced code is one block, its fences empty lines and its marks untouched", async () => {
    const { view, classed } = await preview("```js\nlet *a* = 1;\n```\n\n|");
    expect(shown(view).slice(0, 3)).toEqual(["js", "let *a* = 1;", ""]);
    expect(classed("cm-code-line")).toHaveLength(3);
    expect(classed("cm-code-first")).toEqual(["js"]);
    expect(classed("cm-code-last")).toEqual([""]);
    expect(classed("cm-emphasis")).toEqual([]);
  });

  it("tasks are real checkboxes named for what is to be done", async () => {
    const { view, classed } = await preview("- [ ] order seeds\n- [x] dig\n\n|");
    expect(shown(view).slice(0, 2)).toEqual(["☐ order seeds", "☑ dig"]);
    const boxes = [...view.contentDOM.querySelectorAll("input")];
    expect(boxes.map((box) => box.getAttribute("aria-label"))).toEqual(["order seeds", "dig"]);
    expect(boxes.map((box) => box.checked)).toEqual([false, true]);
    expect(classed("cm-task-done")).toEqual(["dig"]);
  });
});

describe("where the selection touches a line", () => {
  it("nothing in it is hidden, and only in it", async () => {
    const body = "# Be|ds\n- [ ] **order**\n> `seeds`";
    const { view } = await preview(body);
    expect(shown(view)).toEqual(["# Beds", "☐ order", "seeds"]);
    view.dispatch({ selection: { anchor: 10 } });
    expect(shown(view)).toEqual(["Beds", "- [ ] **order**", "seeds"]);
    view.dispatch({ selection: { anchor: 10, head: view.state.doc.length } });
    expect(shown(view)).toEqual(["Beds", "- [ ] **order**", "> `seeds`"]);
  });

  it("is no line of a note that nobody entered yet, nor of one that cannot be written in", async () => {
    expect(shown((await preview("# Beds")).view)).toEqual(["Beds"]);
    const { view } = await preview("# Be|ds", { readOnly: true });
    expect(shown(view)).toEqual(["Beds"]);
  });
});

describe("a checkbox", () => {
  it("ticked by a click changes one character, as a change of this person's that can be undone", async () => {
    const { view, note, journal } = await preview("- [ ] 😀\n- [ ] dig\n\n|");
    const before = note.heads();
    const [, box] = view.contentDOM.querySelectorAll("input");
    box?.click();
    expect(note.text("body")).toBe("- [ ] 😀\n- [x] dig\n\n");
    expect(shown(view)[1]).toBe("☑ dig");
    await note.flush();
    expect(journal.drafts[0]?.value).toMatchObject({
      heads: before,
      edits: [{ field: "body", at: 12, remove: 1, insert: "x" }],
    });
    expect(A.decodeChange(journal.changes[0] ?? new Uint8Array()).ops).toHaveLength(2);
    expect(view.contentDOM.querySelectorAll("input")[1]).toBe(box);
    expect(box?.checked).toBe(true);
    press(view, "z", { ctrlKey: true });
    expect(note.text("body")).toBe("- [ ] 😀\n- [ ] dig\n\n");
  });

  it("is ticked and cleared by Mod-Enter on its line", async () => {
    const { view, note } = await preview("- [ ] seeds|\n- [ ] dig");
    expect(press(view, "Enter", { ctrlKey: true })).toBe(true);
    expect(note.text("body")).toBe("- [x] seeds\n- [ ] dig");
    press(view, "Enter", { ctrlKey: true });
    expect(note.text("body")).toBe("- [ ] seeds\n- [ ] dig");
    expect(marked(view)).toBe("- [ ] seeds|\n- [ ] dig");
  });

  it("stays as it is in a note that cannot be written in", async () => {
    const { view, note } = await preview("- [ ] seeds", { readOnly: true });
    const box = view.contentDOM.querySelector("input");
    expect(box?.disabled).toBe(true);
    box?.dispatchEvent(new MouseEvent("click", { bubbles: true, cancelable: true }));
    expect(note.text("body")).toBe("- [ ] seeds");
  });
});

describe("links", () => {
  it("open with Mod-click, and only then", async () => {
    const { view, opened } = await preview("see [plan](https://example.org/a)\n\n|");
    // Nothing has a place without layout: the point is taken for the link.
    view.posAtCoords = (() => 6) as typeof view.posAtCoords;
    const link = view.contentDOM.querySelector(".cm-link");
    const click = (init: MouseEventInit) =>
      link?.dispatchEvent(
        new MouseEvent("mousedown", { bubbles: true, cancelable: true, ...init }),
      );
    click({ ctrlKey: true, button: 2 });
    expect(opened).toEqual([]);
    click({ ctrlKey: true, button: 0 });
    expect(opened).toEqual(["https://example.org/a"]);
  });

  it.each([
    ["[a](https://example.org)", "https://example.org/"],
    ["[a](HTTP://example.org/x)", "http://example.org/x"],
    ["[a](mailto:ana@example.org)", "mailto:ana@example.org"],
    ["[a](<https://example.org/b c>)", "https://example.org/b%20c"],
    ["<ana@example.org>", "mailto:ana@example.org"],
    ["www.example.org", "https://www.example.org/"],
    ["[a](javascript:alert(1))", null],
    ["[a](data:text/html,x)", null],
    ["[a](file:///etc/passwd)", null],
    ["[a](/relative)", null],
    ["plain", null],
  ])("%s leads to %s", async (body, address) => {
    const { view } = await preview(body);
    expect(linkAt(view.state, 2)).toBe(address);
  });
});

// @vitest-environment happy-dom
import { beforeAll, describe, expect, it } from "vitest";

import { readItem } from "#client/app/editor/list-item.ts";
import { loadAutomerge } from "#tests/support/automerge.ts";

import { marked, openEditor, press, typeText } from "./setup.ts";

beforeAll(loadAutomerge);

async function afterKey(body: string, key: string, modifiers: KeyboardEventInit = {}) {
  const { view } = await openEditor({ body });
  press(view, key, modifiers);
  return marked(view);
}

const mod = { ctrlKey: true };

describe("marks around text", () => {
  it.each([
    ["b", "make |this| strong", "make **|this|** strong"],
    ["b", "make **|this|** plain", "make |this| plain"],
    ["b", "make |**this**| plain", "make |this| plain"],
    ["b", "make **th|is** plain", "make th|is plain"],
    ["b", "a wo|rd here", "a **wo|rd** here"],
    ["b", "nothing |", "nothing **|**"],
    ["b", "nothing **|**", "nothing |"],
    ["b", "spaces| around |it", "spaces **|around|** it"],
    ["i", "an |emphasis|", "an *|emphasis|*"],
    ["i", "an *emph|asis*", "an emph|asis"],
    ["i", "both **|strong|**", "both ***|strong|***"],
    ["e", "run |make|", "run `|make|`"],
    ["e", "run `ma|ke`", "run ma|ke"],
  ])("Mod-%s: %s → %s", async (key, before, after) => {
    expect(await afterKey(before, key, mod)).toBe(after);
  });
});

describe("Mod-k", () => {
  it.each([
    ["a |plan| here", "a [plan](|) here"],
    ["a | here", "a | here"],
    ["see |https://example.org|", "see [|](https://example.org)"],
  ])("%s → %s", async (before, after) => {
    expect(await afterKey(before, "k", mod)).toBe(after);
  });
});

describe("lists", () => {
  const shifted = { ctrlKey: true, shiftKey: true };
  it.each([
    ["&", "|one\n\ntwo|", "1. |one\n\n2. two|"],
    ["&", "1. on|e", "on|e"],
    ["*", "on|e", "- on|e"],
    ["*", "- on|e", "on|e"],
    ["*", "- [x] on|e", "- on|e"],
    ["(", "on|e", "- [ ] on|e"],
    ["(", "  - |one\n  2. two|", "  - [ ] |one\n  - [ ] two|"],
    ["(", "> |", "> - [ ] |"],
    ["(", "|", "- [ ] |"],
  ])("Mod-Shift-%s: %s → %s", async (key, before, after) => {
    expect(await afterKey(before, key, shifted)).toBe(after);
  });

  it.each([
    ["continues a bullet", "- one|", "- one\n- |"],
    ["continues a task, open again", "- [x] one|", "- [x] one\n- [ ] |"],
    ["counts on", "9) nine|", "9) nine\n10) |"],
    ["splits an item", "- one| two", "- one\n- | two"],
    ["keeps the indent", "- a\n  - b|", "- a\n  - b\n  - |"],
    ["continues a quote", "> said|", "> said\n> |"],
    ["continues a list in a quote", "> - said|", "> - said\n> - |"],
    ["ends the list in an empty item", "- one\n- |", "- one\n|"],
    ["ends the list in an empty task", "- [ ] |", "|"],
    ["ends an inner list first", "1. a\n   - |", "1. a\n2. |"],
    ["ends an empty quote", "> |", "|"],
    ["before an item's text makes a plain line", "|- one", "\n|- one"],
    ["is plain elsewhere", "one|", "one\n|"],
    ["is plain in code", "```\n- one|\n```", "```\n- one\n|\n```"],
    ["is plain after a rule", "---|", "---\n|"],
  ])("Enter %s", async (_name, before, after) => {
    expect(await afterKey(before, "Enter")).toBe(after);
  });

  it.each([
    ["- a\n- b|", {}, "- a\n  - b|"],
    ["1. a\n2. b|", {}, "1. a\n   2. b|"],
    ["- a\n  - b|", { shiftKey: true }, "- a\n- b|"],
    ["- a\n  - b\n    - c|", { shiftKey: true }, "- a\n  - b\n  - c|"],
    ["> - a\n> - b|", {}, "> - a\n>   - b|"],
  ])("Tab in %s", async (before, modifiers, after) => {
    expect(await afterKey(before, "Tab", modifiers)).toBe(after);
  });

  it("leave Tab to the page outside of lists, and after Escape", async () => {
    const plain = await openEditor({ body: "one|" });
    expect(press(plain.view, "Tab")).toBe(false);
    const list = await openEditor({ body: "- one|" });
    press(list.view, "Escape");
    expect(press(list.view, "Tab")).toBe(false);
    expect(marked(list.view)).toBe("- one|");
  });

  it("are read from lines as Markdown reads them", () => {
    expect(readItem("- [x] a")).toMatchObject({ mark: "-", task: true, textAt: 6, number: null });
    expect(readItem(" 12) a")).toMatchObject({ mark: "12)", number: 12, markAt: 1, textAt: 5 });
    expect(readItem("-a")).toBeNull();
    expect(readItem("* * *")).toBeNull();
    expect(readItem("- [x]a")).toMatchObject({ task: false, textAt: 2 });
  });
});

describe("pasting an address", () => {
  async function paste(body: string, text: string) {
    const { view } = await openEditor({ body });
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", text);
    view.contentDOM.dispatchEvent(
      new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }),
    );
    return marked(view);
  }

  it.each([
    ["the |plan|", "https://example.org/a", "the [plan](https://example.org/a)|"],
    ["the |plan|", " mailto:ana@example.org\n", "the [plan](mailto:ana@example.org)|"],
    ["the |plan|", "javascript:alert(1)", "the javascript:alert(1)|"],
    ["the |plan|", "two words", "the two words|"],
    ["the |", "https://example.org", "the https://example.org|"],
    ["|https://a.example|", "https://b.example", "https://b.example|"],
  ])("over %s: %s", async (body, text, after) => {
    expect(await paste(body, text)).toBe(after);
  });
});

it("nothing changes a note that cannot be written in", async () => {
  const { view, note } = await openEditor({ body: "- a |word|", readOnly: true });
  for (const key of ["b", "i", "e", "k", "Enter"]) press(view, key, mod);
  for (const key of ["&", "*", "("]) press(view, key, { ctrlKey: true, shiftKey: true });
  press(view, "Enter");
  press(view, "Tab");
  expect(note.text("body")).toBe("- a word");
});

it("what a command did is one step back", async () => {
  const { view } = await openEditor({ body: "|one\ntwo|" });
  press(view, "*", { ctrlKey: true, shiftKey: true });
  typeText(view, "x");
  press(view, "z", mod);
  press(view, "z", mod);
  expect(view.state.doc.toString()).toBe("one\ntwo");
});

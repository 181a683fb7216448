import { EditorSelection } from "@codemirror/state";
import type { EditorView } from "@codemirror/view";

import { createEditor, type NoteEditor } from "#client/app/editor/editor.ts";
import { openForTest, type OpenedForTest } from "../notes/open-note-setup.ts";

export interface EditorForTest extends OpenedForTest {
  readonly editor: NoteEditor;
  readonly view: EditorView;
  readonly opened: string[];
  readonly cursors: [number, number][];
}

/** An editor in the page; "|" in `body` is where the caret stands, two of them are a selection. */
export async function openEditor(
  options: Parameters<typeof openForTest>[0] & { readOnly?: boolean } = {},
): Promise<EditorForTest> {
  const marked = options.body;
  const [before = "", selected, after] = (marked ?? "").split("|");
  const body = before + (selected ?? "") + (after ?? "");
  const note = await openForTest(marked === undefined ? options : { ...options, body });
  const opened: string[] = [];
  const cursors: [number, number][] = [];
  const parent = document.createElement("div");
  document.body.append(parent);
  const editor = createEditor({
    parent,
    note: note.note,
    readOnly: options.readOnly ?? false,
    label: "Note body",
    placeholder: "Write something.",
    onCursor: (anchor, head) => cursors.push([anchor, head]),
    openLink: (address) => opened.push(address),
  });
  const { view } = editor;
  if (selected !== undefined) {
    const head = after === undefined ? before.length : before.length + selected.length;
    view.dispatch({ selection: EditorSelection.single(before.length, head) });
  }
  return { ...note, editor, view, opened, cursors };
}

/** The text with "|" where the caret stands, or around the selection. */
export function marked(view: EditorView): string {
  const { from, to, empty } = view.state.selection.main;
  const text = view.state.doc.toString();
  const tail = empty ? text.slice(to) : `${text.slice(from, to)}|${text.slice(to)}`;
  return `${text.slice(0, from)}|${tail}`;
}

export function press(
  view: EditorView,
  key: string,
  modifiers: Partial<KeyboardEventInit> = {},
): boolean {
  const event = new KeyboardEvent("keydown", {
    key,
    keyCode: keyCodes[key] ?? key.toUpperCase().charCodeAt(0),
    bubbles: true,
    cancelable: true,
    ...modifiers,
  } as KeyboardEventInit);
  view.contentDOM.dispatchEvent(event);
  return event.defaultPrevented;
}

const keyCodes: Record<string, number> = {
  Enter: 13,
  Tab: 9,
  Escape: 27,
  "&": 55,
  "*": 56,
  "(": 57,
};

/** Types as a keyboard does: what is selected is replaced. */
export function typeText(view: EditorView, text: string): void {
  view.dispatch(view.state.replaceSelection(text), { userEvent: "input.type" });
}

import { defaultKeymap, history, historyKeymap } from "@codemirror/commands";
import { syntaxTree } from "@codemirror/language";
import {
  EditorSelection,
  Prec,
  type EditorState,
  type Extension,
  type Line,
  type SelectionRange,
  type StateCommand,
  type TransactionSpec,
} from "@codemirror/state";
import { EditorView, keymap, type KeyBinding } from "@codemirror/view";
import type { SyntaxNode } from "@lezer/common";

import { toggleTasks } from "./live-preview.ts";
import { readItem, readQuote, type Item } from "./list-item.ts";

/** Keys, undo, and what typing and pasting do to Markdown. Escape, then Tab leaves the editor. */
export function editingCommands(): Extension {
  return [
    history(),
    Prec.high(keymap.of(markdownKeymap)),
    keymap.of([...defaultKeymap, ...historyKeymap]),
    EditorView.domEventHandlers({
      paste: (event, view) => {
        const pasted = event.clipboardData?.getData("text/plain") ?? "";
        if (!linkSelectionTo(pasted)(view)) return false;
        event.preventDefault();
        return true;
      },
    }),
  ];
}

export const toggleStrong = toggleAround("StrongEmphasis", "**");
export const toggleEmphasis = toggleAround("Emphasis", "*");
export const toggleInlineCode = toggleAround("InlineCode", "`");
export const toggleOrderedList = toggleList("ordered");
export const toggleBulletList = toggleList("bullet");
export const toggleTaskList = toggleList("task");

const markdownKeymap: readonly KeyBinding[] = [
  { key: "Mod-b", run: toggleStrong },
  { key: "Mod-i", run: toggleEmphasis },
  { key: "Mod-e", run: toggleInlineCode },
  { key: "Mod-k", run: insertLink },
  { key: "Mod-Shift-7", run: toggleOrderedList },
  { key: "Mod-Shift-8", run: toggleBulletList },
  { key: "Mod-Shift-9", run: toggleTaskList },
  { key: "Mod-Enter", run: toggleTasks },
  { key: "Enter", run: continueItem },
  { key: "Tab", run: indentItems, shift: outdentItems },
];

// ── emphasis, code, links ───────────────────────────────────────────────────────────────────────

/** Puts marks around the selection or the word at the caret, or takes away those around it. */
function toggleAround(nodeName: string, marks: string): StateCommand {
  return ({ state, dispatch }) => {
    if (state.readOnly) return false;
    const spec = state.changeByRange((range) => {
      const around = nodeAround(state, range, nodeName);
      if (around) return unwrap(range, around.marks);
      const { from, to } = textToWrap(state, range);
      const size = marks.length;
      const isBetweenMarks =
        from === to && state.sliceDoc(from - size, from + size) === marks + marks;
      if (isBetweenMarks) return unwrap(range, [{ from: from - size, to: from + size }]);
      return {
        changes: [
          { from, insert: marks },
          { from: to, insert: marks },
        ],
        range: EditorSelection.range(
          clamp(range.anchor, from, to) + size,
          clamp(range.head, from, to) + size,
        ),
      };
    });
    dispatch(state.update(spec, { userEvent: "input.format", scrollIntoView: true }));
    return true;
  };
}

interface Span {
  readonly from: number;
  readonly to: number;
}

function nodeAround(
  state: EditorState,
  range: SelectionRange,
  nodeName: string,
): { readonly marks: readonly Span[] } | null {
  for (const side of [1, -1] as const) {
    let node: SyntaxNode | null = syntaxTree(state).resolveInner(
      side === 1 ? range.from : range.to,
      side,
    );
    while (node && (node.name !== nodeName || node.from > range.from || node.to < range.to)) {
      node = node.parent;
    }
    const { firstChild, lastChild } = node ?? {};
    if (firstChild && lastChild) return { marks: [firstChild, lastChild] };
  }
  return null;
}

function unwrap(range: SelectionRange, marks: readonly Span[]) {
  const keep = (position: number) =>
    marks.reduce(
      (kept, mark) => kept - clamp(position - mark.from, 0, mark.to - mark.from),
      position,
    );
  return {
    changes: marks.map(({ from, to }) => ({ from, to })),
    range: EditorSelection.range(keep(range.anchor), keep(range.head)),
  };
}

// Marks beside a space mean nothing in Markdown, so a selection's outer spaces stay outside.
function textToWrap(state: EditorState, range: SelectionRange): Span {
  if (range.empty) return state.wordAt(range.head) ?? range;
  const text = state.sliceDoc(range.from, range.to);
  if (text.trim() === "") return range;
  return {
    from: range.from + text.length - text.trimStart().length,
    to: range.to - text.length + text.trimEnd().length,
  };
}

/**
 * Makes a link of the selection, with the caret where something is missing. Without a selection the key is the app's,
 * for its search.
 */
function insertLink({ state, dispatch }: Parameters<StateCommand>[0]): boolean {
  if (state.readOnly || state.selection.ranges.every((range) => range.empty)) return false;
  const spec = state.changeByRange((range) => {
    const selected = state.sliceDoc(range.from, range.to);
    const [text, address] = isAddress(selected) ? ["", selected] : [selected, ""];
    const caret = range.from + (text === "" ? 1 : text.length + 3);
    return {
      changes: { from: range.from, to: range.to, insert: `[${text}](${address})` },
      range: EditorSelection.cursor(caret),
    };
  });
  dispatch(state.update(spec, { userEvent: "input.format", scrollIntoView: true }));
  return true;
}

/** Pasting an address over selected text links that text. */
export function linkSelectionTo(pasted: string): StateCommand {
  return ({ state, dispatch }) => {
    const address = pasted.trim();
    const { main, ranges } = state.selection;
    const selected = state.sliceDoc(main.from, main.to);
    const isText = selected.trim() !== "" && !selected.includes("\n") && !isAddress(selected);
    if (state.readOnly || ranges.length > 1 || !isText || !isAddress(address)) return false;
    const insert = `[${selected}](${address})`;
    dispatch(
      state.update({
        changes: { from: main.from, to: main.to, insert },
        selection: EditorSelection.cursor(main.from + insert.length),
        userEvent: "input.paste",
        scrollIntoView: true,
      }),
    );
    return true;
  };
}

function isAddress(text: string): boolean {
  return /^(?:https?:\/\/|mailto:)[^\s<>()]+$/i.test(text);
}

// ── lists ───────────────────────────────────────────────────────────────────────────────────────

type ListKind = "ordered" | "bullet" | "task";

/** Makes list items of the selected lines; makes plain lines of them when all are such items already. */
function toggleList(kind: ListKind): StateCommand {
  return ({ state, dispatch }) => {
    if (state.readOnly) return false;
    const all = selectedLines(state);
    const filled = all.filter((line) => line.text.trim() !== "");
    const lines = filled.length > 0 ? filled : all;
    const isDone = lines.every((line) => kindOf(readItem(line.text)) === kind);
    const changes = lines.map((line, index) => {
      const item = readItem(line.text);
      const from = line.from + (item?.markAt ?? readQuote(line.text).length);
      const insert = isDone ? "" : markFor(kind, index + 1);
      return { from, to: item ? line.from + item.textAt : from, insert };
    });
    const set = state.changes(changes);
    // A caret at the start of a line belongs behind the mark that appears there.
    const selection = state.selection.map(set, 1);
    dispatch(state.update({ changes: set, selection, userEvent: "input.format" }));
    return true;
  };
}

function kindOf(item: Item | null): ListKind | null {
  if (!item) return null;
  if (item.task) return "task";
  return item.number === null ? "bullet" : "ordered";
}

function markFor(kind: ListKind, number: number): string {
  return kind === "ordered" ? `${number}. ` : kind === "bullet" ? "- " : "- [ ] ";
}

/** Enter in an item begins the next one; in an empty item it ends the list, or the inner list first. */
function continueItem({ state, dispatch }: Parameters<StateCommand>[0]): boolean {
  if (state.readOnly) return false;
  const edits = state.selection.ranges.map((range) => continuation(state, range));
  if (edits.some((edit) => edit === null)) return false;
  let index = 0;
  const spec = state.changeByRange(() => {
    const edit = edits[index++] ?? { from: 0, to: 0, insert: "" };
    return { changes: edit, range: EditorSelection.cursor(edit.from + edit.insert.length) };
  });
  dispatch(state.update(spec, { userEvent: "input", scrollIntoView: true }));
  return true;
}

interface Edit extends Span {
  readonly insert: string;
}

function continuation(state: EditorState, range: SelectionRange): Edit | null {
  const line = state.doc.lineAt(range.from);
  if (isInCode(state, line.from)) return null;
  const item = readItem(line.text);
  const quote = readQuote(line.text);
  const textAt = item?.textAt ?? quote.length;
  if (textAt === 0 || range.from < line.from + textAt) return null;

  if (line.text.slice(textAt).trim() === "" && range.empty) {
    const from = item ? line.from + quote.length : line.from;
    return { from, to: line.to, insert: item ? outerMark(state, line, item) : "" };
  }
  return { from: range.from, to: range.to, insert: `\n${item ? nextMark(item) : quote}` };
}

function nextMark(item: Item): string {
  const mark = item.number === null ? item.mark : `${item.number + 1}${item.mark.at(-1) ?? "."}`;
  return `${item.quote}${item.indent}${mark} ${item.task ? "[ ] " : ""}`;
}

function outerMark(state: EditorState, line: Line, item: Item): string {
  const outer = outerItem(state, line, item);
  return outer ? nextMark(outer).slice(outer.quote.length) : "";
}

function outerItem(state: EditorState, line: Line, item: Item): Item | null {
  if (item.indent === "") return null;
  for (let number = line.number - 1; number >= 1; number--) {
    const above = readItem(state.doc.line(number).text);
    if (!above) return null;
    if (above.indent.length < item.indent.length) return above;
  }
  return null;
}

function indentItems({ state, dispatch }: Parameters<StateCommand>[0]): boolean {
  return moveItems(state, dispatch, (line, item) => {
    const at = line.from + item.quote.length;
    return { from: at, to: at, insert: " ".repeat(innerWidth(state, line, item)) };
  });
}

function outdentItems({ state, dispatch }: Parameters<StateCommand>[0]): boolean {
  return moveItems(state, dispatch, (line, item) => {
    const at = line.from + item.quote.length;
    const outer = outerItem(state, line, item)?.indent.length ?? 0;
    return { from: at, to: at + item.indent.length - outer, insert: "" };
  });
}

// An inner list begins where the text of the outer item begins.
function innerWidth(state: EditorState, line: Line, item: Item): number {
  const above = line.number > 1 ? readItem(state.doc.line(line.number - 1).text) : null;
  const outer = above && above.indent.length === item.indent.length ? above : item;
  return outer.mark.length + 1;
}

function moveItems(
  state: EditorState,
  dispatch: (transaction: ReturnType<EditorState["update"]>) => void,
  move: (line: Line, item: Item) => Edit,
): boolean {
  if (state.readOnly) return false;
  const changes: Edit[] = [];
  for (const line of selectedLines(state)) {
    const item = readItem(line.text);
    if (item && !isInCode(state, line.from)) changes.push(move(line, item));
  }
  if (changes.length === 0) return false;
  const spec: TransactionSpec = { changes, userEvent: "input.indent" };
  dispatch(state.update(spec));
  return true;
}

function selectedLines(state: EditorState): Line[] {
  const byNumber = new Map<number, Line>();
  for (const { from, to } of state.selection.ranges) {
    const last = state.doc.lineAt(to).number;
    for (let number = state.doc.lineAt(from).number; number <= last; number++) {
      byNumber.set(number, state.doc.line(number));
    }
  }
  return [...byNumber.values()];
}

function isInCode(state: EditorState, position: number): boolean {
  let node: SyntaxNode | null = syntaxTree(state).resolveInner(position, 1);
  while (node && node.name !== "FencedCode") node = node.parent;
  return node !== null;
}

function clamp(value: number, min: number, max: number): number {
  return Math.min(Math.max(value, min), max);
}

/**
 * Markdown that looks like what it means: marks are hidden except on the lines the selection
 * touches, tasks are real checkboxes. The text itself is never other than Markdown.
 */
import { syntaxTree } from "@codemirror/language";
import type { EditorState, Extension, Range } from "@codemirror/state";
import {
  Decoration,
  EditorView,
  ViewPlugin,
  WidgetType,
  type Command,
  type DecorationSet,
  type PluginValue,
  type ViewUpdate,
} from "@codemirror/view";
import type { SyntaxNode, SyntaxNodeRef, Tree } from "@lezer/common";

export interface LivePreviewOptions {
  /** Opens an address (http, https or mailto) outside the note. */
  readonly openLink: (address: string) => void;
}

export function livePreview(options: LivePreviewOptions): Extension {
  return [
    ViewPlugin.define((view) => new LivePreview(view), {
      decorations: (plugin) => plugin.decorations,
    }),
    EditorView.domEventHandlers({
      mousedown: (event, view) => {
        if (event.button !== 0 || !(event.metaKey || event.ctrlKey)) return false;
        const position = view.posAtCoords({ x: event.clientX, y: event.clientY });
        const address = position === null ? null : linkAt(view.state, position);
        if (address === null) return false;
        event.preventDefault();
        options.openLink(address);
        return true;
      },
    }),
  ];
}

/** The address of the link around `position`, if it is one that may be opened: http, https or mailto. */
export function linkAt(state: EditorState, position: number): string | null {
  for (const side of [1, -1] as const) {
    let node: SyntaxNode | null = syntaxTree(state).resolveInner(position, side);
    while (node && node.name !== "Link" && node.name !== "Autolink" && node.name !== "URL") {
      node = node.parent;
    }
    if (!node) continue;
    const url = node.name === "URL" ? node : node.getChild("URL");
    if (url) return openableAddress(state.sliceDoc(url.from, url.to));
  }
  return null;
}

function openableAddress(written: string): string | null {
  const bare = written.replace(/^<|>$/g, "");
  const address = /^www\./i.test(bare)
    ? `https://${bare}`
    : /^[^\s:/@]+@[^\s:/@]+$/.test(bare)
      ? `mailto:${bare}`
      : bare;
  if (!URL.canParse(address)) return null;
  const { protocol, href } = new URL(address);
  return protocol === "http:" || protocol === "https:" || protocol === "mailto:" ? href : null;
}

/** Ticks or clears the tasks on the selected lines; false when there is none. */
export const toggleTasks: Command = (view) => {
  if (view.state.readOnly) return false;
  const boxes = new Set<number>();
  for (const { from, to } of view.state.selection.ranges) {
    syntaxTree(view.state).iterate({
      from: view.state.doc.lineAt(from).from,
      to: view.state.doc.lineAt(to).to,
      enter: (node) => {
        if (node.name === "TaskMarker") boxes.add(node.from);
      },
    });
  }
  if (boxes.size === 0) return false;
  toggleAt(view, [...boxes]);
  return true;
};

/** `boxes`: where their opening brackets stand. */
function toggleAt(view: EditorView, boxes: readonly number[]): void {
  view.dispatch({
    changes: boxes.map((box) => ({
      from: box + 1,
      to: box + 2,
      insert: view.state.sliceDoc(box + 1, box + 2) === " " ? "x" : " ",
    })),
    userEvent: "input.task",
  });
}

class CheckboxWidget extends WidgetType {
  readonly #checked: boolean;
  readonly #name: string;
  readonly #readOnly: boolean;

  constructor(checked: boolean, name: string, readOnly: boolean) {
    super();
    this.#checked = checked;
    this.#name = name;
    this.#readOnly = readOnly;
  }

  override eq(other: CheckboxWidget): boolean {
    return (
      this.#checked === other.#checked &&
      this.#name === other.#name &&
      this.#readOnly === other.#readOnly
    );
  }

  override toDOM(view: EditorView): HTMLElement {
    const box = document.createElement("input");
    box.type = "checkbox";
    box.className = "cm-task-box";
    // The browser has ticked it by now, and would undo that if the event were prevented.
    box.addEventListener("click", () => {
      if (!view.state.readOnly) toggleAt(view, [view.posAtDOM(box)]);
    });
    this.#show(box);
    return box;
  }

  // Keeps the element, and with it the focus of somebody who ticks with the keyboard.
  override updateDOM(box: HTMLElement): boolean {
    if (!(box instanceof HTMLInputElement)) return false;
    this.#show(box);
    return true;
  }

  override ignoreEvent(): boolean {
    return true;
  }

  #show(box: HTMLInputElement): void {
    box.checked = this.#checked;
    box.toggleAttribute("checked", this.#checked);
    box.disabled = this.#readOnly;
    box.setAttribute("aria-label", this.#name || "Task");
  }
}

class GlyphWidget extends WidgetType {
  readonly #className: string;
  readonly #text: string;

  constructor(className: string, text: string) {
    super();
    this.#className = className;
    this.#text = text;
  }

  override eq(other: GlyphWidget): boolean {
    return this.#className === other.#className && this.#text === other.#text;
  }

  override toDOM(): HTMLElement {
    const glyph = document.createElement("span");
    glyph.className = this.#className;
    glyph.textContent = this.#text;
    glyph.setAttribute("aria-hidden", "true");
    return glyph;
  }

  override ignoreEvent(): boolean {
    return false;
  }
}

const hide = Decoration.replace({});
const bullet = Decoration.replace({ widget: new GlyphWidget("cm-bullet", "•") });
const rule = Decoration.replace({ widget: new GlyphWidget("cm-rule", "") });
const strong = Decoration.mark({ class: "cm-strong" });
const emphasis = Decoration.mark({ class: "cm-emphasis" });
const strike = Decoration.mark({ class: "cm-strike" });
const inlineCode = Decoration.mark({ class: "cm-inline-code" });
const link = Decoration.mark({ class: "cm-link" });
const mark = Decoration.mark({ class: "cm-mark" });
const doneTask = Decoration.mark({ class: "cm-task-done" });
const quoteLine = Decoration.line({ class: "cm-quote" });
const codeLine = Decoration.line({ class: "cm-code-line" });
const codeFirstLine = Decoration.line({ class: "cm-code-line cm-code-first" });
const codeLastLine = Decoration.line({ class: "cm-code-line cm-code-last" });
const codeOnlyLine = Decoration.line({ class: "cm-code-line cm-code-first cm-code-last" });
const tableLine = Decoration.line({ class: "cm-table-line" });
const headingLines = [1, 2, 3, 4, 5, 6].map((level) =>
  Decoration.line({ class: `cm-heading cm-heading-${level}` }),
);

class LivePreview implements PluginValue {
  decorations: DecorationSet = Decoration.none;
  #tree: Tree;
  #isStale = false;
  // A note just opened shows no marks at all, until somebody puts the caret somewhere.
  #isEntered = false;

  constructor(view: EditorView) {
    this.#tree = syntaxTree(view.state);
    this.#decorate(view);
  }

  update(update: ViewUpdate): void {
    const tree = syntaxTree(update.state);
    this.#isEntered ||= update.selectionSet || update.view.hasFocus;
    this.#isStale ||=
      update.docChanged ||
      update.viewportChanged ||
      update.selectionSet ||
      update.focusChanged ||
      tree !== this.#tree ||
      update.startState.readOnly !== update.state.readOnly;
    this.#tree = tree;
    if (!this.#isStale) return;
    // Redrawing marks under a composition would end it: what there is moves along until it is over.
    if (update.view.composing) this.decorations = this.decorations.map(update.changes);
    else this.#decorate(update.view);
  }

  #decorate(view: EditorView): void {
    const { state } = view;
    const isEntered = this.#isEntered && !state.readOnly;
    const page: Page = {
      state,
      isTouched: isEntered ? touchedLines(state) : () => false,
      decorations: [],
      drawn: new Set(),
    };
    for (const { from, to } of view.visibleRanges) {
      this.#tree.iterate({ from, to, enter: (node) => draw(page, node, from, to) });
    }
    this.decorations = Decoration.set(page.decorations, true);
    this.#isStale = false;
  }
}

interface Page {
  readonly state: EditorState;
  readonly isTouched: (from: number, to: number) => boolean;
  readonly decorations: Range<Decoration>[];
  /** Visible ranges may share a block or a line: what is in it already, by name and place. */
  readonly drawn: Set<string>;
}

function touchedLines(state: EditorState): (from: number, to: number) => boolean {
  const lines = state.selection.ranges.map((range) => ({
    from: state.doc.lineAt(range.from).from,
    to: state.doc.lineAt(range.to).to,
  }));
  return (from, to) => lines.some((line) => from <= line.to && to >= line.from);
}

function draw(page: Page, node: SyntaxNodeRef, visibleFrom: number, visibleTo: number): void {
  const { name, from, to } = node;
  const lines = lineDecorations(name);
  if (lines) drawLines(page, node, lines, visibleFrom, visibleTo);
  else if (isFirst(page, `${name} ${from} ${to}`)) drawInline(page, node);
}

type LineDecorations = (isFirstLine: boolean, isLastLine: boolean) => Decoration | undefined;

function lineDecorations(name: string): LineDecorations | undefined {
  const level = /^(?:ATX|Setext)Heading([1-6])$/.exec(name)?.[1];
  if (level) return () => headingLines[Number(level) - 1];
  if (name === "Blockquote") return () => quoteLine;
  if (name === "Table") return () => tableLine;
  if (name === "FencedCode") return codeLineAt;
  return undefined;
}

function codeLineAt(isFirstLine: boolean, isLastLine: boolean): Decoration {
  if (isFirstLine) return isLastLine ? codeOnlyLine : codeFirstLine;
  return isLastLine ? codeLastLine : codeLine;
}

function drawLines(
  page: Page,
  { name, from, to }: SyntaxNodeRef,
  decorationAt: LineDecorations,
  visibleFrom: number,
  visibleTo: number,
): void {
  const { doc } = page.state;
  const first = doc.lineAt(from).number;
  const last = doc.lineAt(to).number;
  const firstVisible = Math.max(first, doc.lineAt(visibleFrom).number);
  const lastVisible = Math.min(last, doc.lineAt(visibleTo).number);
  for (let number = firstVisible; number <= lastVisible; number++) {
    const decoration = decorationAt(number === first, number === last);
    const start = doc.line(number).from;
    if (decoration && isFirst(page, `${name} ${start}`))
      page.decorations.push(decoration.range(start));
  }
}

function drawInline(page: Page, node: SyntaxNodeRef): void {
  const { name, from, to } = node;
  switch (name) {
    case "StrongEmphasis":
      return add(page, strong, from, to);
    case "Emphasis":
      return add(page, emphasis, from, to);
    case "Strikethrough":
      return add(page, strike, from, to);
    case "InlineCode":
      return add(page, inlineCode, from, to);
    case "EmphasisMark":
    case "StrikethroughMark":
    case "CodeMark":
      return drawMark(page, from, to);
    case "HeaderMark":
    case "QuoteMark":
      return drawMark(page, from, withSpaceAfter(page.state, to));
    case "Escape":
      return drawMark(page, from, from + 1);
    case "CodeInfo":
      return add(page, mark, from, to);
    case "Link":
      return drawLink(page, node.node);
    case "Autolink":
      drawMark(page, from, from + 1);
      add(page, link, from + 1, to - 1);
      return drawMark(page, to - 1, to);
    case "URL":
      return isBareLink(node.node) ? add(page, link, from, to) : undefined;
    case "ListMark":
      return drawListMark(page, node.node);
    case "TaskMarker":
      return drawTask(page, node.node);
    case "HorizontalRule":
      return page.isTouched(from, to) ? add(page, mark, from, to) : add(page, rule, from, to);
    default:
      return undefined;
  }
}

function isFirst(page: Page, key: string): boolean {
  if (page.drawn.has(key)) return false;
  page.drawn.add(key);
  return true;
}

function add(page: Page, decoration: Decoration, from: number, to: number): void {
  if (from < to) page.decorations.push(decoration.range(from, to));
}

/** Hides a mark, or shows it faintly where somebody is writing. */
function drawMark(page: Page, from: number, to: number): void {
  if (page.isTouched(from, to)) add(page, mark, from, to);
  else add(page, hide, from, to);
}

function drawLink(page: Page, node: SyntaxNode): void {
  const [open, close] = node.getChildren("LinkMark");
  if (!open || !close || !node.getChild("URL") || close.from <= open.to) return;
  add(page, link, open.to, close.from);
  drawMark(page, open.from, open.to);
  // An address may go on in the next line; only what is in one line can be hidden.
  const lineEnd = page.state.doc.lineAt(close.from).to;
  drawMark(page, close.from, Math.min(node.to, lineEnd));
}

function isBareLink(url: SyntaxNode): boolean {
  const parent = url.parent?.name ?? "";
  return !["Link", "Image", "Autolink", "LinkReference"].includes(parent);
}

function drawListMark(page: Page, node: SyntaxNode): void {
  const { from, to } = node;
  const isTask = node.nextSibling?.name === "Task";
  const isOrdered = node.parent?.parent?.name === "OrderedList";
  if (page.isTouched(from, to) || isOrdered) add(page, mark, from, to);
  else if (isTask) add(page, hide, from, withSpaceAfter(page.state, to));
  else add(page, bullet, from, to);
}

function drawTask(page: Page, node: SyntaxNode): void {
  const { state } = page;
  const { from, to } = node;
  const isChecked = state.sliceDoc(from + 1, to - 1) !== " ";
  const line = state.doc.lineAt(to);
  if (page.isTouched(from, to)) {
    add(page, mark, from, to);
  } else {
    const name = state.sliceDoc(to, line.to).trim();
    const widget = new CheckboxWidget(isChecked, name, state.readOnly);
    add(page, Decoration.replace({ widget }), from, to);
  }
  if (isChecked) add(page, doneTask, withSpaceAfter(state, to), line.to);
}

function withSpaceAfter(state: EditorState, to: number): number {
  return state.sliceDoc(to, to + 1) === " " ? to + 1 : to;
}

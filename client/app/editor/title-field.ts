import type { Splice } from "#client/device/api.ts";
import type { OpenNote } from "#client/notes/open-note.ts";
import { diffTexts, mapThrough } from "#client/notes/text-splices.ts";

export interface TitleFieldOptions {
  readonly input: HTMLInputElement | HTMLTextAreaElement;
  readonly note: OpenNote;
  /** A title is one line: Enter and pasted line ends lead on to the body. */
  readonly focusBody: () => void;
  readonly onCursor?: (anchorOffset: number, headOffset: number) => void;
}

/** Binds a text field to the note's title; the result unbinds. */
export function bindTitleField(options: TitleFieldOptions): () => void {
  const { input, note } = options;
  input.value = note.text("title");

  const record = () => {
    const typed = input.value.replace(/[\r\n]+/g, " ");
    if (typed !== input.value) {
      const { start, end } = selectionOf(input);
      input.value = typed;
      input.setSelectionRange(start, end);
    }
    const splice = spliceBeforeCaret(note.text("title"), typed, selectionOf(input).end);
    if (splice) note.edit("title", [splice]);
  };
  const onCompositionStart = () => note.setHeld(true);
  const onCompositionEnd = () => {
    record();
    note.setHeld(false);
  };
  // Events say KeyboardEvent by name only on typed targets, and the input is one of two kinds.
  const onKeydown = (event: Event) => {
    if (!(event instanceof KeyboardEvent) || event.isComposing || event.key !== "Enter") return;
    event.preventDefault();
    options.focusBody();
  };
  const onSelect = () => {
    const { start, end, isBackward } = selectionOf(input);
    options.onCursor?.(isBackward ? end : start, isBackward ? start : end);
  };
  const unsubscribe = note.onRemote((field, splices) => {
    if (field === "title") showRemote(input, splices, note.text("title"));
  });
  const listeners = [
    ["input", record],
    ["compositionstart", onCompositionStart],
    ["compositionend", onCompositionEnd],
    ["keydown", onKeydown],
    ["select", onSelect],
    ["focus", onSelect],
    ["keyup", onSelect],
    ["pointerup", onSelect],
  ] as const;
  for (const [type, listener] of listeners) input.addEventListener(type, listener);

  return () => {
    unsubscribe();
    note.setHeld(false);
    for (const [type, listener] of listeners) input.removeEventListener(type, listener);
  };
}

/** The one splice from `before` to `after` that ends at the caret: of "aa" → "aaa" the caret tells which a is new. */
export function spliceBeforeCaret(before: string, after: string, caret: number): Splice | null {
  if (before === after) return null;
  const tail = after.length - caret;
  const isTailKept = tail <= before.length && before.endsWith(after.slice(caret));
  if (!isTailKept) return diffTexts(before, after);
  const splice = diffTexts(before.slice(0, before.length - tail), after.slice(0, caret));
  // Cut at the caret, a pair of surrogates may look like two texts: then the whole decides.
  const isWhole = splice !== null && !/[\ud800-\udfff]/u.test(splice.insert);
  return isWhole ? splice : diffTexts(before, after);
}

function showRemote(
  input: HTMLInputElement | HTMLTextAreaElement,
  splices: readonly Splice[],
  title: string,
): void {
  const { start, end, isBackward } = selectionOf(input);
  input.value = title;
  // Only the focused field's selection may be set: elsewhere some browsers would move the focus.
  if (input.ownerDocument.activeElement !== input) return;
  input.setSelectionRange(
    mapThrough(start, splices),
    mapThrough(end, splices),
    isBackward ? "backward" : "forward",
  );
}

function selectionOf(input: HTMLInputElement | HTMLTextAreaElement) {
  const start = input.selectionStart ?? input.value.length;
  const end = input.selectionEnd ?? start;
  return { start, end, isBackward: input.selectionDirection === "backward" };
}

/** Shows what a search found in the note: marked, and in sight, until the person writes or points elsewhere. */
import { StateEffect, StateField, type Extension } from "@codemirror/state";
import { Decoration, EditorView, type DecorationSet } from "@codemirror/view";

const setFound = StateEffect.define<{ readonly from: number; readonly to: number }>();
const mark = Decoration.mark({ class: "cm-found" });

const found = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(shown, transaction) {
    for (const effect of transaction.effects) {
      if (effect.is(setFound))
        return Decoration.set(mark.range(effect.value.from, effect.value.to));
    }
    const isOver = ["input", "delete", "select", "move"].some((event) =>
      transaction.isUserEvent(event),
    );
    return isOver ? Decoration.none : shown.map(transaction.changes);
  },
  provide: (field) => EditorView.decorations.from(field),
});

export function foundMatch(): Extension {
  return found;
}

/**
 * Marks `text` where it stood when it was indexed, or else where it stands now, and brings it into view. False if the
 * note does not hold it any more.
 */
export function showFound(view: EditorView, at: number, text: string): boolean {
  const body = view.state.doc.toString();
  const from = body.startsWith(text, at) ? at : body.toLowerCase().indexOf(text.toLowerCase());
  if (text === "" || from < 0) return false;
  view.dispatch({
    // There the note's syntax is shown, as where one writes; the keyboard stays where it is.
    selection: { anchor: from },
    effects: [
      setFound.of({ from, to: Math.min(from + text.length, body.length) }),
      EditorView.scrollIntoView(from, { y: "center" }),
    ],
  });
  return true;
}

/**
 * Between an EditorView and the body of an open note: local transactions become splices, remote
 * splices become one transaction each batch.
 */
import { Annotation, ChangeSet, EditorState, Transaction, type Extension } from "@codemirror/state";
import {
  EditorView,
  ViewPlugin,
  logException,
  type PluginValue,
  type ViewUpdate,
} from "@codemirror/view";

import type { Splice } from "#client/device/api.ts";
import type { OpenNote } from "#client/notes/open-note.ts";
import { diffTexts, mapThrough } from "#client/notes/text-splices.ts";

import { ScrollAnchor } from "./scroll-anchor.ts";

const remote = Annotation.define<true>();

/** Whether a transaction shows what is in the note already, rather than what somebody does here. */
export function isRemote(transaction: Transaction): boolean {
  return transaction.annotation(remote) === true;
}

/** How often the screen and the note were found to differ and were made equal again: 0 in a sound session. */
export interface BridgeHealth {
  repairs: number;
}

/** Keeps the editor's document equal to the note's body. The editor must start with `note.text("body")`. */
export function bridgeToNote(note: OpenNote, health: BridgeHealth): Extension {
  return [
    // Only "\n" ends a line: any other rule would count "\r\n" as one position where the note has two.
    EditorState.lineSeparator.of("\n"),
    EditorView.clipboardInputFilter.of(withPlainLineEnds),
    ViewPlugin.define((view) => new Bridge(view, note, health)),
  ];
}

class Bridge implements PluginValue {
  readonly #view: EditorView;
  readonly #note: OpenNote;
  readonly #health: BridgeHealth;
  readonly #scroll: ScrollAnchor;
  readonly #unsubscribe: readonly (() => void)[];
  // The note's text when recording failed; the screen then shows more than the note knows.
  #textBeforeGap: string | null = null;

  constructor(view: EditorView, note: OpenNote, health: BridgeHealth) {
    this.#view = view;
    this.#note = note;
    this.#health = health;
    this.#scroll = new ScrollAnchor(view);
    this.#unsubscribe = [
      note.onRemote((field, splices) => {
        if (field === "body") this.#showRemote(splices);
      }),
      note.onQuiet(() => this.#repair()),
      listen(view.contentDOM, "compositionstart", () => note.setHeld(true)),
      listen(view.contentDOM, "compositionend", () => note.setHeld(false)),
      // A composition that ends with the focus elsewhere need not say so.
      listen(view.contentDOM, "blur", () => note.setHeld(false)),
    ];
  }

  update(update: ViewUpdate): void {
    if (!update.docChanged) return;
    const splices = update.transactions
      .filter((transaction) => !isRemote(transaction))
      .flatMap((transaction) => splicesOf(transaction.changes));
    if (splices.length === 0) return;
    try {
      this.#note.edit("body", this.#textBeforeGap === null ? splices : this.#missing(update.state));
      this.#textBeforeGap = null;
    } catch (error) {
      // CodeMirror drops a plugin that throws, and all later typing would go nowhere: note the gap and
      // record what is missing with the next typing, remote change or quiet moment.
      this.#textBeforeGap = this.#note.text("body");
      logException(update.state, error, "recording typing in the note");
    }
  }

  destroy(): void {
    this.#note.setHeld(false);
    for (const unsubscribe of this.#unsubscribe) unsubscribe();
  }

  #showRemote(splices: readonly Splice[]): void {
    if (this.#textBeforeGap === null) {
      this.#dispatchRemote(changesOf(this.#view.state.doc.length, splices));
      return;
    }
    const missing = diffTexts(this.#textBeforeGap, this.#view.state.doc.toString());
    this.#textBeforeGap = null;
    if (missing) {
      const at = mapThrough(missing.at, splices);
      const remove = mapThrough(missing.at + missing.remove, splices) - at;
      this.#note.edit("body", [{ at, remove, insert: missing.insert }]);
    }
    this.#repair();
  }

  #missing(state: EditorState): Splice[] {
    const missing = diffTexts(this.#note.text("body"), state.doc.toString());
    return missing ? [missing] : [];
  }

  #dispatchRemote(changes: ChangeSet): void {
    this.#scroll.keepThrough(changes, () =>
      this.#view.dispatch({
        changes,
        // Out of the history, so that undo takes back only what was written here.
        annotations: [remote.of(true), Transaction.addToHistory.of(false)],
      }),
    );
  }

  #repair(): void {
    if (this.#view.composing) return;
    const shown = this.#view.state.doc.toString();
    const splice = diffTexts(shown, this.#note.text("body"));
    if (!splice) return;
    this.#health.repairs += 1;
    if (this.#textBeforeGap === null) {
      this.#dispatchRemote(changesOf(shown.length, [splice]));
    } else {
      this.#textBeforeGap = null;
      this.#note.edit("body", this.#missing(this.#view.state));
    }
  }
}

function splicesOf(changes: ChangeSet): Splice[] {
  const splices: Splice[] = [];
  changes.iterChanges((fromA, toA, fromB, _toB, inserted) => {
    splices.push({ at: fromB, remove: toA - fromA, insert: inserted.toString() });
  });
  return splices;
}

/** Sequential splices as one change of a document of `length`. */
function changesOf(length: number, splices: readonly Splice[]): ChangeSet {
  let whole = ChangeSet.empty(length);
  // Splices that ascend belong to one set; composing them one by one would be quadratic.
  let ascending: { from: number; to: number; insert: string }[] = [];
  let shift = 0;
  let end = 0;
  const compose = () => {
    whole = whole.compose(ChangeSet.of(ascending, whole.newLength, "\n"));
    ascending = [];
    shift = 0;
    end = 0;
  };
  for (const { at, remove, insert } of splices) {
    if (at < end) compose();
    ascending.push({ from: at - shift, to: at - shift + remove, insert });
    shift += insert.length - remove;
    end = at + insert.length;
  }
  compose();
  return whole;
}

function withPlainLineEnds(text: string): string {
  return text.replace(/\r\n?/g, "\n");
}

function listen(target: HTMLElement, type: string, run: () => void): () => void {
  target.addEventListener(type, run);
  return () => target.removeEventListener(type, run);
}

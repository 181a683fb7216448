import { EditorState, Compartment, type Extension } from "@codemirror/state";
import { EditorView, drawSelection, dropCursor, placeholder } from "@codemirror/view";

import type { OpenNote } from "#client/notes/open-note.ts";

import { bridgeToNote, type BridgeHealth } from "./bridge.ts";
import { peerCarets, showPeers, type PeerCaret } from "./carets.ts";
import { editingCommands } from "./commands.ts";
import { foundMatch, showFound } from "./found-match.ts";
import { livePreview } from "./live-preview.ts";
import { markdownLanguage } from "./markdown-language.ts";
import { editorTheme } from "./theme.ts";

export interface EditorOptions {
  readonly parent: HTMLElement;
  /** Shown and edited until `destroy`; it stays the caller's to flush and close. */
  readonly note: OpenNote;
  readonly readOnly: boolean;
  /** The editor's accessible name. */
  readonly label: string;
  readonly placeholder: string;
  /** Where the main selection stands, in UTF-16 units of the body, after it moved by this person's doing. */
  readonly onCursor?: (anchorOffset: number, headOffset: number) => void;
  /** Opens an http, https or mailto address; by default in a new window that knows nothing of this one. */
  readonly openLink?: (address: string) => void;
  readonly extraExtensions?: Extension;
}

export interface NoteEditor {
  readonly view: EditorView;
  /** `repairs` counts how often screen and note had to be made equal: 0 in a sound session. */
  readonly health: Readonly<BridgeHealth>;
  setPeers(peers: readonly PeerCaret[]): void;
  setReadOnly(readOnly: boolean): void;
  /** Marks a piece of the body and brings it into view; false if it is not there any more. */
  showFound(at: number, text: string): boolean;
  focus(): void;
  destroy(): void;
}

/** An editor for the note's body. Call `adoptEditorStyles` once before, where the page has a strict policy. */
export function createEditor(options: EditorOptions): NoteEditor {
  const health: BridgeHealth = { repairs: 0 };
  const editable = new Compartment();
  const view = new EditorView({
    parent: options.parent,
    state: EditorState.create({
      doc: options.note.text("body"),
      extensions: [
        // First, so that it sees typing before anything that could fail.
        bridgeToNote(options.note, health),
        editable.of(editability(options.readOnly)),
        editingCommands(),
        markdownLanguage,
        livePreview({ openLink: options.openLink ?? openOutside }),
        peerCarets(),
        foundMatch(),
        drawSelection(),
        dropCursor(),
        EditorView.lineWrapping,
        EditorState.allowMultipleSelections.of(true),
        placeholder(options.placeholder),
        EditorView.contentAttributes.of({
          role: "textbox",
          "aria-multiline": "true",
          "aria-label": options.label,
          spellcheck: "true",
          autocorrect: "on",
          autocapitalize: "sentences",
        }),
        reportCursor(options.onCursor),
        editorTheme,
        options.extraExtensions ?? [],
      ],
    }),
  });
  return {
    view,
    health,
    setPeers: (peers) => showPeers(view, peers),
    setReadOnly: (readOnly) =>
      view.dispatch({ effects: editable.reconfigure(editability(readOnly)) }),
    showFound: (at, text) => showFound(view, at, text),
    focus: () => view.focus(),
    destroy: () => view.destroy(),
  };
}

// A note that cannot be written in raises no keyboard on a phone, but can be reached and scrolled with one.
function editability(readOnly: boolean): Extension {
  return [
    EditorState.readOnly.of(readOnly),
    EditorView.editable.of(!readOnly),
    EditorView.contentAttributes.of({ "aria-readonly": String(readOnly), tabindex: "0" }),
  ];
}

function reportCursor(onCursor: EditorOptions["onCursor"]): Extension {
  if (!onCursor) return [];
  return EditorView.updateListener.of((update) => {
    if (!update.selectionSet && !update.focusChanged && !update.docChanged) return;
    const { anchor, head } = update.state.selection.main;
    onCursor(anchor, head);
  });
}

function openOutside(address: string): void {
  window.open(address, "_blank", "noopener,noreferrer");
}

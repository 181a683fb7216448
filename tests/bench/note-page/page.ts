/** The page that a bench types in: the product's editor on an open note, with a journal that answers at once. */
import { initializeWasm } from "@automerge/automerge/slim";
import automergeWasm from "@automerge/automerge/automerge.wasm?url";

import { createEditor } from "#client/app/editor/editor.ts";
import { adoptEditorStyles } from "#client/app/editor/theme.ts";
import { createNoteDocuments } from "#client/app/state/note-documents.ts";
import { OpenNote } from "#client/notes/open-note.ts";

const actor = "bb".repeat(16);
const noteId = "4NMNnkMhL8jXrdJ9jamS58PAVdXu";

/** Opens the saved document at `address` in the editor, the caret in its middle. Answers its length. */
async function openNote(address: string): Promise<number> {
  await initializeWasm(automergeWasm);
  const saved = new Uint8Array(await (await fetch(address)).arrayBuffer());
  const facts = { notebook: "", role: "edit", trashed: false } as const;
  const opened = { id: noteId, chunks: [saved], actor, ...facts };
  const done = (): Promise<void> => Promise.resolve();
  const note = new OpenNote({
    handle: createNoteDocuments().open(opened),
    session: "bench",
    actor,
    timers: {
      now: () => performance.now(),
      after: (ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
    },
    journal: { draft: done, commit: done },
  });
  const parent = document.querySelector("main");
  if (parent === null) throw new Error("the page has a main element");
  adoptEditorStyles();
  const words = { label: "Note body", placeholder: "" };
  const { view } = createEditor({ parent, note, readOnly: false, ...words });
  const middle = view.state.doc.lineAt(view.state.doc.length / 2).to;
  view.dispatch({ selection: { anchor: middle }, scrollIntoView: true });
  view.focus();
  return view.state.doc.length;
}

const painted: number[] = [];

/** From the key to the end of the frame that shows it, in ms, of every key since the page was opened. */
function paintTimes(): readonly number[] {
  return painted;
}

addEventListener(
  "keydown",
  () => {
    const pressed = performance.now();
    requestAnimationFrame(() => {
      // The first task behind the frame's own work.
      const { port1, port2 } = new MessageChannel();
      port1.addEventListener("message", () => painted.push(performance.now() - pressed));
      port1.start();
      port2.postMessage(null);
    });
  },
  { capture: true },
);

Object.assign(globalThis, { openNote, paintTimes });

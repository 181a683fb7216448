import type { ChangeSet } from "@codemirror/state";
import type { EditorView } from "@codemirror/view";

interface Anchor {
  /** Start of the topmost visible line. */
  readonly position: number;
  /** Where that line is on the screen, and must stay. */
  readonly top: number;
  readonly scroller: Element;
}

/**
 * Keeps what is being read in its place while others write above it.
 *
 * CodeMirror does so for its own scroller, but where a page around it scrolls only while the editor
 * has the focus (view 6.43, `EditorView.measure`): somebody who only reads would see the text jump.
 */
export class ScrollAnchor {
  readonly #view: EditorView;
  #pending: Anchor | null = null;

  constructor(view: EditorView) {
    this.#view = view;
  }

  /** Runs `apply`, which makes `changes` in the view, and puts the topmost visible line back in the same frame. */
  keepThrough(changes: ChangeSet, apply: () => void): void {
    const anchor = this.#pending ?? findAnchor(this.#view);
    apply();
    if (!anchor) return;
    const wasPending = this.#pending !== null;
    this.#pending = { ...anchor, position: changes.mapPos(anchor.position, 1) };
    // Asked for after the view asked for its own measuring, so it comes after that and before painting.
    if (!wasPending)
      this.#view.contentDOM.ownerDocument.defaultView?.requestAnimationFrame(this.#restore);
  }

  readonly #restore = (): void => {
    const anchor = this.#pending;
    this.#pending = null;
    if (!anchor || !this.#view.dom.isConnected) return;
    if (anchor.position > this.#view.state.doc.length) return;
    const moved = lineTop(this.#view, anchor.position) - anchor.top;
    if (Math.abs(moved) > 1) anchor.scroller.scrollTop += moved;
  };
}

function findAnchor(view: EditorView): Anchor | null {
  const scroller = outerScroller(view);
  if (!scroller) return null;
  const isPage = scroller === scroller.ownerDocument.scrollingElement;
  const visibleTop = isPage ? 0 : scroller.getBoundingClientRect().top;
  // With its beginning in sight the note may grow downwards, as a page does.
  if (view.documentTop >= visibleTop) return null;
  const { from } = view.lineBlockAtHeight(visibleTop - view.documentTop);
  return { position: from, top: lineTop(view, from), scroller };
}

function lineTop(view: EditorView, position: number): number {
  return view.documentTop + view.lineBlockAt(position).top;
}

function outerScroller(view: EditorView): Element | null {
  if (view.scrollDOM.scrollHeight > view.scrollDOM.clientHeight) return null;
  for (let element = view.dom.parentElement; element; element = element.parentElement) {
    const { overflowY } = getComputedStyle(element);
    const scrolls = overflowY === "auto" || overflowY === "scroll";
    if (scrolls && element.scrollHeight > element.clientHeight) return element;
  }
  return view.dom.ownerDocument.scrollingElement;
}

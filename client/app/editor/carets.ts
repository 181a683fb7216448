import {
  RangeSet,
  StateEffect,
  StateField,
  type EditorState,
  type Extension,
} from "@codemirror/state";
import { Decoration, EditorView, WidgetType, type DecorationSet } from "@codemirror/view";

import { isRemote } from "./bridge.ts";

/** Where somebody else writes, in positions of the editor's document. */
export interface PeerCaret {
  /** Stable while that person is here. */
  readonly peer: string;
  readonly name: string;
  /** 0..7: which of the eight hues of collaborators. */
  readonly hue: number;
  readonly anchor: number;
  readonly head: number;
}

interface ShownCaret extends PeerCaret {
  /** Grows when the caret is moved by its owner, not by edits around it: then the name is shown. */
  readonly moves: number;
}

const setPeers = StateEffect.define<readonly PeerCaret[]>();

/** Everybody's carets and selections; set with {@link showPeers}. */
export function peerCarets(): Extension {
  return [carets, EditorView.decorations.compute([carets], drawCarets)];
}

/** Replaces all carets; positions outside the document are moved to its edge. */
export function showPeers(view: EditorView, peers: readonly PeerCaret[]): void {
  view.dispatch({ effects: setPeers.of(peers) });
}

/** The carets as they are shown now. */
export function shownPeers(state: EditorState): readonly PeerCaret[] {
  return state.field(carets);
}

const carets = StateField.define<readonly ShownCaret[]>({
  create: () => [],
  update(shown, transaction) {
    let next = shown;
    if (transaction.docChanged) {
      // Text arriving at somebody's caret is most likely theirs and stands before it; mine does not push it.
      const side = isRemote(transaction) ? 1 : -1;
      const map = (position: number) => transaction.changes.mapPos(position, side);
      next = next.map((caret) => ({ ...caret, anchor: map(caret.anchor), head: map(caret.head) }));
    }
    for (const effect of transaction.effects) {
      if (effect.is(setPeers)) next = placePeers(next, effect.value, transaction.newDoc.length);
    }
    return next;
  },
});

function placePeers(
  shown: readonly ShownCaret[],
  peers: readonly PeerCaret[],
  length: number,
): ShownCaret[] {
  const previousByPeer = new Map(shown.map((caret) => [caret.peer, caret]));
  return peers.map((peer) => {
    const anchor = Math.min(Math.max(peer.anchor, 0), length);
    const head = Math.min(Math.max(peer.head, 0), length);
    const previous = previousByPeer.get(peer.peer);
    const hasMoved = previous?.head !== head;
    return { ...peer, anchor, head, moves: (previous?.moves ?? 0) + (hasMoved ? 1 : 0) };
  });
}

function drawCarets(state: EditorState): DecorationSet {
  const ranges = state.field(carets).flatMap((caret) => {
    const widget = new CaretWidget(caret);
    const line = Decoration.widget({ widget, side: 1 }).range(caret.head);
    if (caret.anchor === caret.head) return [line];
    const selection = Decoration.mark({ class: `cm-peer-selection cm-peer-${caret.hue}` });
    const from = Math.min(caret.anchor, caret.head);
    return [selection.range(from, Math.max(caret.anchor, caret.head)), line];
  });
  return ranges.length === 0 ? RangeSet.empty : Decoration.set(ranges, true);
}

class CaretWidget extends WidgetType {
  readonly #caret: ShownCaret;

  constructor(caret: ShownCaret) {
    super();
    this.#caret = caret;
  }

  // A moved caret is a new element: that starts the animation which shows the name for two seconds.
  override eq(other: CaretWidget): boolean {
    return (
      this.#caret.peer === other.#caret.peer &&
      this.#caret.name === other.#caret.name &&
      this.#caret.hue === other.#caret.hue &&
      this.#caret.moves === other.#caret.moves
    );
  }

  override toDOM(): HTMLElement {
    const caret = document.createElement("span");
    caret.className = `cm-peer-caret cm-peer-${this.#caret.hue}`;
    caret.setAttribute("role", "img");
    caret.setAttribute("aria-label", `${this.#caret.name} is writing here`);
    const name = document.createElement("span");
    name.className = "cm-peer-name";
    name.textContent = this.#caret.name;
    name.setAttribute("aria-hidden", "true");
    caret.append(name);
    return caret;
  }

  override ignoreEvent(): boolean {
    return true;
  }
}
